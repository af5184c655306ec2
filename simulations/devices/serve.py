"""The process that serves a virtual site: one JSON line to start it, one answer per message, until its input ends.

It is started by ``VirtualSite``; nobody types this.
"""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import sys
from typing import Any

from pydantic import TypeAdapter

from interfaces.drivers.site_reader import parse_site
from simulations.devices.control import obey
from simulations.devices.host import SiteHost
from simulations.devices.parts import usual_environment
from simulations.plant.ev import Arrival

_arrivals: TypeAdapter[list[Arrival]] = TypeAdapter(list[Arrival])


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _host_of(start: dict[str, Any]) -> SiteHost:
    site = parse_site(start["site"]).site
    if site is None:
        raise ValueError("the site file does not pass its checks")
    day_s, epoch_s = float(start["start_day_s"]), float(start["start_epoch_s"])
    environment = usual_environment(site, start_day_s=day_s, start_epoch_s=epoch_s)
    arrivals = _arrivals.validate_python(start["arrivals"])
    return SiteHost(site, seed=int(start["seed"]), environment=environment, arrivals=arrivals)


async def _serve(start: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 24)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin.buffer)
    async with _host_of(start) as host:
        gc.freeze()  # what exists now lives as long as the process; the collector need not walk it again
        _say({"ok": True, "addresses": [[list(k), list(v)] for k, v in host.addresses.items()]})
        while line := await lines.readline():
            _say(await obey(host, json.loads(line)))


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us; our input ends then
    start = json.loads(sys.stdin.buffer.readline())
    asyncio.run(_serve(start))


if __name__ == "__main__":
    main()

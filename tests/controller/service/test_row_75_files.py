"""Row 75: no open files left. Connections fail one by one, the others go on, and all come back."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from controller.service.realtime import allow_files

EXHAUSTED = """
import asyncio, json, random, resource
from interfaces.drivers.clock import monotonic_s
from interfaces.drivers.connection import Connection
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import TcpLink
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.profile_bank import banks_of
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.readings import Readings

async def until(what):
    for _ in range(400):
        if what():
            return True
        await asyncio.sleep(0.05)
    return False

async def main():
    profile = find_profile("eastron_sdm630")
    servers = []
    for _ in range(4):
        server = ModbusServer(banks_of(profile)[1])
        await server.start()
        servers.append(server)
    readings, outbox = Readings(), Outbox()
    connections = [
        Connection(TcpLink("127.0.0.1", server.port), [PointSpec(str(k), profile, 1)], outbox=outbox,
                   readings=readings, clock=monotonic_s, jitter=random.Random(k))
        for k, server in enumerate(servers)
    ]
    tasks = [asyncio.create_task(one.run()) for one in connections]
    good = lambda k: connections[k].counters.good
    said = {"started": await until(lambda: all(good(k) > 2 for k in range(4)))}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # what is open stays open, nothing can be opened
    servers[0].hang_up()
    await until(lambda: not connections[0].connected)
    before = [good(k) for k in range(4)]
    said["others"] = await until(lambda: all(good(k) > before[k] + 3 for k in (1, 2, 3)))
    said["lost"] = not readings.points["0"].connected and good(0) == before[0]
    said["why"] = readings.points["0"].problem
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    said["back"] = await until(lambda: good(0) > before[0] + 2)
    said["bugs"] = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for server in servers:
        await server.stop()
    print(json.dumps(said))

asyncio.run(main())
"""


def test_row_75_without_files_one_connection_is_lost_and_the_others_go_on(figure):
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTED], capture_output=True, text=True, timeout=120, check=False, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["started"]
    assert said["others"]
    assert said["lost"]
    assert said["why"]
    assert said["back"]
    figure("of four connections, one hung up: goes on", 3)
    figure("told", said["why"])
    assert said["bugs"] == 0


ASK = """
import resource, sys
from controller.service.realtime import allow_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
print(allow_files(200), resource.getrlimit(resource.RLIMIT_NOFILE)[0], allow_files(1000), sep="|")
"""


def test_row_75_the_limit_is_raised_as_far_as_allowed_and_told_when_it_is_too_low():
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, cwd=Path.cwd())
    granted, soft, refused = done.stdout.strip().split("|")
    assert (granted, soft) == ("", "200")
    assert refused == "this site needs 1000 open files, the system allows 256: raise LimitNOFILE"
    assert allow_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0]) == ""

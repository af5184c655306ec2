"""Virtual devices for the tests of `stroomwacht device ...`, and the command run beside them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from interfaces.cli import main
from interfaces.drivers.modbus_server import Framing, ModbusServer
from interfaces.drivers.profile_bank import banks_of
from tests.interfaces.drivers.far_side import profile_of

Cells = Mapping[tuple[int, str, int], Sequence[int]]


def server_of(name: str, cells: Cells, *, framing: Framing = "mbap", host: str = "127.0.0.1", **more) -> ModbusServer:
    """The device of a profile with these words: (unit, table, address) -> words."""
    _, banks = banks_of(profile_of(name), points=len(profile_of(name).points.units))
    for (unit, table, addr), words in cells.items():
        banks[unit].put(table, addr, words)  # type: ignore[arg-type]
    return ModbusServer(banks, framing=framing, host=host, **more)


def at(server: ModbusServer) -> list[str]:
    return ["--host", server.host, "--port", str(server.port)]


async def run(*words: str) -> int:
    """The console script in a thread of its own, while the devices go on answering here."""
    return await asyncio.to_thread(main, ["device", *words])


async def figures(capsys, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON object a command prints; nothing else may be printed."""
    capsys.readouterr()
    assert await run(*words, "--json") == code
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.count("\n") == 1
    found: dict[str, Any] = json.loads(said.out)
    return found


async def complaint(capsys, *words: str) -> str:
    """The one sentence of a command that ends with 2."""
    capsys.readouterr()
    assert await run(*words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    return str(said.err)

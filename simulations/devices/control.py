"""What an experiment may do to a running site, as small JSON messages: plug cars, break devices, move the building.

A message is ``{"do": NAME, ...}``; the answer is ``{"ok": true, ...}`` or ``{"ok": false, "error": SENTENCE}``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from interfaces.drivers.modbus_server import Faults
from simulations.devices.host import SiteHost
from simulations.devices.models import Device
from simulations.devices.parts import Part
from simulations.devices.read_log import ReadLog
from simulations.plant.ev import Arrival

Message = Mapping[str, Any]
Answer = dict[str, Any]
FOREVER_S: Final[float] = 1e9
DRIP_S: Final[float] = 0.4
FRAME_FAULTS: Final = frozenset(field.name for field in fields(Faults))
_arrival: Final = TypeAdapter(Arrival)


class BadMessageError(Exception):
    """A message that cannot be obeyed; its text says why."""


async def obey(host: SiteHost, message: Message) -> Answer:
    """Carry out one message."""
    do = _DEEDS.get(str(message.get("do")))
    if do is None:
        return {"ok": False, "error": f"'do' is one of {', '.join(sorted(_DEEDS))}"}
    try:
        return {"ok": True, **(await do(host, message) or {})}
    except (BadMessageError, ValidationError) as error:
        return {"ok": False, "error": " ".join(str(error).split())}
    except KeyError as error:
        return {"ok": False, "error": f"there is no {error.args[0]!r} here, or the message lacks it"}
    except (TypeError, ValueError) as error:
        return {"ok": False, "error": f"a value does not fit: {error}"}


async def _plug_in(host: SiteHost, message: Message) -> None:
    """``asset``, and of an ``Arrival`` what differs from a plain three-phase car that stays."""
    plain = {"start_s": host.plant.now_s, "end_s": FOREVER_S, "energy_wh": 50_000.0}
    car = _arrival.validate_python({**plain, **{k: v for k, v in message.items() if k != "do"}})
    column = host.plant.topology.index[car.asset]
    host.plant.sessions.leave(column, host.plant.now_s, host.plant.cars)
    host.plant.sessions.arrive(car, host.plant.now_s, host.plant.cars)


async def _plug_out(host: SiteHost, message: Message) -> None:
    column = host.plant.topology.index[message["asset"]]
    host.plant.sessions.leave(column, host.plant.now_s, host.plant.cars)


async def _fault(host: SiteHost, message: Message) -> None:
    """``device`` and ``kind``; ``value`` where the kind takes one. ``kind`` "clear" ends everything but a reboot."""
    part, kind = host.parts[message["device"]], str(message["kind"])
    if part.feed is not None and kind == "silent":
        part.feed.silent = True
        return
    if kind in FRAME_FAULTS and not (kind == "silent" and part.shares_line):
        for server, _ in part.homes:
            setattr(server.faults, kind, _frame_value(kind, message))
        return
    deed = _FAULTS.get(kind)
    if deed is None:
        raise BadMessageError(f"'kind' is one of {', '.join(sorted({*_FAULTS, *FRAME_FAULTS}))}")
    await deed(host, message["device"], part)


def _frame_value(kind: str, message: Message) -> Any:
    value = message.get("value", True)
    if kind == "xor":
        index, mask = value
        return int(index), int(mask)
    return bytes.fromhex(value) if kind == "garbage" else value


async def _clear(host: SiteHost, device_id: str, part: Part) -> None:
    if part.feed is not None:
        part.feed.frozen = part.feed.silent = False
    for server, unit in part.homes:
        server.faults = Faults()
        bank = server.bank_of(unit)
        if bank is not None:
            bank.accept_writes = True
    for device in part.points:
        device.frozen = device.blind = False
    _columns(host, part, lambda k: _set_flags(host, k, on=False))
    await host.accept(device_id)


def _set_flags(host: SiteHost, column: int, *, on: bool) -> None:
    supplies = host.plant.supplies
    supplies.ignores_writes[column] = supplies.welded[column] = supplies.faulted[column] = on


def _columns(host: SiteHost, part: Part, deed: Callable[[int], None]) -> None:
    for column in part.columns:
        deed(column)
    host.show()


def _each_point(part: Part, deed: Callable[[Device], None]) -> None:
    for device in part.points:
        deed(device)


def _freeze(device: Device) -> None:
    device.frozen = True


def _blind(device: Device) -> None:
    device.blind = True


async def _frozen(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    _each_point(part, _freeze)
    if part.feed is not None:
        part.feed.frozen = True


async def _nan(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    _each_point(part, _blind)
    host.show()


async def _not_applied(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for column in part.columns:
        host.plant.supplies.ignores_writes[column] = True


async def _writes_dropped(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for server, unit in part.homes:
        bank = server.bank_of(unit)
        if bank is not None:
            bank.accept_writes = False


async def _welded(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for column in part.columns:
        host.plant.supplies.welded[column] = True


async def _pilot_f(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for column in part.columns:
        host.plant.supplies.faulted[column] = True


async def _refuse(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    await host.refuse(device_id)


async def _reboot(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    await host.reboot(device_id)


async def _drip(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for server, _ in part.homes:
        server.faults.drip_s = DRIP_S


async def _hang_up(host: SiteHost, device_id: str, part: Part) -> None:  # noqa: ARG001  the table's signature
    for server, _ in part.homes:
        server.hang_up()
    if part.feed is not None:
        part.feed.hang_up()


_FAULTS: Final[Mapping[str, Callable[[SiteHost, str, Part], Awaitable[None]]]] = {
    "clear": _clear, "frozen": _frozen, "nan": _nan, "not_applied": _not_applied, "writes_dropped": _writes_dropped,
    "welded": _welded, "pilot_f": _pilot_f, "refuse": _refuse, "silent": _refuse, "reboot": _reboot,
    "hang_up": _hang_up, "drip": _drip,
}  # fmt: skip


async def _background(host: SiteHost, message: Message) -> Answer:
    """``circuit`` and ``amps`` (three): added to what the building takes there; the meters show it at once."""
    a, b, c = (float(x) for x in message["amps"])
    host.plant.added_a[host.plant.topology.circuit_index[message["circuit"]]] = (a, b, c)
    host.show_step()
    return {"at_s": time.monotonic()}


async def _meter(host: SiteHost, message: Message) -> None:
    """``circuit``, and of ``frozen``, ``broken``, ``sign``, ``offset_a``, ``noise_a``, ``order`` what shall change."""
    meters = host.plant.meters
    line = host.plant.topology.circuit_index[message["circuit"]]
    for name in ("frozen", "broken", "sign", "offset_a", "noise_a"):
        if name in message:
            getattr(meters, name)[line] = message[name]
    if "order" in message:
        a, b, c = (int(x) for x in message["order"])
        meters.swap(line, (a, b, c))


async def _world(host: SiteHost, message: Message) -> None:
    """``pv`` share that still comes through, ``voltage`` share of nominal, ``hot`` batteries, ``fuse`` to replace."""
    plant = host.plant
    plant.sun.dimmed = float(message.get("pv", plant.sun.dimmed))
    plant.grid.nominal_share = float(message.get("voltage", plant.grid.nominal_share))
    if "hot" in message:
        plant.batteries.hot[:] = bool(message["hot"])
    if "fuse" in message:
        plant.breakers.reset(plant.topology.circuit_index[message["fuse"]])


async def _writes(host: SiteHost, message: Message) -> Answer:
    """Setpoints that arrived after ``since_s`` (monotonic): [time, asset, A]."""
    since_s = float(message.get("since_s", -math.inf))
    return {"writes": [list(one) for one in host.writes if one[0] > since_s]}


async def _reads(host: SiteHost, message: Message) -> Answer:  # noqa: ARG001  the table's signature
    """When each device was last asked for its fastest values since this was asked for first; see ``ReadLog``."""
    if host.read_log is None:
        host.read_log = ReadLog(host.parts)
    return host.read_log.told()


async def _report(host: SiteHost, message: Message) -> Answer:  # noqa: ARG001  the table's signature
    plant = host.plant
    over, topology = plant.judge.result(), plant.topology
    energy_wh = sum(record.delivered_wh for record in plant.sessions.report(plant.now_s))
    pilot, offered, cars = plant.pilot.tolist(), plant.in_force_a.tolist(), plant.cars
    return {
        "now_s": round(plant.now_s, 1),
        "overload_s": round(over.overload_s, 1),
        "self_made_overload_s": round(over.self_made_overload_s, 1),
        "relearn_overload_s": round(over.relearn_overload_s, 1),
        "worst_excess_a": round(over.worst_excess_a, 3),
        "longest_overload_s": round(over.longest_s, 1),
        "protection_max": plant.breakers.worst,
        "open_circuits": [c.id for c, gone in zip(topology.circuits, plant.breakers.open, strict=True) if gone],
        "energy_kwh": round(energy_wh / 1000.0, 4),
        "switched_under_load": plant.switched_under_load,
        "row_a": {c.id: plant.row_a[k].round(2).tolist() for k, c in enumerate(topology.circuits)},
        "background_a": {c.id: plant.background_a[k].round(2).tolist() for k, c in enumerate(topology.circuits)},
        "assets": {
            asset.id: {
                "setpoint_a": float(plant.supplies.setpoint_a[k]),
                "in_force_a": offered[k],
                "draw_a": plant.draw_a[k].round(3).tolist(),
                "pilot": pilot[k],
                "plugged": bool(cars.plugged[k]),
                "failsafe": bool(plant.supplies.in_failsafe(plant.now_s)[k]),
            }
            for k, asset in enumerate(topology.assets)
        },
    }


_DEEDS: Final[Mapping[str, Callable[[SiteHost, Message], Awaitable[Answer | None]]]] = {
    "plug_in": _plug_in, "plug_out": _plug_out, "fault": _fault, "background": _background, "meter": _meter,
    "world": _world, "writes": _writes, "reads": _reads, "report": _report,
}  # fmt: skip

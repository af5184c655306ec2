"""One virtual device alone, without a site: its profile's registers on one port, with values of the user's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interfaces.domain.topology import Asset, AssetKind, Circuit, Topology, build_topology
from interfaces.drivers.modbus_server import Framing, ModbusServer
from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_load import find_profile, profile_ids
from interfaces.drivers.registers import EncodeFailure, Value, decode, encode
from interfaces.errors import UserError
from simulations.devices.lines import LOCALHOST
from simulations.devices.models import ChargerPoint, Device, MeterDevice, PowerDevice, RequestCount
from simulations.devices.moment import Counters, Moment
from simulations.devices.registers import Identity, Served, station
from simulations.plant.building import BuildingLoad
from simulations.plant.site import Environment, Plant

STEP_S: Final[float] = 0.1
RATED_A: Final[float] = 32.0
POWER_W: Final[float] = 22_000.0
CAPACITY_WH: Final[float] = 50_000.0
BUILDING_A: Final = (10.0, 11.0, 12.0)
_KINDS: Final[Mapping[str, AssetKind]] = {
    "charger": AssetKind.EVSE, "battery": AssetKind.BATTERY, "inverter": AssetKind.PV,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """A register held at a value, in the register's own unit."""

    register: Register
    words: tuple[int, ...]


def profile_named(name: str) -> Profile:
    """The shipped profile; raises ``UserError`` with the names there are."""
    profile = find_profile(name)
    if profile is None:
        raise UserError(f"there is no device profile '{name}', only: {', '.join(profile_ids())}")
    return profile


def settings_of(device: Served, texts: Sequence[str]) -> tuple[Setting, ...]:
    """``NAME=VALUE`` texts as registers and words; raises ``UserError`` for the first that does not fit."""
    known = {register.name: register for register in device.profile.registers}
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--set takes NAME=VALUE, not '{text}'")
        register = known.get(name)
        if register is None:
            raise UserError(f"the profile '{device.profile.id}' has no register '{name}'")
        found.append(Setting(register, _words(device, register, value)))
    return tuple(found)


def _words(device: Served, register: Register, text: str) -> tuple[int, ...]:
    value: Value = text
    if register.type not in {"string", "raw"} and not (register.text in {"low_byte", "high_byte"} and text.isalpha()):
        try:
            value = float(text)
        except ValueError:
            raise UserError(f"the register '{register.name}' takes a number, not '{text}'") from None
    words = encode(register, value, device.profile.word_order, device.factors.get(register.sf or ""))
    if isinstance(words, EncodeFailure):
        raise UserError(words.reason)
    return words


@dataclass(slots=True)
class StillDevice:
    """A device that shows what was put into it and does nothing on its own: an I/O module."""

    device: Served
    frozen: bool = False
    blind: bool = False

    def refresh(self, moment: Moment) -> None:
        """No value of its own."""

    def heard(self, now_s: float) -> None:
        """Nobody is missed."""

    def restart(self, now_s: float) -> None:
        """It keeps what it has."""


class LoneDevice:
    """A device with a small plant of its own: a socket without a car, a battery, an inverter at noon, a meter.

    ``settings`` are held against whatever the device would show. ``serve`` runs until it is cancelled.
    """

    def __init__(self, profile: Profile, texts: Sequence[str], *, seed: int = 1) -> None:
        self.plant = Plant(_topology(profile), seed=seed, environment=_environment(profile), step_s=STEP_S)
        points = station(profile, Identity(profile.id, POWER_W, RATED_A), len(profile.points.units))
        self.points = points
        self.settings = settings_of(points[0], texts)
        self._counters = Counters(self.plant)
        self._devices = [self._model(point, number) for number, point in enumerate(points)]
        self._counts = [RequestCount(point) for point in points]
        self._show()

    def _model(self, point: Served, number: int) -> Device:
        if point.profile.kind == "charger":
            return ChargerPoint(point, self.plant, number, None, _nobody)
        if point.profile.kind == "meter":
            return MeterDevice(point, 0)
        if point.profile.kind == "io":
            return StillDevice(point)
        return PowerDevice(point, self.plant, number, CAPACITY_WH, _nobody)

    def advance(self) -> None:
        """A tenth of a second passes."""
        for device, count in zip(self._devices, self._counts, strict=True):
            if count.changed():
                device.heard(self.plant.now_s)
        self.plant.step(STEP_S, self.plant.now_s + STEP_S)
        self._counters.observe(STEP_S)
        self._show()

    def _show(self) -> None:
        moment = self._counters.moment()
        for device in self._devices:
            device.refresh(moment)
        for setting in self.settings:
            for point in self.points:
                point.bank_of(setting.register).put(setting.register.table, setting.register.address, setting.words)

    def value(self, name: str) -> Value | None:
        """What a register of the first point shows now."""
        point = self.points[0]
        register = point.profile.register(name)
        words = point.bank_of(register).get(register.table, register.address, register.words) or ()
        return decode(register, words, point.profile.word_order, point.factors.get(register.sf or ""))

    def servers(self, port: int) -> list[ModbusServer]:
        """The servers to start: one, or one per point where points sit on neighbouring ports."""
        profile = self.points[0].profile
        framing: Framing = "mbap" if profile.tcp is not None else "rtu"
        limit = None if profile.tcp is None else profile.tcp.max_connections
        step = profile.points.port_step
        if step and port:
            groups = [(port + step * n, {profile.points.units[n]: p.point}) for n, p in enumerate(self.points)]
        else:
            # Points that share a unit id share a bank, or sit on other ports: the first one is served.
            units = zip(reversed(profile.points.units), reversed(self.points), strict=True)
            groups = [(port, {unit: point.point for unit, point in units})]
        if profile.points.station_unit is not None:
            groups[0][1][profile.points.station_unit] = self.points[0].station
        return [ModbusServer(u, host=LOCALHOST, port=p, framing=framing, max_connections=limit) for p, u in groups]

    async def serve(self, servers: Sequence[ModbusServer]) -> None:
        """Let time pass for the device behind started servers."""
        try:
            while True:
                await asyncio.sleep(STEP_S)
                self.advance()
        finally:
            for server in servers:
                await server.stop()


async def start_all(servers: Sequence[ModbusServer]) -> None:
    """Start the servers; raises ``UserError`` when a port is taken."""
    for server in servers:
        try:
            await server.start()
        except OSError as error:
            raise UserError(f"port {server.port} cannot be used: {error.strerror or error}") from error


def address_line(profile: Profile, servers: Sequence[ModbusServer]) -> str:
    """One sentence that says where the device answers."""
    framing = "Modbus TCP" if profile.tcp is not None else "Modbus RTU in TCP"
    places = ", ".join(
        f"{server.host}:{server.port} unit {'/'.join(str(unit) for unit in server.units)}" for server in servers
    )
    return f"{profile.id} answers {framing} at {places}"


def _nobody(asset: str, setpoint_a: float) -> None:
    """Nobody keeps a log of a lone device's setpoints."""


def _topology(profile: Profile) -> Topology:
    main = Circuit("gcp", None, (63.0,) * 3, meter="m", background_max_a=(20.0,) * 3)
    kind = _KINDS.get(profile.kind)
    if kind is None:
        return build_topology([main], [], version="alone")
    import_a, export_a = (0.0 if kind is AssetKind.PV else RATED_A), (0.0 if kind is AssetKind.EVSE else RATED_A)
    count = len(profile.points.units) if kind is AssetKind.EVSE else 1
    assets = [
        Asset(f"{profile.id}-{n + 1}", kind, profile.id, "gcp", (0, 1, 2), import_a, max_export_a=export_a)
        for n in range(count)
    ]
    return build_topology([main], assets, version="alone")


def _environment(profile: Profile) -> Environment:
    loads = (BuildingLoad("gcp", BUILDING_A),) if profile.kind == "meter" else ()
    return Environment(loads, start_day_s=12 * 3600.0)

"""How each kind of device behaves behind its registers: shows the plant, obeys writes, keeps its own watchdog."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import numpy as np

from interfaces.domain.image import Pilot
from interfaces.domain.topology import AssetKind
from interfaces.domain.units import MILLI
from interfaces.drivers.profile import PilotName, Register, Table
from interfaces.drivers.profile_control import CurrentSetpoint, PowerSetpoint, Write
from interfaces.drivers.register_bank import OnWrite
from interfaces.drivers.registers import Value, decode
from interfaces.drivers.roles import UNIT_FACTORS, registers_of
from interfaces.drivers.setpoints import readback_milli, readback_names
from simulations.devices.encoder import Put, register_writer, role_writers, state_writer
from simulations.devices.moment import Moment
from simulations.devices.registers import Served, put_role
from simulations.plant.site import Plant

NOMINAL_HZ: Final[float] = 50.0
WARM_DEGC: Final[float] = 35.0
PER_CENT: Final[float] = 100.0
OnSetpoint = Callable[[str, float], None]
"""Told asset id and setpoint (A per conductor, signed) whenever one arrives on the wire."""

_CLOSED_STATES: Final = frozenset({"C2", "D2"})
_BROKEN_STATES: Final = frozenset({"E", "F"})
_LINES: Final = ("l1", "l2", "l3")


class Device(Protocol):
    """What the site needs of every device. ``frozen``: shows nothing new; ``blind``: shows "not available"."""

    device: Served
    frozen: bool
    blind: bool

    def refresh(self, moment: Moment) -> None:
        """Show the plant's present."""

    def heard(self, now_s: float) -> None:
        """A request arrived since the last refresh."""

    def restart(self, now_s: float) -> None:
        """The device comes back from a power cut."""


def _put_all(puts: Mapping[str, Put], values: Mapping[str, float | None]) -> None:
    for role, value in values.items():
        put = puts.get(role)
        if put is not None:
            put(value)


def _written(device: Served, table: Table, addr: int, words: tuple[int, ...]) -> dict[str, Value]:
    """Writable registers that a write covers as a whole, decoded by the drivers' codec."""
    found: dict[str, Value] = {}
    for register in device.profile.registers:
        if not register.writable or register.table != table:
            continue
        start = register.address - addr
        if start >= 0 and start + register.words <= len(words):
            order, factor = device.profile.word_order, device.factors.get(register.sf or "")
            value = decode(register, words[start : start + register.words], order, factor)
            if value is not None:
                found[register.name] = value
    return found


def _banks(device: Served) -> list[int]:
    banks = {id(device.point): device.point, id(device.station): device.station}
    return [bank.requests for bank in banks.values()]


def listen(device: Served, on_write: OnWrite) -> None:
    """Hear every write to a device's point; points that share a unit hear each other's and pick their own."""
    before = device.point.on_write
    if before is None:
        device.point.on_write = on_write
        return

    def both(table: Table, addr: int, words: tuple[int, ...]) -> int | None:
        refused = before(table, addr, words)
        return on_write(table, addr, words) if refused is None else refused

    device.point.on_write = both


class RequestCount:
    """Tells whether anybody asked since the last look."""

    def __init__(self, device: Served) -> None:
        self._device = device
        self._seen = _banks(device)

    def changed(self) -> bool:
        """True once after each request or burst of requests."""
        now = _banks(self._device)
        changed, self._seen = now != self._seen, now
        return changed


class ChargerPoint:
    """One EVSE. ``commissioned``: failsafe current (A) and time-out (s) set by an installer, None: factory's."""

    def __init__(
        self,
        device: Served,
        plant: Plant,
        column: int,
        commissioned: tuple[float, float] | None,
        on_setpoint: OnSetpoint,
    ) -> None:
        self.device, self.frozen, self.blind = device, False, False
        self._plant, self._column, self._tell = plant, column, on_setpoint
        self._asset = plant.topology.assets[column]
        self._commissioned = commissioned
        self._puts = role_writers(device)
        self._show_state = state_writer(device)
        self._tag: str | None = ""
        self._born_s = plant.now_s
        listen(device, self._on_write)
        self._setpoint = _main_write(device.profile.setpoint)
        writes = device.profile.setpoint.writes if device.profile.setpoint else ()
        self._rest = {w.register: w.constant for w in writes if w.when == "rest" and w.constant is not None}
        self._run = {w.register: w.constant for w in writes if w.when != "rest" and w.constant is not None}
        self._told: dict[str, float] = {}
        self._amount_a = 0.0
        self._start()

    def _start(self) -> None:
        """Initial register contents and failsafe: a device that has not heard anybody for long."""
        plant, column, profile = self._plant, self._column, self.device.profile
        supplies = plant.supplies
        if self._asset.id in plant.environment.unmanaged:
            supplies.setpoint_a[column] = supplies.applied_a[column] = supplies.rated_a[column]
        else:
            supplies.timeout_s[column] = math.inf if profile.keepalive.kind == "none" else profile.keepalive.timeout_s
            supplies.failsafe_a[column] = supplies.rated_a[column]
            if self._commissioned is not None:
                supplies.failsafe_a[column] = self._commissioned[0]
                if profile.keepalive.kind != "none":
                    supplies.timeout_s[column] = self._commissioned[1]
            resting = 0.0 if profile.keepalive.kind == "none" else supplies.failsafe_a[column]
            supplies.setpoint_a[column] = supplies.applied_a[column] = resting
            supplies.contact_s[column] = -math.inf
        if profile.stop is not None:
            register_writer(self.device, profile.register(profile.stop.register))(profile.stop.run)
        if profile.phase_switch is not None:
            phases = float(profile.phase_switch.three if plant.phases_now[column] == 3 else profile.phase_switch.one)
            register_writer(self.device, profile.register(profile.phase_switch.register))(phases)
        put_role(self.device, "rated_current_a", float(supplies.rated_a[column]))
        self._echo_setpoint()

    def _echo_setpoint(self) -> None:
        write = self._setpoint
        if write is not None:
            register = self.device.profile.register(write.register)
            register_writer(self.device, register)(float(self._plant.supplies.setpoint_a[self._column]) * write.factor)
            self._amount_a = float(self._plant.supplies.setpoint_a[self._column])
            for name, constant in self._run.items():
                self._told[name] = constant
                register_writer(self.device, self.device.profile.register(name))(constant)

    def refresh(self, moment: Moment) -> None:
        if self.frozen:
            return
        k = self._column
        currents = [None] * 3 if self.blind else moment.amps[k]
        volts = moment.volts[k]
        pilot = _pilot_name(moment.pilot[k])
        closed = moment.closed[k]
        values: dict[str, float | None] = {"uptime_s": moment.now_s - self._born_s, "frequency_hz": NOMINAL_HZ}
        values["temperature_degc"] = WARM_DEGC
        power_w = 0.0
        for line, current_a, volt_v in zip(_LINES, currents, volts, strict=True):
            watts = (current_a or 0.0) * volt_v
            power_w += watts
            values[f"current_{line}_a"], values[f"voltage_{line}_v"] = current_a, volt_v
            values[f"power_{line}_w"] = watts
        values["power_w"], values["energy_wh"] = power_w, moment.energy_wh[k]
        values["error"] = float(pilot in _BROKEN_STATES)
        values["session_energy_wh"] = moment.session_wh[k]
        values["soc_pct"] = moment.car_soc[k] * PER_CENT
        values["failsafe_current_a"] = moment.failsafe_a[k]
        values["failsafe_timeout_s"] = self._timeout_shown(moment)
        values["offered_a"] = self._offered(moment.in_force_a[k], moment.pilot_a[k])
        if closed:
            values["phases"] = float(moment.phases[k])
        else:
            values["relay"] = 0.0
        self._show_state(pilot if closed or pilot not in _CLOSED_STATES else "B2")
        _put_all(self._puts, values)
        if moment.tags[k] != self._tag:
            self._tag = moment.tags[k]
            put_role(self.device, "rfid", self._tag or "")

    def _offered(self, in_force_a: float, pilot_a: float) -> float:
        """A register that confirms the setpoint shows the limit in force, one for people the pilot's current."""
        setpoint, roles = self.device.profile.setpoint, self.device.profile.roles
        shown = registers_of(roles["offered_a"]) if "offered_a" in roles else ()
        confirms = setpoint is not None and setpoint.readback in shown
        return in_force_a if confirms else pilot_a

    def _timeout_shown(self, moment: Moment) -> float:
        timeout_s = moment.timeout_s[self._column]
        if math.isinf(timeout_s):
            return 0.0
        if self.device.profile.failsafe.timeout_kind == "remaining":
            return max(0.0, timeout_s - max(0.0, moment.now_s - moment.contact_s[self._column]))
        return timeout_s

    def heard(self, now_s: float) -> None:
        if self.device.profile.keepalive.kind == "any_request":
            self._plant.supplies.contact_s[self._column] = now_s

    def restart(self, now_s: float) -> None:
        """Volatile contents are gone: setpoint, and a failsafe that had been written over Modbus."""
        supplies, column, profile = self._plant.supplies, self._column, self.device.profile
        self._born_s = now_s
        supplies.contact_s[column] = -math.inf if profile.behaviour.boot_current_a is not None else now_s
        if self._commissioned is not None and profile.failsafe.current_write is None:
            supplies.failsafe_a[column], supplies.timeout_s[column] = self._commissioned
        self._echo_setpoint()

    def _on_write(self, table: Table, addr: int, words: tuple[int, ...]) -> int | None:
        for name, value in _written(self.device, table, addr, words).items():
            if not isinstance(value, str):
                self._obey(name, float(value))
        return None

    def _obey(self, name: str, value: float) -> None:
        plant, k, profile = self._plant, self._column, self.device.profile
        supplies, keepalive = plant.supplies, profile.keepalive
        self._told[name] = value
        if self._setpoint is not None and name == self._setpoint.register:
            self._amount_a = value / self._setpoint.factor
            self._take_setpoint(0.0 if self._is_paused() else self._amount_a)
        elif name in self._rest:
            self._take_setpoint(0.0 if self._is_paused() else self._amount_a)
        elif profile.stop is not None and name == profile.stop.register:
            if value == profile.stop.stop:
                supplies.stop[k] = True
            elif profile.stop.run is None or value == profile.stop.run:
                supplies.stop[k] = False
        elif profile.phase_switch is not None and name == profile.phase_switch.register:
            wanted = np.zeros(plant.topology.n, dtype=np.int64)
            wanted[k] = {profile.phase_switch.one: 1, profile.phase_switch.three: 3}.get(int(value), 0)
            plant.switch_phases(wanted)
        elif name == profile.failsafe.current_write:
            supplies.failsafe_a[k] = value / profile.failsafe.current_factor
        elif name == profile.failsafe.timeout_write:
            _, to_s = UNIT_FACTORS.get(profile.register(name).unit, ("s", 1.0))
            supplies.timeout_s[k] = value * to_s if value > 0 else math.inf
        if keepalive.kind == "register" and name == keepalive.register:
            supplies.contact_s[k] = plant.now_s

    def _is_paused(self) -> bool:
        """Makes that are paused in registers of their own: all of those say so."""
        return bool(self._rest) and all(self._told.get(name) == value for name, value in self._rest.items())

    def _take_setpoint(self, current_a: float) -> None:
        plant, k = self._plant, self._column
        plant.supplies.setpoint_a[k] = current_a
        if not plant.supplies.ignores_writes[k]:
            plant.supplies.applied_a[k] = current_a
        if self.device.profile.keepalive.kind != "none":
            plant.supplies.contact_s[k] = plant.now_s
        put = self._puts.get("offered_a")
        if put is not None:
            put(self._offered(float(plant.in_force_a[k]), float(plant.supplies.pilot_a[k])))
        self._tell(self._asset.id, current_a)


def _main_write(setpoint: CurrentSetpoint | PowerSetpoint | None) -> Write | None:
    """The register that carries the amount."""
    writes = () if setpoint is None else setpoint.writes
    return next((write for write in writes if write.constant is None), None)


def _pilot_name(code: int) -> PilotName:
    names: Mapping[int, PilotName] = {
        int(Pilot.A): "A", int(Pilot.B1): "B1", int(Pilot.B2): "B2", int(Pilot.C1): "C1", int(Pilot.C2): "C2",
        int(Pilot.E): "E", int(Pilot.F): "F",
    }  # fmt: skip
    return names.get(code, "A")


class PowerDevice:
    """A battery or a PV inverter commanded in watts or per cent, with a revert time as its watchdog."""

    def __init__(self, device: Served, plant: Plant, column: int, capacity_wh: float, on_setpoint: OnSetpoint) -> None:
        self.device, self.frozen, self.blind = device, False, False
        self._plant, self._column, self._tell = plant, column, on_setpoint
        self._asset = plant.topology.assets[column]
        self._is_pv = self._asset.kind is AssetKind.PV
        volts_v = plant.topology.nominal_mv / MILLI
        self._volts_v = volts_v * len(self._asset.phases)
        self._largest_w = max(self._asset.max_a, self._asset.max_export_a) * self._volts_v
        self._puts = role_writers(device)
        self._control = device.profile.power_setpoint
        self._main = _main_write(self._control)
        listen(device, self._on_write)
        for role, value in (
            ("power_max_w", self._largest_w),
            ("charge_max_w", self._asset.max_a * self._volts_v),
            ("discharge_max_w", self._asset.max_export_a * self._volts_v),
            ("capacity_wh", capacity_wh),
            ("soh_pct", PER_CENT),
        ):
            put = self._puts.get(role)
            if put is not None:
                put(value)
        self._release()

    def _release(self) -> None:
        """No command: a PV inverter feeds all it can, a battery rests."""
        supplies, k = self._plant.supplies, self._column
        resting_a = -self._asset.max_export_a if self._is_pv else 0.0
        supplies.setpoint_a[k] = supplies.applied_a[k] = resting_a
        supplies.timeout_s[k] = math.inf
        if self._is_pv and self._main is not None:
            register_writer(self.device, self.device.profile.register(self._main.register))(PER_CENT)

    def refresh(self, moment: Moment) -> None:
        if self.frozen:
            return
        k = self._column
        values: dict[str, float | None] = {
            "frequency_hz": NOMINAL_HZ,
            "temperature_degc": WARM_DEGC,
            "reactive_var": 0.0,
        }
        power_w = 0.0
        for line, current_a, volt_v in zip(_LINES, moment.amps[k], moment.volts[k], strict=True):
            power_w += current_a * volt_v
            # Inverters count magnitudes; the sign is in the power.
            values[f"current_{line}_a"] = None if self.blind else (-abs(current_a) if self._is_pv else current_a)
            values[f"voltage_{line}_v"] = volt_v
        values["power_w"] = None if self.blind else power_w
        values["energy_wh"] = moment.energy_wh[k]
        if k in moment.soc:
            values["soc_pct"] = moment.soc[k] * PER_CENT
        _put_all(self._puts, values)

    def heard(self, now_s: float) -> None:
        """Reading does not hold a setpoint; only writing does."""

    def restart(self, now_s: float) -> None:  # noqa: ARG002  nothing of it depends on when
        self._release()

    def _on_write(self, table: Table, addr: int, words: tuple[int, ...]) -> int | None:
        written = _written(self.device, table, addr, words)
        control, main = self._control, self._main
        if control is None or main is None or not written:
            return None
        # The registers written together decide together, so they are stored before any is obeyed.
        self.device.point.put(table, addr, words)
        if control.revert is not None and control.revert in written:
            revert_s = self._read(control.revert)
            self._plant.supplies.timeout_s[self._column] = revert_s if revert_s > 0 else math.inf
        if written.keys() & {write.register for write in control.writes}:
            self._command(control, main)
        return None

    def _value(self, name: str) -> Value | None:
        register: Register = self.device.profile.register(name)
        words = self.device.point.get(register.table, register.address, register.words)
        if words is None:
            return None
        return decode(register, words, self.device.profile.word_order, self.device.factors.get(register.sf or ""))

    def _read(self, name: str) -> float:
        value = self._value(name)
        return float(value) if isinstance(value, int | float) else 0.0

    def _told_w(self, control: PowerSetpoint, main: Write) -> float:
        if control.percent_of is not None:
            return self._read(main.register) / main.factor / PER_CENT * self._read(control.percent_of)
        profile = self.device.profile
        if "setpoint_w" in profile.roles:
            told_milliw = readback_milli(profile, {name: self._value(name) for name in readback_names(profile)})
            return (told_milliw or 0) / MILLI
        return self._read(main.register) / main.factor

    def _command(self, control: PowerSetpoint, main: Write) -> None:
        plant, k = self._plant, self._column
        constants = [write for write in control.writes if write.constant is not None and write.when is None]
        if not all(self._read(write.register) == write.constant for write in constants):
            return
        watts = self._told_w(control, main)
        amps = (-watts if control.kind == "export_limit" else watts) / self._volts_v
        plant.supplies.setpoint_a[k] = amps
        if not plant.supplies.ignores_writes[k]:
            plant.supplies.applied_a[k] = amps
        plant.supplies.contact_s[k] = plant.now_s
        self._tell(self._asset.id, amps)


class MeterDevice:
    """A meter of one circuit, or (``of_asset``) of one load that is only watched."""

    def __init__(self, device: Served, line: int, *, of_asset: bool = False) -> None:
        self.device, self.frozen, self.blind = device, False, False
        self._line, self._of_asset = line, of_asset
        self._puts = role_writers(device)
        self._magnitudes = device.profile.current_sign in {"by_power", "unsigned"}
        for role in self._puts:
            if role.startswith("reactive"):
                self._puts[role](0.0)

    def refresh(self, moment: Moment) -> None:
        if self.frozen:
            return
        k = self._line
        amps, volts = (moment.amps[k], moment.volts[k]) if self._of_asset else (moment.meter_a[k], moment.meter_v[k])
        values: dict[str, float | None] = {"frequency_hz": NOMINAL_HZ}
        power_w = 0.0
        for line, current_a, volt_v in zip(_LINES, amps, volts, strict=True):
            missing = self.blind or math.isnan(current_a)
            watts = 0.0 if missing else current_a * volt_v
            power_w += watts
            shown_a = abs(current_a) if self._magnitudes else current_a
            values[f"current_{line}_a"] = None if missing else shown_a
            values[f"voltage_{line}_v"] = volt_v
            values[f"power_{line}_w"] = None if missing else watts
        values["power_w"] = None if self.blind else power_w
        if not self._of_asset:
            values["energy_import_wh"], values["energy_export_wh"] = moment.import_wh[k], moment.export_wh[k]
        _put_all(self._puts, values)

    def heard(self, now_s: float) -> None:
        """Nobody commands a meter."""

    def restart(self, now_s: float) -> None:
        """Its counters are in non-volatile memory."""

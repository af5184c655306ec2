"""The shape of a device profile: everything the drivers know of one make of device, as frozen data.

A profile is a YAML file under ``profiles/<kind>/``; ``docs/profiles.md`` describes each key for people who write one.
Addresses are 0-based, exactly as they go on the wire. An engineering value is ``raw * scale`` in ``unit``. Bytes inside
a word are big endian; ``word_order`` says which word of a longer value comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from pydantic import ConfigDict

from interfaces.drivers.profile_control import (
    Behaviour,
    Condition,
    CurrentSetpoint,
    Failsafe,
    Keepalive,
    PhaseSwitch,
    PowerSetpoint,
    SecondPath,
    Write,
)
from interfaces.drivers.profile_identity import Check, RegisterSet

Kind = Literal["charger", "meter", "inverter", "battery", "io"]
Table = Literal["holding", "input", "coil", "discrete"]
Access = Literal["R", "W", "RW"]
WordOrder = Literal["msw_first", "lsw_first"]
Confidence = Literal["confirmed", "one_source", "uncertain"]
PilotName = Literal["A", "B1", "B2", "C1", "C2", "D1", "D2", "E", "F"]
Status = Literal["free", "occupied", "charging", "discharging", "reserved", "not_in_operation"]
RegisterType = Literal[
    "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64", "bitfield16", "bitfield32",
    "enum16", "enum32", "acc16", "acc32", "acc64", "sunssf", "string", "raw", "bit",
]  # fmt: skip

WORDS_OF: Final[Mapping[str, int]] = {
    "uint16": 1, "int16": 1, "bitfield16": 1, "enum16": 1, "acc16": 1, "sunssf": 1, "bit": 1,
    "uint32": 2, "int32": 2, "bitfield32": 2, "enum32": 2, "acc32": 2, "float32": 2,
    "uint64": 4, "int64": 4, "acc64": 4, "float64": 4,
}  # fmt: skip
"""Words of every type with a fixed length; ``string`` and ``raw`` say theirs in ``count``."""

ROLE_UNITS: Final[Mapping[str, str]] = {
    "current_l1_a": "A", "current_l2_a": "A", "current_l3_a": "A",
    "voltage_l1_v": "V", "voltage_l2_v": "V", "voltage_l3_v": "V",
    "power_l1_w": "W", "power_l2_w": "W", "power_l3_w": "W", "power_w": "W",
    "reactive_l1_var": "var", "reactive_l2_var": "var", "reactive_l3_var": "var", "reactive_var": "var",
    "apparent_l1_va": "VA", "apparent_l2_va": "VA", "apparent_l3_va": "VA", "apparent_va": "VA",
    "power_factor_l1": "", "power_factor_l2": "", "power_factor_l3": "", "power_factor": "",
    "energy_import_l1_wh": "Wh", "energy_import_l2_wh": "Wh", "energy_import_l3_wh": "Wh",
    "energy_export_l1_wh": "Wh", "energy_export_l2_wh": "Wh", "energy_export_l3_wh": "Wh",
    "energy_wh": "Wh", "session_energy_wh": "Wh", "energy_import_wh": "Wh", "energy_export_wh": "Wh",
    "frequency_hz": "Hz", "offered_a": "A", "setpoint_a": "A", "setpoint_pct": "%", "setpoint_w": "W",
    "failsafe_current_a": "A", "failsafe_timeout_s": "s", "rated_current_a": "A", "phases": "", "relay": "",
    "soc_pct": "%", "soh_pct": "%", "capacity_wh": "Wh", "charge_max_w": "W", "discharge_max_w": "W",
    "power_max_w": "W", "mode": "", "error": "", "uptime_s": "s", "temperature_degc": "degC",
    "rfid": "text", "serial": "text", "firmware": "text", "model": "text",
}  # fmt: skip
"""Canonical roles and the one unit each is delivered in. Consumption is positive; ``power_w`` of an inverter that
feeds in, or of a battery that discharges, is negative. ``phases``: 1 or 3 in use; ``relay``: contactor, 0 open."""

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class Register:
    """One register (or a run of them that makes one value).

    ``addr`` is absolute, or absent when ``model`` and ``offset`` place it inside a SunSpec model. ``count`` is the
    number of words, needed for ``string`` and ``raw`` only. ``nan``: raw integers that mean "not available".
    ``sf`` names the register that holds the power of ten of this one (SunSpec). ``on``: whether it belongs to the
    whole station or to one point (EVSE). ``text`` says how bytes read: ASCII, with the low byte of each word first
    (swapped), UTF-16 (or ASCII, where the first byte is not 0), hexadecimal, or dotted version; of a ``uint16`` that
    holds one letter: in which byte. ``memory``: flash is worn by every write and never written cyclically.
    ``word_order_write``: the order of words for writing where it is not that for reading.
    ``alone``: it must be read in a request of its own. ``channels``: that many of them, one behind the other, which
    become registers of their own, ``name[0]`` and on. ``label``: the name people know it by, where registers share it
    (services of a gateway that repeat a path).
    """

    __pydantic_config__ = _STRICT
    name: str
    type: RegisterType
    addr: int | None = None
    table: Table = "holding"
    count: int | None = None
    scale: float = 1.0
    unit: str = ""
    access: Access = "R"
    nan: tuple[int, ...] = ()
    enum: Mapping[int, str] = field(default_factory=dict)
    fc_write: tuple[Literal[5, 6, 15, 16], ...] = ()
    word_order: WordOrder | None = None
    on: Literal["point", "station"] = "point"
    text: Literal["ascii", "swapped", "utf16", "hex", "version", "low_byte", "high_byte"] = "ascii"
    memory: Literal["volatile", "flash"] = "volatile"
    word_order_write: WordOrder | None = None
    alone: bool = False
    channels: int = 1
    label: str = ""
    model: str | None = None
    offset: int | None = None
    sf: str | None = None
    meaning: str = ""
    note: str = ""
    confidence: Confidence | None = None

    @property
    def words(self) -> int:
        """Registers it occupies on the wire."""
        return WORDS_OF.get(self.type, self.count or 1)

    @property
    def address(self) -> int:
        """Its absolute address; a bug if a SunSpec register was not resolved first."""
        if self.addr is None:
            raise ValueError(f"register {self.name} has no address yet: resolve its SunSpec model first")
        return self.addr

    @property
    def readable(self) -> bool:
        return "R" in self.access

    @property
    def writable(self) -> bool:
        return "W" in self.access


@dataclass(frozen=True, slots=True)
class Tcp:
    """Modbus TCP: default port, how many clients the device serves, after which silence it hangs up."""

    __pydantic_config__ = _STRICT
    port: int = 502
    max_connections: int | None = None
    idle_close_s: float | None = None


@dataclass(frozen=True, slots=True)
class Rtu:
    """Modbus RTU: line settings and the slowest answer (from end of request to start of reply).

    ``unit_id``: the unit it leaves the factory with, where it is another than over TCP.
    """

    __pydantic_config__ = _STRICT
    unit_id: int | None = None
    baud: int = 9600
    format: Literal["8N1", "8N2", "8E1", "8O1"] = "8N1"
    bauds: tuple[int, ...] = ()
    max_response_ms: int = 200
    turnaround_ms: int = 20


@dataclass(frozen=True, slots=True)
class Points:
    """Where the 1..n EVSEs of one device answer: unit per point, TCP port step per point, address step per point.

    ``count`` names the register of the station that says how many it has.
    """

    __pydantic_config__ = _STRICT
    units: tuple[int, ...] = (1,)
    station_unit: int | None = None
    port_step: int = 0
    address_step: int = 0
    count: str | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask.

    ``gap_words``: undeclared words a block may bridge; ``forbidden``: inclusive ranges that no request may touch
    (some devices hang up). ``min_poll_ms``: the fastest any group may be polled. ``one_by_one``: one value a request.
    ``functions``: the only Modbus functions it knows; none given: not known.
    """

    __pydantic_config__ = _STRICT
    one_by_one: bool = False
    functions: tuple[Literal[1, 2, 3, 4, 5, 6, 15, 16], ...] = ()
    max_read_words: int = 125
    max_write_words: int = 123
    gap_words: int = 0
    forbidden: tuple[tuple[int, int], ...] = ()
    min_poll_ms: int = 100


@dataclass(frozen=True, slots=True)
class Poll:
    """Registers that are read together.

    ``settle``: after a setpoint change the group is read at the settle rate (1 s, or ``min_poll_ms`` where that is
    slower) for 20 s. ``period_ms`` 0: once, at connect and after a reboot.
    """

    __pydantic_config__ = _STRICT
    name: str
    period_ms: int
    registers: tuple[str, ...]
    settle: bool = False


@dataclass(frozen=True, slots=True)
class Sum:
    """Sum of all terms; missing when one term is."""

    __pydantic_config__ = _STRICT
    sum: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negate:
    """The term with its sign turned."""

    __pydantic_config__ = _STRICT
    negate: Expression


@dataclass(frozen=True, slots=True)
class First:
    """The first term that is not missing."""

    __pydantic_config__ = _STRICT
    first: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Product of all terms; ``unit`` is what comes out (V times A is W)."""

    __pydantic_config__ = _STRICT
    product: tuple[Expression, ...]
    unit: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """A register's raw value translated by a table; missing when the table does not know it."""

    __pydantic_config__ = _STRICT
    lookup: str
    table: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Scaled:
    """The term times ``by``, in ``unit``: a power as the current it stands for."""

    __pydantic_config__ = _STRICT
    scale: Expression
    by: float
    unit: str


@dataclass(frozen=True, slots=True)
class Hexadecimal:
    """A whole number as that many hexadecimal digits; missing when it is 0 (no card)."""

    __pydantic_config__ = _STRICT
    hex: str
    digits: int = 8


Expression = str | Sum | Negate | First | Product | Lookup | Scaled | Hexadecimal


@dataclass(frozen=True, slots=True)
class StateRow:
    """One raw state and what it means; the first row that matches wins.

    ``iec61851``: what is shown to people where the device tells more than ``pilot`` (A1, A2) or less (B, C, D).
    """

    __pydantic_config__ = _STRICT
    raw: tuple[int | str, ...]
    pilot: PilotName
    status: Status
    iec61851: Literal["A1", "A2", "B", "C", "D"] | None = None
    when: tuple[Condition, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class StatusOverride:
    """Another register that changes the status shown (never the pilot) while the status is one of ``over``."""

    __pydantic_config__ = _STRICT
    when: tuple[Condition, ...]
    status: Status
    over: tuple[Status, ...] = ()


@dataclass(frozen=True, slots=True)
class StateMap:
    """Raw state -> IEC 61851 pilot and status. ``byte`` picks one byte of a ``raw`` register, ``mask`` is applied.

    ``otherwise``: the map used on devices that do not have ``register``.
    """

    __pydantic_config__ = _STRICT
    register: str
    map: tuple[StateRow, ...]
    byte: int | None = None
    mask: int | None = None
    overrides: tuple[StatusOverride, ...] = ()
    otherwise: StateMap | None = None


@dataclass(frozen=True, slots=True)
class SunSpecModel:
    """One model of the chain: the ids that share this layout (first match wins), words after the length word.

    ``points`` "all": every point of the model becomes a register, called as in the model (``name.point`` where another
    register of the profile has that name), with so many ``repeats`` of its groups.
    """

    __pydantic_config__ = _STRICT
    ids: tuple[int, ...]
    length: int
    required: bool = False
    points: Literal["listed", "all"] = "listed"
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class SunSpec:
    """Where the chain may start, and the models this profile knows, by the name its registers use."""

    __pydantic_config__ = _STRICT
    models: Mapping[str, SunSpecModel]
    bases: tuple[int, ...] = (40000, 50000, 0)


@dataclass(frozen=True, slots=True)
class Profile:
    """One make of device.

    ``current_sign`` of a meter: "signed" = currents carry the direction of flow, "by_power" = magnitudes whose
    direction is that of the phase power, "unsigned" = direction unknown. ``on_connect``: written once after every
    connect and restart where the device holds another value. ``fingerprint``: how to see that it is this make.
    ``register_sets``: the other maps a device may be switched to.
    """

    __pydantic_config__ = _STRICT
    schema: Literal[1]
    id: str
    kind: Kind
    vendor: str
    models: tuple[str, ...]
    registers: tuple[Register, ...]
    polls: tuple[Poll, ...]
    roles: Mapping[str, Expression]
    confidence: Confidence
    sources: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    tcp: Tcp | None = None
    rtu: Rtu | None = None
    points: Points = field(default_factory=Points)
    word_order: WordOrder = "msw_first"
    limits: Limits = field(default_factory=Limits)
    sunspec: SunSpec | None = None
    state: StateMap | None = None
    setpoint: CurrentSetpoint | None = None
    power_setpoint: PowerSetpoint | None = None
    stop: SecondPath | None = None
    phase_switch: PhaseSwitch | None = None
    failsafe: Failsafe = field(default_factory=Failsafe)
    keepalive: Keepalive = field(default_factory=lambda: Keepalive("none"))
    behaviour: Behaviour = field(default_factory=Behaviour)
    current_sign: Literal["signed", "by_power", "unsigned"] | None = None
    on_connect: tuple[Write, ...] = ()
    fingerprint: tuple[Check, ...] = ()
    register_sets: tuple[RegisterSet, ...] = ()
    setup_on_device: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def register(self, name: str) -> Register:
        """The register of that name; KeyError when there is none."""
        for register in self.registers:
            if register.name == name:
                return register
        raise KeyError(f"profile {self.id} has no register {name}")

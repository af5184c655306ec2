"""The types of ``site.yaml``: what people write about one installation, with ranges and units.

The ranges are borders of plausibility, not of safety: they stop slips of the keyboard (mA for A, a port in the unit
field). ``site_checks`` judges whether the numbers fit together. Currents are A per grid phase L1 L2 L3 for circuits and
per conductor for assets.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, Tag
from pydantic.config import JsonDict
from pydantic_core import PydanticCustomError

_STRICT: Final = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, str_strip_whitespace=True)

ID_PATTERN: Final[str] = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
"""Ids become topics, file names and metric labels: no dot, slash, blank, + or #."""
HOST_PATTERN: Final[str] = r"^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9:])?$"
MAX_CURRENT_A: Final[float] = 6300.0
"""The largest low-voltage frame size in use."""

Id: TypeAlias = Annotated[str, Field(pattern=ID_PATTERN, description="letters, digits, - and _; at most 64")]
Name: TypeAlias = Annotated[str, Field(max_length=100)]
Host: TypeAlias = Annotated[str, Field(pattern=HOST_PATTERN, max_length=253, description="host name or IP address")]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535)]
Interface: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.@-]{0,14}$")]
Profile: TypeAlias = Annotated[str, Field(min_length=1, max_length=64, description="id of a device profile")]
SerialDevice: TypeAlias = Annotated[
    str, Field(pattern=r"^/dev/[A-Za-z0-9_./:-]{1,100}$", description="such as /dev/ttyUSB0")
]
Baud: TypeAlias = Literal[1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200]
SerialFormat: TypeAlias = Literal["8N1", "8N2", "8E1", "8E2", "8O1", "8O2"]
SerialUnit: TypeAlias = Annotated[int, Field(ge=1, le=247, description="Modbus unit on the serial line")]
Current: TypeAlias = Annotated[float, Field(ge=0, le=MAX_CURRENT_A)]
PerPhase: TypeAlias = Annotated[tuple[Current, Current, Current], Field(description="A on L1, L2, L3")]
Power: TypeAlias = Annotated[float, Field(ge=0, le=20_000_000)]
GridPhase: TypeAlias = Literal["L1", "L2", "L3"]
Phases: TypeAlias = Annotated[
    tuple[GridPhase, ...],
    Field(min_length=1, max_length=3, description="the grid phase each conductor sits on, in conductor order"),
]
Tier: TypeAlias = Annotated[int, Field(ge=1, le=9, description="lower is served first")]
Reasoned: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=300, description="why an unreadable failsafe may be believed; who says so")
]
ALL_PHASES: Final[tuple[GridPhase, GridPhase, GridPhase]] = ("L1", "L2", "L3")


@dataclass(frozen=True, slots=True)
class Location:
    """Where the site is, in degrees (WGS 84)."""

    __pydantic_config__ = _STRICT
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """Who and where, how it is connected, how often it is scanned, and whether anything is controlled at all."""

    __pydantic_config__ = _STRICT
    id: Id
    time_zone: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+/-]{1,63}$", description="such as Europe/Zurich")]
    name: Name = ""
    location: Location | None = None
    nominal_voltage_v: Annotated[float, Field(ge=100, le=300, description="phase to neutral")] = 230.0
    connection: Literal["1ph", "3ph_wye", "3ph_delta"] = "3ph_wye"
    period_ms: Annotated[int, Field(ge=100, le=1000, description="one scan")] = 200
    mode: Annotated[
        Literal["control", "monitor"], Field(description="monitor: the site is watched and nothing is ever written")
    ] = "control"


@dataclass(frozen=True, slots=True)
class Network:
    """Modbus binds to the device interface only; nothing routes between the two."""

    __pydantic_config__ = _STRICT
    device_interface: Interface
    uplink_interface: Interface | None = None


@dataclass(frozen=True, slots=True)
class GgFuse:
    """A gG fuse of IEC 60269."""

    __pydantic_config__ = _STRICT
    kind: Literal["gG"]
    rated_a: Annotated[float, Field(ge=1, le=MAX_CURRENT_A)]


@dataclass(frozen=True, slots=True)
class Mcb:
    """A circuit breaker (IEC 60898, 60947). ``holds_s_at_2_55``: seconds it holds 2.55 x In hot, by its data sheet."""

    __pydantic_config__ = _STRICT
    kind: Literal["mcb"]
    rated_a: Annotated[float, Field(ge=1, le=MAX_CURRENT_A)]
    curve: Literal["B", "C", "D", "K", "Z"]
    holds_s_at_2_55: Annotated[float, Field(ge=0.1, le=120)] | None = None


@dataclass(frozen=True, slots=True)
class CircuitEntry:
    """One protected branch. ``background_max_a``: the most that everything not controlled behind it may ever draw."""

    __pydantic_config__ = _STRICT
    id: Id
    rated_a: PerPhase
    parent: Id | None = None
    name: Name = ""
    margin_a: PerPhase | None = None
    derating: Annotated[float, Field(gt=0, le=1)] = 1.0
    contract_a: PerPhase | None = None
    max_import_w: Power | None = None
    protection: Annotated[GgFuse | Mcb, Field(discriminator="kind")] | None = None
    meter: Id | None = None
    background_max_a: PerPhase | None = None
    firm_export: Annotated[bool, Field(description="export behind this meter counts as room for cars")] = False


@dataclass(frozen=True, slots=True)
class ModbusTcp:
    """Modbus TCP. ``unit`` left out: the profile's own."""

    __pydantic_config__ = _STRICT
    host: Host
    port: Port = 502
    unit: Annotated[int, Field(ge=0, le=255)] | None = None


@dataclass(frozen=True, slots=True)
class ModbusRtu:
    """Modbus RTU on a serial device of this computer."""

    __pydantic_config__ = _STRICT
    rtu: SerialDevice
    unit: SerialUnit
    baud: Baud = 9600
    format: SerialFormat = "8N1"


@dataclass(frozen=True, slots=True)
class ModbusGateway:
    """Modbus RTU frames through a transparent serial gateway; ``baud`` and ``format`` are those of its serial side."""

    __pydantic_config__ = _STRICT
    gateway: Host
    unit: SerialUnit
    port: Port = 502
    baud: Baud = 9600
    format: SerialFormat = "8N1"


def _transport(value: Any) -> str:
    """Which of the three forms an address has: its own key tells."""
    if isinstance(value, dict):
        return next((key for key in ("rtu", "gateway") if key in value), "tcp")
    return {ModbusRtu: "rtu", ModbusGateway: "gateway"}.get(type(value), "tcp")


Modbus: TypeAlias = Annotated[
    Annotated[ModbusTcp, Tag("tcp")] | Annotated[ModbusRtu, Tag("rtu")] | Annotated[ModbusGateway, Tag("gateway")],
    Discriminator(_transport),
]


@dataclass(frozen=True, slots=True)
class P1Tcp:
    """The P1 port of a digital meter, its telegrams as a TCP stream (a network bridge, ser2net)."""

    __pydantic_config__ = _STRICT
    host: Host
    port: Port


@dataclass(frozen=True, slots=True)
class P1Serial:
    """The P1 port of a digital meter on a serial device of this computer, through a cable that inverts the line."""

    __pydantic_config__ = _STRICT
    serial: SerialDevice


def _p1_form(value: Any) -> str:
    serial = "serial" in value if isinstance(value, dict) else isinstance(value, P1Serial)
    return "serial" if serial else "tcp"


P1: TypeAlias = Annotated[
    Annotated[P1Tcp, Tag("tcp")] | Annotated[P1Serial, Tag("serial")],
    Discriminator(_p1_form),
]


@dataclass(frozen=True, slots=True)
class MakerCloud:
    """An installation in its maker's service. ``installation_limit_a``: the most it is set to use there, per phase."""

    __pydantic_config__ = _STRICT
    installation_id: Annotated[
        str, Field(pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", description="id in the portal")
    ]
    installation_limit_a: Annotated[float, Field(ge=6, le=1000)]


Address: TypeAlias = ModbusTcp | ModbusRtu | ModbusGateway | P1Tcp | P1Serial | MakerCloud
"""Where a device is reached, in any form."""


def _one_of(*keys: str) -> JsonDict:
    return {"oneOf": [{"required": [key]} for key in keys]}


SerialNumber: TypeAlias = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="serial number of the device that belongs here; left out: the first one that answers is bound",
    ),
]


@dataclass(frozen=True, slots=True)
class MeterEntry:
    """A meter, on Modbus or with a P1 port. ``period_ms`` replaces the profile's rate; ``monitors``: only watches."""

    __pydantic_config__ = ConfigDict(**_STRICT, json_schema_extra=_one_of("modbus", "p1"))
    id: Id
    profile: Profile
    modbus: Modbus | None = None
    name: Name = ""
    period_ms: Annotated[int, Field(ge=200, le=10_000)] | None = None
    monitors: Id | None = None
    p1: P1 | None = None
    serial_number: SerialNumber | None = None

    def __post_init__(self) -> None:
        if (self.modbus is None) == (self.p1 is None):
            raise PydanticCustomError("no_address", "a meter has one address: write either 'modbus' or 'p1'")

    @property
    def address(self) -> Address:
        """Its one address."""
        address = self.modbus if self.p1 is None else self.p1
        assert address is not None  # noqa: S101  __post_init__ saw to it
        return address


@dataclass(frozen=True, slots=True)
class FailsafeEntry:
    """What a device does on its own when it has not heard from us for ``timeout_s``: current per conductor."""

    __pydantic_config__ = _STRICT
    current_a: Annotated[float, Field(ge=0, le=1000)]
    timeout_s: Annotated[float, Field(ge=5, le=3600)]


@dataclass(frozen=True, slots=True)
class EvseEntry:
    """One supply for one vehicle. ``max_current_a`` is the nameplate per conductor; ``phases`` its phase map."""

    __pydantic_config__ = _STRICT
    id: Id
    max_current_a: Annotated[tuple[Annotated[float, Field(gt=0, le=1000)], ...], Field(min_length=1, max_length=3)]
    phases: Phases
    tier: Tier = 1
    spot: Annotated[str, Field(max_length=40, description="what is painted on the parking space")] | None = None
    never_pause: bool = False
    kind: Literal["ac", "dc"] | None = None
    min_current_a: Annotated[float, Field(gt=0, le=1000)] | None = None


@dataclass(frozen=True, slots=True)
class ChargerEntry:
    """A charging station with 1..n EVSEs, on Modbus or behind its maker's service (``cloud``: a whole installation as
    one EVSE). ``managed`` false: never written, counts as background.
    """

    __pydantic_config__ = ConfigDict(**_STRICT, json_schema_extra=_one_of("modbus", "cloud"))
    id: Id
    profile: Profile
    circuit: Id
    evses: Annotated[tuple[EvseEntry, ...], Field(min_length=1, max_length=8)]
    modbus: Modbus | None = None
    name: Name = ""
    managed: bool = True
    failsafe: FailsafeEntry | None = None
    accept_unverified_failsafe: Reasoned | None = None
    serial_number: SerialNumber | None = None
    cloud: MakerCloud | None = None

    def __post_init__(self) -> None:
        if (self.modbus is None) == (self.cloud is None):
            raise PydanticCustomError("no_address", "a charger has one address: write either 'modbus' or 'cloud'")

    @property
    def address(self) -> Address:
        """Its one address."""
        address = self.modbus if self.cloud is None else self.cloud
        assert address is not None  # noqa: S101  __post_init__ saw to it
        return address


@dataclass(frozen=True, slots=True)
class BatteryEntry:
    """A stationary battery; power at its AC side, W."""

    __pydantic_config__ = _STRICT
    id: Id
    profile: Profile
    modbus: Modbus
    circuit: Id
    max_charge_w: Power
    max_discharge_w: Power
    capacity_kwh: Annotated[float, Field(gt=0, le=100_000)]
    name: Name = ""
    phases: Phases = ALL_PHASES
    managed: bool = True
    failsafe: FailsafeEntry | None = None
    accept_unverified_failsafe: Reasoned | None = None
    serial_number: SerialNumber | None = None


@dataclass(frozen=True, slots=True)
class PvEntry:
    """A PV inverter. ``rated_w``: the most it feeds in. It draws nothing, so that it needs no failsafe."""

    __pydantic_config__ = _STRICT
    id: Id
    profile: Profile
    modbus: Modbus
    circuit: Id
    rated_w: Annotated[float, Field(gt=0, le=20_000_000)]
    name: Name = ""
    phases: Phases = ALL_PHASES
    managed: bool = True
    serial_number: SerialNumber | None = None


@dataclass(frozen=True, slots=True)
class LoadEntry:
    """A controllable load. ``managed`` is false unless said: most loads are only watched."""

    __pydantic_config__ = _STRICT
    id: Id
    profile: Profile
    modbus: Modbus
    circuit: Id
    max_current_a: Annotated[float, Field(gt=0, le=1000)]
    phases: Phases
    name: Name = ""
    managed: bool = False
    serial_number: SerialNumber | None = None


@dataclass(frozen=True, slots=True)
class Policies:
    """Wishes of the site. They change how power is shared and what it costs, never what is safe."""

    __pydantic_config__ = _STRICT
    follow_plans: Annotated[bool, Field(description="false: the local rules always decide")] = True
    use_targets: Annotated[bool, Field(description="false: equal shares, whatever departures and prices are known")] = (
        True
    )
    peak_w: Annotated[
        float | None,
        Field(ge=1000, le=20_000_000, description="without a plan no quarter of an hour imports more on average"),
    ] = None


@dataclass(frozen=True, slots=True)
class Site:
    """A whole site file. Checked only when it came from ``load_site``."""

    __pydantic_config__ = _STRICT
    version: Literal[1]
    info: Annotated[SiteInfo, Field(alias="site")]
    circuits: Annotated[
        tuple[CircuitEntry, ...],
        Field(min_length=1, max_length=500, description="a tree; exactly one has no parent: the grid connection point"),
    ]
    network: Network | None = None
    meters: Annotated[tuple[MeterEntry, ...], Field(max_length=500)] = ()
    chargers: Annotated[tuple[ChargerEntry, ...], Field(max_length=1000)] = ()
    batteries: Annotated[tuple[BatteryEntry, ...], Field(max_length=50)] = ()
    pv: Annotated[tuple[PvEntry, ...], Field(max_length=200)] = ()
    loads: Annotated[tuple[LoadEntry, ...], Field(max_length=200)] = ()
    policies: Policies = field(default_factory=Policies)

    @property
    def id(self) -> str:
        """The site's id."""
        return self.info.id


DeviceEntry: TypeAlias = MeterEntry | ChargerEntry | BatteryEntry | PvEntry | LoadEntry
"""Everything that has a profile and an address."""

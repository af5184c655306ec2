"""A scan loop on a simulated clock: readings made by hand, no socket, no process; and small builders for readings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from controller.core.scan import scan
from controller.core.state import Retained, initial
from controller.service.apply import sinks_of
from controller.service.gather import Gather, sources_of
from controller.service.health import told as alarm_text
from controller.service.inbox import Inbox
from controller.service.loop import Plumbing, ScanFunction, ScanLoop
from controller.service.messages import LENGTH, OUT, Verdict
from controller.service.notify import Notifier
from controller.service.out_stream import OutStream
from controller.service.record import Recorder
from controller.service.site_setup import SiteSetup, setup_of
from interfaces.domain.codec import CodecError, unpack_any
from interfaces.drivers.outbox import Outbox
from interfaces.drivers.readings import GOOD, FailsafeStatus, PointReading, Readings, Sample, SetpointStatus
from interfaces.drivers.roles import ChargerState
from interfaces.drivers.site_reader import example_text
from interfaces.drivers.wiring import wires_of

START_S = 5_000.0
EPOCH_S = 1_780_000_000.0
METER, PLACE_1, PLACE_2 = "m-main", "place-1", "place-2"


def garage_text(**change: str) -> str:
    """The shipped garage with little background, so that cars charge at once; each keyword replaces a text in it."""
    text = example_text("garage")
    for old, new in {"background_max_a: [40, 40, 40]": "background_max_a: [10, 10, 10]", **change}.items():
        assert old in text
        text = text.replace(old, new)
    return text


@cache
def garage_setup(text: str = "") -> SiteSetup:
    setup = setup_of(text or garage_text())
    assert isinstance(setup, SiteSetup), str(setup)
    return setup


def roles(at_s: float, **values: Any) -> dict[str, Sample]:
    """Good samples of one instant."""
    return samples(at_s, 1, values)


def samples(at_s: float, count: int, values: Mapping[str, Any]) -> dict[str, Sample]:
    return {name: Sample(value, at_s, GOOD, count) for name, value in values.items()}


def per_phase(kind: str, unit: str, value: float | None) -> dict[str, float | None]:
    return {f"{kind}_l{n}_{unit}": value for n in (1, 2, 3)}


def meter_reading(at_s: float, number: int, amps: float | None = 5.0, *, volts: float = 230.0) -> PointReading:
    """A main meter that reads ``amps`` on every phase, importing."""
    watts = None if amps is None else amps * volts
    values = {
        **per_phase("current", "a", amps),
        **per_phase("voltage", "v", volts),
        **per_phase("power", "w", watts),
        **per_phase("reactive", "var", 0.0),
        "power_w": None if watts is None else 3 * watts,
    }
    return PointReading(
        roles=samples(at_s, number, values),
        reply_s=at_s,
        sample_s=at_s,
        sample_no=number,
        digest=number * 7 + 1,
        connected=True,
    )


def charger_reading(
    at_s: float,
    told_ma: int,
    amps: float = 0.0,
    pilot: str = "C2",
    *,
    volts: float = 230.0,
    read_s: float | None = None,
) -> PointReading:
    """A charger with a car on three phases, that has confirmed ``told_ma``."""
    currents, voltages = per_phase("current", "a", amps), per_phase("voltage", "v", volts)
    found = samples(at_s, 1, {**currents, **voltages, "power_w": 3 * amps * volts, "energy_wh": 1000})
    read_s = at_s if read_s is None else read_s
    return PointReading(
        roles=found,
        state=ChargerState(pilot, "charging", 1),  # type: ignore[arg-type]
        state_at_s=at_s,
        reply_s=at_s,
        sample_s=at_s,
        sample_no=int(at_s),
        connected=True,
        setpoint=SetpointStatus(told_ma, read_s, told_ma, read_s),
        failsafe=FailsafeStatus("verified", 6.0, 60.0, at_s),
    )


class Listening(Notifier):
    """Hears what the service manager would; ``on_alive`` and ``on_ready`` are called with it."""

    def __init__(self) -> None:
        super().__init__({})
        self.on_alive: Callable[[float], None] = lambda _: None
        self.on_ready: Callable[[str], None] = lambda _: None

    def alive(self, now_s: float) -> None:
        self.on_alive(now_s)

    def ready(self, status: str) -> None:
        self.on_ready(status)


@dataclass
class Bench:
    """A garage whose cars draw what they are told at once and whose devices answer in time.

    ``advance`` runs the loop in simulated time.
    """

    setup: SiteSetup = field(default_factory=garage_setup)
    retained: Retained | None = None
    scan_function: ScanFunction = scan
    now_s: float = START_S
    epoch_s: float = EPOCH_S
    base_a: float | None = 5.0
    silent: set[str] = field(default_factory=set)
    synchronised: bool = True

    def __post_init__(self) -> None:
        wires = wires_of(self.setup.site)
        topology = self.setup.params.topology
        self.readings = Readings({point.key: PointReading() for wire in wires for point in wire.points})
        self.outbox = Outbox()
        self.out = OutStream(b"")
        self.verdicts: list[Verdict] = []
        self.states: list[Any] = []
        self.inbox = Inbox(self.setup.site.id)
        self.notifier = Listening()
        self._samples = self._step = 0
        self.loop = ScanLoop(
            self.setup,
            initial(self.setup.params, self.now_s, self.retained),
            Plumbing(
                readings=self.readings,
                outbox=self.outbox,
                gather=Gather(topology, sources_of(topology, wires)),
                sinks=sinks_of(topology, wires),
                inbox=self.inbox,
                recorder=Recorder(self.out),
                notifier=self.notifier,
                clock=lambda: self.now_s,
                epoch=lambda: self.epoch_s,
                synchronised=lambda: self.synchronised,
                verdict=self.verdicts.append,
                after_scan=lambda state, _now_s, _epoch_s: self.states.append(state),
            ),
            self.scan_function,
        )

    def told_ma(self, key: str) -> int:
        want = self.outbox.get(key, "setpoint")
        return want.value if want is not None else 0

    def poll(self, step: int) -> None:
        """Devices that are not silent answer: the meter in every other scan, the chargers in every fifth."""
        if step % 5 == 0:
            for key in {PLACE_1, PLACE_2} - self.silent:
                told = self.told_ma(key)
                self.readings.points[key] = charger_reading(self.now_s, told, told / 1000)
        if step % 2 == 0 and METER not in self.silent:
            self._samples += 1
            drawn_a = sum(self.told_ma(key) for key in (PLACE_1, PLACE_2)) / 1000
            amps = None if self.base_a is None else self.base_a + drawn_a
            self.readings.points[METER] = meter_reading(self.now_s, self._samples, amps)

    def advance(self, seconds: float, *, each: Callable[[], None] = lambda: None) -> None:
        """Scan after scan on the grid of the site's period."""
        period_s = self.setup.params.topology.period_s
        for _ in range(round(seconds / period_s)):
            self.poll(self._step)
            self._step += 1
            self.loop.cycle()
            each()
            self.now_s += period_s
            self.epoch_s += period_s

    @property
    def commands(self) -> Any:
        assert self.loop.last is not None
        return self.loop.last[1]

    @property
    def report(self) -> Any:
        assert self.loop.last is not None
        return self.loop.last[2]

    def told_a(self) -> list[float]:
        return [value / 1000 for value in self.commands.setpoint_ma.tolist()]

    def frames(self) -> list[bytes]:
        """The packed messages that wait in the stream."""
        return [frame[LENGTH.size :] for group in self.out._groups for frame, _ in group.frames]

    def messages(self) -> list[Any]:
        found = [unpack_any(frame, OUT) for frame in self.frames()]
        assert not any(isinstance(one, CodecError) for one in found)
        return found


def alarms_of(bench: Bench) -> str:
    """The alarms of the last scan as people read them."""
    assert bench.loop.last is not None
    image, _, report = bench.loop.last
    return "; ".join(alarm_text(alarm, bench.setup.params.topology, image) for alarm in report.alarms)


def with_sample(reading: PointReading, role: str, sample: Sample | None) -> PointReading:
    """The reading with one role replaced or removed."""
    changed = {**reading.roles}
    changed.pop(role, None)
    if sample is not None:
        changed[role] = sample
    return replace(reading, roles=changed)

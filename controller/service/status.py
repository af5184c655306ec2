"""How the field process is doing, as one message a second: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from controller.service.loop import ScanLoop
from controller.service.messages import Following, PointStatus, Status
from controller.service.pacing import Histogram
from controller.service.retain import RetainStatus
from interfaces.domain.units import NEVER_S
from interfaces.drivers.connections import AnyConnection
from interfaces.drivers.doubts import doubts
from interfaces.drivers.links import place_of
from interfaces.drivers.readings import Readings, SetpointStatus, nameless
from interfaces.drivers.wiring import Wire

NEVER_AGE_S: Final = -1.0
SHOWN_LATE_S: Final = 3.0
QUANTILES: Final = (0.5, 0.99, 0.999)


def status_of(
    loop: ScanLoop,
    wires: Sequence[tuple[Wire, AnyConnection]],
    readings: Readings,
    retain: RetainStatus,
    dropped: int,
    now_s: float,
) -> Status:
    """The message."""
    return Status(
        scans=loop.number,
        late=loop.pacer.late,
        missed=loop.pacer.missed,
        errors=loop.errors,
        lateness_s=_quantiles(loop.lateness),
        work_s=_quantiles(loop.work),
        dropped=dropped,
        retain_written=retain.written,
        retain_failed=retain.failed,
        retain_problem=retain.problem,
        clock=loop.clock_watch.quality(),
        clock_steps=loop.clock_watch.steps,
        points=tuple(points_of(wires, readings, now_s, phases=1 if loop.setup.site.info.connection == "1ph" else 3)),
        following=following_of(loop),
    )


def following_of(loop: ScanLoop) -> Following:
    """Plan or fallback, and how often."""
    mission, tally = loop.state.mission, loop.tally
    return Following(
        source=mission.source,
        sequence=mission.sequence,
        refused=mission.refused,
        targets_refused=mission.targets_refused,
        plans_accepted=loop.plans_accepted,
        plans_refused=loop.plans_refused,
        switches=tally.switches,
        fallback_s=tally.fallback_s,
        max_step_w_at_switch=tally.max_step_w,
    )


def _quantiles(durations: Histogram) -> tuple[float, float, float, float]:
    p50, p99, p999 = (durations.quantile_s(share) for share in QUANTILES)
    return p50, p99, p999, durations.most_s


def _setpoint_problem(status: SetpointStatus, now_s: float) -> str:
    """Some makes show a new setpoint only after a second or two."""
    return "" if status.contest == "ignored" and now_s - status.contest_s < SHOWN_LATE_S else status.problem


def points_of(
    wires: Sequence[tuple[Wire, AnyConnection]], readings: Readings, now_s: float, *, phases: int
) -> Iterator[PointStatus]:
    """Every point as people see it; ``phases`` the site has."""
    for wire, connection in wires:
        for point in wire.points:
            reading = readings.points[point.key]
            yield PointStatus(
                key=point.key,
                profile=point.profile.id,
                connected=reading.connected,
                problem=reading.problem,
                reply_age_s=NEVER_AGE_S if reading.reply_s == NEVER_S else now_s - reading.reply_s,
                setpoint_problem=_setpoint_problem(reading.setpoint, now_s),
                status="" if reading.state is None else reading.state.status,
                serial=reading.serial or "",
                suspect=reading.suspect,
                requests=connection.counters.requests,
                timeouts=connection.counters.timeouts,
                connects=connection.counters.connects,
                place=place_of(wire.link, point.unit),
                doubts=doubts(point, reading, phases),
                notes=reading.notes,
                mac=reading.mac,
                rival_macs=reading.rival_macs,
                nameless=nameless(point.profile, reading),
            )

"""What is wrong, in sentences, and the site as people look at it: pure views of the latest messages of the field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np

from controller.service.health_points import point_notes, point_problems
from controller.service.messages import Hello, Status, Verdict
from controller.service.site_setup import SiteSetup
from controller.service.uplink_state import UplinkState, uplink_notes, uplink_problems, uplink_view
from interfaces.domain.command import Alarm
from interfaces.domain.image import Image, Pilot
from interfaces.domain.reasons import Reason, sentence
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import PHASES, ROWS_PER_CIRCUIT, Topology
from interfaces.domain.units import MILLI, MISSING, a_from_ma, w_from_mw
from interfaces.drivers.neighbours import Network
from interfaces.drivers.replies import Fault
from interfaces.drivers.zaptec_point import CLOUD_PROFILES

SILENT_S: Final = 5.0
"""No scan for this long: the field process hangs or is gone."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the gateway knows of the field process. ``record_s``: when the newest scan arrived (monotonic).

    ``networks``: those this machine is in. ``enrolment``: what is wrong with the box's own certificate.
    ``uplink``: the way to the cloud, None where there is none; ``inbound``: what of the cloud's is refused.
    """

    hello: Hello | None = None
    setup: SiteSetup | None = None
    record: ScanRecord | None = None
    record_s: float = float("-inf")
    error: str | None = None
    status: Status | None = None
    site_verdict: Verdict | None = None
    journal_problem: str = ""
    journal_lost: int = 0
    identities: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[Network, ...] = ()
    enrolment: Mapping[str, str] = field(default_factory=dict)
    uplink: UplinkState | None = None
    inbound: Mapping[str, str] = field(default_factory=dict)
    plans_refused: int = 0
    """By the gateway; what the field process refused of those it was handed comes on top."""


def problems(known: Known, now_s: float) -> dict[str, str]:
    """Condition -> sentence, for everything a person should know."""
    found = {**known.enrolment, **uplink_problems(known.uplink, now_s), **known.inbound}
    if known.record is None or known.hello is None:
        return found | {"field": "the field process has not reported a scan yet"}
    if now_s - known.record_s > SILENT_S:
        found["field"] = f"no scan for {now_s - known.record_s:.0f} s: the field process hangs or is gone"
    if known.hello.restarts:
        found["restarts"] = f"the field process was started again {known.hello.restarts} times: {known.hello.last_exit}"
    for k, text in enumerate(known.hello.refused):
        found[f"refused.{k}"] = text
    found |= _of_status(known.status)
    found |= _of_interface(known)
    found |= {} if known.status is None else point_problems(known.status.points, known.networks)
    found |= _of_services(known)
    found |= {f"identity.{device}": text for device, text in known.identities.items()}
    if known.site_verdict is not None and not known.site_verdict.accepted:
        found["site"] = f"the changed site file is refused, the old one runs: {known.site_verdict.reason}"
    if known.journal_problem:
        found["journal"] = known.journal_problem
    if known.setup is not None:
        for alarm in known.record.report.alarms:
            found[alarm_key(alarm)] = told(alarm, known.setup.params.topology, known.record.image)
    return found


def notes(known: Known) -> dict[str, str]:
    """Condition -> sentence, for what is no fault and should be known all the same."""
    found = uplink_notes(known.uplink)
    return found if known.status is None else found | point_notes(known.status.points)


def is_fatal(key: str) -> bool:
    """Whether a condition makes the service unhealthy: it does not scan, or scans in failsafe after an error."""
    return key in {"field", f"alarm.{Reason.ALARM_SCAN_ERROR.name}"}


def _of_status(status: Status | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if status is None:
        return found
    if status.retain_problem:
        found["retain"] = status.retain_problem
    if status.clock == "coarse":
        found["clock"] = "no time server has set the wall clock lately: tariff and plan steps may be off by minutes"
    return found


def _of_services(known: Known) -> dict[str, str]:
    """Chargers that are not reached through their maker's service, or could not be left alone safely."""
    points = () if known.status is None else known.status.points
    return {f"remote.{p.key}": f"{p.key}: {p.problem}" for p in points if p.profile in CLOUD_PROFILES and p.problem}


def _of_interface(known: Known) -> dict[str, str]:
    """One sentence for the whole site: every connection by network fails for the same reason."""
    points = () if known.status is None else known.status.points
    network = None if known.setup is None else known.setup.site.network
    if network is None or all(point.problem != Fault.NO_INTERFACE for point in points):
        return {}
    return {
        "interface": f"the network interface '{network.device_interface}' (network.device_interface of the site file) "
        f"is missing or has no IPv4 address: no device behind it can be reached"
    }


def told(alarm: Alarm, topology: Topology, image: Image) -> str:
    """An alarm as a sentence with the names of this site, and what is measured of it in this scan."""
    circuit = topology.circuits[alarm.circuit].id if alarm.circuit >= 0 else "?"
    asset = topology.assets[alarm.asset].id if alarm.asset >= 0 else "?"
    if alarm.circuit < 0 or alarm.phase < 0:
        return sentence(Reason(alarm.code), circuit=circuit, asset=asset)
    measured_a = a_from_ma(int(image.meter_ma[alarm.circuit, alarm.phase]))
    rated_a = a_from_ma(int(topology.rated_ma[alarm.circuit, alarm.phase]))
    return sentence(
        Reason(alarm.code),
        circuit=circuit,
        phase=PHASES[alarm.phase],
        measured=f"{measured_a:.1f} A",
        rated=f"{rated_a:g} A",
    )


def alarm_key(alarm: Alarm) -> str:
    """The condition of an alarm."""
    place = [str(part) for part in (alarm.asset, alarm.circuit, alarm.phase) if part >= 0]
    return ".".join(["alarm", Reason(alarm.code).name, *place])


def health(known: Known, now_s: float) -> dict[str, Any]:
    """The answer of the health endpoint. ``ok`` False: somebody must come."""
    found = problems(known, now_s)
    status, hello = known.status, known.hello
    return {
        "ok": not any(is_fatal(key) for key in found),
        "problems": [{"key": key, "text": text} for key, text in found.items()],
        "notes": [{"key": key, "text": text} for key, text in notes(known).items()],
        "site": None if known.setup is None else known.setup.site.id,
        "mode": None if known.record is None else known.record.report.mode,
        "field_pid": None if hello is None else hello.pid,
        "restarts": 0 if hello is None else hello.restarts,
        "scans": 0 if status is None else status.scans,
        "late_scans": 0 if status is None else status.late,
        "missed_slots": 0 if status is None else status.missed,
        "scan_errors": 0 if status is None else status.errors,
        "dropped_records": 0 if status is None else status.dropped,
        "lateness_ms": _ms(None if status is None else status.lateness_s),
        "work_ms": _ms(None if status is None else status.work_s),
        "uplink": uplink_view(known.uplink),
        "following": following(known),
    }


def following(known: Known) -> dict[str, Any] | None:
    """Plan or fallback: which, why, and how often it has changed since the field process began."""
    if known.status is None:
        return None
    told = asdict(known.status.following)
    return {**told, "plans_refused": told["plans_refused"] + known.plans_refused}


def _ms(quantiles: tuple[float, float, float, float] | None) -> dict[str, float] | None:
    if quantiles is None:
        return None
    return {name: round(MILLI * value, 3) for name, value in zip(("p50", "p99", "p999", "max"), quantiles, strict=True)}


def view(known: Known) -> dict[str, Any]:
    """The site at the newest scan, with ids and units: circuits, assets, connections, alarms."""
    record, setup = known.record, known.setup
    if record is None or setup is None:
        return {"number": None, "circuits": [], "assets": [], "points": [], "alarms": []}
    topology = setup.params.topology
    return {
        "number": record.number,
        "epoch_s": record.epoch_s,
        "mode": record.report.mode,
        "failsafe": record.commands.failsafe,
        "error": known.error,
        "circuits": [_circuit(record, topology, k) for k in range(topology.c)],
        "assets": [_asset(record, topology, i) for i in range(topology.n)],
        "points": [] if known.status is None else [_point(point) for point in known.status.points],
        "alarms": [told(alarm, topology, record.image) for alarm in record.report.alarms],
    }


def _amps(column: Any) -> list[float | None]:
    return [None if value == MISSING else a_from_ma(value) for value in column.tolist()]


def _circuit(record: ScanRecord, topology: Topology, k: int) -> dict[str, Any]:
    image, report = record.image, record.report
    power_mw = int(image.meter_mw[k])
    return {
        "id": topology.circuits[k].id,
        "parent": topology.circuits[k].parent,
        "rated_a": list(topology.circuits[k].rated_a),
        "limit_a": _amps(topology.limit_ma[k]),
        "measured_a": _amps(image.meter_ma[k]),
        "power_w": None if power_mw == MISSING else w_from_mw(power_mw),
        "background_a": _amps(report.background_ma[k]),
        "budget_a": _amps(report.budget_ma[k]),
        "exposure_a": _amps(report.exposure_ma[k]),
        "protection": [round(value / 1e6, 6) for value in report.theta_ppm[k].tolist()],
    }


def _asset(record: ScanRecord, topology: Topology, i: int) -> dict[str, Any]:
    image, commands = record.image, record.commands
    binding = int(commands.binding[i])
    circuit, row = divmod(binding, ROWS_PER_CIRCUIT) if binding >= 0 else (-1, -1)
    offered = int(image.offered_ma[i])
    return {
        "id": topology.assets[i].id,
        "kind": topology.assets[i].kind.name.lower(),
        "circuit": topology.assets[i].circuit,
        "pilot": Pilot(int(image.pilot[i])).name,
        "setpoint_a": a_from_ma(int(commands.setpoint_ma[i])),
        "wish_a": a_from_ma(int(commands.wish_ma[i])),
        "offered_a": None if offered == MISSING else a_from_ma(offered),
        "measured_a": _amps(image.asset_ma[i]),
        "stop": bool(commands.stop[i]),
        "reason": Reason(int(commands.reason[i])).name,
        "why": sentence(
            Reason(int(commands.reason[i])),
            circuit=topology.circuits[circuit].id if circuit >= 0 else topology.assets[i].circuit,
            phase=PHASES[row] if 0 <= row < len(PHASES) else "power",
            asset=topology.assets[i].id,
        ),
        "energy_kwh": int(record.report.energy_wh[i]) / MILLI,
        "session": bool(np.isfinite(record.report.session_s[i])),
    }


def _point(point: Any) -> dict[str, Any]:
    return {name: getattr(point, name) for name in point.__slots__}

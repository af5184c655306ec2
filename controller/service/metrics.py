"""What Prometheus scrapes: read from the newest messages when asked, nothing is counted twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.service.health import Known, problems
from controller.service.messages import Status
from controller.service.uplink_state import UplinkState
from interfaces.domain.image import Image
from interfaces.domain.telemetry import ScanRecord
from interfaces.domain.topology import PHASES, Topology
from interfaces.domain.units import MISSING, NEVER_S, Ints, a_from_ma
from interfaces.drivers.clock import Clock

Family = GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily
QUANTILES = ("0.5", "0.99", "0.999", "1")


class SiteCollector(Collector):
    """Gauges and counters of one controller. Labels are ids of the site file, so that their number is bounded."""

    def __init__(self, known: Callable[[], Known], clock: Clock) -> None:
        self._known = known
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """All families at this instant."""
        known, now_s = self._known(), self._clock()
        up = GaugeMetricFamily("stroomwacht_field_age_seconds", "Age of the newest scan")
        if known.record is not None:
            up.add_metric([], now_s - known.record_s)
        yield up
        conditions = GaugeMetricFamily("stroomwacht_condition", "1 while the condition holds", labels=["key"])
        for key in problems(known, now_s):
            conditions.add_metric([key], 1)
        yield conditions
        lost = CounterMetricFamily("stroomwacht_journal_lost_scans", "Scans that are not in the journal")
        lost.add_metric([], known.journal_lost)
        yield lost
        if known.uplink is not None:
            yield from _of_uplink(known.uplink)
        if known.status is not None:
            yield from _of_status(known.status, known.plans_refused)
        if known.record is not None and known.setup is not None:
            yield from _circuits(known.record, known.setup.params.topology)
            yield from _assets(known.record, known.setup.params.topology)


def _of_status(status: Status, refused: int) -> Iterator[Metric]:
    """``refused``: plans that the gateway did not hand on."""
    counters = {
        "scans": ("Scans since start", status.scans),
        "late_scans": ("Scans that began more than half a period late", status.late),
        "missed_slots": ("Scan slots that were skipped", status.missed),
        "scan_errors": ("Scans that failed", status.errors),
        "dropped_records": ("Scans that no gateway saw", status.dropped),
        "retain_writes": ("Records written to the retain memory", status.retain_written),
        "retain_failures": ("Records the retain memory did not take", status.retain_failed),
        "clock_steps": ("Jumps of the wall clock", status.clock_steps),
        "plans_accepted": ("Plans taken over", status.following.plans_accepted),
        "plan_switches": ("Changes between plan and fallback", status.following.switches),
        "plans_refused": ("Plans that were not taken over", status.following.plans_refused + refused),
        "fallback_seconds": ("Time without a plan", status.following.fallback_s),
    }
    for name, (text, count) in counters.items():
        family = CounterMetricFamily(f"stroomwacht_{name}", text)
        family.add_metric([], count)
        yield family
    for name, text, values in (
        ("lateness", "How late scans began", status.lateness_s),
        ("scan_work", "How long scans took", status.work_s),
    ):
        gauge = GaugeMetricFamily(f"stroomwacht_{name}_seconds", text, labels=["quantile"])
        for quantile, value in zip(QUANTILES, values, strict=True):
            gauge.add_metric([quantile], value)
        yield gauge
    connected = GaugeMetricFamily("stroomwacht_point_connected", "1 while the device answers", labels=["point"])
    timeouts = CounterMetricFamily("stroomwacht_point_timeouts", "Requests without an answer", labels=["point"])
    for point in status.points:
        connected.add_metric([point.key], int(point.connected))
        timeouts.add_metric([point.key], point.timeouts)
    yield connected
    yield timeouts


def _of_uplink(uplink: UplinkState) -> Iterator[Metric]:
    connected = GaugeMetricFamily("stroomwacht_uplink_connected", "1 while the broker is connected")
    connected.add_metric([], int(uplink.link.connected))
    waiting = GaugeMetricFamily("stroomwacht_uplink_waiting_messages", "Messages that the cloud has not confirmed")
    waiting.add_metric([], uplink.waiting)
    sent = CounterMetricFamily("stroomwacht_uplink_sent_messages", "Messages that the broker took")
    sent.add_metric([], uplink.sent)
    lost = CounterMetricFamily("stroomwacht_uplink_lost_messages", "Messages that will never arrive", labels=["cause"])
    for cause, count in uplink.lost.items():
        lost.add_metric([cause], count)
    yield from (connected, waiting, sent, lost)


def _circuits(record: ScanRecord, topology: Topology) -> Iterator[Metric]:
    columns: dict[str, tuple[str, Ints]] = {
        "measured": ("Current at the circuit's meter", record.image.meter_ma),
        "limit": ("Limit of the circuit", topology.limit_ma),
        "background": ("What is not controlled", record.report.background_ma),
        "budget": ("What flexible assets may use", record.report.budget_ma),
        "exposure": ("What flexible assets may draw at present", record.report.exposure_ma),
    }
    for name, (text, column) in columns.items():
        family = GaugeMetricFamily(f"stroomwacht_circuit_{name}_amperes", text, labels=["circuit", "phase"])
        for circuit, row in zip(topology.circuits, column.tolist(), strict=True):
            for phase, value in zip(PHASES, row, strict=True):
                if value != MISSING:
                    family.add_metric([circuit.id, phase], a_from_ma(value))
        yield family


def _assets(record: ScanRecord, topology: Topology) -> Iterator[Metric]:
    image, commands = record.image, record.commands
    columns: dict[str, tuple[str, Ints]] = {
        "setpoint": ("Current ordered", commands.setpoint_ma),
        "offered": ("Current the device says it offers", image.offered_ma),
        "wish": ("Current that plan or fallback would like", commands.wish_ma),
    }
    ids = [asset.id for asset in topology.assets]
    for name, (text, column) in columns.items():
        family = GaugeMetricFamily(f"stroomwacht_asset_{name}_amperes", text, labels=["asset"])
        for key, value in zip(ids, column.tolist(), strict=True):
            if value != MISSING:
                family.add_metric([key], a_from_ma(value))
        yield family
    yield _measured(image, ids)
    reason = GaugeMetricFamily("stroomwacht_asset_reason", "Code of the reason of the setpoint", labels=["asset"])
    age = GaugeMetricFamily("stroomwacht_asset_reply_age_seconds", "Age of the last valid reply", labels=["asset"])
    for key, code, reply_s in zip(ids, commands.reason.tolist(), image.reply_s.tolist(), strict=True):
        reason.add_metric([key], code)
        if reply_s != NEVER_S:
            age.add_metric([key], record.now_s - reply_s)
    yield reason
    yield age


def _measured(image: Image, ids: list[str]) -> Metric:
    family = GaugeMetricFamily("stroomwacht_asset_measured_amperes", "Current drawn", labels=["asset", "phase"])
    for key, row in zip(ids, image.asset_ma.tolist(), strict=True):
        for phase, value in zip(PHASES, row, strict=True):
            if value != MISSING:
                family.add_metric([key, phase], a_from_ma(value))
    return family

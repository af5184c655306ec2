"""What people and Prometheus are told."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from functools import cache

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from controller.service.health import Known, health, problems, view
from controller.service.http import HttpServer
from controller.service.messages import Entry, Hello, PointStatus, Status, Verdict
from controller.service.metrics import SiteCollector
from controller.service.pacing import Histogram
from controller.service.spool import SpoolState
from controller.service.uplink_state import UplinkState
from interfaces.drivers.mqtt import Condition, LinkState
from interfaces.drivers.replies import Fault
from interfaces.web.server import WORKERS
from tests.controller.service.kit import METER, PLACE_1, Bench, garage_setup

HELLO = Hello(77, "s", "0.1.0", 1e9, 0, "", ())
POINT = PointStatus(PLACE_1, "abb_terra_ac", connected=True, problem="", reply_age_s=0.5, setpoint_problem="",
                    status="charging", serial="", suspect=(), requests=10, timeouts=1, connects=1)  # fmt: skip
STATUS = Status(
    500, 2, 1, 0, (0.001, 0.002, 0.003, 0.004), (0.003, 0.004, 0.005, 0.006), 0, 9, 0, "", "good", 0, (POINT,)
)


@cache
def well() -> Known:
    """A site on which cars charge and nothing is wrong."""
    return known()


def known(seconds: float = 30.0, **change) -> Known:
    bench = Bench(**change)
    bench.advance(seconds)
    entry = [one for one in bench.messages() if isinstance(one, Entry)][-1]
    return Known(HELLO, garage_setup(), entry.record, 100.0, entry.error, STATUS)


def texts(some: Known, now_s: float = 100.2) -> str:
    return " | ".join(problems(some, now_s).values())


def test_a_well_site_has_no_problems():
    assert problems(well(), 100.2) == {}
    told = health(well(), 100.2)
    assert told["ok"] is True
    assert (told["scans"], told["late_scans"], told["mode"], told["field_pid"]) == (500, 2, "fallback", 77)
    assert told["lateness_ms"] == {"p50": 1.0, "p99": 2.0, "p999": 3.0, "max": 4.0}


@pytest.mark.parametrize(
    ("change", "text", "ok"),
    [
        ({"record": None}, "has not reported a scan yet", False),
        ({"record_s": 90.0}, "no scan for 10 s: the field process hangs or is gone", False),
        (
            {"hello": replace(HELLO, restarts=2, last_exit="field ended with signal SIGKILL")},
            "2 times: field ended",
            True,
        ),
        (
            {"hello": replace(HELLO, refused=("SCHED_FIFO refused: Operation not permitted",))},
            "SCHED_FIFO refused",
            True,
        ),
        (
            {"status": replace(STATUS, retain_problem="retain memory cannot be written: full")},
            "cannot be written",
            True,
        ),
        (
            {"status": replace(STATUS, points=(replace(POINT, problem=str(Fault.NO_INTERFACE)), POINT))},
            "the network interface 'eth1' (network.device_interface of the site file) is missing or has no IPv4",
            True,
        ),
        ({"status": replace(STATUS, clock="coarse")}, "no time server has set the wall clock", True),
        ({"site_verdict": Verdict("site", accepted=False, reason="line 3")}, "refused, the old one runs: line 3", True),
        ({"journal_problem": "journal cannot be written: full"}, "journal cannot be written", True),
    ],
)
def test_each_trouble_is_a_sentence(change, text, ok):
    some = replace(well(), **change)
    assert text in texts(some)
    assert health(some, 100.2)["ok"] is ok


def test_alarms_are_told_with_the_names_of_the_site():
    assert f"{PLACE_1} does not answer" in texts(known(40, silent={PLACE_1}))
    assert "the meter of circuit gcp does not answer" in texts(known(40, silent={METER}))


def test_the_view_names_units_ids_and_reasons():
    told = view(well())
    json.dumps(told, allow_nan=False)
    assert [one["id"] for one in told["circuits"]] == ["gcp", "garage"]
    assert told["circuits"][0]["limit_a"] == [50.0, 50.0, 50.0]
    assert told["circuits"][1]["measured_a"] == [None, None, None]
    charger = next(one for one in told["assets"] if one["id"] == PLACE_1)
    assert charger["setpoint_a"] == charger["offered_a"] > 6
    assert charger["why"]
    assert charger["pilot"] == "C2"
    assert told["points"][0]["key"] == PLACE_1
    assert view(Known())["number"] is None


def test_metrics_hold_every_circuit_asset_and_counter():
    registry = CollectorRegistry()
    some = replace(well(), journal_lost=3)
    registry.register(SiteCollector(lambda: some, lambda: 100.5))
    text = generate_latest(registry).decode()
    for line in (
        'stroomwacht_circuit_limit_amperes{circuit="gcp",phase="L1"} 50.0',
        'stroomwacht_circuit_budget_amperes{circuit="garage",phase="L3"} 39.0',
        f'stroomwacht_asset_setpoint_amperes{{asset="{PLACE_1}"}}',
        f'stroomwacht_point_timeouts_total{{point="{PLACE_1}"}} 1.0',
        "stroomwacht_scans_total 500.0",
        "stroomwacht_late_scans_total 2.0",
        "stroomwacht_journal_lost_scans_total 3.0",
        "stroomwacht_field_age_seconds 0.5",
        'stroomwacht_lateness_seconds{quantile="0.999"} 0.003',
    ):
        assert line in text, line
    assert 'measured_amperes{circuit="garage"' not in text, "missing is not 0"


def test_the_way_to_the_cloud_is_in_health_and_metrics():
    link = LinkState(connected=False, condition=Condition.WRONG_CA, reason="not of our authority")
    spool = SpoolState(waiting=7, bytes=900, oldest_epoch_s=5.0, lost={"size": 2})
    some = replace(well(), uplink=UplinkState(link=link, since_s=100.0, session=9, sent=40, telemetry=spool))
    told = health(some, 100.2)
    assert told["ok"] is True, "without the cloud the site is well"
    assert [problem["key"] for problem in told["problems"]] == ["cloud"]
    assert "not of our authority" in told["problems"][0]["text"]
    assert [note["text"] for note in told["notes"]] == ["messages for the cloud that were lost: 2 by size"]
    view_of_it = told["uplink"]
    assert (view_of_it["connected"], view_of_it["condition"], view_of_it["waiting"]) == (False, "wrong_ca", 7)
    assert (view_of_it["oldest_epoch_s"], view_of_it["lost"]) == (5.0, {"size": 2})
    json.dumps(told)
    registry = CollectorRegistry()
    registry.register(SiteCollector(lambda: some, lambda: 100.5))
    text = generate_latest(registry).decode()
    for line in (
        "stroomwacht_uplink_connected 0.0",
        "stroomwacht_uplink_waiting_messages 7.0",
        "stroomwacht_uplink_sent_messages_total 40.0",
        'stroomwacht_uplink_lost_messages_total{cause="size"} 2.0',
        'stroomwacht_condition{key="cloud"} 1.0',
    ):
        assert line in text, line


def test_without_a_broker_nothing_is_said_of_the_cloud():
    assert health(well(), 100.2)["uplink"] is None


def test_metrics_of_a_field_process_that_never_spoke():
    registry = CollectorRegistry()
    registry.register(SiteCollector(Known, lambda: 1.0))
    assert 'stroomwacht_condition{key="field"} 1.0' in generate_latest(registry).decode()


# -- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.fixture
def server():
    state = {"ok": True}
    registry = CollectorRegistry()
    registry.register(SiteCollector(Known, lambda: 1.0))
    found = HttpServer("127.0.0.1", 0, registry, {"/health": lambda: dict(state)})
    yield found, state
    found.close()


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_health_and_metrics_are_served(server):
    http, state = server
    assert ask(http.port, "/health") == (200, '{"ok": true}\n')
    state["ok"] = False
    assert ask(http.port, "/health")[0] == 503
    assert "stroomwacht_condition" in ask(http.port, "/metrics")[1]
    assert ask(http.port, "/etc/passwd") == (404, "there is /metrics, /health\n")


def test_only_get_is_answered(server):
    http, _ = server
    request = urllib.request.Request(f"http://127.0.0.1:{http.port}/health", data=b"x", method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 405
    refused.value.close()


def test_row_75_clients_that_never_finish_do_not_keep_others_out(server, monkeypatch):
    """They take every worker, are given up after the socket's time-out, and the next request is served."""
    http, _ = server
    monkeypatch.setattr("interfaces.web.server._Handler.timeout", 0.2)
    idle = [socket.create_connection(("127.0.0.1", http.port)) for _ in range(WORKERS + 20)]
    try:
        for _ in range(1200):
            with contextlib.suppress(OSError):
                if ask(http.port, "/health")[0] == 200:
                    return
            threading.Event().wait(0.1)
        raise AssertionError("nobody else is served")
    finally:
        for one in idle:
            one.close()


def test_a_histogram_feeds_the_quantiles():
    histogram = Histogram()
    for _ in range(100):
        histogram.add(0.001)
    assert histogram.quantile_s(0.5) == pytest.approx(0.001)


def test_a_device_that_does_not_look_like_its_make_is_told():
    strange = replace(POINT, suspect=("no make of ours: check profile and address",))
    found = problems(replace(well(), status=replace(STATUS, points=(strange,))), 100.2)
    assert found[f"suspect.{PLACE_1}.0"] == f"{PLACE_1}: no make of ours: check profile and address"


def test_a_device_that_belongs_elsewhere_is_told():
    found = problems(replace(well(), identities={PLACE_1: "another device answers"}), 100.2)
    assert found == {f"identity.{PLACE_1}": "another device answers"}


# -- single devices ---------------------------------------------------------------------------------------------------

NETWORKS = (ipaddress.IPv4Network("192.168.1.0/24"),)


def at(host: str, **change) -> PointStatus:
    return replace(POINT, place=f"{host}:502 unit 1", **change)


def told_of(*points: PointStatus, networks=NETWORKS) -> str:
    return texts(replace(well(), status=replace(STATUS, points=points), networks=networks))


def test_a_device_in_another_subnet_is_told_so_while_it_does_not_answer():
    away = at("10.0.1.5", connected=False, problem=str(Fault.REFUSED), reply_age_s=-1.0)
    assert "10.0.1.5 is not in this machine's networks 192.168.1.0/24: give this machine an address" in told_of(away)
    assert "takes no" not in told_of(away)
    assert told_of(at("10.0.1.5")) == "", "behind a router, and it answers"
    near = replace(away, place="192.168.1.5:502 unit 1")
    assert "connection refused): check power, cable, address and port" in told_of(near)
    assert "is not in this machine's networks" not in told_of(away, networks=())


def test_a_short_silence_is_nobodys_business():
    assert told_of(at("192.168.1.5", connected=False, problem=str(Fault.TIMEOUT), reply_age_s=2.0)) == ""


def test_a_duplicate_ip_address_is_named_with_both_cards():
    rivals = ("02:00:5e:10:00:01", "02:00:5e:10:00:02")
    told = told_of(at("192.168.1.5", rival_macs=rivals))
    assert f"duplicate IP address 192.168.1.5 ({PLACE_1}): the network cards {rivals[0]} and {rivals[1]}" in told
    assert "give one of the two devices another address" in told


def test_notes_are_no_problems():
    p1 = at("192.168.1.9", notes=("current of L1 from its power",))
    status = replace(STATUS, points=(p1,))
    some = replace(well(), status=status)
    assert problems(some, 100.2) == {}
    assert health(some, 100.2)["notes"] == [
        {"key": f"note.{PLACE_1}.0", "text": f"{PLACE_1}: current of L1 from its power"}
    ]


def test_one_card_at_two_addresses_is_noted():
    mac = "02:00:5e:10:00:01"
    points = (at("192.168.1.5", mac=mac), replace(at("192.168.1.6", mac=mac), key="place-9"))
    some = replace(well(), status=replace(STATUS, points=points))
    (note,) = health(some, 100.2)["notes"]
    assert f"one network card ({mac}) answers for {PLACE_1} at 192.168.1.5, place-9 at 192.168.1.6" in note["text"]
    same_host = (at("192.168.1.5", mac=mac), replace(at("192.168.1.5", mac=mac), key="place-9"))
    assert health(replace(well(), status=replace(STATUS, points=same_host)), 100.2)["notes"] == []

"""Zaptec between the two processes: orders leave with the record, facts come as messages, and nobody waits."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controller.service.commission_plan import plan_of
from controller.service.health import Known, problems
from controller.service.messages import IN, Hello, PointStatus, RemoteReading, Status, framed
from controller.service.remote import NO_ACCOUNT, RemoteChargers, RemoteThread, account_of, wanted_a
from controller.service.service_file import ZaptecAccount, load_service
from controller.service.site_setup import SiteSetup, setup_of
from interfaces.cli import main
from interfaces.domain.codec import pack, unpack_any
from interfaces.domain.image import FailsafeProof, Pilot
from interfaces.domain.units import NEVER_S
from interfaces.drivers.device import PointSpec
from interfaces.drivers.links import CloudLink
from interfaces.drivers.readings import Readings
from interfaces.drivers.zaptec_api import Account
from interfaces.drivers.zaptec_point import POLL_S, PROFILE, RemotePoint, Seen
from interfaces.errors import UserError
from simulations.devices.zaptec import CHARGING, Box, CloudState, Trouble, VirtualZaptec
from tests.controller.service.kit import Bench, meter_reading
from tests.interfaces.domain.test_site_zaptec import text_of

PLACE = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
ZAP = "zap-1"


def setup() -> SiteSetup:
    found = setup_of(text_of())
    assert isinstance(found, SiteSetup), str(found)
    return found


def seen(at_s: float, **change: Any) -> Seen:
    usual = Seen(at_s, "", True, 6.0, at_s - 5.0, 6.0, at_s - 100.0, 10.0, "C2", "charging")
    return replace(usual, **change)


class ZapBench(Bench):
    """The bench of the garage with the installation beside it: its meter reads ``zap_a``."""

    zap_a = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        link = CloudLink(PLACE, 10.0)
        self.point = RemotePoint(link, PointSpec(ZAP, PROFILE, 0), readings=self.readings, clock=lambda: self.now_s)
        self.loop._io = replace(self.loop._io, remotes={ZAP: self.point})

    def poll(self, step: int) -> None:
        super().poll(step)
        if step % 2 == 0:
            self.readings.points["m-zap"] = meter_reading(self.now_s, self._samples, self.zap_a)

    def tell(self, message: Seen, key: str = ZAP) -> None:
        assert self.inbox.take(pack(RemoteReading(key, message))) is None


def bench() -> ZapBench:
    return ZapBench(setup=setup())


def test_a_message_becomes_a_column_and_its_own_meter_its_current():
    site = bench()
    site.zap_a = 5.5
    site.advance(2.0)
    site.tell(seen(site.now_s))
    site.advance(1.0)
    assert site.loop.last is not None
    image = site.loop.last[0]
    i = site.setup.params.topology.index[ZAP]
    assert image.asset_ma[i].tolist() == [5500] * 3
    assert image.asset_sample_s[i] > site.now_s - 1.0, "as fresh as its meter, not as the service"
    assert (image.offered_ma[i], image.pilot[i]) == (6000, int(Pilot.C2))
    assert image.failsafe_proof[i] == int(FailsafeProof.VERIFIED)
    assert image.readback_s[i] == image.reply_s[i] - 5.0


def test_a_reading_is_a_fact_of_its_time_and_ages_without_further_ones():
    site = bench()
    site.advance(12.0)
    site.tell(seen(site.now_s))
    site.advance(1.0)
    at_s = site.now_s
    site.advance(20.0)
    i = site.setup.params.topology.index[ZAP]
    assert site.loop.last is not None
    assert site.loop.last[0].reply_s[i] < at_s
    site.now_s += 3 * POLL_S
    site.point.watch()
    assert site.readings.points[ZAP].problem == "no good answer of the maker's service for 180 s"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"offered_a": -1.0}, "a current is out of range"),
        ({"limit_a": float("inf")}, "a current is out of range"),
        ({"readback_s": 1e9}, "a read-back is later than its question"),
        ({"problem": "x" * 301}, "a text is longer than 300"),
    ],
)
def test_impossible_messages_are_refused_at_the_border(change, says):
    site = bench()
    verdict = site.inbox.take(pack(RemoteReading(ZAP, seen(site.now_s, **change))))
    assert verdict is not None
    assert (verdict.about, verdict.reason) == ("remotereading", says)


def test_a_message_of_the_future_or_of_nobody_changes_nothing():
    site = bench()
    site.tell(seen(site.now_s + 100))
    site.tell(seen(site.now_s - 1), key="ghost")
    site.advance(1.0)
    assert [one.reason for one in site.verdicts if not one.accepted] == [
        f"{ZAP}: asked in the future",
        "there is no such point: ghost",
    ]
    assert site.readings.points[ZAP].reply_s == NEVER_S


def test_only_whole_answers_about_reached_chargers_count_as_replies():
    readings = Readings()
    point = RemotePoint(CloudLink(PLACE, 10.0), PointSpec(ZAP, PROFILE, 0), readings=readings, clock=lambda: 500.0)
    point.take(seen(100.0))
    point.take(seen(200.0, problem="no answer within 10 s", online=False))
    point.take(seen(300.0, problem="1 of 1 chargers are offline for the maker's service", online=False))
    reading = readings.points[ZAP]
    assert (reading.reply_s, reading.connected) == (100.0, False)
    point.take(seen(400.0, limit_a=16.0))
    reading = readings.points[ZAP]
    assert reading.failsafe.verdict == "unsafe"
    assert reading.problem.startswith("without internet it may use 16 A, more than the 10 A of the site file")
    point.take(seen(450.0, limit_a=None))
    assert readings.points[ZAP].failsafe.verdict == "unverified"


def known_of(site: ZapBench) -> Known:
    assert site.loop.last is not None
    record = next(one.record for one in reversed(site.messages()) if type(one).__name__ == "Entry")
    return Known(setup=site.setup, record=record, record_s=site.now_s)


def test_the_order_is_that_of_a_record_with_a_lease_that_just_came():
    site = bench()
    site.advance(12.0)
    site.tell(seen(site.now_s, offered_a=0.0))
    site.advance(10.0)
    known = known_of(site)
    topology = site.setup.params.topology
    assert known.record is not None
    order = wanted_a(known.record, topology, ZAP, known.record_s, site.now_s)
    assert order is not None
    assert order >= 6
    assert wanted_a(known.record, topology, ZAP, known.record_s, site.now_s + 6.0) is None, (
        "the field process is silent"
    )
    assert wanted_a(known.record, topology, "ghost", known.record_s, site.now_s) is None
    lapsed = replace(known.record, commands=replace(known.record.commands, valid_until_s=known.record.now_s))
    assert wanted_a(lapsed, topology, ZAP, known.record_s, site.now_s) is None
    assert wanted_a(None, topology, ZAP, known.record_s, site.now_s) is None


def test_the_whole_way_from_the_service_to_the_scan_and_back(tmp_path):
    """Service over HTTP, driver, packed messages, scan, record: a car plugs in and is given current, then the site is
    told to give none.
    """
    site = bench()
    state = CloudState(PLACE, [Box("c1", CHARGING, offline_a=10.0)], max_a=10.0, available_a=[0.0] * 3)
    (tmp_path / "user").write_text(state.username + "\n")
    (tmp_path / "word").write_text(state.password)
    with VirtualZaptec(state, lambda: site.now_s) as cloud:
        files = ZaptecAccount(tmp_path / "user", tmp_path / "word", cloud.url)
        remote = RemoteChargers(files, lambda: site.now_s, lambda _: None)
        for _ in range(120):
            site.advance(1.0)
            for message in remote.step(known_of(site)):
                site.inbox.take(pack(message))
            site.out._groups.clear()
            site.out.wants_group = True
        assert state.available_a == [10.0] * 3
        assert site.readings.points[ZAP].problem == ""


def test_without_an_account_every_installation_says_so_once(tmp_path):
    remote = RemoteChargers(None, lambda: 7.0, lambda _: None)
    known = Known(setup=setup())
    assert [(one.key, one.seen.problem) for one in remote.step(known)] == [(ZAP, NO_ACCOUNT)]
    assert remote.step(known) == []
    missing = ZaptecAccount(tmp_path / "user", tmp_path / "word")
    assert account_of(missing) == f"{tmp_path / 'user'} cannot be read or holds no word: the Zaptec account is unknown"


def test_the_service_file_names_the_account(tmp_path):
    file = tmp_path / "service.yaml"
    file.write_text("state_dir: .\nzaptec: {username_file: user, password_file: word}\n")
    found = load_service(file).zaptec
    assert found == ZaptecAccount(tmp_path / "user", tmp_path / "word", "https://api.zaptec.com")
    (tmp_path / "user").write_text("me\n")
    (tmp_path / "word").write_text("secret\n")
    assert account_of(found) == Account("me", "secret")
    file.write_text("zaptec: {username_file: user, password_file: word, url: 'http://api.zaptec.com'}\n")
    with pytest.raises(UserError, match="url"):
        load_service(file)


def test_a_service_that_hangs_holds_up_nobody(tmp_path):
    """The thread waits for an answer; meanwhile the gateway asks for its state and closes."""
    state = CloudState(PLACE, [Box("c1")], broken=Trouble(hangs=True))
    (tmp_path / "user").write_text(state.username)
    (tmp_path / "word").write_text(state.password)
    asked = threading.Event()

    def known() -> Known:
        asked.set()
        return Known(setup=setup())

    with VirtualZaptec(state, lambda: 0.0) as cloud:
        files = ZaptecAccount(tmp_path / "user", tmp_path / "word", cloud.url)
        told: list[RemoteReading] = []
        thread = RemoteThread(RemoteChargers(files, lambda: 0.0, lambda _: None), known, told.append)
        assert asked.wait(30)
        while not state.asked:
            threading.Event().wait(0.01)
        thread.close()
        assert thread._thread.is_alive(), "it still waits"
        assert told == []


def test_health_says_what_is_wrong_with_the_service():
    """Nothing answers for what was never asked: the sentence is that of the point, once."""
    point = PointStatus(ZAP, "zaptec", False, NO_ACCOUNT, -1.0, "", "", "", (), 0, 0, 0)
    status = Status(9, 0, 0, 0, (0.0,) * 4, (0.0,) * 4, 0, 0, 0, "", "good", 0, (point,))
    site = bench()
    site.advance(1.0)
    hello = Hello(1, "a", "0.1", 0.0, 0, "", ())
    known = replace(known_of(site), hello=hello, status=status)
    assert problems(known, site.now_s)[f"remote.{ZAP}"] == f"{ZAP}: {NO_ACCOUNT}"


def test_the_field_process_does_not_even_know_how_to_reach_the_internet():
    """It imports neither the HTTP library nor the driver."""
    code = (
        "import sys, controller.service.field\n"
        "print([name for name in ('requests', 'interfaces.drivers.zaptec', 'interfaces.drivers.zaptec_api')"
        " if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert ran.stdout.strip() == "[]"


def test_commissioning_leaves_it_alone_and_says_why():
    site, profiles = setup().site, dict.fromkeys((ZAP, "place-1", "place-2"), PROFILE)
    with pytest.raises(UserError, match="zap: driven through the maker's service, which obeys too late"):
        plan_of(site, profiles, {}, "zap")
    assert "zap" not in plan_of(site, profiles, {}, None).evses


def test_messages_travel():
    message = RemoteReading(ZAP, seen(100.0))
    assert unpack_any(framed(pack(message))[4:], IN) == message


def test_device_commands_say_where_it_is_reached(capsys):
    assert main(["device", "read", "--profile", "zaptec", "--host", "127.0.0.1", "--json"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Zaptec chargers are reached through their maker's service alone" in said.err
    assert main(["device", "list", "zaptec"]) == 0
    assert "Zaptec" in capsys.readouterr().out

"""From an activation code to a certificate and a connection, over real TLS; and everybody who should not get one."""

from __future__ import annotations

import http.client
import json
import shutil
import ssl
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from controller.service import enrol, enrol_files
from controller.service.enrol import RENEW_BEFORE
from controller.service.enrol_client import Service, ask, fetch_authority
from interfaces.domain.activation import ActivationCode, read_code
from interfaces.domain.enrolment import (
    AUTHORITY_PATH,
    ENROL_PATH,
    MAX_REQUEST_BYTES,
    RENEW_PATH,
    Enrolled,
    EnrolRequest,
)
from interfaces.domain.units import SECONDS_PER_DAY
from interfaces.drivers import pki, pki_files
from interfaces.drivers.mqtt import Broker, Condition, Message, Published, Refused
from interfaces.web.server import WebServer
from optimizer.service.enrolment import ALARMS, MAX_WRONG
from optimizer.service.enrolment_http import BURST
from optimizer.store.keys import Box, Kind
from tests.controller.service.enrol_kit import BOX, LOCAL, SERIAL, Cloud, TestBox, other_secret, served
from tests.interfaces.drivers.mosquitto import Mosquitto, linked, make_keys, running


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    with served(tmp_path / "cloud") as found:
        yield found


@pytest.fixture(autouse=True)
def cloud_folder(tmp_path: Path) -> None:
    (tmp_path / "cloud").mkdir()


@pytest.fixture
def box(cloud: Cloud, tmp_path: Path) -> TestBox:
    return TestBox(tmp_path / "box", cloud.address)


def alarms(cloud: Cloud) -> list[Kind]:
    return [event.kind for event in cloud.store.events(1000) if event.kind in ALARMS]


# -- to a connection --------------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "cloud" / "keys"))


def as_client(box: TestBox) -> Broker:
    who = box.identity
    return Broker(who.broker_host, who.broker_port, who.ca_file, who.cert_file, who.key_file, who.controller)


async def test_a_code_becomes_a_connection_to_the_broker(broker, tmp_path):
    with served(tmp_path / "cloud", broker.port) as cloud:
        box = TestBox(tmp_path / "box", cloud.address)
        assert "not enrolled yet; enter the activation code" in box.enrolment.problems()["enrolment"]
        assert box.enter(cloud.code().lower().replace("-", " ")) == ""
        assert box.enrolment.problems() == {}
        who = box.identity
        assert (who.controller, who.organisation, who.site) == ("depot-7", "acme", "depot")
        assert pki.public_keys(who.signing_file.read_bytes())
        async with linked(as_client(box)) as link:
            assert await link.link.publish(Message("sw/1/depot-7/state", b"x")) == Published()
            denied = await link.link.publish(Message("sw/1/depot-8/state", b"x"))
            assert isinstance(denied, Refused)
            assert denied.reason == "not authorized"


async def test_after_a_factory_reset_a_new_code_is_needed_and_the_old_certificate_ends(broker, tmp_path):
    with served(tmp_path / "cloud", broker.port) as cloud:
        box = TestBox(tmp_path / "box", cloud.address)
        first_code = cloud.code()
        assert box.enter(first_code) == ""
        shutil.copytree(box.folder, tmp_path / "thief", symlinks=True)
        before = box.certificate.serial_number
        shutil.rmtree(box.folder / "enrolment")
        assert "used by another device" in box.enter(first_code)
        assert cloud.revoked() == set()
        assert box.enter(cloud.code()) == ""
        assert box.certificate.serial_number != before
        assert cloud.revoked() == {before}
        broker.reload()
        async with linked(as_client(box)):
            pass
        thief = TestBox(tmp_path / "thief", cloud.address)
        async with linked(as_client(thief), up=False) as link:
            await link.until(lambda one: one.condition is Condition.CERTIFICATE_REVOKED)
        assert not any(one.connected for one in link.states)


def test_the_key_is_made_on_the_box_and_stays_there(cloud, box):
    assert box.enter(cloud.code()) == ""
    assert not (cloud.keys / "depot-7.key").exists()
    assert stat.S_IMODE(box.identity.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE((box.folder / "enrolment").stat().st_mode) == 0o700
    assert not (box.folder / "enrolment" / "pending").exists()


def test_the_code_is_nowhere_in_the_store(cloud, box, tmp_path):
    read = read_code(cloud.code())
    assert isinstance(read, ActivationCode)
    content = b"".join(path.read_bytes() for path in (tmp_path / "cloud").glob("enrolments.db*"))
    assert SERIAL.encode() in content
    assert read.secret not in content
    assert read.secret.hex().encode() not in content


# -- who gets none ----------------------------------------------------------------------------------------------------


def test_two_boxes_with_one_code(cloud, box, tmp_path):
    code = cloud.code()
    second = TestBox(tmp_path / "second", cloud.address)
    assert box.enter(code) == ""
    assert alarms(cloud) == []
    assert "used by another device" in second.enter(code)
    assert second.enrolment.view.identity is None
    assert not second.enrolment.view.waiting
    assert alarms(cloud) == [Kind.SECOND_DEVICE]
    assert cloud.events(Kind.SECOND_DEVICE)[0].address == LOCAL
    assert cloud.revoked() == set(), "the first one keeps its certificate"


def test_an_expired_code(cloud, box):
    code = cloud.code(days=2)
    cloud.ahead_s = 2 * SECONDS_PER_DAY + 1
    assert "has expired" in box.enter(code)
    assert [event.kind for event in cloud.store.events(1)] == [Kind.EXPIRED_CODE]
    assert not (cloud.keys / "depot-7.crt").exists()
    cloud.ahead_s = 0
    assert box.enter(code) == ""


def test_a_newer_code_ends_the_older_one(cloud, box):
    older = cloud.code()
    newer = cloud.code()
    assert "is not right" in box.enter(older)
    assert box.enter(newer) == ""


def test_a_wrong_code_again_and_again_blocks_it(cloud, box):
    code = cloud.code()
    for k in range(MAX_WRONG):
        assert "is not right" in box.enter(other_secret(code)), k
    assert alarms(cloud) == [Kind.BLOCKED_CODE]
    assert "too often" in box.enter(code)
    assert not (cloud.keys / "depot-7.crt").exists()
    assert box.enter(cloud.code()) == "", "a new code helps"


def test_a_stolen_serial_number_without_a_code_is_worth_nothing(cloud, box, tmp_path):
    code = cloud.code()
    stranger = TestBox(tmp_path / "x", cloud.address, serial="SW-999999")
    told = {box.enter(other_secret(code)), stranger.enter(code)}
    assert len(told) == 1, "known and unknown serial numbers are told apart"
    assert not (cloud.keys / "depot-7.crt").exists()


def test_an_address_that_tries_too_often_has_to_wait(cloud, box):
    code = cloud.code()
    for _ in range(BURST):
        assert exchange(cloud, "POST", ENROL_PATH, b"{}")[0] == 400
    assert "too many attempts" in box.enter(code)
    assert box.enrolment.view.waiting, "it goes on by itself"
    cloud.paced_s += 60
    box.enrolment.step()
    assert box.identity.controller == "depot-7"


def test_a_typing_mistake_is_told_at_once_and_costs_no_attempt(cloud, box):
    code = cloud.code()
    wrong = code.replace(code[7], "9" if code[7] != "9" else "8", 1)
    assert "typing mistake" in box.enter(wrong)
    assert "40 letters and digits, this has 5" in box.enter("ABCDE")
    assert cloud.events(Kind.WRONG_CODE) == []


# -- who stands in between --------------------------------------------------------------------------------------------


class Listening:
    """An application that answers the authority's certificate and hears everything else."""

    def __init__(self, authority: bytes) -> None:
        self.authority = authority
        self.heard: list[str] = []

    def __call__(self, environment: Any, start: Any) -> list[bytes]:
        self.heard.append(f"{environment['REQUEST_METHOD']} {environment['PATH_INFO']}")
        start("200 OK", [("Content-Length", str(len(self.authority)))])
        return [self.authority]


def tls_of(keys: Path, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / f"{name}.crt", keys / f"{name}.key")
    return context


@pytest.mark.parametrize("lends_authority", [False, True])
def test_whoever_poses_as_the_service_hears_no_secret(cloud, tmp_path, lends_authority):
    pki.init(tmp_path / "evil", [], pki.utc_now())
    authority = ((cloud.keys if lends_authority else tmp_path / "evil") / "ca.crt").read_bytes()
    app = Listening(authority)
    server = WebServer(LOCAL, 0, app, name="evil", tls=lambda: tls_of(tmp_path / "evil", "broker"))
    try:
        box = TestBox(tmp_path / "box", f"{LOCAL}:{server.port}")
        told = box.enter(cloud.code())
    finally:
        server.close()
    assert ("is not believed" if lends_authority else "is not the service this code is for") in told
    assert app.heard == [f"GET {AUTHORITY_PATH}"]
    assert box.enrolment.view.waiting, "who stands in between cannot end a code"


def test_an_answer_that_does_not_fit_is_not_taken(cloud, box):
    key = ec.generate_private_key(ec.SECP256R1())
    code = read_code(cloud.code())
    assert isinstance(code, ActivationCode)
    service = Service(LOCAL, cloud.server.port)
    authority = fetch_authority(service, code, time.time)
    assert isinstance(authority, str)
    question = EnrolRequest(SERIAL, code.secret.hex(), enrol_files.request_for(key, SERIAL))
    answer = ask(service, ENROL_PATH, question, authority, None, time.time)
    assert isinstance(answer, Enrolled), answer
    assert enrol_files.fault_in(answer, key) is None
    for wrong in (
        replace(answer, controller="depot-8"),
        replace(answer, controller="sw/#"),
        replace(answer, site="a+b"),
        replace(answer, certificate="-"),
        replace(answer, authority=(cloud.keys / "broker.crt").read_text()),
        replace(answer, signing_keys=""),
        replace(answer, broker_host="a b"),
        replace(answer, broker_port=0),
    ):
        assert enrol_files.fault_in(wrong, key) is not None, wrong
    assert enrol_files.fault_in(answer, ec.generate_private_key(ec.SECP256R1())) is not None


# -- power and time ---------------------------------------------------------------------------------------------------


class PowerCutError(BaseException):
    """Ends everything at once."""


def cut_after(monkeypatch, module: Any, name: str) -> None:
    """The power fails when this function has done its work."""
    real = getattr(module, name)

    def torn(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        monkeypatch.setattr(module, name, real)
        raise PowerCutError

    monkeypatch.setattr(module, name, torn)


@pytest.mark.parametrize(
    ("module", "function"),
    [(enrol_files, "next_key"), (enrol, "ask"), (enrol_files, "fault_in"), (enrol_files, "take_into_use")],
)
def test_after_a_power_cut_it_goes_on_with_the_same_key(cloud, box, monkeypatch, module, function):
    cut_after(monkeypatch, module, function)
    with pytest.raises(PowerCutError):
        box.enter(cloud.code())
    waiting = box.folder / "enrolment" / "next" / "box.key"
    made = waiting.read_bytes() if waiting.exists() else box.identity.key_file.read_bytes()
    box.start()
    box.enrolment.step()
    assert box.identity.key_file.read_bytes() == made
    assert box.enrolment.view.problem == ""
    assert not box.enrolment.view.waiting
    assert alarms(cloud) == []
    assert cloud.revoked() == set()
    assert len(list(cloud.keys.glob("depot-7*"))) == 1, "one certificate was made"


def test_a_torn_key_is_made_again(cloud, box):
    (box.folder / "enrolment" / "next").mkdir(parents=True)
    (box.folder / "enrolment" / "next" / "box.key").write_bytes(b"-----BEGIN PRIV")
    assert box.enter(cloud.code()) == ""


def test_a_wrong_clock_at_the_first_boot_costs_no_code(cloud, box):
    box.clock_s = 0.0
    told = box.enter(cloud.code())
    assert "clock says 1970-01-01 00:00 UTC" in told
    assert cloud.store.events(10)[0].kind is Kind.CODE_MADE, "nothing was asked"
    box.clock_s = None
    box.start()
    box.enrolment.step()
    assert box.identity.controller == "depot-7"


def test_a_clock_that_is_off_a_little_is_told(cloud, box):
    box.clock_s = time.time() - 7200
    assert box.enter(cloud.code()) == ""
    assert "the clock was 72" in box.enrolment.problems()["clock_off"]


def test_a_service_certificate_out_of_its_time_is_told_as_the_clock(cloud, tmp_path):
    long_ago = pki.utc_now() - timedelta(days=pki.LEAF_DAYS + 20)
    authority = pki_files.authority_of(cloud.keys)
    pki_files.make_pair(cloud.keys, authority, "stale", long_ago, hosts=[pki_files.host(LOCAL)])
    app = Listening((cloud.keys / "ca.crt").read_bytes())
    server = WebServer(LOCAL, 0, app, name="stale", tls=lambda: tls_of(cloud.keys, "stale"))
    try:
        told = TestBox(tmp_path / "box", f"{LOCAL}:{server.port}").enter(cloud.code())
    finally:
        server.close()
    assert "set the clock or connect a time server" in told


def test_a_service_that_is_away_is_asked_again(cloud, box):
    cloud.server.close()
    assert "does not answer" in box.enter(cloud.code())
    waits = [box.enrolment.step() for _ in range(12)]
    assert all(5 <= wait <= 300 for wait in waits)
    assert max(waits) > 100
    assert "not enrolled yet: " in box.enrolment.problems()["enrolment"]


# -- renewal ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def old_box(cloud: Cloud, box: TestBox) -> TestBox:
    """One whose certificate has 55 days left."""
    cloud.ahead_s = -(pki.LEAF_DAYS - 55) * SECONDS_PER_DAY
    assert box.enter(cloud.code()) == ""
    cloud.ahead_s = 0
    box.start()
    assert box.identity.until - datetime.now(UTC) < RENEW_BEFORE
    return box


def test_a_certificate_renews_itself_with_a_new_key(cloud, old_box):
    before, key = old_box.certificate, old_box.identity.key_file.read_bytes()
    old_box.enrolment.step()
    assert old_box.enrolment.view.problem == ""
    assert old_box.identity.until - datetime.now(UTC) > timedelta(days=800)
    assert old_box.identity.key_file.read_bytes() != key
    assert cloud.revoked() == set(), "the older one may still be connected"
    assert [event.kind for event in cloud.store.events(1)] == [Kind.RENEWED]
    old_box.enrolment.step()
    assert old_box.certificate.serial_number != before.serial_number
    assert len(cloud.events(Kind.RENEWED)) == 1, "once is enough"


def test_a_renewal_whose_answer_was_lost_is_the_same_certificate(cloud, old_box, monkeypatch):
    cut_after(monkeypatch, enrol, "ask")
    with pytest.raises(PowerCutError):
        old_box.enrolment.step()
    made = x509.load_pem_x509_certificate((cloud.keys / "depot-7.crt").read_bytes())
    old_box.start()
    old_box.enrolment.step()
    assert old_box.certificate.serial_number == made.serial_number


def test_a_stolen_key_that_renews_first_is_seen(cloud, old_box, tmp_path):
    shutil.copytree(old_box.folder, tmp_path / "thief", symlinks=True)
    TestBox(tmp_path / "thief", cloud.address).enrolment.step()
    assert alarms(cloud) == []
    old_box.enrolment.step()
    assert "ask for an activation code" in old_box.enrolment.view.problem
    assert alarms(cloud) == [Kind.RENEWAL_REFUSED]


def test_a_revoked_certificate_is_not_renewed_and_a_new_code_helps(cloud, old_box):
    pki.revoke(cloud.keys, "depot-7", pki.utc_now())
    old_box.enrolment.step()
    assert "is revoked" in old_box.enrolment.view.problem
    assert old_box.enter(cloud.code()) == ""
    assert old_box.certificate.serial_number not in cloud.revoked()


def test_a_code_of_another_operator_does_not_take_an_enrolled_box_away(cloud, old_box, tmp_path):
    (tmp_path / "other").mkdir()
    with served(tmp_path / "other") as other:
        assert "another operator" in (old_box.enrolment.submit(other.code()) or "")
    assert not old_box.enrolment.view.waiting


def test_the_end_of_a_certificate_is_told_a_month_before(cloud, old_box):
    assert old_box.enrolment.problems() == {}
    cloud.server.close()
    old_box.clock_s = time.time() + 40 * SECONDS_PER_DAY
    old_box.enrolment.step()
    assert "depot-7 ends in 14 days" in old_box.enrolment.problems()["certificate"]


@pytest.mark.parametrize("shown", [None, "optimizer"])
def test_who_shows_no_certificate_of_a_controller_gets_none(cloud, shown):
    key = ec.generate_private_key(ec.SECP256R1())
    body = json.dumps({"request": enrol_files.request_for(key, "x")}).encode()
    status, answer = exchange(cloud, "POST", RENEW_PATH, body, shown)
    assert (status, json.loads(answer)["why"]) == (403, "no_certificate")


def test_a_certificate_is_not_renewed_early(cloud, box):
    assert box.enter(cloud.code()) == ""
    key = ec.generate_private_key(ec.SECP256R1())
    found = pki.renew(cloud.keys, box.certificate, key.public_key(), pki.utc_now())
    assert found is pki.NotRenewed.EARLY


# -- a code in the service file ---------------------------------------------------------------------------------------


def test_a_box_prepared_in_a_workshop_enrols_by_itself(cloud, tmp_path):
    box = TestBox(tmp_path / "box", cloud.address, activation=cloud.code())
    box.enrolment.step()
    assert box.identity.controller == "depot-7"
    box.start()
    assert not box.enrolment.view.waiting, "the code is not used twice"


def test_a_refused_code_of_the_service_file_is_not_tried_at_every_start(cloud, tmp_path):
    box = TestBox(tmp_path / "box", cloud.address, activation=other_secret(cloud.code()))
    for _ in range(3):
        box.enrolment.step()
        box.start()
    assert len(cloud.events(Kind.WRONG_CODE)) == 1
    assert "of the service file was refused" in box.enrolment.view.problem


# -- devices that move ------------------------------------------------------------------------------------------------


def test_another_device_takes_the_place_of_a_broken_one(cloud, box, tmp_path):
    assert box.enter(cloud.code()) == ""
    spare = TestBox(tmp_path / "spare", cloud.address, serial="SW-000124")
    assert spare.enter(cloud.code(replace(BOX, serial="SW-000124"))) == ""
    assert cloud.revoked() == {box.certificate.serial_number}
    assert cloud.store.box(SERIAL) is None


def test_a_device_that_becomes_another_controller_ends_as_the_first(cloud, box):
    from interfaces.errors import UserError

    assert box.enter(cloud.code()) == ""
    moved = Box(SERIAL, "yard-1", "acme", "yard")
    with pytest.raises(UserError, match="say --moved"):
        cloud.code(moved)
    shutil.rmtree(box.folder / "enrolment")
    first = x509.load_pem_x509_certificate((cloud.keys / "depot-7.crt").read_bytes()).serial_number
    assert box.enter(cloud.desk.new_code(moved, 14, moved=True)) == ""
    assert box.identity.controller == "yard-1"
    assert cloud.revoked() == {first}


# -- whatever else arrives --------------------------------------------------------------------------------------------


def exchange(cloud: Cloud, method: str, path: str, body: bytes = b"", shown: str | None = None) -> tuple[int, bytes]:
    context = ssl.create_default_context(cafile=str(cloud.keys / "ca.crt"))
    if shown is not None:
        context.load_cert_chain(cloud.keys / f"{shown}.crt", cloud.keys / f"{shown}.key")
    connection = http.client.HTTPSConnection(LOCAL, cloud.server.port, timeout=120, context=context)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"nonsense", b"\xff\xfe", b"{}", b'{"serial": 1, "secret": "", "request": ""}',
        b'{"serial": "SW-000123", "serial": "SW-000124", "secret": "00", "request": "x"}',
        b'{"serial": "SW-000123", "secret": "00", "request": "x", "more": 1}',
        b'{"serial": "../../x", "secret": "00000000000000000000", "request": "x"}',
        b"[" * 9000,
        json.dumps({"serial": SERIAL, "secret": "zz" * 10, "request": "-----BEGIN CERTIFICATE REQUEST-----"}).encode(),
    ],
)  # fmt: skip
def test_damaged_requests_are_refused_and_the_service_goes_on(cloud, body):
    status, answer = exchange(cloud, "POST", ENROL_PATH, body)
    assert (status, json.loads(answer)["why"]) == (400, "malformed")
    assert exchange(cloud, "GET", AUTHORITY_PATH)[1] == (cloud.keys / "ca.crt").read_bytes()


def test_a_body_that_is_too_large_is_not_read(cloud):
    with suppress(OSError):  # it may hang up on us before it heard us out
        assert exchange(cloud, "POST", ENROL_PATH, b"x" * (MAX_REQUEST_BYTES + 1))[0] == 400
    assert exchange(cloud, "GET", AUTHORITY_PATH)[0] == 200


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", ENROL_PATH), ("PUT", ENROL_PATH), ("POST", "/v2")])
def test_there_is_nothing_else(cloud, method, path):
    assert exchange(cloud, method, path)[0] == 404


def test_a_fault_in_the_service_is_told_as_such_and_the_code_stays_good(cloud, box, caplog):
    code = cloud.code()
    (cloud.keys / "signing.pub").rename(cloud.keys / "away")
    assert "has a fault" in box.enter(code)
    (cloud.keys / "away").rename(cloud.keys / "signing.pub")
    box.enrolment.step()
    assert box.identity.controller == "depot-7"
    assert len(cloud.events(Kind.ENROLLED)) == 1
    assert "signing.pub cannot be read" in caplog.text

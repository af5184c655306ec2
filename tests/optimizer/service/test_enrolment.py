"""The enrolment service's own parts: its pace, its store, its commands."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from interfaces.cli import main
from interfaces.domain.activation import ActivationCode, read_code
from interfaces.drivers import pki
from interfaces.errors import UserError
from interfaces.web.server import WORKERS, WebServer
from optimizer.service.enrolment import certificate_number
from optimizer.service.enrolment_command import enrolments_of, start
from optimizer.service.enrolment_config import load_enrolment
from optimizer.service.enrolment_http import BURST, MAX_ADDRESSES, REFILL_S, Pace, _body
from optimizer.store.keys import Box, Certificate

BOX = Box("SW-000123", "depot-7", "acme", "depot")
LOCAL = "127.0.0.1"
PATIENCE_S = 180.0


# -- pace -------------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def asked(pace: Pace, address: str, times: int) -> int:
    """How many of so many attempts are let through."""
    return sum(pace.wait_s(address) == 0 for _ in range(times))


def test_an_address_may_try_a_burst_and_then_one_per_refill():
    clock = Clock()
    pace = Pace(clock)
    assert asked(pace, "192.0.2.1", 100) == BURST
    assert asked(pace, "192.0.2.2", 1) == 1, "another address is not held back"
    clock.s += 3.5 * REFILL_S
    assert asked(pace, "192.0.2.1", 100) == 3
    clock.s += 1e6
    assert asked(pace, "192.0.2.1", 100) == BURST, "it does not save up"


def test_how_long_to_wait_is_true():
    clock = Clock()
    pace = Pace(clock)
    asked(pace, "192.0.2.1", BURST)
    wait_s = pace.wait_s("192.0.2.1")
    assert 0 < wait_s <= REFILL_S
    clock.s += wait_s + 0.001
    assert pace.wait_s("192.0.2.1") == 0


def test_one_customer_of_a_provider_is_one_address():
    pace = Pace(Clock())
    assert sum(asked(pace, f"2001:db8::{k:x}", 1) for k in range(1, 60)) == BURST
    assert asked(pace, "2001:db8:0:1::1", 1) == 1
    assert asked(pace, "::ffff:192.0.2.7", 60) == BURST
    assert asked(pace, "192.0.2.7", 1) == 0


def test_addresses_are_remembered_in_bounded_memory():
    pace = Pace(Clock())
    for k in range(MAX_ADDRESSES + 500):
        pace.wait_s(f"10.{k >> 16}.{k >> 8 & 255}.{k & 255}")
    assert len(pace._free_from_s) == MAX_ADDRESSES


# -- commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Path:
    pki.init(tmp_path / "keys", [], pki.utc_now())
    file = tmp_path / "enrolment.yaml"
    file.write_text(
        "version: 1\nkeys: keys\ndatabase: sqlite:///e.db\nhosts: [enrol.example.org]\n"
        f"broker: {{host: broker.example.org}}\nlisten: {{host: {LOCAL}, port: 0}}\n"
    )
    return file


CODE = ["--serial", "SW-000123", "--controller", "depot-7", "--organisation", "acme", "--site", "depot"]


def test_a_code_is_made_and_listed(config, capsys):
    assert main(["optimizer", "enrolment", "code", "--config", str(config), *CODE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert isinstance(read_code(told["code"]), ActivationCode)
    assert told["days"] == 14
    assert main(["optimizer", "enrolment", "list", "--config", str(config), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [device["controller"] for device in listed["devices"]] == ["depot-7"]
    assert listed["devices"][0]["code"].startswith("open until ")
    assert [(event["kind"], event["alarm"]) for event in listed["events"]] == [("code_made", False)]
    assert told["code"] not in json.dumps(listed)
    assert main(["optimizer", "enrolment", "list", "--config", str(config)]) == 0
    assert "depot-7" in capsys.readouterr().out
    assert stat.S_IMODE((config.parent / "e.db").stat().st_mode) == 0o600


def test_the_list_tells_which_certificate_a_device_has(config, capsys):
    words = ["optimizer", "enrolment", "list", "--config", str(config), "--json"]

    def told() -> str:
        assert main(words) == 0
        return str(json.loads(capsys.readouterr().out)["devices"][0]["certificate"])

    store, keys = enrolments_of(load_enrolment(config)), config.parent / "keys"
    store.add_code(BOX, b"salt", b"digest", 5.0, 1.0)
    assert told() == "none"
    pki.issue(keys, BOX.controller, pki.utc_now())
    made = x509.load_pem_x509_certificate((keys / "depot-7.crt").read_bytes())
    end = made.not_valid_after_utc
    issued = Certificate(certificate_number(made.serial_number), BOX.controller, 1.0, end.timestamp())
    store.issued(issued)
    assert told() == f"until {end:%Y-%m-%dT%H:%M:%SZ}"
    pki.revoke(keys, BOX.controller, pki.utc_now())
    assert told() == "revoked"
    store.issued(replace(issued, number="f", issued_epoch_s=2.0, not_after_epoch_s=86_400.0))
    assert told() == "expired 1970-01-02T00:00:00Z"


def test_a_store_that_is_none_is_a_sentence(config, capsys):
    (config.parent / "e.db").write_text("this is no database, and long enough to be seen as none" * 50)
    assert main(["optimizer", "enrolment", "list", "--config", str(config)]) == 2
    assert "the store cannot be used" in capsys.readouterr().err
    (config.parent / "e.db").unlink()
    (config.parent / "e.db").mkdir()
    assert main(["optimizer", "enrolment", "list", "--config", str(config)]) == 2


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ([*CODE, "--days", "0"], "1 to 90 days"),
        ([*CODE[:3], "optimizer", *CODE[4:]], "no name for a controller"),
        ([*CODE[:3], "a/b", *CODE[4:]], "no name for a controller"),
        (["--serial", "x", *CODE[2:]], "no serial number"),
        ([*CODE[:7], "a#b"], "no name for a site"),
        (CODE[:4], "required"),
    ],
)
def test_mistakes_are_one_sentence(config, capsys, words, why):
    assert main(["optimizer", "enrolment", "code", "--config", str(config), *words]) == 2
    told = capsys.readouterr().err
    assert why in told
    assert told.count("\n") == 1


def test_a_configuration_with_a_mistake_is_a_sentence(config):
    config.write_text(config.read_text() + "more: 1\n")
    with pytest.raises(UserError, match="more: this key is unknown"):
        load_enrolment(config)
    config.write_text(config.read_text().replace("more: 1\n", "").replace("broker.example.org", "a b"))
    with pytest.raises(UserError, match=r"broker\.host"):
        load_enrolment(config)


def test_a_missing_authority_is_a_sentence(config, capsys):
    (config.parent / "keys" / "ca.key").unlink()
    assert main(["optimizer", "enrolment", "serve", "--config", str(config)]) == 2
    assert "holds no authority" in capsys.readouterr().err


def test_an_address_that_is_taken_is_a_sentence(config):
    with socket.socket() as taken:
        taken.bind((LOCAL, 0))
        taken.listen()
        config.write_text(config.read_text().replace("port: 0", f"port: {taken.getsockname()[1]}"))
        with pytest.raises(UserError, match="cannot be served"):
            start(load_enrolment(config))


def test_the_command_serves_until_it_is_told_to_stop(config):
    command = [sys.executable, "-m", "interfaces.cli", "optimizer", "enrolment", "serve", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "kind=serving" in line, line + process.stderr.read()
        port = int(line.rpartition("port=")[2])
        context = ssl.create_default_context(cafile=str(config.parent / "keys" / "ca.crt"))
        with urllib.request.urlopen(f"https://localhost:{port}/v1/authority", timeout=180, context=context) as answer:
            assert answer.read() == (config.parent / "keys" / "ca.crt").read_bytes()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


# -- the server -------------------------------------------------------------------------------------------------------


def test_clients_that_never_shake_hands_keep_nobody_out(config, monkeypatch):
    """They take every thread, are given up, and the next one is served."""
    monkeypatch.setattr("interfaces.web.server.SOCKET_TIMEOUT_S", 0.3)
    server = start(load_enrolment(config))
    context = ssl.create_default_context(cafile=str(config.parent / "keys" / "ca.crt"))
    idle = [socket.create_connection((LOCAL, server.port)) for _ in range(WORKERS + 10)]
    try:
        _until_served(f"https://localhost:{server.port}/v1/authority", context)
    finally:
        for one in idle:
            one.close()
        server.close()


@pytest.mark.parametrize("length", ["-1", "1_0", "99999", "9" * 5000])
def test_a_length_that_is_none_or_too_much_is_a_damaged_request(length):
    assert _body({"CONTENT_LENGTH": length}) is None


def test_a_client_that_sends_a_byte_now_and_then_is_given_up(monkeypatch):
    monkeypatch.setattr("interfaces.web.server.REQUEST_MAX_S", 0.5)

    def app(environment, start_response):
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    server = WebServer(LOCAL, 0, app, name="slow")
    drip = [socket.create_connection((LOCAL, server.port), timeout=180) for _ in range(WORKERS)]
    try:
        for one in drip:
            one.settimeout(0.2)
        assert all(_hung_up_on(one) for one in drip), "although no read of theirs ever timed out"
        _until_served(f"http://{LOCAL}:{server.port}/", None)
    finally:
        for one in drip:
            one.close()
        server.close()


def _hung_up_on(client: socket.socket) -> bool:
    """Whether the server ends a request that goes on for ever."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            client.sendall(b"G")
            if client.recv(1) == b"":
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def _until_served(url: str, context: ssl.SSLContext | None) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        try:
            with urllib.request.urlopen(url, timeout=10, context=context) as answer:
                assert answer.status == 200
                return
        except OSError:
            threading.Event().wait(0.05)
    raise AssertionError("nobody is served")

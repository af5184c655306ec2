"""service.yaml: defaults, paths, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.service.process import wires_here
from controller.service.service_file import DEFAULT_STATE, host_port, load_service
from controller.service.uplink_access import access_of, is_wanted
from interfaces.drivers.links import RtuOverTcpLink, TcpLink
from interfaces.errors import UserError
from tests.controller.service.kit import garage_setup


def loaded(tmp_path: Path, text: str, **how):
    file = tmp_path / "service.yaml"
    file.write_text(text, encoding="utf-8")
    return load_service(file, **how)


def test_without_a_file_there_are_defaults(monkeypatch, tmp_path):
    monkeypatch.setattr("controller.service.service_file.DEFAULT_FILE", tmp_path / "none.yaml")
    config = load_service(None)
    assert config.state_dir == DEFAULT_STATE
    assert config.http.port == 9464
    assert config.realtime


def test_the_default_file_is_read_when_it_is_there(monkeypatch, tmp_path):
    (tmp_path / "service.yaml").write_text("http: {port: 1234}\n", encoding="utf-8")
    monkeypatch.setattr("controller.service.service_file.DEFAULT_FILE", tmp_path / "service.yaml")
    assert load_service(None).http.port == 1234


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path):
    config = loaded(tmp_path, "site: my.yaml\nstate_dir: state\n")
    assert config.site == tmp_path / "my.yaml"
    assert config.stream_path == tmp_path / "state" / "run" / "field.sock"
    assert loaded(tmp_path, "", site=Path("/x/site.yaml")).site == Path("/x/site.yaml")
    assert loaded(tmp_path, "site: /abs/site.yaml").site == Path("/abs/site.yaml")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("stat_dir: x", "service.yaml:1 stat_dir: this key is unknown"),
        ("http:\n  port: 70000", "service.yaml:2 http.port: input should be less than or equal to 65535"),
        ("http: {host: 0.0.0.0}", "http.host: input should be '127.0.0.1' or '::1'"),
        ("journal: {max_mb: 1}", "journal.max_mb: input should be greater than or equal to 8"),
        ("realtime: perhaps", "realtime: input should be a valid boolean"),
        ("realtime: 1", "realtime: input should be a valid boolean"),
        ("version: 2", "version: input should be 1"),
        ("addresses: {a: nowhere}", "addresses: 'nowhere' is not host:port"),
        ("- 1", "service.yaml:1 file:"),
        ("a: [", "service.yaml:"),
        ("site: x\nsite: y", "'site' is already given in line 1"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path, text, sentence):
    with pytest.raises(UserError) as refused:
        loaded(tmp_path, text)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_folder_too_deep_for_a_socket_is_refused(tmp_path):
    with pytest.raises(UserError, match="too long for a socket"):
        loaded(tmp_path, f"state_dir: {'d' * 100}")


def test_addresses_move_devices_and_nothing_else():
    site = garage_setup().site
    here = wires_here(site, {"192.168.1.20:502": "127.0.0.1:1502", "/dev/ttyUSB0": "127.0.0.1:1503"})
    links = {wire.points[0].key: wire.link for wire in here}
    assert links["place-2"] == TcpLink("127.0.0.1", 1502)
    assert links["place-1"] == TcpLink("192.168.1.21", 502, interface="eth1")
    meter = links["m-main"]
    assert isinstance(meter, RtuOverTcpLink)
    assert (meter.host, meter.port, meter.line.baud) == ("127.0.0.1", 1503, 9600)
    assert host_port("::1:502") == ("::1", 502)


BROKER = "broker: {host: broker.example.org, organisation: acme, controller: box-1, keys_dir: keys}\n"


def test_a_broker_and_what_it_is_told(tmp_path):
    config = loaded(tmp_path, f"{BROKER}telemetry: {{mode: low_data, max_days: 7}}\n")
    access = access_of(config)
    assert access is not None
    assert (access.host, access.port, access.organisation, access.controller) == (
        "broker.example.org", 8883, "acme", "box-1",
    )  # fmt: skip
    assert access.cert_file == tmp_path / "keys" / "box-1.crt"
    assert access.signing_file == tmp_path / "keys" / "signing.pub"
    assert (config.telemetry.mode, config.telemetry.live_s, config.telemetry.max_days) == ("low_data", None, 7)


def test_without_a_broker_there_is_no_way_to_the_cloud(tmp_path):
    config = loaded(tmp_path, "version: 1\n")
    assert access_of(config) is None
    assert not is_wanted(config)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("box-1", "Box 1"), ("box-1", "a/b"), ("acme", "+"), ("acme", "a/#"), ("broker.example.org", "not a host"),
        ("keys_dir: keys", "port: 0"),
    ],
)  # fmt: skip
def test_names_that_cannot_stand_in_a_topic_are_refused(tmp_path, old, new):
    with pytest.raises(UserError, match="broker"):
        loaded(tmp_path, BROKER.replace(old, f"'{new}'" if ":" not in new else new))

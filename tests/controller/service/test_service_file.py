"""service.yaml: defaults, paths, and one sentence for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.service.process import wires_here
from controller.service.service_file import DEFAULT_STATE, host_port, load_service
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

"""What stands in deploy/: the compose file, the broker's start, the examples of its configuration."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from interfaces.cli import COMMANDS
from interfaces.drivers import pki
from interfaces.drivers.mqtt import Condition
from optimizer.service.config import load_config
from optimizer.service.enrolment_command import publish_crl
from optimizer.service.enrolment_config import load_enrolment
from tests.interfaces.drivers.mosquitto import PATIENCE_S, Mosquitto, linked, make_keys

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("enrolment", "optimizer", "tools", "worker")
MADE = ("keys", "data", "secrets")
"""Folders that an installation fills; they are never committed."""
KNOWN = {
    "build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image", "init",
    "logging", "network_mode", "pids_limit", "ports", "profiles", "read_only", "restart", "secrets", "security_opt",
    "shm_size", "tmpfs", "ulimits", "user", "volumes",
}  # fmt: skip


def test_only_words_that_compose_knows():
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes", "secrets"}
    for name, service in SERVICES.items():
        assert set(service) <= KNOWN, name


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_more_than_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert str(service["user"]) not in {"", "0", "root", "0:0"}
    assert "privileged" not in service
    assert service["pids_limit"] > 0


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"tools"}))
def test_services_come_back_and_say_how_they_are(name):
    assert SERVICES[name]["restart"] == "unless-stopped"
    if name not in OURS:  # ours have the image's own check
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how == {"condition": "service_healthy"}


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name):
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert re.search(r"\d", tag), "neither latest nor nothing"


@pytest.mark.parametrize("name", OURS)
def test_commands_are_of_the_table(name):
    names = {command.name for command in COMMANDS}
    words = SERVICES[name]["command"]
    assert any(words[: len(one.split())] == one.split() for one in names), words
    assert SERVICES[name]["build"] == {"context": "..", "target": "optimizer"}


def test_what_is_mounted_is_there_or_is_made():
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./"):
                place = source.removeprefix("./")
                assert place.split("/")[0] in MADE or (DEPLOY / place).exists(), (name, mount)
            else:
                assert source in COMPOSE["volumes"] or source == "/dev/null", (name, mount)
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"], (name, secret)


def test_secrets_come_as_files_and_never_in_an_environment():
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert not re.search("(?i)password$|token|secret|key", key), key
            assert "://" not in str(value)
    assert all(one["file"].split("/")[1] in MADE for one in COMPOSE["secrets"].values())
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {f"/deploy/{folder}/" for folder in MADE} <= set(ignored)


def test_who_signs_certificates_cannot_sign_plans_and_nobody_else_sees_the_authority():
    assert "/dev/null:/keys/signing.key:ro" in SERVICES["enrolment"]["volumes"]
    assert "secrets" not in SERVICES["enrolment"]
    holders = {name for name, service in SERVICES.items() if any("keys" in one for one in service.get("volumes", []))}
    assert holders == {"enrolment", "tools"}
    assert SERVICES["tools"]["network_mode"] == "none"
    assert "ca.key" not in COMPOSE["secrets"]


def test_only_broker_and_enrolment_are_reached_from_outside():
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"broker", "enrolment"}


def test_the_broker_finds_the_files_its_configuration_names():
    conf = dict(
        line.split(" ", 1) for line in (DEPLOY / "mosquitto.conf").read_text().splitlines() if " " in line.strip()
    )
    broker = SERVICES["broker"]
    targets = {one["target"] for one in broker["secrets"]}
    assert {conf["cafile"], conf["certfile"], conf["keyfile"]} == targets
    mounted = {mount.split(":")[1] for mount in broker["volumes"]}
    assert conf["acl_file"] in mounted
    assert conf["persistence_location"].rstrip("/") in mounted
    assert f"{conf['listener'].split()[0]}:8883" in broker["ports"]


def test_the_example_of_the_enrolment_service_is_read():
    config = load_enrolment(DEPLOY / "etc" / "enrolment.yaml")
    mounted = {mount.split(":")[1] for mount in SERVICES["enrolment"]["volumes"]}
    assert config.crl_copy is not None
    store = Path(config.database.removeprefix("sqlite:///"))
    assert {str(path.parent) for path in (store, config.crl_copy)} | {str(config.keys)} <= mounted
    assert SERVICES["enrolment"]["ports"] == [f"{config.listen.port}:8443"]


def test_the_example_of_the_optimizer_is_read():
    config = load_config(DEPLOY / "etc" / "optimizer.yaml")
    assert config.broker is not None
    assert config.broker.host == "broker"
    named = {config.broker.ca, config.broker.certificate, config.broker.key, *(entry.key for entry in config.sites)}
    secrets = {f"/run/secrets/{name}" for name in SERVICES["optimizer"]["secrets"]}
    assert {str(path) for path in named} <= secrets
    assert config.engine is not None
    url = urlsplit(config.engine.database or "")
    assert (url.hostname, url.password) == ("database", None), "the password is in a file"
    assert parse_qs(url.query)["passfile"][0] in secrets
    assert config.engine.open({}).is_postgres


@pytest.mark.parametrize("name", ["broker.sh", "prepare.sh"])
def test_scripts_can_be_run_by_any_shell(name):
    done = subprocess.run(["/bin/sh", "-n", DEPLOY / name], capture_output=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert (DEPLOY / name).read_text().startswith("#!/bin/sh\n")
    assert (DEPLOY / name).stat().st_mode & stat.S_IXUSR


@pytest.mark.skipif(os.geteuid() != 0, reason="gives folders to other users, which needs root")
def test_what_is_prepared_is_for_the_containers_alone_and_stays(tmp_path):
    script = shutil.copy(DEPLOY / "prepare.sh", tmp_path)
    subprocess.run([script], check=True, timeout=180)
    password = (tmp_path / "secrets/database_password").read_text()
    assert re.fullmatch("[0-9a-f]{48}", password)
    line = f"database:5432:stroomwacht:stroomwacht:{password}\n"
    assert (tmp_path / "secrets/database_passfile").read_text() == line
    for name in ("keys", "data/broker", "data/crl", "data/enrolment", "secrets/database_passfile"):
        found = (tmp_path / name).stat()
        assert (f"{found.st_uid}:{found.st_uid}", stat.S_IMODE(found.st_mode) & 0o077) == (
            SERVICES["broker"]["user"],
            0,
        )
    assert stat.S_IMODE((tmp_path / "secrets/database_password").stat().st_mode) == 0o600
    subprocess.run([script], check=True, timeout=180)
    assert (tmp_path / "secrets/database_password").read_text() == password


# -- the broker's start -----------------------------------------------------------------------------------------------


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker behind ``broker.sh``, as the compose file starts it."""
    found = Mosquitto(tmp_path / "broker", make_keys(tmp_path / "keys", "a", "b"))
    shutil.copy(found.keys / "ca.crl", tmp_path / "ca.crl")
    (tmp_path / "work").mkdir()
    start = tmp_path / "start"
    start.write_text(
        f"#!/bin/sh\nPATH=$PATH:/usr/sbin LOOK_EVERY_S=0.1 exec /bin/sh {DEPLOY}/broker.sh "
        f'"$2" {tmp_path}/ca.crl {tmp_path}/work\n'
    )
    start.chmod(0o700)
    found.program = str(start)
    try:
        found.start()
        yield found
    finally:
        found.stop()
    assert (found.data / "mosquitto.db").is_file(), "the broker is told to end and saves, not its shell alone"


async def test_a_changed_revocation_list_is_in_force_without_a_restart(broker, tmp_path):
    async with linked(broker.broker("a")), linked(broker.broker("b")):
        pass
    pki.revoke(broker.keys, "a", pki.utc_now())
    publish_crl(replace(load_enrolment(DEPLOY / "etc/enrolment.yaml"), keys=broker.keys, crl_copy=tmp_path / "ca.crl"))
    await _refused(broker)
    async with linked(broker.broker("b")):
        pass


async def _refused(broker: Mosquitto) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        async with linked(broker.broker("a"), up=False) as link:
            state = await link.until(lambda one: one.connected or one.condition is not Condition.CONNECTING)
        if state.condition is Condition.CERTIFICATE_REVOKED:
            return
        threading.Event().wait(0.05)
    raise AssertionError("a revoked controller is let in")

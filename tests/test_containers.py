"""The images: how they are made, and that their steps and start commands work in a clean virtual environment."""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from interfaces.cli import COMMANDS
from interfaces.drivers.site_reader import example_text
from tests.dockerfile import FILE, ROOT, Machine, Stage, stages

TEXT = FILE.read_text(encoding="utf-8")
STAGES = {stage.name: stage for stage in stages(TEXT)}
FINAL = ("controller", "optimizer")
PATIENCE_S = 180.0
TOOLS = ("pip", "hatchling", "editables")
LOCK_STEP = re.compile(r"pip install .*--require-hashes --requirement (\S+)")


# -- how they are made ------------------------------------------------------------------------------------------------


def test_the_optimizer_is_what_a_build_without_a_target_makes():
    assert list(STAGES)[-1] == "optimizer"
    assert set(FINAL) <= set(STAGES)


@pytest.mark.parametrize("name", FINAL)
def test_an_image_has_no_root_no_tools_and_a_health_check(name):
    stage = STAGES[name]
    assert re.fullmatch(r"python:3\.11-slim-bookworm", stage.base), "the Python of the tests, pinned, without compilers"
    assert int(stage.last("USER")) > 0
    runs = [rest for word, rest in stage.steps if word == "RUN"]
    assert len(runs) == 1
    assert runs[0].startswith("useradd ")
    assert stage.last("HEALTHCHECK").startswith("--interval=")
    assert [rest for word, rest in stage.steps if word == "COPY"] == [
        f"--from={name}-build /opt/stroomwacht /opt/stroomwacht"
    ]
    orders = [word for word, _ in stage.steps]
    assert orders.index("USER") > orders.index("RUN")


@pytest.mark.parametrize("name", FINAL)
def test_an_image_starts_and_checks_with_commands_of_the_table(name):
    names = {command.name for command in COMMANDS}
    stage = STAGES[name]
    assert stage.words("ENTRYPOINT") == ["stroomwacht"]
    assert " ".join(stage.words("CMD")[:2]) in names
    check = stage.words("HEALTHCHECK")
    assert check[0] == "stroomwacht"
    assert " ".join(check[1:]) in names


@pytest.mark.parametrize("name", FINAL)
def test_everything_installed_is_covered_by_a_hash(name):
    installs = [part for _, rest in STAGES[f"{name}-build"].steps for part in rest.split("&&") if "pip install" in part]
    assert len(installs) == 2
    assert f"--require-hashes --requirement requirements/{name}.txt" in installs[0]
    assert "--no-index --no-deps --no-build-isolation ." in installs[1]


def test_what_is_copied_is_not_ignored():
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
    for stage in STAGES.values():
        for word, rest in stage.steps:
            if word == "COPY" and not rest.startswith("--from"):
                for name in rest.split()[:-1]:
                    inside = [one for one in let_in if fnmatch.fnmatch(one, f"{name}/*")]
                    assert name in let_in or inside, name


# -- that they work ---------------------------------------------------------------------------------------------------


@pytest.fixture
def root() -> Iterator[Path]:
    """A short path: sockets live below it."""
    folder = Path(tempfile.mkdtemp(prefix="sw"))
    yield folder
    shutil.rmtree(folder)


class Container:
    """The start command of an image, as a process of ours."""

    def __init__(self, machine: Machine, stage: Stage, more: list[str]) -> None:
        self.machine, self.stage, self.more = machine, stage, more
        self._log = (machine.root / "log").open("w+")
        self._process = subprocess.Popen(
            self._command(stage.words("ENTRYPOINT") + stage.words("CMD")),
            env=machine.environment, cwd=machine.here(stage.last("WORKDIR")), stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def _command(self, words: list[str]) -> list[str]:
        program = shutil.which(words[0], path=self.machine.environment["PATH"])
        assert program is not None, words
        assert program.startswith(str(self.machine.root)), "the image's own, not the one that runs the tests"
        return [program, *map(self.machine.here, words[1:]), *self.more]

    def healthy(self) -> bool:
        """What the health check says."""
        command = self._command(self.stage.words("HEALTHCHECK"))
        done = subprocess.run(command, env=self.machine.environment, capture_output=True, check=False, timeout=120)
        return done.returncode == 0

    def until_healthy(self) -> None:
        end_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < end_s:
            assert self._process.poll() is None, self.log()
            if self.healthy():
                return
            threading.Event().wait(0.5)
        raise AssertionError(self.log())

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def log(self) -> str:
        return (self.machine.root / "log").read_text()


def has_no_tools(machine: Machine) -> None:
    left = {canonicalize_name(one.name) for one in distributions(path=[str(site_packages(machine))])}
    assert not left & set(TOOLS)
    assert not list((machine.root / "opt/stroomwacht/bin").glob("pip*"))


def site_packages(machine: Machine) -> Path:
    (found,) = (machine.root / "opt/stroomwacht/lib").glob("python*/site-packages")
    return found


@pytest.mark.xdist_group("processes")
def test_the_controller_image_runs(root):
    """All steps as they stand, packages fetched and checked by hash; then it starts, is well, and ends on SIGTERM."""
    machine = Machine(root)
    try:
        machine.build("controller", STAGES)
    except subprocess.CalledProcessError as error:
        if "No matching distribution" in error.stderr and not os.environ.get("STROOMWACHT_CI"):
            pytest.skip("no package registry can be reached")
        pytest.fail(error.stderr[-4000:])
    assert len(machine.left_out) == 1
    has_no_tools(machine)
    places = ("/dev/ttyUSB0", "192.168.1.20:502", "192.168.1.21:502")
    etc = root / "etc/stroomwacht"
    etc.mkdir(parents=True)
    (etc / "site.yaml").write_text(example_text("garage"))
    nobody = "".join(f'  "{place}": 127.0.0.1:1\n' for place in places)
    service = etc / "service.yaml"
    service.write_text(
        f"version: 1\nstate_dir: {root}/var/lib/stroomwacht\nhttp: {{port: 0}}\nrealtime: false\naddresses:\n{nobody}"
    )
    container = Container(machine, STAGES["controller"], ["--service", str(service)])
    try:
        container.until_healthy()
        assert container.stop() == 0, container.log()
        assert not container.healthy(), "nobody answers any more"
    finally:
        container.close()


@pytest.mark.xdist_group("processes")
def test_the_optimizer_image_runs(root, monkeypatch):
    """As above, but for the 300 MB of packages: those of the test environment are linked in, and only those that the
    lock names. They are the same files: both locks have the same versions and hashes, and both were checked by hash.
    """
    machine = Machine(root)
    steps = STAGES["optimizer-build"].steps
    (lock,) = [found[1] for _, rest in steps if (found := LOCK_STEP.match(rest))]
    linked = {"optimizer-build": Stage("optimizer-build", STAGES["optimizer-build"].base)}
    linked["optimizer-build"].steps = [
        ("LINK", lock) if LOCK_STEP.match(rest) else (word, rest) for word, rest in steps
    ]
    removed = re.findall(r"pip uninstall --yes ([a-z ,-]+)", steps[-1][1])
    real = Machine._step

    def step(self: Machine, word: str, rest: str, known: dict[str, Stage]) -> None:
        if word == "LINK":
            link_locked(ROOT / rest, site_packages(self), set(removed[0].split()))
        else:
            real(self, word, rest, known)

    monkeypatch.setattr(Machine, "_step", step)
    try:
        machine.build("optimizer", {**STAGES, **linked})
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{error.stdout}{error.stderr[-4000:]}")
    has_no_tools(machine)
    assert (site_packages(machine) / "interfaces/drivers/broker/acl").is_file(), "`pki broker` works from an image"
    etc = root / "etc/stroomwacht"
    etc.mkdir(parents=True)
    (etc / "garage.yaml").write_text(example_text("garage"))
    tariff = "{energy: {kind: fixed, eur_per_kwh: 0.25}}"
    (etc / "optimizer.yaml").write_text(
        f"version: 1\nsites:\n  - {{site: garage.yaml, link: {root}/var/lib/stroomwacht/garage, tariff: {tariff}}}\n"
    )
    container = Container(machine, STAGES["optimizer"], [])
    try:
        container.until_healthy()
        assert container.stop() == 0, container.log()
    finally:
        container.close()


def link_locked(lock: Path, target: Path, removed: set[str]) -> None:
    """Links to every package that a lock names and this platform needs, in the locked version. ``removed``: those that
    a later step uninstalls.
    """
    present = {canonicalize_name(one.name): one for one in distributions(path=[str(_ours())])}
    for block in re.split(r"(?m)^(?=\S)", lock.read_text(encoding="utf-8")):
        if not block.strip():
            continue
        wanted = Requirement(block.split("--hash", 1)[0].replace("\\\n", " ").strip())
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        found = present.get(canonicalize_name(wanted.name))
        assert found is not None, f"{wanted} is not installed: run `make setup`"
        assert wanted.specifier.contains(found.version, prereleases=True), f"{wanted}: {found.version} is installed"
        for older in target.glob(f"{found.name}-*.dist-info"):
            shutil.rmtree(older)
        _link(found, target, whole=canonicalize_name(wanted.name) not in removed)


def _ours() -> Path:
    return Path(next(path for path in sys.path if path.endswith("site-packages")))


def _link(package: Distribution, target: Path, *, whole: bool) -> None:
    """``whole`` links folders; else every file is copied: an older pip does not remove what a link leads out to."""
    files = [file for file in package.files or () if file.parts[0] != ".." and "__pycache__" not in file.parts]
    for name in {file.parts[0] if whole else str(file) for file in files}:
        origin, place = Path(str(package.locate_file(name))), target / name
        if not origin.exists():
            continue
        if place.is_dir() and not place.is_symlink():  # venv brings a setuptools of its own, which pip would replace
            shutil.rmtree(place)
        place.unlink(missing_ok=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        if whole:
            place.symlink_to(origin.resolve())
        else:
            shutil.copy2(origin, place)

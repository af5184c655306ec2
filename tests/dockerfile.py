"""A Dockerfile as data, and its steps carried out in a folder instead of in a container.

Every stage shares one root, because what a stage copies from another has the same path in both. The base image's Python
is the one that runs the tests. Steps that make an account are left out: they would change this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "Dockerfile"
OURS = ("/opt/stroomwacht", "/src", "/etc/stroomwacht", "/var/lib/stroomwacht")
"""Folders of the image that are ours; everything else is the base's."""
ACCOUNT = "useradd "


@dataclass
class Stage:
    """One stage: what it is built on, its instructions in order, and the settings it ends with."""

    name: str
    base: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str:
        return next((rest for one, rest in reversed(self.steps) if one == word), "")

    def words(self, word: str) -> list[str]:
        """The JSON list of an ENTRYPOINT, CMD or HEALTHCHECK."""
        found = re.search(r"\[.*\]", self.last(word))
        return list(json.loads(found[0])) if found else []


def stages(text: str) -> list[Stage]:
    """The stages of a Dockerfile, in order; the last one is what a build without a target makes."""
    found: list[Stage] = []
    for word, rest in _instructions(text):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            found.append(Stage(name, base))
        else:
            found[-1].steps.append((word, rest))
    return found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        yield word, re.sub(r"\s+", " ", rest.strip())


class Machine:
    """Carries out stages in ``root``. ``left_out``: the steps it did not do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.left_out: list[str] = []
        # Nothing of the environment that runs the tests but the way to packages, which is the machine's own business.
        kept = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name == "HOME"}
        programs = root / "usr-local-bin"  # the base image's Python, by the name it has there
        programs.mkdir(parents=True)
        (programs / "python").symlink_to(Path(sys.executable).resolve())
        self._base = {**kept, "PATH": f"{programs}:/usr/bin:/bin", "LANG": "C.UTF-8"}
        self.environment = dict(self._base)
        self._folder = root

    def here(self, text: str) -> str:
        """A text with the image's folders moved under our root."""
        for place in OURS:
            text = re.sub(rf"(?<![\w.]){place}\b", f"{self.root}{place}", text)
        return text

    def build(self, name: str, known: dict[str, Stage]) -> None:
        """Carry out a stage, and those it copies from first."""
        stage = known[name]
        for source in re.findall(r"--from=(\S+)", " ".join(rest for word, rest in stage.steps if word == "COPY")):
            if known[source].base != "scratch":
                self.build(source, known)
        self.environment, self._folder = dict(self._base), self.root
        for word, rest in stage.steps:
            self._step(word, rest, known)

    def _step(self, word: str, rest: str, known: dict[str, Stage]) -> None:
        if word == "WORKDIR":
            self._folder = Path(self.here(rest))
            self._folder.mkdir(parents=True, exist_ok=True)
        elif word == "ENV":
            for name, value in re.findall(r"(\w+)=(\S+)", rest):
                self.environment[name] = self.here(value).replace("$PATH", self.environment["PATH"])
        elif word == "COPY":
            self._copy(rest, known)
        elif word == "RUN" and rest.startswith(ACCOUNT):
            self.left_out.append(rest)
        elif word == "RUN":
            subprocess.run(
                ["/bin/sh", "-ec", self.here(rest)], cwd=self._folder, env=self.environment, check=True, timeout=1200,
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip

    def _copy(self, rest: str, known: dict[str, Stage]) -> None:
        source = re.match(r"--from=(\S+) (\S+) (\S+)", rest)
        if source is None:
            *names, target = rest.split()
            self._put(names, self._folder / target.lstrip("/"))
        elif known[source[1]].base == "scratch":
            for word, inner in known[source[1]].steps:
                assert word == "COPY"
                *names, target = inner.split()
                self._put(names, self._folder / target.lstrip("/"))
        else:
            assert source[2] == source[3], "a stage is copied to where it was"

    def _put(self, names: list[str], target: Path) -> None:
        for name in names:
            origin = ROOT / name
            if origin.is_dir():
                shutil.copytree(origin, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
            else:
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(origin, target)

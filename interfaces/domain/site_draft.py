"""A site file on its way through the checks: what could be read of it, where each part stands, what was found.

A field that cannot be read is reported once and left out, so that the rest of the file is still checked and all
problems come in one report. ``damaged`` tells a check that what it looks for was written, only wrongly.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_bus import sections
from interfaces.domain.site_types import CircuitEntry, DeviceEntry, Site
from interfaces.domain.site_yaml import Document, Path, Problem, shown


class _Anything:
    """Contains every name."""

    def __contains__(self, name: object) -> bool:
        return True


@dataclass(slots=True)
class Draft:
    """``origin``: per section, the place in the file of each entry that could be read. ``left_out``: paths removed."""

    site: Site
    facts: Mapping[str, DeviceFacts]
    document: Document
    origin: Mapping[str, tuple[int, ...]]
    left_out: frozenset[Path] = frozenset()
    declared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    def say(self, path: Path, message: str) -> None:
        """Refuse the file for this."""
        self.problems.append(Problem(self.document.line_of(path), shown(path), message))

    def warn(self, path: Path, message: str) -> None:
        """A standing warning: the file is accepted."""
        self.warnings.append(Problem(self.document.line_of(path), shown(path), message))

    def path(self, section: str, index: int, *rest: str | int) -> Path:
        """Where the index-th readable entry of a section stands in the file."""
        return (section, self.origin[section][index], *rest)

    def damaged(self, entry: Path, *fields: str) -> bool:
        """Whether any of these fields of an entry was written but could not be read."""
        return any((*entry, name) in self.left_out for name in fields)

    def names(self, section: str) -> Container[str]:
        """Ids a section declares; when the id of one of its entries could not be read, any name may be that one."""
        if any(len(path) == 3 and path[0] == section and path[2] == "id" for path in self.left_out):
            return _Anything()
        entries = self.site.circuits if section == "circuits" else self.site.meters
        return {entry.id for entry in entries} | self.declared.get(section, frozenset())

    def circuits(self) -> Iterator[tuple[Path, CircuitEntry]]:
        """The readable circuits with their paths."""
        for index, circuit in enumerate(self.site.circuits):
            yield self.path("circuits", index), circuit

    def devices(self) -> Iterator[tuple[str, Path, DeviceEntry]]:
        """The readable entries with a profile: section, path, entry."""
        for section, entries in sections(self.site):
            for index, entry in enumerate(entries):
                yield section, self.path(section, index), entry

    def chains(self) -> dict[str, tuple[str, ...]]:
        """Circuit id -> ids from itself to the root; circuits that never reach a root are left out."""
        parents = {circuit.id: circuit.parent for circuit in self.site.circuits}
        found: dict[str, tuple[str, ...]] = {}
        for start in parents:
            chain: list[str] = []
            here: str | None = start
            while here is not None and here in parents and here not in chain:
                chain.append(here)
                here = parents[here]
            if here is None:
                found[start] = tuple(chain)
        return found

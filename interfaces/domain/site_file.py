"""``site.yaml``: text in, a checked site or every problem out.

``load_site`` is the only way from a text to a ``Site`` that may be trusted. It never raises for what is in the text.
The types are in ``site_types``, the checks in ``site_checks`` (do the parts belong together) and ``site_limits`` (do
the currents fit), topologies in ``site_topology``.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_checks import check_structure
from interfaces.domain.site_cloud import check_clouds
from interfaces.domain.site_draft import Draft
from interfaces.domain.site_hosts import check_hosts
from interfaces.domain.site_limits import check_limits
from interfaces.domain.site_read import read_draft
from interfaces.domain.site_topology import site_differences, topology_of
from interfaces.domain.site_types import Site
from interfaces.domain.site_yaml import MAX_BYTES, Problem, read_yaml
from interfaces.domain.topology import Topology
from interfaces.domain.units import a_from_ma

__all__ = ["MAX_BYTES", "Problem", "Site", "SiteResult", "load_site", "site_differences", "topology_of"]

MAX_PROBLEMS: Final[int] = 200
"""Nobody corrects more in one go; the last line says how many there are."""


@dataclass(frozen=True, slots=True)
class SiteResult:
    """``site`` is None exactly when there are problems. Problems and warnings are in the order of the file."""

    site: Site | None
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def load_site(text: str, facts: Mapping[str, DeviceFacts], *, time_zones: Container[str] | None = None) -> SiteResult:
    """Read and check a whole site file.

    Args:
        text: the file. More than ``MAX_BYTES`` is refused unread.
        facts: what is known of each device profile, by profile id.
        time_zones: names this machine knows; None leaves the site's time zone unchecked.
    """
    document = read_yaml(text)
    draft, problems = read_draft(document, facts)
    if draft is None:
        return SiteResult(None, _in_order(problems))
    if time_zones is not None and draft.site.info.time_zone not in time_zones:
        draft.say(
            ("site", "time_zone"), f"there is no time zone '{draft.site.info.time_zone}': write one like Europe/Zurich"
        )
    check_structure(draft)
    check_hosts(draft)
    check_clouds(draft)
    check_limits(draft)
    problems = [*problems, *draft.problems]
    if not problems:
        _never_charging(draft, topology_of(draft.site, facts))
    warnings = tuple(sorted(set(draft.warnings)))
    return SiteResult(None, _in_order(problems), warnings) if problems else SiteResult(draft.site, (), warnings)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    found = sorted(set(problems))
    if len(found) <= MAX_PROBLEMS:
        return tuple(found)
    rest = len(found) - MAX_PROBLEMS
    return (*found[:MAX_PROBLEMS], Problem(found[-1].line, "file", f"{rest} more problems: correct these first"))


def _never_charging(draft: Draft, topology: Topology) -> None:
    """An EVSE whose smallest current fits nowhere, however empty the site is. Harmless, and surely not meant."""
    for index, charger in enumerate(draft.site.chargers):
        for k, evse in enumerate(charger.evses):
            column = topology.index.get(evse.id)
            if column is None:
                continue
            for line in topology.chain[column]:
                static = 0 if topology.metered[line] else topology.background_max_ma[line].clip(min=0)
                room = topology.limit_ma[line] - static
                wired = topology.wired[column] > 0
                if room[wired].min() < topology.min_ma[column]:
                    left_a, needed_a = a_from_ma(int(room[wired].min())), a_from_ma(int(topology.min_ma[column]))
                    draft.warn(
                        draft.path("chargers", index, "evses", k),
                        f"EVSE '{evse.id}' can never charge: circuit '{topology.circuits[line].id}' leaves "
                        f"{max(0.0, left_a):g} A at best and a car needs {needed_a:g} A",
                    )
                    break

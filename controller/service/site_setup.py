"""From the text of a site file to everything a controller needs of it; replay goes the same way from a journal."""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.params import Params
from interfaces.domain.codec import digest
from interfaces.domain.site_file import Problem, Site, topology_of
from interfaces.domain.units import MISSING, mw_from_w
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import parse_site


@dataclass(frozen=True, slots=True)
class SiteSetup:
    """A site fit to run. ``text`` is the file it came from, ``digest`` of the parameters of its scan."""

    text: str
    site: Site
    params: Params
    digest: str


@dataclass(frozen=True, slots=True)
class SiteRefused:
    """Why a text is no site fit to run."""

    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        first = self.problems[0]
        rest = len(self.problems) - 1
        more = f" (and {rest} more)" if rest else ""
        return f"line {first.line}, {first.path}: {first.message}{more}"


def setup_of(text: str) -> SiteSetup | SiteRefused:
    """The set-up of a site file's text. Takes a good part of a second for a large site: never call it in a scan."""
    result = parse_site(text)
    if result.site is None:
        return SiteRefused(result.problems)
    return setup_of_site(text, result.site)


def setup_of_site(text: str, site: Site) -> SiteSetup:
    """The set-up of a site that was checked."""
    params = Params(
        topology=topology_of(site, all_facts()),
        follow_plans=site.policies.follow_plans,
        use_targets=site.policies.use_targets,
        monitor_only=site.info.mode == "monitor",
        peak_mw=MISSING if site.policies.peak_w is None else mw_from_w(site.policies.peak_w),
    )
    return SiteSetup(text, site, params, digest(params))

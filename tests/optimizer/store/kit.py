"""Sites to put into a store."""

from __future__ import annotations

from optimizer.store.database import Database
from optimizer.store.planning import Answer
from optimizer.store.registry import Organisation, StoredSite, put_organisation, put_sites

NOW = 1_763_733_600.0
"""2025-11-21 14:00 UTC."""
NOW_MS = int(NOW) * 1000


def with_sites(database: Database, *sites: str, organisation: str = "acme") -> None:
    put_organisation(database, Organisation(organisation, organisation.title(), NOW))
    put_sites(database, tuple(StoredSite(site, organisation, site, "Europe/Brussels", NOW) for site in sites))


def answer(site: str, version: int, text: str = "plan", lease_s: float = 900.0) -> Answer:
    return Answer(site, version, NOW, NOW + lease_s, "optimal", 1.5, lambda sequence: f"{text} {sequence}")

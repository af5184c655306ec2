"""From the store to the sites: each site's newest plan over its link, in the order of the sequences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.drivers.clock import Clock, epoch_s
from optimizer.service.port import LinkError, SiteLink
from optimizer.store.database import Database
from optimizer.store.planning import StoredPlan, publish

log = logging.getLogger(__name__)


class Publisher:
    """Publishes plans over the links that ``link_of`` knows; a site without one waits for another worker."""

    def __init__(
        self, database: Database, link_of: Callable[[str], SiteLink | None], now_epoch_s: Clock = epoch_s
    ) -> None:
        self._database, self._link_of, self._now_epoch_s = database, link_of, now_epoch_s
        self._silent: set[str] = set()

    def publish(self, sites: Sequence[str], made: Mapping[str, Plan]) -> tuple[str, ...]:
        """Publish what of these sites is not published; those whose link did not take it.

        Args:
            sites: in any order.
            made: plans at hand by site, which are not read again.

        Raises:
            StoreError: the store did not answer; what was sent meanwhile is sent once more later.
        """
        return publish(self._database, sites, self._now_epoch_s(), self._send, made)

    def _send(self, found: Plan | StoredPlan) -> bool:
        plan = found if isinstance(found, Plan) else plan_of_text(found.text, "")
        if not isinstance(plan, Plan):
            return self._said(found.site, f"plan {found.sequence} in the store cannot be read: {plan}")
        link = self._link_of(found.site)
        if link is None:
            return self._said(found.site, "there is no link to it here")
        error = link.send_plan(plan)
        return self._said(found.site, error.reason if isinstance(error, LinkError) else "")

    def _said(self, site: str, trouble: str) -> bool:
        """One line on entering the condition and one on leaving it; whether all is well."""
        if trouble and site not in self._silent:
            self._silent.add(site)
            log.warning("not_published site=%s reason=%r", site, trouble)
        elif not trouble and site in self._silent:
            self._silent.discard(site)
            log.info("published_again site=%s", site)
        return not trouble

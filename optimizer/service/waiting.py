"""Who waits and who is being planned: at most once each per site. No clock and no thread of its own."""

from __future__ import annotations

import heapq
from itertools import islice


class Waiting:
    """Sites by the moment they are due. Moments are of any one clock."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        self.running: set[str] = set()

    def submit(self, site: str, due_s: float) -> None:
        """The site is to be planned at ``due_s``; of two calls the earlier one counts, for both."""
        known = self._due.get(site)
        if known is None or due_s < known:
            self._due[site] = due_s
            heapq.heappush(self._order, (due_s, site))

    def take(self, now_s: float, most: int) -> tuple[str, ...]:
        """Sites that are due, the longest due first; they run from now on. One that runs already waits on."""
        taken: list[str] = []
        later: list[tuple[float, str]] = []
        while self._order and len(taken) < most and self._order[0][0] <= now_s:
            due_s, site = heapq.heappop(self._order)
            if self._due.get(site) != due_s:
                continue  # an earlier call took its place
            if site in self.running:
                later.append((due_s, site))
                continue
            del self._due[site]
            self.running.add(site)
            taken.append(site)
        for entry in later:
            heapq.heappush(self._order, entry)
        return tuple(taken)

    def done(self, site: str) -> None:
        """It does not run any more; where it was submitted meanwhile it can be taken again."""
        self.running.discard(site)

    def count_due(self, now_s: float, most: int) -> int:
        """How many could be taken; counted up to ``most``."""
        due = (site for site, due_s in self._due.items() if due_s <= now_s and site not in self.running)
        return sum(1 for _ in islice(due, most))

    def next_due_s(self) -> float:
        """When the next site that does not run is due; infinity without one."""
        return min((due_s for site, due_s in self._due.items() if site not in self.running), default=float("inf"))

"""What is wrong now, told once when it begins and once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Mapping

log = logging.getLogger(__name__)


class Conditions:
    """What is wrong at one site: a line when it begins and one when it is over, none in between."""

    def __init__(self, site: str) -> None:
        self._site = site
        self.active: dict[str, str] = {}

    def say(self, key: str, text: str) -> None:
        """``text`` is what is wrong now; empty: nothing."""
        if text and key not in self.active:
            log.warning("condition site=%s key=%s text=%r", self._site, key, text)
        elif not text and key in self.active:
            log.info("condition_over site=%s key=%s", self._site, key)
        if text:
            self.active[key] = text
        else:
            self.active.pop(key, None)

    def say_all(self, prefix: str, present: Mapping[str, str]) -> None:
        """All conditions of one kind."""
        for key in [k for k in self.active if k.startswith(prefix) and k not in present]:
            self.say(key, "")
        for key, text in present.items():
            self.say(key, text)

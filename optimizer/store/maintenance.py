"""What the store needs once an hour: partitions made ahead, what is kept long enough removed."""

from __future__ import annotations

from typing import Final

from interfaces.domain.units import MILLI, SECONDS_PER_DAY, SECONDS_PER_HOUR
from optimizer.store.charging import drop_sessions
from optimizer.store.database import Database
from optimizer.store.planning import drop_plans
from optimizer.store.series import KEPT_DAYS, maintain_series

EVERY_S: Final[float] = float(SECONDS_PER_HOUR)
PLANS_KEPT_S: Final[float] = 35.0 * SECONDS_PER_DAY
"""As long as the live values they are compared with."""


def maintain(database: Database, now_epoch_s: float) -> None:
    """To be called once an hour; more often, or by several processes, does no harm.

    Raises:
        StoreError: the database did not answer.
    """
    maintain_series(database, int(now_epoch_s * MILLI))
    drop_plans(database, now_epoch_s - PLANS_KEPT_S)
    drop_sessions(database, now_epoch_s - KEPT_DAYS["energy"] * SECONDS_PER_DAY)

"""Orders of people as they stand in the field process: with their ends by the monotonic clock, and as columns. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from controller.service.messages import AssetOrder, StandingOrders
from interfaces.domain.orders import Orders
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, NEVER_S, frozen_bools, frozen_floats, frozen_ints

DOES: Final = frozenset({"limit", "pause", "out_of_service", "solar", "charge_now"})
MOST_ORDERS: Final = 5000


@dataclass(frozen=True, slots=True)
class Standing:
    """Orders with when each ends and was given (monotonic); ``ends_s``: when the next of them does."""

    orders: tuple[tuple[AssetOrder, float], ...] = ()
    given_s: float = NEVER_S
    ends_s: float = math.inf


NOTHING_ORDERED: Final = Standing()


def orders_problem(message: StandingOrders) -> str:
    """What makes a list of orders malformed; empty: nothing."""
    checks = (
        (len(message.orders) > MOST_ORDERS, f"more than {MOST_ORDERS} orders"),
        (any(order.do not in DOES for order in message.orders), "an order that nobody knows"),
        (any(order.limit_ma < 0 for order in message.orders), "a limit below 0"),
        (any(math.isnan(order.left_s) or not math.isfinite(order.age_s) for order in message.orders), "no duration"),
    )
    return next((text for bad, text in checks if bad), "")


def stand(message: StandingOrders, now_s: float) -> Standing:
    """The orders of a message that has just come."""
    ends = tuple((order, now_s + order.left_s) for order in message.orders if order.left_s > 0)
    return Standing(ends, now_s, min((end for _, end in ends), default=math.inf))


def without_ended(standing: Standing, now_s: float) -> Standing:
    """Those that still hold; the same object while none has ended."""
    if now_s < standing.ends_s:
        return standing
    rest = tuple((order, end_s) for order, end_s in standing.orders if now_s < end_s)
    return Standing(rest, standing.given_s, min((end_s for _, end_s in rest), default=math.inf))


def columns_of(standing: Standing, topology: Topology) -> Orders | None:
    """The orders as the image carries them; None where there are none. Of two limits the lower one holds."""
    if not standing.orders:
        return None
    n = topology.n
    limit = np.full(n, MISSING, dtype=np.int64)
    now_s = np.full(n, NEVER_S)
    flags = {do: np.zeros(n, dtype=np.bool_) for do in ("pause", "out_of_service", "solar")}
    for order, _ in standing.orders:
        i = topology.index.get(order.asset)
        if i is None:
            continue
        if order.do == "limit":
            limit[i] = order.limit_ma if limit[i] == MISSING else min(int(limit[i]), order.limit_ma)
        elif order.do == "charge_now":
            now_s[i] = standing.given_s - order.age_s
        else:
            flags[order.do][i] = True
    return Orders(
        limit_ma=frozen_ints(limit),
        paused=frozen_bools(flags["pause"]),
        out_of_service=frozen_bools(flags["out_of_service"]),
        solar=frozen_bools(flags["solar"]),
        charge_now_s=frozen_floats(now_s),
    )

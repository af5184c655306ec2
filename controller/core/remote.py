"""Assets driven through a maker's service obey in minutes; everybody else makes room for what they may still draw.

Lowering one frees nothing before the ledger has let go of its old offer. The reachable rest is therefore allocated what
the exposure of the remote ones leaves, so that a cut is carried by assets that obey within seconds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.allocate import Allocation, Demand, allocate
from controller.core.background import row_sums
from controller.core.params import NO_LIMIT
from controller.core.records import Ledger
from interfaces.domain.topology import Topology
from interfaces.domain.units import Bools, Ints


def around_remote(whole: Allocation, budget: Ints, demand: Demand, ledger: Ledger, topology: Topology) -> Allocation:
    """``whole``, the allocation of ``budget`` (C, 4), where what remote assets hold beyond their share comes off the
    others'.
    """
    answers = topology.remote & np.isposinf(ledger.lost_s)
    excess = np.where(answers, np.maximum(ledger.exposure_ma - whole.amps_ma, 0), 0)
    if not excess.any():
        return whole
    held = np.where(answers, np.maximum(ledger.exposure_ma, whole.amps_ma), 0)
    taken = row_sums(topology, whole.cost * held[:, None])
    left = np.where(budget < NO_LIMIT, np.maximum(budget - taken, 0), NO_LIMIT)
    rest = allocate(left, _without(answers, demand), topology)
    return _joined(answers, whole, rest)


def _without(remote: Bools, demand: Demand) -> Demand:
    """The problem of all others, in the same order."""
    cut = len(demand.order) - demand.spare
    stay = tuple(i for i in demand.order if not remote[i])
    return replace(demand, order=stay, spare=sum(not remote[i] for i in demand.order[cut:]))


def _joined(remote: Bools, whole: Allocation, rest: Allocation) -> Allocation:
    return Allocation(
        np.where(remote, whole.amps_ma, rest.amps_ma),
        np.where(remote, whole.binding, rest.binding),
        np.where(remote, whole.admitted, rest.admitted),
        np.where(remote, whole.fits, rest.fits),
        np.where(remote, whole.on_one, rest.on_one),
        np.where(remote[:, None], whole.cost, rest.cost),
    )

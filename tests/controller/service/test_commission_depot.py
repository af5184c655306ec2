"""The depot, 100 sockets on five levels, with every fault a careless installation brings: one run finds them all."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from controller.core.commission import EvseRecord
from controller.core.commission_judge import judge
from controller.service.commission_record import Header, canonical, html_of, record_of, store
from simulations.devices.host import SiteHost
from simulations.plant.site import Environment
from tests.controller.service.commission_kit import Yard, car
from tests.simulations.devices.sites import repository_text

ROTATED, UNSAFE, SWAPPED, TWIN = "n1a1-double", "n1a1-3", "n1a2-double", "n1b1-double"
SOCKETS = {ROTATED: "n1a1-1", UNSAFE: "n1a1-3", SWAPPED: "n1a2-1"}
REVERSED = "hall-n"


def seed(host: SiteHost) -> None:
    topology = host.plant.topology
    host.plant.supplies.failsafe_a[topology.index[SOCKETS[UNSAFE]]] = 32.0
    sign = np.ones((topology.c, 3))
    sign[topology.circuit_index[REVERSED]] = (1.0, -1.0, 1.0)
    host.plant.meters.sign = sign
    host.show()


def codes(records: tuple[EvseRecord, ...], evse: str) -> set[str]:
    return {one.code for r in records if r.plan.evse == evse for one in judge(r) if one.verdict == "fault"}


async def test_rotated_phases_failsafe_reversed_transformer_and_swapped_addresses_are_all_found(tmp_path: Path) -> None:
    serials = {ROTATED: ROTATED, SWAPPED: TWIN, TWIN: SWAPPED}
    yard = Yard(
        text=repository_text("depot"),
        environment=Environment(true_phases={SOCKETS[ROTATED]: (1, 2, 0)}),
        cars={SOCKETS[ROTATED]: car(1), SOCKETS[UNSAFE]: car(3)},
        seed=seed,
        bound=serials,
        charger=None,
        only=frozenset(SOCKETS.values()),
    )
    records = await yard.test()
    assert codes(records, SOCKETS[ROTATED]) == {"phases_rotated", "ct_reversed"}
    assert codes(records, SOCKETS[UNSAFE]) == {"failsafe_unsafe", "ct_reversed"}
    assert codes(records, SOCKETS[SWAPPED]) == {"addresses_swapped"}
    record = record_of(Header("depot", "v", "0", "A. Tester", 1.8e9), records)
    path, _ = store(record, tmp_path)
    kept = json.loads(path.read_text("utf-8"))
    assert hashlib.sha256(canonical(kept["record"])).hexdigest() == kept["sha256"]
    assert record.content["result"] == "faults"
    assert all(word in html_of(record) for word in ("rotated", "unsafe", "wrong way round", "swapped"))

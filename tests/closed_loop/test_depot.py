"""The shipped depot in a hurry: motors, clouds, odd and adversarial cars, and no overload of our own making."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from interfaces.domain.site_file import topology_of
from interfaces.domain.topology import Protection, Topology, build_topology
from interfaces.domain.units import MILLI
from interfaces.drivers.facts import all_facts
from interfaces.drivers.site_reader import example_text, parse_site
from simulations.plant.building import BuildingLoad, Motor
from simulations.plant.ev import Arrival, drawn_traits
from simulations.plant.pv import Sky
from simulations.plant.view import Polling
from tests.closed_loop.loop import BACK_WITHIN_S, MOST_THETA, NEVER, Loop

MINUTES = 10
CONNECTION_A = 315.0
"""Half of what the depot's file says, so that a hundred cars are short of current within minutes."""
SAMPLE_S = 1.0
"""The promise counts from the meter's sample, the judge from the step itself."""
WIRING_ALARMS = ("phase than configured", "falls when cars charge")


def depot() -> Topology:
    """The example site: five nested levels, 96 AC and 4 DC connectors, PV, battery; on a smaller connection."""
    found = parse_site(example_text("depot"))
    assert found.site is not None
    full = topology_of(found.site, all_facts())
    main = replace(
        full.circuits[0],
        rated_a=(CONNECTION_A,) * 3,
        contract_a=None,
        protection=Protection("gG", CONNECTION_A),
    )
    circuits = [main, *full.circuits[1:]]
    return build_topology(circuits, full.assets, version="small", period_s=full.period_s)


def motors(*amps: float) -> tuple[Motor, ...]:
    """Motors that start every few minutes, three-phase and on L2 in turn."""
    return tuple(Motor((a, a, a) if k % 2 == 0 else (0.0, a, 0.0), 150.0, 40.0) for k, a in enumerate(amps))


def visits(topology: Topology, seed: int, adversarial: float) -> list[Arrival]:
    """Everybody plugs in within five minutes, every other one leaves again soon."""
    rng = np.random.default_rng(seed)
    out = []
    for asset in (a for a, evse in zip(topology.assets, topology.is_evse, strict=True) if evse):
        start_s = float(rng.uniform(0.0, 300.0))
        traits = drawn_traits(rng, odd_share=0.2, adversarial_share=adversarial)
        out.append(
            Arrival(
                asset.id,
                start_s,
                start_s + float(rng.choice([150.0, NEVER])),
                energy_wh=float(rng.uniform(500.0, 40_000.0)),
                phases=int(rng.choice([1, 2, 3], p=[0.3, 0.1, 0.6])),
                max_a=float(rng.choice([16.0, 20.0, 32.0])),
                traits=replace(traits, late_conductors_s=None),
            )
        )
    return out


@pytest.mark.parametrize("adversarial", [0.0, 1.0])
@pytest.mark.parametrize("seed", [12, 13])
def test_motors_and_clouds_over_a_busy_depot_and_no_overload_of_our_making(seed: int, adversarial: float) -> None:
    topology = depot()
    loads = [
        BuildingLoad("gcp", (50.0, 55.0, 45.0), (35.0, 30.0, 40.0), 2.0, "office", motors(10.0, 20.0)),
        BuildingLoad("hall-n", (5.0, 6.0, 5.0), (5.0, 4.0, 6.0), 0.5, "office", motors(4.0)),
        BuildingLoad("hall-s", (6.0, 5.0, 5.0), (4.0, 6.0, 5.0), 0.5, "office", motors(4.0)),
    ]
    sky = Sky(mean_clear_s=90.0, mean_cloud_s=45.0, ramp_s=(1.0, 5.0))
    polling = Polling(meter_skew_s=1.0, asset_skew_s=1.0) if adversarial else None
    cars = visits(topology, seed, adversarial)
    loop = Loop(topology, cars, loads, scan_s=1.0, seed=seed, sky=sky, polling=polling)
    promised: list[float] = []
    loop.each = lambda x: promised.append(float((x.report.exposure_ma / np.maximum(x.report.budget_ma, 1)).max()))
    loop.run(60.0 * MINUTES)
    verdict = loop.judged()
    assert verdict.self_made_overload_s == 0.0
    slowest_s = float(topology.settle_poll_s.max())
    assert verdict.longest_outside_s <= BACK_WITHIN_S + slowest_s + SAMPLE_S, "14 s, and a serial line's poll period"
    assert loop.plant.breakers.worst < MOST_THETA
    assert loop.highest_theta < MOST_THETA
    assert np.median(promised) > 0.95, "circuits are full, else nothing is proven"
    assert float(loop.plant.energy_wh[topology.is_evse].sum()) > 5.0 * MILLI
    assert not [text for text in loop.first_s if any(word in text for word in WIRING_ALARMS)], "no false alarm"

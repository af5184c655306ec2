"""The meter check on made-up readings: every fault of the transformers, whatever flows besides."""

from __future__ import annotations

import cmath
import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.commission import EvsePlan, Levels, MeterLevels, Step, Three, middle
from controller.core.commission_meter import (
    Response,
    judge_meter,
    judge_wiring,
    response_of,
    wirings_of,
)

VOLTS = 230.0
METER = "m-main"
THIRD = 2.0 * math.pi / 3.0
Flows = tuple[complex, complex, complex]


def plan(phases: tuple[int, ...] = (0, 1, 2)) -> EvsePlan:
    return EvsePlan("ev", "ev", "make", phases, 16.0, 6.0, 6.0, 60.0, False, "write", 10.0, (METER,))


def shown(flows: Flows, transformers: tuple[int, int, int], factors: Flows, kind: str) -> MeterLevels:
    """What a meter shows whose channel k has its transformer on phase ``transformers[k]``, times ``factors[k]``.

    ``flows``: complex current of each phase against its own voltage, positive real part on import.
    """
    # A transformer on another phase sees a current that is turned against the channel's own voltage.
    seen = [factors[k] * flows[source] * cmath.exp(-1j * THIRD * (source - k)) for k, source in enumerate(transformers)]
    power = [VOLTS * one.conjugate() for one in seen]
    watts, reactive = [one.real for one in power], [one.imag for one in power]
    size = [abs(one) for one in seen]
    signed = [math.copysign(a, w) for a, w in zip(size, watts, strict=True)]
    nothing: Three = (None, None, None)
    return MeterLevels(
        amps=three(signed if kind == "signed" else size),
        watts=nothing if kind == "unsigned" else three(watts),
        vars=three(reactive) if kind == "full" else nothing,
        volts=(VOLTS, VOLTS, VOLTS),
        signed=kind == "signed",
    )


def three(values: list[float]) -> Three:
    a, b, c = values
    return a, b, c


def steps_of(
    *,
    true: tuple[int, ...] = (0, 1, 2),
    drawing: int = 3,
    background: Flows = (5 + 0j, 5 + 0j, 5 + 0j),
    transformers: tuple[int, int, int] = (0, 1, 2),
    factors: Flows = (1, 1, 1),
    kind: str = "full",
    drift: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0),
) -> list[Step]:
    """0, 6, 10 and 0 A on the first ``drawing`` conductors; ``drift``: what the building adds on L1 by each step."""

    def look(amps: float, more: float) -> Levels:
        flows = list(background)
        flows[0] += more
        for conductor in range(drawing):
            flows[true[conductor]] += amps
        charger = three([amps if c < drawing else 0.0 for c in range(3)])
        turned = (flows[0], flows[1], flows[2])
        return Levels(0.0, charger_a=charger, meters={METER: shown(turned, transformers, factors, kind)})

    currents = [0.0, 6.0, 10.0, 0.0]
    looks = [look(amps, more) for amps, more in zip(currents, drift, strict=True)]
    return [Step(currents[k], "done", looks[k - 1], looks[k]) for k in range(1, len(looks))]


def codes(steps: list[Step], phases: tuple[int, ...] = (0, 1, 2)) -> dict[str, str]:
    one = plan(phases)
    response = response_of(one, steps, METER)
    assert response is not None
    return {found.code: found.says for found in judge_meter(one, response, METER)}


flowing = st.builds(complex, st.floats(-40.0, 40.0), st.floats(-15.0, 15.0))
backgrounds = st.tuples(flowing, flowing, flowing)


@settings(max_examples=60, deadline=None)
@given(background=backgrounds, drawing=st.integers(1, 3), true=st.permutations(range(3)), kind=st.just("full"))
def test_a_good_meter_has_no_fault_whatever_flows(background: Flows, drawing: int, true: list[int], kind: str) -> None:
    steps = steps_of(background=background, drawing=drawing, true=tuple(true), kind=kind)
    assert set(codes(steps)) == {"meter"}


@settings(max_examples=60, deadline=None)
@given(background=backgrounds, turned=st.sets(st.integers(0, 2), min_size=1))
def test_turned_transformers_are_found_on_import_and_export(background: Flows, turned: set[int]) -> None:
    factors = tuple(-1 + 0j if k in turned else 1 + 0j for k in range(3))
    found = codes(steps_of(background=background, factors=(factors[0], factors[1], factors[2])))
    assert set(found) == {"ct_reversed"}
    assert all((f"L{k + 1}" in found["ct_reversed"]) == (k in turned) for k in range(3))


@settings(max_examples=60, deadline=None)
@given(background=backgrounds, gone=st.integers(0, 2), drawing=st.integers(2, 3))
def test_an_open_transformer_is_found(background: Flows, gone: int, drawing: int) -> None:
    factors = [1 + 0j, 1 + 0j, 1 + 0j]
    factors[gone] = 0j
    found = codes(steps_of(background=background, factors=(factors[0], factors[1], factors[2]), drawing=drawing))
    if gone < drawing:
        assert "ct_open" in found
        assert f"L{gone + 1}" in found["ct_open"]
    else:
        assert set(found) == {"meter"}, "a phase without a load says nothing"


@settings(max_examples=60, deadline=None)
@given(background=backgrounds, pair=st.sampled_from([(1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)]))
def test_transformers_beside_another_voltage_are_found(background: Flows, pair: tuple[int, int, int]) -> None:
    found = codes(steps_of(background=background, transformers=pair))
    assert set(found) == {"ct_crossed"}
    assert all((f"L{k + 1}" in found["ct_crossed"]) == (pair[k] != k) for k in range(3))


@pytest.mark.parametrize("kind", ["full", "by_power", "signed"])
@pytest.mark.parametrize("flow", [8.0, 0.0, -3.0, -20.0])
def test_meters_without_reactive_power_find_the_same(kind: str, flow: float) -> None:
    background = (complex(flow), complex(flow), complex(flow))
    assert set(codes(steps_of(background=background, kind=kind))) == {"meter"}
    assert set(codes(steps_of(background=background, kind=kind, factors=(1, -1, 1)))) == {"ct_reversed"}
    assert "ct_open" in codes(steps_of(background=background, kind=kind, factors=(1, 1, 0)))
    assert set(codes(steps_of(background=background, kind=kind, factors=(0, 0, 0)))) == {"meter_elsewhere"}


def test_currents_without_direction_find_what_they_can() -> None:
    assert set(codes(steps_of(kind="unsigned"))) == {"meter_direction"}
    assert set(codes(steps_of(kind="unsigned", factors=(1, 1, 0)))) == {"ct_open"}


@pytest.mark.parametrize("factor", [0.5, 0.72, 1.4, 5.0])
def test_a_wrong_ratio_is_told_as_a_number(factor: float) -> None:
    found = codes(steps_of(factors=(complex(factor), complex(factor), complex(factor))))
    assert set(found) == {"ct_ratio"}
    assert f"{factor:.2f} times" in found["ct_ratio"]


def test_loads_that_move_meanwhile_are_told_and_nothing_is_judged() -> None:
    found = codes(steps_of(drift=(0.0, 9.0, 0.0, 15.0)))
    assert set(found) == {"meter_unsteady"}
    once = codes(steps_of(drift=(0.0, 0.0, 15.0, 15.0)))
    assert set(once) == {"meter"}, "the two other steps agree"
    small = codes(steps_of(drift=(0.0, 0.5, -0.5, 0.5)))
    assert set(small) == {"meter"}


@pytest.mark.parametrize("true", list(permutations(range(3))))
@pytest.mark.parametrize("phases", list(permutations(range(3))))
@pytest.mark.parametrize("drawing", [1, 2, 3])
def test_a_rotation_is_a_fault_exactly_when_it_shows(
    true: tuple[int, ...], phases: tuple[int, ...], drawing: int
) -> None:
    one = plan(phases)
    response = response_of(one, steps_of(true=true, drawing=drawing), METER)
    assert response is not None
    found = {finding.code for finding in judge_wiring(one, response, METER)}
    shows = set(true[:drawing]) != set(phases[:drawing])
    assert ("phases_rotated" in found) == shows
    assert ("phases" in found) == (not shows and drawing == 1)


def test_conductors_that_draw_differently_are_told_apart() -> None:
    response = Response((1.0, 0.6, 0.3), (0.6, 0.3, 1.0), (0.6, 0.3, 1.0), ())
    assert wirings_of(response) == ((2, 0, 1),)


def test_no_step_no_judgement() -> None:
    still = Levels(0.0, charger_a=(0.0, 0.0, 0.0), meters={METER: MeterLevels(amps=(1.0, 1.0, 1.0))})
    assert response_of(plan(), [Step(6.0, "done", still, still)], METER) is None
    assert response_of(plan(), [], METER) is None
    stale = Levels(0.0, charger_a=(6.0, 6.0, 6.0), meters={METER: MeterLevels(amps=(7.0, 7.0, 7.0), fresh=False)})
    assert response_of(plan(), [Step(6.0, "done", still, stale)], METER) is None


def test_the_middle_of_looks_forgets_an_odd_one_and_what_is_missing() -> None:
    looks = [Levels(float(k), charger_a=(a, None, None)) for k, a in enumerate([6.0, 6.1, 60.0, 5.9, None])]
    assert middle(looks).charger_a == (6.05, None, None)
    assert middle(looks).at_s == 4.0

"""Makes that differ in how they are paused, kept alive, read and measured go through the whole test."""

from __future__ import annotations

import pytest

from controller.service.commission_run import Options
from simulations.devices.host import SiteHost
from simulations.plant.site import Environment
from tests.controller.service.commission_kit import TEXT, Yard, car, faults, findings

FULL = Options(silence=False)
LEFT = "profile: webasto_live\n    modbus: {host: 10.0.1.1}"


def text_with(profile: str) -> str:
    """The yard with another make on the left, its circuits large enough for the largest of them."""
    text = TEXT.replace(LEFT, f"profile: {profile}\n    modbus: {{host: 10.0.1.1}}", 1)
    text = text.replace("timeout_s: 30}", "timeout_s: 30}\n    accept_unverified_failsafe: fused", 1)
    text = text.replace("rated_a: [40, 40, 40]", "rated_a: [90, 90, 90]").replace("rated_a: 40, h", "rated_a: 90, h")
    return text.replace("rated_a: [60, 60, 60]", "rated_a: [120, 120, 120]").replace(
        "gG, rated_a: 63", "gG, rated_a: 125"
    )


@pytest.mark.parametrize(
    ("profile", "phases", "untested"),
    [
        ("abb_terra_ac", 1, set()),
        ("alfen_eve", 1, set()),
        ("alpitronic_hyc", 3, {"phases_rest"}),
        ("heidelberg_ec", 1, set()),
        ("keba_kecontact", 1, set()),
        ("schneider_evlink_pro_ac", 1, set()),
        ("go_e_charger", 1, {"silence"}),
        ("mennekes_hcc3", 1, {"phases", "silence"}),
    ],
)
async def test_a_make_in_order_has_no_fault(profile: str, phases: int, untested: set[str]) -> None:
    records = await Yard(text=text_with(profile), cars={"left": car(phases)}, options=Options()).test()
    assert faults(records) == set()
    assert [step.outcome for step in records[0].steps[:4]] == ["done"] * 4
    assert {code for code, found in findings(records).items() if found[0].verdict == "not_tested"} == untested
    assert records[0].restored is not None
    assert records[0].restored.confirmed


async def test_a_station_is_tested_socket_by_socket() -> None:
    text = TEXT.replace("webasto_live", "alfen_eve").replace(
        "evses: [{id: left, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}]",
        "evses: [{id: left, max_current_a: [16, 16, 16], phases: [L1, L2, L3]},"
        " {id: far, max_current_a: [16, 16, 16], phases: [L3, L1, L2]}]",
    )
    records = await Yard(text=text, cars={"left": car(1), "far": car(1)}).test()
    assert [record.plan.evse for record in records] == ["left", "far"]
    assert faults(records) == set()
    assert {one.says[:16] for one in findings(records)["phases"]} == {
        "conductor 1 on L",
    }
    assert {one.says[15:17] for one in findings(records)["phases"]} == {"L1", "L3"}


P1 = "  - {id: m-main, profile: dsmr_p1, p1: {serial: /dev/ttyUSB0}}"


def with_p1(profile: str = "dsmr_p1") -> str:
    text = TEXT.replace("  - {id: m-main, profile: eastron_sdm630, modbus: {host: 10.0.0.1}}", P1, 1)
    assert P1 in text
    return text.replace("dsmr_p1", profile)


@pytest.mark.parametrize("profile", ["dsmr_p1", "fluvius_p1"])
async def test_a_meter_with_a_p1_port_proves_charger_and_phases(profile: str) -> None:
    records = await Yard(text=with_p1(profile), cars={"left": car(1)}).test()
    found = findings(records)
    assert faults(records) == set()
    assert found["meter"][0].says == "m-main follows left on L1, in size and direction"
    assert "conductor 1 on L1, as in the site file (seen at m-main)" in found["phases"][0].says
    assert [step.outcome for step in records[0].steps] == ["done"] * 4


async def test_rotated_phases_are_found_beside_a_p1_meter() -> None:
    turned = Environment(true_phases={"left": (1, 2, 0)})
    records = await Yard(text=with_p1(), cars={"left": car(1)}, environment=turned).test()
    assert "conductor 1 moves L2 of m-main, the site file says L1" in findings(records)["phases_rotated"][0].says


async def test_a_silent_p1_meter_is_named() -> None:
    def watch(host: SiteHost) -> None:
        feed = host.parts["m-main"].feed
        assert feed is not None
        feed.silent = host.plant.now_s > 25.0

    records = await Yard(text=with_p1(), cars={"left": car(1)}, watch=watch).test()
    assert "meter_silent" in faults(records)


def with_switch(profile: str = "alfen_eve") -> str:
    return TEXT.replace("webasto_live", profile, 1)


@pytest.mark.parametrize(
    ("true", "code", "says"),
    [
        ((0, 1, 2), "phases", "conductor 1 on L1, as in the site file"),
        ((1, 2, 0), "phases_rotated", "conductor 1 moves L2 of m-main, the site file says L1"),
        ((2, 0, 1), "phases_rotated", "conductor 1 moves L3 of m-main, the site file says L1"),
    ],
)
async def test_a_charger_that_can_switch_shows_its_rotation_with_a_three_phase_car(true, code, says) -> None:
    under_load: list[int] = []
    modes: list[int] = []

    def watch(host: SiteHost) -> None:
        under_load.append(host.plant.switched_under_load)
        modes.append(int(host.plant.phases_now[host.plant.topology.index["left"]]))

    turned = Environment(true_phases={"left": true})
    records = await Yard(
        text=with_switch(), cars={"left": car(3)}, environment=turned, watch=watch, options=FULL
    ).test()
    found = findings(records)
    assert says in found[code][0].says
    assert [(one.target_a, one.outcome) for one in records[0].single] == [(6.0, "done"), (0.0, "done")]
    drawn = records[0].single[0].after.charger_a
    assert (drawn[0] or 0.0) > 5.0
    assert (drawn[1] or 0.0) < 1.0, "one conductor alone"
    assert max(under_load) == 0, "never switched under current"
    assert (1 in modes, modes[-1]) == (True, 3), "and back again"
    assert not {"phases_rest"} & {c for c, ones in found.items() if ones[0].verdict == "not_tested"}
    assert faults(records) == ({code} if code == "phases_rotated" else set())


async def test_one_that_cannot_switch_leaves_the_rotation_untested_with_the_reason() -> None:
    records = await Yard(cars={"left": car(3)}, options=FULL).test()
    assert records[0].single == ()
    (one,) = findings(records)["phases_rest"]
    assert (one.verdict, one.do) == ("not_tested", "repeat with a one-phase car")
    assert "cannot be told apart, and this charger cannot be switched to one phase" in one.says


async def test_one_that_does_not_switch_says_so() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.switch_phases = lambda phases: None  # type: ignore[method-assign]

    def watch(host: SiteHost) -> None:
        """Its register says three, whatever is written to it."""
        for server, unit in host.parts["left"].homes:
            bank = server.bank_of(unit)
            if bank is not None and 1215 in bank.tables["holding"]:
                bank.put("holding", 1215, (3,))

    records = await Yard(text=with_switch(), cars={"left": car(3)}, seed=seed, watch=watch, options=FULL).test()
    (one,) = findings(records)["phases_rest"]
    assert one.verdict == "not_tested"
    assert one.says.endswith("on one phase: it went on drawing on all")
    assert records[0].switched_back


async def test_one_that_refuses_to_switch_says_so() -> None:
    def seed(host: SiteHost) -> None:
        for server, unit in host.parts["left"].homes:
            bank = server.bank_of(unit)
            if bank is not None:
                bank.writable = frozenset(range(1215)) | frozenset(range(1216, 5000))

    records = await Yard(text=with_switch(), cars={"left": car(3)}, seed=seed, options=FULL).test()
    (one,) = findings(records)["phases_rest"]
    assert one.says.endswith("on one phase: it did not switch to one phase")
    assert records[0].single == ()
    assert records[0].switched_back


async def test_a_one_phase_car_needs_no_switching() -> None:
    records = await Yard(text=with_switch(), cars={"left": car(1)}, options=FULL).test()
    assert records[0].single == ()
    assert "conductor 1 on L1" in findings(records)["phases"][0].says

"""The demo's screen: what it says about a scan, at any size of terminal. It is fed the JSON that the gateway serves."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from simulations.demo.view import Told, circuit_load, most_telling, phase_cell, picture


def circuit(name: str, parent: str | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "parent": parent,
        "rated_a": [60.0, 60.0, 60.0],
        "limit_a": [50.0, 50.0, 50.0],
        "measured_a": [None, None, None],
        "background_a": [0.0, 0.0, 0.0],
        "budget_a": [30.0, 30.0, 30.0],
        **changes,
    }


def place(name: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": name,
        "kind": "evse",
        "circuit": "garage",
        "pilot": "C2",
        "setpoint_a": 10.0,
        "wish_a": 16.0,
        "offered_a": 10.0,
        "measured_a": [9.8, 9.7, 0.0],
        "stop": False,
        "why": "shares what circuit gcp has left on L1",
        "energy_kwh": 1.25,
        "session": True,
        **changes,
    }


def site(**changes: Any) -> dict[str, Any]:
    return {
        "number": 41,
        "mode": "fallback",
        "circuits": [circuit("gcp", measured_a=[20.0, 52.0, 61.0]), circuit("garage", "gcp")],
        "assets": [
            place("p1"),
            place("p2", pilot="A", session=False, setpoint_a=0.0, why="no car connected", measured_a=[0.0, 0.0, 0.0]),
        ],
        "alarms": ["p1 does not answer"],
        **changes,
    }


def shown(view: dict[str, Any], health: dict[str, Any] | None = None, width: int = 140, height: int = 40) -> str:
    console = Console(width=width, height=height, file=io.StringIO(), record=True)
    told = Told("Garage Norella", 83.0, ("00:01  a car comes", "01:20  the lift starts"))
    console.print(picture(view, health or {"late_scans": 2, "problems": []}, told, width=width, height=height))
    return console.export_text()


def test_the_head_names_site_time_scan_and_mode():
    head = shown(site()).splitlines()[0]
    assert "Garage Norella" in head
    assert "01:23" in head
    assert "scan 42" in head
    assert "late 2" in head
    assert "own rules" in head


def test_a_circuit_shows_measured_limit_and_budget_per_phase_and_says_over_in_words():
    text = shown(site())
    assert "20.0/50A →30" in text
    assert "61.0/50A OVER" in text
    assert "52.0/50A OVER" not in text, "above its limit but not above its rating"


def test_a_circuit_without_a_meter_is_summed_up_from_what_is_behind_it():
    view = site()
    load = circuit_load(view, view["circuits"][1])
    assert load.summed
    assert load.amps == pytest.approx((9.8, 9.7, 0.0))
    assert "≈9.8/50A" in shown(view)


def test_a_sum_with_an_unknown_part_is_unknown_and_not_lower():
    view = site()
    view["assets"][1]["measured_a"] = [None, 0.0, 0.0]
    load = circuit_load(view, view["circuits"][1])
    assert load.amps[0] is None
    assert load.amps[1] == pytest.approx(9.7)
    assert "no reading" in shown(view)


def test_a_charger_shows_state_offer_current_energy_and_the_reason_in_words():
    text = shown(site())
    row = next(line for line in text.splitlines() if "p1" in line)
    for word in ("charging", "16.0", "10.0", "9.8/9.7/0.0", "1.25", "shares what circuit gcp has left on L1"):
        assert word in row
    assert "free" in next(line for line in text.splitlines() if "p2" in line)


@pytest.mark.parametrize(
    ("pilot", "word"),
    [("A", "free"), ("B2", "occupied"), ("C2", "charging"), ("F", "not in operation"), ("UNKNOWN", "no answer yet")],
)
def test_pilot_states_in_words(pilot, word):
    assert word in shown(site(assets=[place("p1", pilot=pilot)]))


def test_alarms_and_conditions_are_sentences_and_no_alarm_is_said_too():
    health = {"late_scans": 0, "problems": [{"key": "journal", "text": "journal cannot be written"},
                                            {"key": "refused.0", "text": "realtime is switched off"}]}  # fmt: skip
    text = shown(site(), health)
    assert "! p1 does not answer" in text
    assert "! journal cannot be written" in text
    assert "realtime" not in text, "a standing property of this machine is no news"
    assert "no alarms" in shown(site(alarms=[]))


def test_before_the_first_scan_it_waits():
    text = shown({"number": None, "circuits": [], "assets": []}, {})
    assert "waits for the first scan" in text
    assert shown({}, {}), "not even the gateway answers yet"


def large(places: int) -> dict[str, Any]:
    circuits = [circuit("gcp", measured_a=[40.0] * 3), circuit("garage", "gcp")]
    circuits += [circuit(f"row{k}", "garage", measured_a=[float(k)] * 3) for k in range(40)]
    assets = [place(f"w{k}", setpoint_a=0.0, pilot="B2", why="waits") for k in range(places // 3)]
    assets += [place(f"c{k}") for k in range(places // 3)]
    assets += [place(f"f{k}", session=False, pilot="A", setpoint_a=0.0) for k in range(places // 3)]
    return site(circuits=circuits, assets=assets)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (120, 40), (200, 60)])
@pytest.mark.parametrize("places", [3, 99])
def test_the_picture_fits_the_terminal(width, height, places):
    text = shown(large(places), width=width, height=height)
    assert len(text.splitlines()) <= height
    assert max(map(len, text.splitlines())) <= width
    assert "calmer circuits" in text


def test_a_large_site_shows_the_busiest_circuits_and_both_waiting_and_charging_cars():
    text = shown(large(99), height=40)
    assert "row39" in text
    assert "row0 " not in text
    assert any(line.lstrip("│┃ ").startswith("w") for line in text.splitlines())
    assert any(line.lstrip("│┃ ").startswith("c0") for line in text.splitlines())
    kept, rest = most_telling(large(99)["assets"], 10)
    assert len(kept) == 10
    assert len(rest) == 89
    assert {a["id"][0] for a in kept} == {"w", "c"}


def test_a_budget_without_a_limit_is_not_told_as_a_number():
    assert "→" not in phase_cell(10.0, limit_a=50.0, rated_a=60.0, budget_a=1e12).plain
    assert "→0" in phase_cell(10.0, limit_a=50.0, rated_a=60.0, budget_a=0.0).plain


def test_a_bar_stays_within_its_width():
    for amps in (-5.0, 0.0, 30.0, 60.0, 500.0):
        cell = phase_cell(amps, limit_a=50.0, rated_a=60.0, budget_a=None, bar_width=10).plain
        assert len(cell.split(" ")[0]) == 10

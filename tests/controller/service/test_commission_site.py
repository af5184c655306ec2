"""Commissioning of a site with seeded faults over real sockets: every one is found and named, nothing is overloaded."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from controller.service.commission_run import Options
from simulations.devices.encoder import Put
from simulations.devices.host import SiteHost
from simulations.plant.ev import CarTraits
from simulations.plant.site import Environment
from tests.controller.service.commission_kit import TEXT, Yard, car, faults, findings

HIGH_A = 32.0

SETPOINT = 1000
"""Register of the current these chargers are told."""


def line(host: SiteHost, circuit: str = "gcp") -> int:
    return host.plant.topology.circuit_index[circuit]


def column(host: SiteHost, asset: str) -> int:
    return host.plant.topology.index[asset]


def scale_meter(host: SiteHost, *factors: float) -> None:
    """Transformers of the main meter, each by a factor: -1 is the wrong way round, 0 is open."""
    sign = np.ones((host.plant.topology.c, 3))
    sign[line(host)] = factors
    host.plant.meters.sign = sign


async def test_a_good_site_has_no_fault_and_every_step_is_measured() -> None:
    records = await Yard(cars={"left": car(1)}, options=Options()).test()
    found = findings(records)
    assert faults(records) == set()
    assert [step.target_a for step in records[0].steps] == [0.0, 6.0, 10.0, 0.0]
    assert [round(step.after.charger_a[0] or 0.0) for step in records[0].steps] == [0, 6, 10, 0]
    assert {"identity", "failsafe", "meter", "phases", "reaction", "silence", "restored"} <= found.keys()
    assert "6.0 A" in found["silence"][0].says
    assert found["phases_rest"][0].verdict == "note"


async def test_without_a_car_current_and_phases_are_not_tested() -> None:
    records = await Yard().test()
    found = findings(records)
    assert faults(records) == set()
    assert found["no_car"][0].verdict == "not_tested"
    assert "phases" not in found
    assert "meter" not in found


@pytest.mark.parametrize(
    ("true", "phases", "words"),
    [
        ((1, 2, 0), 1, "conductor 1 moves L2"),
        ((2, 0, 1), 1, "conductor 1 moves L3"),
        ((1, 2, 0), 2, "L2 or L3"),
    ],
)
async def test_rotated_phases_are_found(true: tuple[int, int, int], phases: int, words: str) -> None:
    yard = Yard(environment=Environment(true_phases={"left": true}), cars={"left": car(phases)})
    records = await yard.test()
    assert faults(records) == {"phases_rotated"}
    assert words in findings(records)["phases_rotated"][0].says


async def test_a_three_phase_car_cannot_tell_the_conductors_apart_and_nobody_claims_so() -> None:
    records = await Yard(environment=Environment(true_phases={"left": (1, 2, 0)}), cars={"left": car(3)}).test()
    found = findings(records)
    assert "phases" not in found
    assert found["phases_rest"][0].verdict == "not_tested"
    assert "alike" in found["phases_rest"][0].says


async def test_a_failsafe_of_32_a_is_named_and_set() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.supplies.failsafe_a[column(host, "left")] = HIGH_A
        host.show()

    records = await Yard(seed=seed, cars={"left": car(1)}, options=Options()).test()
    assert faults(records) == {"failsafe_unsafe"}
    (one,) = findings(records)["failsafe_unsafe"]
    assert "was unsafe: 32 A" in one.says
    assert "set to 6 A" in one.says
    assert records[0].failsafe.current_a == pytest.approx(6.0)


async def test_a_failsafe_that_cannot_be_written_stays_a_fault_and_is_not_tried_out_without_room() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.supplies.failsafe_a[column(host, "left")] = HIGH_A
        host.parts["left"].homes[0][0].units[255].accept_writes = False
        host.show()

    text = TEXT.replace("rated_a: [40, 40, 40]", "rated_a: [21, 21, 21]")
    records = await Yard(text=text, seed=seed, options=Options()).test()
    assert "failsafe_unsafe" in faults(records)
    assert "could not be written" in findings(records)["failsafe_unsafe"][0].says
    assert records[0].silence is not None
    assert records[0].silence.outcome == "refused"


@pytest.mark.parametrize("export", [False, True], ids=["importing", "exporting"])
@pytest.mark.parametrize(
    ("factors", "code", "phase"),
    [
        ((1.0, -1.0, 1.0), "ct_reversed", "L2"),
        ((1.0, 1.0, 0.0), "ct_open", "L3"),
        ((-1.0, -1.0, -1.0), "ct_reversed", "L1 and L2 and L3"),
        ((0.0, 0.0, 0.0), "meter_elsewhere", "m-main"),
        ((0.5, 0.5, 0.5), "ct_ratio", "0.50 times"),
    ],
)
async def test_meter_faults_are_found(factors: tuple[float, ...], code: str, phase: str, export: bool) -> None:
    flow_a = -8.0 if export else 8.0

    def seed(host: SiteHost) -> None:
        scale_meter(host, *factors)
        host.plant.added_a[line(host)] = (flow_a, flow_a, flow_a)

    records = await Yard(cars={"left": car(3)}, seed=seed).test()
    assert faults(records) == {code}
    assert phase in findings(records)[code][0].says
    assert records[0].steps[2].outcome == "refused", "10 A behind a meter that shows something else"


async def test_export_that_turns_to_import_during_the_step_is_no_fault() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.added_a[line(host)] = (-3.0, -3.0, -3.0)

    records = await Yard(cars={"left": car(3)}, seed=seed).test()
    assert faults(records) == set()
    assert findings(records)["meter"][0].verdict == "ok"


async def test_swapped_addresses_show_by_serial_number_and_nothing_is_written() -> None:
    text = TEXT.replace("webasto_live", "alfen_eve")
    yard = Yard(text=text, cars={"left": car(1)})
    serials = {record.plan.device: record.found.serial for record in await Yard(text=text, charger=None).test()}
    assert len(set(serials.values())) == 2
    writes: list[object] = []
    yard.bound = {"left": serials["right"], "right": serials["left"]}
    yard.watch = lambda host: writes.extend(host.writes)
    records = await yard.test()
    assert faults(records) == {"addresses_swapped"}
    assert "this is right" in findings(records)["addresses_swapped"][0].says
    assert records[0].steps == ()
    assert writes == []


async def test_swapped_chargers_show_by_the_current_of_the_other_one() -> None:
    def seed(host: SiteHost) -> None:
        left, right = (host.parts[name].points[0] for name in ("left", "right"))
        left.device, right.device = right.device, left.device
        left._puts, right._puts = right._puts, left._puts  # type: ignore[attr-defined]
        left._show_state, right._show_state = right._show_state, left._show_state  # type: ignore[attr-defined]

    records = await Yard(cars={"left": car(3)}, seed=seed).test()
    assert "addresses_swapped" in faults(records)
    assert "moves the current of right" in findings(records)["addresses_swapped"][0].says


async def test_a_wrong_device_is_named_and_nothing_is_written() -> None:
    writes: list[object] = []
    yard = Yard(cars={"left": car(1)}, read_as={"left": "keba_kecontact"}, watch=lambda h: writes.extend(h.writes))
    records = await yard.test()
    assert faults(records) == {"wrong_device"}
    assert "keba_kecontact" in findings(records)["wrong_device"][0].says
    assert records[0].steps == ()
    assert writes == []


async def test_a_setpoint_that_is_not_applied_is_found() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.supplies.applied_a[column(host, "left")] = 16.0
        host.plant.supplies.ignores_writes[column(host, "left")] = True

    records = await Yard(cars={"left": car(1)}, seed=seed).test()
    assert "setpoint_not_applied" in faults(records)
    assert [(step.target_a, step.outcome) for step in records[0].steps] == [(0.0, "done"), (6.0, "refused")]


async def test_a_gateway_that_acknowledges_writes_and_drops_them_is_found() -> None:
    def seed(host: SiteHost) -> None:
        """The way of the setpoint ends in a gateway; the failsafe is in the charger already."""
        for server, unit in host.parts["left"].homes:
            bank = server.bank_of(unit)
            assert bank is not None
            bank.put("holding", SETPOINT, (16,))
            bank.accept_writes = False

    records = await Yard(cars={"left": car(1)}, seed=seed).test()
    (one,) = findings(records)["setpoint_overwritten"]
    assert "0 A were commanded: the setpoint does not stay written (read back 16 A after 0 A" in one.says
    assert "make the gateway transparent" in one.do
    assert "two_masters" not in faults(records)


class Meddler:
    """Somebody who writes the setpoint two seconds after us: always ``values``, one after the other."""

    def __init__(self, *values_a: int) -> None:
        self._values_a, self._turn, self._since_s = values_a, 0, float("inf")

    def seed(self, host: SiteHost) -> None:
        for server, unit in host.parts["left"].homes:
            bank = server.bank_of(unit)
            assert bank is not None
            self._bank, self._inner = bank, bank.on_write
            bank.put("holding", SETPOINT, (self._values_a[0],))
            bank.on_write = lambda table, addr, words: self._wrote(host, table, addr, words)

    def _wrote(self, host, table, addr, words):
        if addr == SETPOINT:
            self._since_s = host.plant.now_s
        return self._inner(table, addr, words) if self._inner else None

    def watch(self, host: SiteHost) -> None:
        if host.plant.now_s - self._since_s >= 2.0:
            self._since_s, value_a = float("inf"), self._values_a[self._turn % len(self._values_a)]
            self._turn += 1
            if self._inner:
                self._inner("holding", SETPOINT, (value_a,))
            self._bank.put("holding", SETPOINT, (value_a,))


async def test_a_gateway_that_sets_the_setpoint_back_after_two_seconds_is_found() -> None:
    meddler = Meddler(12)
    records = await Yard(cars={"left": car(1)}, seed=meddler.seed, watch=meddler.watch).test()
    one = findings(records)["setpoint_overwritten"][0]
    assert "the setpoint does not stay written (read back 12 A after 0 A): a gateway or another master" in one.says
    assert "two_masters" not in faults(records)
    assert "setpoint_not_applied" not in faults(records)


async def test_two_masters_are_found() -> None:
    meddler = Meddler(8, 13, 9, 14, 7)
    records = await Yard(cars={"left": car(1)}, seed=meddler.seed, watch=meddler.watch).test()
    one = findings(records)["two_masters"][0]
    assert "the setpoint is changed by somebody else (0 A was written and shown, then it held" in one.says
    assert "leave one alone in command" in one.do
    assert "setpoint_overwritten" not in faults(records)


async def test_a_car_that_does_not_react_is_named() -> None:
    asleep = car(3, traits=CarTraits(asleep=(0.0, 1e9)))
    records = await Yard(cars={"left": asleep}).test()
    assert faults(records) == {"no_reaction"}


async def test_a_silent_meter_is_named_and_the_declared_worst_case_counts() -> None:
    silent: list[bool] = []

    def watch(host: SiteHost) -> None:
        if not silent:
            silent.append(True)
            for server, _ in host.parts["m-main"].homes:
                server.units.clear()

    records = await Yard(cars={"left": car(3)}, watch=watch).test()
    assert "meter_silent" in faults(records)


async def test_without_room_nothing_is_commanded_and_the_reason_is_told() -> None:
    def seed(host: SiteHost) -> None:
        host.plant.added_a[line(host)] = (46.0, 0.0, 0.0)

    records = await Yard(cars={"left": car(3)}, seed=seed).test()
    refused = [step for step in records[0].steps if step.outcome == "refused"]
    assert refused
    assert "gcp L1" in refused[0].why
    assert max(step.after.charger_a[0] or 0.0 for step in records[0].steps[1:]) < 1.0


async def test_a_load_that_takes_the_room_ends_the_step_at_once() -> None:
    worst: list[float] = []

    def watch(host: SiteHost) -> None:
        drawn = host.plant.draw_a[column(host, "left"), 0]
        if drawn > 5.0 and host.plant.now_s > 60.0:
            host.plant.added_a[line(host)] = (47.0, 0.0, 0.0)
        worst.append(float(drawn) if host.plant.added_a[line(host), 0] > 0 else 0.0)

    records = await Yard(cars={"left": car(3)}, watch=watch).test()
    assert any(step.outcome == "aborted" for step in records[0].steps)
    assert sum(drawn > 1.0 for drawn in worst) * 0.1 < 15.0, "seconds of current after the room was gone"


async def test_only_one_charger_is_ever_commanded_and_never_above_its_nameplate() -> None:
    seen: list[tuple[float, str, float]] = []

    def watch(host: SiteHost) -> None:
        seen.extend(host.writes)
        host.writes.clear()

    text = TEXT.replace("id: left, max_current_a: [16, 16, 16]", "id: left, max_current_a: [8, 8, 8]")
    both = {"left": car(3), "right": car(3)}
    records = await Yard(text=text, cars=both, charger=None, watch=watch).test()
    assert [record.plan.evse for record in records] == ["left", "right"]
    assert max(amps for _, asset, amps in seen if asset == "left") == pytest.approx(8.0)
    order = [asset for _, asset, _ in seen]
    assert order == sorted(order), "right begins when left is done"


async def test_a_killed_commissioning_leaves_the_charger_to_its_failsafe() -> None:
    offered: list[float] = []

    class KilledError(Exception):
        pass

    def watch(host: SiteHost) -> None:
        if host.plant.in_force_a[column(host, "left")] >= 10.0:
            raise KilledError

    hosts: list[SiteHost] = []
    with pytest.raises(KilledError):
        await Yard(cars={"left": car(3)}, seed=hosts.append, watch=watch).test()
    host = hosts[0]
    for _ in range(500):
        host.advance(0.1)
        offered.append(float(host.plant.in_force_a[column(host, "left")]))
    assert offered[-1] == pytest.approx(6.0)


async def test_a_transformer_on_another_phases_voltage_is_found() -> None:
    """Transformers of L1 and L2 exchanged: their power is that of cos 120 degrees."""

    def seed(host: SiteHost) -> None:
        device = host.parts["m-main"].points[0]
        puts = device._puts  # type: ignore[attr-defined]
        for phase, turn in ((1, 0.87), (2, -0.87)):
            power, reactive = puts[f"power_l{phase}_w"], puts[f"reactive_l{phase}_var"]

            def put(watts: float | None, power: Put = power, reactive: Put = reactive, turn: float = turn) -> None:
                power(None if watts is None else -0.5 * watts)
                reactive(None if watts is None else turn * watts)

            puts[f"power_l{phase}_w"] = put

    records = await Yard(cars={"left": car(3)}, seed=seed).test()
    assert faults(records) == {"ct_crossed"}
    assert "L1 and L2" in findings(records)["ct_crossed"][0].says


async def test_the_meter_check_alone_makes_one_step_and_judges_the_meter() -> None:
    records = await Yard(cars={"left": car(3)}, options=Options(silence=False, higher=False)).test()
    assert [step.target_a for step in records[0].steps] == [0.0, 6.0, 0.0]
    assert findings(records)["meter"][0].verdict == "ok"
    assert records[0].silence is None


async def test_one_that_is_interrupted_restores_what_was_there_before() -> None:
    hosts: list[SiteHost] = []
    cancelled: list[bool] = []
    told: list[float] = []

    def watch(host: SiteHost) -> None:
        told.append(float(host.plant.supplies.setpoint_a[column(host, "left")]))
        if told[-1] >= 10.0 and not cancelled:
            cancelled.append(testing.cancel())

    testing = asyncio.ensure_future(Yard(cars={"left": car(3)}, seed=hosts.append, watch=watch).test())
    with pytest.raises(asyncio.CancelledError):
        await testing
    assert cancelled == [True]
    after = told[told.index(10.0) :]
    assert 0.0 in after
    assert after[-1] == pytest.approx(6.0)

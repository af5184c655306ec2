"""The invariants of the running controller, by their numbers, over random sites and adversarial cars."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from controller.core.params import Params
from controller.core.scan import scan
from interfaces.domain.codec import pack, unpack
from interfaces.domain.image import Image, Pilot
from interfaces.domain.plan import Plan
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.topology import Topology
from interfaces.domain.units import MISSING, NEVER_S
from tests.controller.core.table import EPOCH_S, START_S, Table, branch, evse, gcp, site
from tests.strategies import busy_load_a, busy_site

QUIET = {"background_max_a": (0.0, 0.0, 0.0)}


# -- 9: we never overload a circuit by our own doing ------------------------------------------------------------------


def adversaries(seed: int, *, ledger: bool = True, release_s: float = 10.0, seconds: float = 300.0) -> Table:
    """Cars that draw anything up to the highest offer of the last 10 s, come and go; constant load, skewed meters."""
    topology = busy_site(seed, release_s=release_s)
    rng = np.random.default_rng(seed)
    table = Table(
        topology,
        skew_s=2.0,
        params=Params(topology, ledger=ledger),
        adversary=np.random.default_rng(seed + 1),
    )
    table.load_a[:] = busy_load_a(topology, seed)
    names = [a.id for a in topology.assets]
    end_s = table.now_s + seconds
    while table.now_s < end_s:
        name = names[int(rng.integers(0, len(names)))]
        table.plug(name) if rng.random() < 0.7 else table.unplug(name)
        table.after(seconds=float(rng.integers(2, 25)))
    return table


@pytest.mark.parametrize("seed", range(24))
def test_invariant_09_no_self_made_overload(seed):
    """The true current of every row stays below its limit, all the time, although the cars do their worst."""
    table = adversaries(seed)
    assert table.worst_over_ma <= 0
    assert np.mean(table.setpoints) > 500, "it does charge"


def test_invariant_09_the_same_cars_without_the_ledger_do_overload():
    overloads = [float(adversaries(seed, ledger=False).over_limit_s.sum()) for seed in range(8)]
    assert sum(1 for seconds in overloads if seconds > 0) >= 3, overloads


def test_invariant_09_six_seconds_are_not_enough():
    """The plant is not too friendly: with a wait of 6 s the same cars overload."""
    overloads = [float(adversaries(seed, release_s=6.0).over_limit_s.sum()) for seed in (13, 21, 26, 3, 8)]
    assert sum(overloads) > 0, overloads


def swapping_plan(topology: Topology) -> Plan:
    """14 A and 6 A change places every minute."""
    rows = np.array([[14_000, 6000], [6000, 14_000]] * 10)
    return Plan(
        plan_id="swap",
        site="s",
        topology_version=topology.version,
        sequence=1,
        key_id="k",
        issued_epoch_s=EPOCH_S + 100,
        start_epoch_s=EPOCH_S,
        step_s=60,
        valid_until_epoch_s=EPOCH_S + 1200,
        lease_until_epoch_s=EPOCH_S + 1200,
        assets=("e0", "e1"),
        setpoint_ma=rows,
        value_ppm=np.full(rows.shape, 250_000),
        planned_import_mw=rows.sum(axis=1) * 230,
        grid_ppm=np.tile(np.array([30_000, 250_000, 10_000_000]), (len(rows), 1)),
        calm_import_mw=np.full(len(rows), 10**12),
    )


def sneaky(now_s: float) -> float:
    """Quiet from the swap until others believe it, then all that the last 10 s allow."""
    return 0.0 if 0.5 <= (now_s - START_S) % 60.0 < 7.5 else 1.0


@pytest.mark.parametrize(("release_s", "ledger", "overloads"), [(10, True, False), (6, True, True), (10, False, True)])
def test_invariant_09_swapping_offers_needs_the_whole_ten_seconds(release_s, ledger, overloads):
    """Two cars on a connection for exactly both offers, which change places every minute."""
    places = [evse(name, release_s=release_s, phases=(0,)) for name in ("e0", "e1")]
    topology = site([gcp(20.0, **QUIET)], places)
    params = Params(topology, ledger=ledger)
    table = Table(topology, scan_s=0.5, params=params, adversary=np.random.default_rng(0))
    table.mood = sneaky
    table.plug("e0", "e1").after(seconds=119).put(plan=swapping_plan(topology))
    table.mood = lambda _: 0.0  # until the plan is followed at once, no longer in steps from what was applied before
    table.after(seconds=60)
    table.mood = sneaky
    table.after(seconds=240)
    assert (table.over_limit_s.sum() > 0) == overloads
    assert len({tuple(s.tolist()) for s in table.setpoints[358:]}) > 2, "they did swap"


# -- 10, 12, 17, 21: through storms -----------------------------------------------------------------------------------


def storm_site(seed: int, *, plain: bool) -> Topology:
    """Nested, mixed, some meters of their own. ``plain``: nobody switches phases."""
    rng = np.random.default_rng(seed)
    circuits = [
        gcp(float(rng.choice([40.0, 50.0, 63.0]))),
        branch("a", "gcp", 25.0),
        branch("b", "gcp", 32.0, meter="m2", background_max_a=(10.0, 10.0, 10.0)),
    ]
    places = [
        evse("e0", "a", failsafe_a=6.0),
        evse("e1", "a", phases=(1,), step_a=0.1),
        evse("e2", "b", phases=(2, 0, 1), min_a=8.0, failsafe_a=8.0, poll_s=3.0),
        evse("e3", "b", phase_switching=not plain, tier=2),
        evse("e4", phases=(0, 1), max_a=32.0, poll_s=10.0),
    ]
    return site(circuits, places)


def storm(seed: int, minutes: int = 12, *, plain: bool = False) -> Any:
    """Yields the table after every scan of a storm of arrivals, loads, limits, prices, plans, failing devices.

    ``plain``: no device fails, and all cars use all their conductors.
    """
    rng = np.random.default_rng(seed)
    table = Table(storm_site(seed, plain=plain))
    table.keep_reports = True
    names = [a.id for a in table.topology.assets]
    prices = rng.uniform(-0.05, 0.5, 40)
    end_s = table.now_s + 60 * minutes
    while table.now_s < end_s:
        happens(table, rng, names, prices, plain=plain)
        for _ in range(int(rng.integers(1, 40))):
            before = table.setpoints[-1] if table.setpoints else np.zeros(len(names), dtype=np.int64)
            table.after(scans=1)
            yield table, before


def happens(table: Table, rng: np.random.Generator, names: list[str], prices: Any, *, plain: bool) -> None:
    """One thing that may happen at a site."""
    name, what = names[int(rng.integers(0, len(names)))], int(rng.integers(0, 14))
    if what < 4:
        table.plug(name, wires=3 if plain else int(rng.integers(1, 4)), max_a=float(rng.integers(6, 33)))
    elif what == 4:
        table.unplug(name)
    elif what == 5:
        table.silent ^= set() if plain else {name}
    elif what == 6:
        table.silent_meters ^= set() if plain else {("gcp", "b")[int(rng.integers(0, 2))]}
    elif what == 7:
        table.put(operator_limit_mw=int(rng.choice([MISSING, 0, 9_000_000, 1 << 55])))
    elif what == 8:
        table.put(late_in_a_row=int(rng.integers(0, 5)))
    elif what == 9:
        leave = EPOCH_S + float(rng.uniform(600, 30_000))
        wanted = tuple(Target(n, leave, int(rng.integers(1000, 20_000))) for n in names[:4])
        table.put(targets=Targets(int(rng.integers(0, 99)), EPOCH_S, wanted, EPOCH_S, 900, prices))
    elif what == 10:
        table.put(plan=random_plan(table, rng))
    else:
        table.load(("gcp", "b")[int(rng.integers(0, 2))], *rng.uniform(-5, 25, 3))


def random_plan(table: Table, rng: np.random.Generator) -> Plan | None:
    """Usable, stale, absurd or none."""
    if rng.random() < 0.3:
        return None
    base = swapping_plan(table.topology)
    now = table.now_s + table.epoch_offset_s
    return replace(
        base,
        sequence=int(rng.integers(0, 50)),
        issued_epoch_s=now + float(rng.uniform(-100, 50)),
        start_epoch_s=now - float(rng.uniform(-50, 600)),
        valid_until_epoch_s=now + float(rng.uniform(-50, 900)),
        lease_until_epoch_s=now + float(rng.uniform(-50, 300)),
        assets=("e0", "e3"),
        setpoint_ma=rng.integers(-20_000, 40_000, base.setpoint_ma.shape),
        value_ppm=rng.integers(-(10**6), 10**6, base.value_ppm.shape),
    )


def exposures(table: Table) -> Any:
    """(C, 3) what all assets below each circuit may draw by the ledger, on the phases that count."""
    report = table.report
    return table.topology.ancestry @ (report.phase_use * report.asset_exposure_ma[:, None])


@pytest.mark.parametrize("seed", range(6))
def test_invariant_10_after_a_limit_drop_exposure_fits_within_fifteen_seconds(seed):
    """Reachable assets: what they may draw fits the largest budget of the last 15 s, on every row, at every tick."""
    recent: list[Any] = []
    for table, _ in storm(seed, plain=True):
        recent = [*recent[-15:], table.report.budget_ma]
        if len(recent) < 16:
            continue
        over = exposures(table) - np.max(recent, axis=0)
        assert (over <= 0).all(), (table.now_s, over, table.reason("e0"))


@pytest.mark.parametrize("seed", range(6))
def test_invariant_12_nothing_rises_on_old_data(seed):
    """A raise needs samples of every meter above younger than its period + 2 s, or the worst case in force instead."""
    for table, before in storm(seed + 100):
        rose = table.commands.setpoint_ma > before
        age_s = table.now_s - table.seen.meter_sample_s
        old = table.topology.metered & (age_s > table.topology.meter_period_s + 2.0) & ~table.state.background.lost
        for i in np.flatnonzero(rose).tolist():
            assert not any(old[c] for c in table.topology.chain[i]), table.topology.assets[i].id
            assert table.now_s - table.seen.reply_s[i] <= 30.0
            assert table.seen.late_in_a_row < 3


SAFETY = {
    Reason.CIRCUIT,
    Reason.CIRCUIT_POWER,
    Reason.QUEUED,
    Reason.STALE_METER,
    Reason.N_MINUS_1,
    Reason.OPERATOR_LIMIT,
    Reason.OPERATOR_STOP,
    Reason.FIRE,
    Reason.PROTECTION_PAUSE,
    Reason.PROTECTION_STOP,
    Reason.FAILSAFE,
    Reason.UNREACHABLE,
    Reason.EVSE_FAULT,
    Reason.DISOBEYS,
    Reason.PHASE_SWITCHING,
    Reason.NO_CAR,
}
LIMIT_PAUSES = {Reason.QUEUED, Reason.STALE_METER, Reason.OPERATOR_LIMIT, Reason.OPERATOR_STOP, Reason.CIRCUIT}


@pytest.mark.parametrize("seed", range(8))
def test_invariant_17_no_contactor_switches_more_often_than_its_timers_allow(seed):
    """On for 5 min unless a safety row binds (or a higher tier needs the place), off for 2 min after a limit pause."""
    on_since: dict[int, float] = {}
    off_since: dict[int, float] = {}
    for table, before in storm(seed + 200, minutes=20):
        for i in range(table.topology.n):
            now, was = int(table.commands.setpoint_ma[i]), int(before[i])
            reason = table.reason(table.topology.assets[i].id)
            if reason == Reason.NO_CAR:
                off_since.pop(i, None)
            if was == 0 and now > 0:
                assert table.now_s - off_since.get(i, NEVER_S) >= 120.0, (i, table.now_s)
                on_since[i] = table.now_s
            if was > 0 and now == 0:
                ran_s = table.now_s - on_since.get(i, NEVER_S)
                ousted = reason == Reason.ROTATED and table.topology.tier[i] > 1
                assert ran_s >= 300.0 or reason in SAFETY or ousted, (i, ran_s, reason.name)
                if reason in LIMIT_PAUSES:
                    off_since[i] = table.now_s


# -- 13: bad inputs ---------------------------------------------------------------------------------------------------


def tight() -> Table:
    """Two share all there is, a third waits: anything read as 0 or as unlimited would let the sum rise."""
    circuit = gcp(63.0, background_max_a=(50.0, 50.0, 50.0))
    table = Table(site([circuit], [evse("e0"), evse("e1"), evse("e2", phases=(0,))]))
    table.load("gcp", 47).plug("e0").after(seconds=120).expect(e0=16).plug("e1", "e2").after(seconds=60)
    return table


NUMBERS = (MISSING, MISSING + 1, -(2**40), -1, 2**40)
TIMES = (NEVER_S, float("nan"), -1.0)


def columns() -> list[tuple[str, Any]]:
    """Every numeric field of the image with every bad value that is no plausible measurement."""
    found: list[tuple[str, Any]] = []
    for field in fields(Image):
        if field.name in {"meter_ma", "meter_mw", "asset_ma", "asset_mv", "offered_ma", "energy_wh", "soc_permille"}:
            found += [(field.name, value) for value in NUMBERS]
        if field.name in {"meter_sample_s", "asset_sample_s", "reply_s", "readback_s"}:
            found += [(field.name, value) for value in TIMES]
        if field.name in {"failsafe_proof", "phases_now", "reboots", "pilot", "meter_sample_no", "meter_digest"}:
            found += [(field.name, value) for value in (MISSING, -(2**40), 99, 2**40)]
    # A large export is a measurement, and a free fuse; the border judges whether it is plausible.
    return [x for x in found if x not in {("meter_ma", -(2**40)), ("meter_ma", -1), ("meter_ma", MISSING + 1)}]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("name", "value"), columns(), ids=str)
def test_invariant_13_bad_inputs_never_raise_anything(name, value):
    table = tight()
    before = table.commands.setpoint_ma
    shape = getattr(table.image, name)
    bad = np.full_like(shape, value)
    table.put(**{name: bad})
    for _ in range(20):
        table.after(scans=1)
        assert table.commands.setpoint_ma.sum() <= before.sum(), (table.setpoints[-1], before)


@pytest.mark.parametrize("name", ["offered_ma", "asset_ma", "meter_ma", "asset_mv"])
def test_invariant_13_one_bad_reading_among_good_ones(name):
    """Only the first asset or circuit is broken."""
    table = tight()
    before = table.commands.setpoint_ma

    def broken(image: Image) -> Image:
        column = getattr(image, name).copy()
        column[0] = MISSING
        return replace(image, **{name: column})

    table.edit = broken
    for _ in range(40):
        table.after(scans=1)
        assert table.commands.setpoint_ma.sum() <= before.sum()


def test_invariant_13_a_negative_read_back_confirms_nothing():
    """-5 A is no read-back of 8 A: the revoked offer stays reserved."""
    table = Table(site([gcp(63.0, **QUIET)], [evse("e0")])).plug("e0").after(seconds=60).expect(e0=16)
    table.put(offered_ma=np.array([-5000])).load("gcp", 55).after(seconds=40)
    assert table.exposure_a("e0") == 16.0


# -- 14: unreachable and back -----------------------------------------------------------------------------------------


def test_invariant_14_a_charger_that_comes_back_raises_nobody_before_its_exposure_is_known():
    table = Table(site([gcp(32.0, **QUIET)], [evse("e0", boot_a=16.0), evse("e1")])).plug("e0", "e1")
    table.after(seconds=90).expect(e0=16, e1=16)
    table.silent.add("e0")
    table.after(seconds=120)
    assert table.exposure_a("e0") == 16.0
    table.silent.clear()
    old_s = float(table.image.readback_s[0])
    table.edit = lambda image: replace(image, readback_s=np.array([old_s, image.readback_s[1]]))
    for _ in range(30):
        table.after(scans=1)
        assert table.exposure_a("e0") + table.exposure_a("e1") <= 32.0
        assert table.amps("e1") <= 16.0


# -- 15, 16, 22 -------------------------------------------------------------------------------------------------------


def outcome(table: Table, state: Any) -> bytes:
    now_s = table.now_s + table.scan_s
    commands, report, after = scan(table.image, state, table.params, now_s, now_s + table.epoch_offset_s)
    return b"".join(pack(part) for part in (commands, report, after))


@pytest.mark.parametrize("seed", range(3))
def test_invariant_15_replay_is_bit_equal(seed):
    for k, (table, _) in enumerate(storm(seed + 300, minutes=6)):
        if k % 5 == 0:
            assert outcome(table, table.state) == outcome(table, table.state)


@pytest.mark.parametrize("seed", range(3))
def test_invariant_16_a_restart_from_a_snapshot_is_an_uninterrupted_run(seed):
    """The state through the codec, and through pickle: nothing is remembered elsewhere."""
    for k, (table, _) in enumerate(storm(seed + 400, minutes=6)):
        if k % 7 == 0:
            kind = type(table.state)
            restored = unpack(pack(table.state), kind)
            assert isinstance(restored, kind), restored
            expected = outcome(table, table.state)
            assert outcome(table, restored) == expected
            assert outcome(table, pickle.loads(pickle.dumps(table.state))) == expected


def test_invariant_22_every_scan_orders_every_asset_under_a_lease_of_two_seconds():
    """Rewriting at a third of a device's time-out is the connection's work; every scan gives it something to write."""
    for table, _ in storm(500, minutes=4):
        commands = table.commands
        if not table.state.complete:
            continue
        assert commands.setpoint_ma.shape == (table.topology.n,)
        assert commands.valid_until_s == table.now_s + 2.0
        assert (table.topology.failsafe_timeout_s / 3 >= table.topology.period_s).all()


def test_pilot_names_of_the_standard():
    assert [p.name for p in Pilot][1:6] == ["A", "B1", "B2", "C1", "C2"]

"""A state machine over everything that happens to a site, in every order hypothesis can think of."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.core.params import NO_LIMIT
from controller.core.scan import scan
from interfaces.domain.codec import pack, unpack
from interfaces.domain.image import Fire, Pilot
from interfaces.domain.plan import Plan
from interfaces.domain.units import MISSING
from tests.controller.core.table import Table
from tests.controller.core.test_explain import reasons_hold
from tests.strategies import busy_load_a, busy_site

PLACES = st.integers(0, 5)


class Site(RuleBasedStateMachine):
    """One site with adversarial cars; the checks run after every scan."""

    @initialize(seed=st.integers(0, 500))
    def build(self, seed: int) -> None:
        topology = busy_site(seed)
        self.table = Table(topology, adversary=np.random.default_rng(seed))
        self.base_a = busy_load_a(topology, seed)
        self.table.load_a[:] = self.base_a
        self.sequence = 0
        self.checked = 0
        self.go(11)

    def place(self, k: int) -> str:
        assets = self.table.topology.assets
        return assets[k % len(assets)].id

    def go(self, scans: int) -> None:
        for _ in range(scans):
            before, state = self.table.state.ledger.offer_ma, self.table.state
            self.table.after(scans=1)
            self.check(before, state)

    # -- what happens --------------------------------------------------------------------------------------------------

    @rule(k=PLACES)
    def plug_in(self, k: int) -> None:
        self.table.plug(self.place(k))

    @rule(k=PLACES)
    def unplug(self, k: int) -> None:
        self.table.unplug(self.place(k))

    @rule(k=PLACES)
    def charger_lost_or_back(self, k: int) -> None:
        self.table.silent ^= {self.place(k)}

    @rule(k=st.integers(0, 3))
    def meter_lost_or_back(self, k: int) -> None:
        metered = [c.id for c in self.table.topology.circuits if c.meter is not None]
        self.table.silent_meters ^= {metered[k % len(metered)]}

    @rule(k=PLACES)
    def charger_restarts(self, k: int) -> None:
        column = self.table.column(self.place(k))
        reboots = self.table.image.reboots.copy()
        reboots[column] += 1
        self.table.image = replace(self.table.image, reboots=reboots)

    @rule(k=PLACES, pilot=st.sampled_from([Pilot.E, Pilot.F, Pilot.UNKNOWN, None]))
    def pilot_is_odd(self, k: int, pilot: Pilot | None) -> None:
        self.table.edit = None
        if pilot is not None:
            column = self.table.column(self.place(k))

            def odd(image):
                pilots = image.pilot.copy()
                pilots[column] = int(pilot)
                return replace(image, pilot=pilots)

            self.table.edit = odd

    @rule(watts=st.sampled_from([MISSING, 0, 3_000_000, 12_000_000, NO_LIMIT]))
    def operator_changes_the_limit(self, watts: int) -> None:
        self.table.put(operator_limit_mw=watts)

    @rule(stop=st.booleans())
    def operator_stops(self, stop: bool) -> None:
        self.table.put(operator_stop=stop)

    @rule(state=st.sampled_from([Fire.INACTIVE, Fire.UNKNOWN]))
    def fire_input(self, state: Fire) -> None:
        self.table.put(fire=int(state))

    @rule(share=st.floats(0.0, 1.0))
    def building_load_changes(self, share: float) -> None:
        rated = self.table.topology.limit_ma[0].max() / 1000
        self.table.load_a[0] = self.base_a[0] + share * rated

    @rule(late=st.integers(0, 4))
    def scans_are_late(self, late: int) -> None:
        self.table.put(late_in_a_row=late)

    @rule(amps=st.lists(st.integers(-(10**5), 10**5), min_size=6, max_size=6), lease_s=st.integers(-10, 300))
    def plan_arrives(self, amps: list[int], lease_s: int) -> None:
        topology = self.table.topology
        now = self.table.now_s + self.table.epoch_offset_s
        self.sequence += 1
        self.table.put(
            plan=Plan(
                plan_id="m",
                site="s",
                topology_version=topology.version,
                sequence=self.sequence,
                key_id="k",
                issued_epoch_s=now,
                start_epoch_s=now,
                step_s=900,
                valid_until_epoch_s=now + 900,
                lease_until_epoch_s=now + lease_s,
                assets=tuple(a.id for a in topology.assets),
                setpoint_ma=np.array([amps[: topology.n]]),
                value_ppm=np.abs(np.array([amps[: topology.n]])),
                planned_import_mw=np.array([sum(amps)]),
                grid_ppm=np.array([[30_000, 250_000, 10_000_000]]),
                calm_import_mw=np.array([sum(amps)]),
            )
        )

    @rule(scans=st.integers(1, 20))
    def time_passes(self, scans: int) -> None:
        self.go(scans)

    # -- what must hold ------------------------------------------------------------------------------------------------

    def check(self, before, state) -> None:
        table, topology = self.table, self.table.topology
        commands, report = table.commands, table.report
        told = commands.setpoint_ma
        if state.complete:
            assert ((told == 0) | ((told >= topology.min_ma) & (told <= topology.max_ma))).all()
            assert (told % topology.step_ma == 0).all()
            reasons_hold(table)
        assert ((commands.reason > 0) & (commands.reason < 100)).all()
        rose = told > before
        exposure = topology.ancestry @ (report.phase_use * report.asset_exposure_ma[:, None])
        for i in np.flatnonzero(rose & state.complete).tolist():
            for c in topology.chain[i]:
                for p in range(3):
                    if report.phase_use[i, p]:
                        assert exposure[c, p] <= report.budget_ma[c, p], "a raise that is not really free"
        assert not any(alarm.code == 100 for alarm in report.alarms), "the guard never has to act"
        self.checked += 1

    @invariant()
    @precondition(lambda self: hasattr(self, "checked"))
    def the_state_survives_the_codec_and_the_scan_is_a_function(self) -> None:
        self.go(2)
        if self.checked % 5:
            return
        table = self.table
        kind = type(table.state)
        restored = unpack(pack(table.state), kind)
        assert isinstance(restored, kind), restored
        at = (table.seen, table.params, table.now_s + 1.0, table.now_s + 1.0 + table.epoch_offset_s)
        first = scan(at[0], table.state, *at[1:])
        second = scan(at[0], restored, *at[1:])
        assert [pack(part) for part in first] == [pack(part) for part in second]


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=40, stateful_step_count=25)

"""A Zaptec installation beside chargers that obey in seconds: plant, scan, driver, and the service over HTTP.

Time is the plant's. What the service tells reaches the scan as the field process would hand it over; what the scan
orders reaches the driver as the gateway would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from controller.service.measure import PROOFS, offered_ma, pilot_of
from interfaces.domain.command import Commands
from interfaces.domain.image import Image
from interfaces.domain.topology import Asset, AssetKind, Circuit, Protection
from interfaces.domain.units import MILLI, frozen_bools, frozen_floats, frozen_ints
from interfaces.drivers.readings import PointReading
from interfaces.drivers.zaptec_point import POLL_S, SILENT_POLLS, reading_of
from interfaces.drivers.zaptec_rule import ARRIVES_S
from simulations.devices.zaptec import CHARGING, DISCONNECTED, CloudState, Trouble
from tests.closed_loop.loop import BACK_WITHIN_S, THREE, Loop, building, car, charger, connection, site
from tests.interfaces.drivers.zaptec_kit import Kit, driven, installation

LIMIT_A = 20.0
NAMEPLATE_A = 32.0
ZAP = "zap"


def topology(rated_a: float = 50.0):
    """Two chargers behind the grid connection, and a Zaptec installation behind a circuit and a meter of its own."""
    own = Circuit("own", "gcp", (32.0,) * 3, protection=Protection("gG", 32.0), meter="m2", background_max_a=(0.0,) * 3)
    zap = Asset(
        ZAP, AssetKind.EVSE, "d-zap", "own", THREE, NAMEPLATE_A, failsafe_a=LIMIT_A, failsafe_timeout_s=3600.0,
        failsafe_verifiable=True, boot_a=LIMIT_A, poll_s=POLL_S, remote=True,
    )  # fmt: skip
    near = [charger(f"e{k}", max_a=32.0) for k in range(2)]
    return site([connection(rated_a, background_max_a=(10.0,) * 3), own], [zap, *near])


class ZaptecLoop(Loop):
    """The loop, where the column ``zap`` is seen and driven through the service."""

    def __init__(self, kit: Kit, **facts) -> None:
        super().__init__(topology(), scan_s=1.0, **facts)
        self.kit, self.reading = kit, PointReading()
        self.edit = self.as_told

    def as_told(self, image: Image) -> Image:
        """The image with what the driver has told of the installation and its own meter of its current."""
        kit, i = self.kit, 0
        kit.clock.now_s = self.now_s
        kit.state.boxes[0].mode = CHARGING if image.pilot[i] >= 1 else DISCONNECTED
        seen = kit.driver.step(self.order())
        kit.clock.now_s = self.now_s  # the rate's pauses take no plant time
        self.reading = self.reading if seen is None else reading_of(self.reading, seen, LIMIT_A)
        line = self.line("own")
        columns = {
            name: getattr(image, name).copy()
            for name in ("asset_ma", "asset_sample_s", "reply_s", "offered_ma", "readback_s", "pilot", "failsafe_proof")
        }
        columns["asset_ma"][i] = np.maximum(image.meter_ma[line], 0)
        columns["asset_sample_s"][i] = image.meter_sample_s[line]
        columns["reply_s"][i] = self.reading.reply_s
        columns["offered_ma"][i] = offered_ma(self.reading, 3, 230_000, by_power=False)
        columns["readback_s"][i] = self.reading.setpoint.readback_at_s
        columns["pilot"][i] = pilot_of(self.reading)
        columns["failsafe_proof"][i] = PROOFS[self.reading.failsafe.verdict]
        frozen: dict[str, Any] = {
            k: frozen_floats(v) if v.dtype == np.float64 else frozen_ints(v) for k, v in columns.items()
        }
        return replace(image, **frozen)

    def order(self) -> int | None:
        last = self.state.commands
        return None if last is None or last.valid_until_s < self.now_s else int(last.setpoint_ma[0]) // MILLI

    def on_wire(self, commands: Commands) -> Commands:
        """The installation hears the service and nobody else."""
        setpoint, stop = commands.setpoint_ma.copy(), commands.stop.copy()
        setpoint[0], stop[0] = round(self.kit.cloud.in_force_a() * MILLI), False
        return replace(commands, setpoint_ma=frozen_ints(setpoint), stop=frozen_bools(stop))


@contextmanager
def loops(state: CloudState | None = None, **facts) -> Iterator[ZaptecLoop]:
    start = state or installation(available_a=[0.0] * 3, max_a=LIMIT_A, delay_s=30.0)
    start.boxes[0].offline_a = LIMIT_A
    with driven(start, limit_a=LIMIT_A) as kit:
        yield ZaptecLoop(kit, **facts)


def cars(*names: str):
    return [car(name) for name in names]


def kept(loop: ZaptecLoop) -> None:
    """No overload of our own making, and nothing said of the installation but that it does not answer."""
    assert loop.judged().self_made_overload_s == 0
    assert not [text for text in loop.first_s if ZAP in text and "does not answer" not in text], loop.first_s


def test_a_car_behind_the_service_charges_at_what_is_free_and_never_above_its_installation():
    with loops(cars=cars(ZAP), loads=[building(8.0)]) as loop:
        loop.run(400)
        assert loop.told_a(ZAP) == LIMIT_A, "its nameplate is 32 A"
        assert loop.drawn_a(ZAP) > LIMIT_A - 1
        kept(loop)


def test_a_cut_of_the_slow_one_is_carried_by_the_quick_ones_until_it_has_arrived():
    """A step from outside: the budget falls by 15 A. Nobody waits for the service; the others are lowered at once."""
    with loops(cars=cars(ZAP, "e0", "e1"), loads=[building(5.0)]) as loop:
        loop.run(1200)
        before_a = loop.drawn_a(ZAP)
        assert before_a > 6
        loop.add_load(15.0)
        loop.run(BACK_WITHIN_S)
        assert loop.within(), loop.words()
        loop.run(10)
        assert loop.exposure_a(ZAP) >= before_a - 0.5, "nothing is taken back from it that it has not given up"
        assert sum(loop.exposure_a(name) for name in (ZAP, "e0", "e1")) <= float(loop.budget_a().min()) + 0.5
        loop.run(900)
        assert loop.within()
        kept(loop)


def test_without_internet_it_is_reserved_at_its_verified_installation_limit():
    with loops(cars=cars("e0", "e1"), loads=[building(5.0)]) as loop:
        loop.run(400)
        assert loop.exposure_a(ZAP) == 0, "no car: nothing is reserved"
        free_a = loop.told_a("e0") + loop.told_a("e1")
        loop.kit.state.broken = Trouble(503, b"")
        took_s = loop.until(lambda: loop.exposure_a(ZAP) == LIMIT_A, SILENT_POLLS * POLL_S + 2 * POLL_S)
        assert took_s > POLL_S, "one lost answer is none"
        loop.run(30)
        assert loop.told_a("e0") + loop.told_a("e1") <= free_a - 10, loop.words()
        loop.kit.state.boxes[0].online = False  # its own line is down as well: it may use its offline current
        loop.run(300)
        assert loop.within()
        loop.kit.state.broken, loop.kit.state.boxes[0].online = None, True
        loop.until(lambda: loop.exposure_a(ZAP) < LIMIT_A, 1500)
        kept(loop)


def test_the_others_are_lowered_before_anything_is_raised_when_it_comes_back():
    """While it is away its whole limit is kept free; a car that plugs in there overloads nothing."""
    with loops(cars=[car("e0"), car("e1"), car(ZAP, 900.0)], loads=[building(5.0)]) as loop:
        loop.run(300)
        loop.kit.state.broken = Trouble(503, b"")
        loop.run(400)
        loop.kit.state.boxes[0].online = False
        loop.run(400)
        assert loop.drawn_a(ZAP) > LIMIT_A - 1, "it charges with what it may use offline"
        assert loop.within(), loop.words()
        assert loop.told_a("e0") >= 6, "the others share the rest"
        kept(loop)


def test_an_unverified_installation_counts_its_nameplate_without_internet():
    state = installation(available_a=[0.0] * 3, max_a=NAMEPLATE_A, delay_s=30.0)
    with loops(state, cars=cars("e0")) as loop:
        loop.run(200)
        loop.kit.state.broken = Trouble(503, b"")
        loop.until(lambda: loop.exposure_a(ZAP) == NAMEPLATE_A, 5 * POLL_S)


def test_it_lends_nothing_and_its_phases_are_never_learned():
    with loops(cars=[car(ZAP, max_a=8.0), car("e0"), car("e1")], loads=[building(5.0)]) as loop:
        loop.run(1000)
        assert loop.told_a(ZAP) > 8.0
        assert (loop.state.learning.use[0] == 1).all()
        kept(loop)


def test_an_offer_stays_reserved_until_the_service_and_the_charger_have_shown_it_gone():
    with loops(cars=[car(ZAP, end_s=700.0), car("e0"), car("e1")], loads=[building(5.0)]) as loop:
        loop.run(690)
        held_a = loop.exposure_a(ZAP)
        assert held_a > 6
        loop.run(30 + ARRIVES_S / 2)
        assert loop.exposure_a(ZAP) == held_a
        loop.until(lambda: loop.exposure_a(ZAP) == 0, 2 * ARRIVES_S + 3 * POLL_S)
        kept(loop)


def test_while_it_is_away_a_rise_of_the_building_is_not_put_down_to_it():
    """Its own meter says that it draws nothing, so that the reserve stays whole for a car that comes later."""
    with loops(cars=[car("e0"), car("e1"), car(ZAP, 900.0)], loads=[building(5.0)]) as loop:
        loop.run(300)
        loop.kit.state.broken = Trouble(503, b"")
        loop.kit.state.boxes[0].online = False
        loop.run(300)
        loop.add_load(12.0)
        loop.run(250)
        assert loop.budget_a().min() <= 50 - 1 - 17, "the whole rise is background"
        assert loop.drawn_a("e0") + loop.drawn_a("e1") <= 50 - 1 - 17 - LIMIT_A + 0.5
        while loop.now_s < 1100:
            loop.run(1)
            assert loop.within(), loop.words()
        assert loop.drawn_a(ZAP) > LIMIT_A - 1
        kept(loop)

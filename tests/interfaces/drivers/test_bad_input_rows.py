"""Bad input, row by row, over real sockets: what a person is told, and which value is used instead.

Every row ends in the sentence of the health page, which says what, where and what to do, and in the value that the
controller is left with: none, the last good one with its old time, or a pause.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from controller.service.health_points import point_problems
from controller.service.identity import NOBODY_BOUND, identity_of
from controller.service.measure import meter_row, pilot_of
from controller.service.messages import PointStatus
from controller.service.status import points_of
from interfaces.domain.image import Identity, Pilot
from interfaces.drivers.failsafe import FailsafeWish
from interfaces.drivers.modbus_server import Faults
from interfaces.drivers.profile_bank import banks_of
from interfaces.drivers.readings import NOT_AVAILABLE
from interfaces.drivers.wiring import Wire
from tests.interfaces.drivers.far_side import Bench, bench, device, spec
from tests.interfaces.drivers.golden_power import GOLDEN
from tests.interfaces.drivers.test_profile_contracts import ALFEN, BENDER, EM24_E1, NEXT

WISH = FailsafeWish(6.0, 60.0)
NAN, ONES = (0x7FC0, 0), (0xFFFF, 0xFFFF)
BENDER_SETPOINT = 1000


def points(found: Bench) -> list[PointStatus]:
    specs = tuple(member.device.spec for member in found.connection._members)
    wire = Wire(found.connection.link, specs)
    return list(points_of([(wire, found.connection)], found.readings, found.now.s, phases=3))


def told(found: Bench) -> str:
    """Everything the health page says."""
    return " | ".join(point_problems(points(found), ()).values())


def place(found: Bench, unit: int) -> str:
    return f"x at 127.0.0.1:{found.server.port} unit {unit}"


@contextlib.asynccontextmanager
async def bender(**more) -> AsyncIterator[Bench]:
    """A charger that is told 10 A and holds it, with nothing wrong."""
    cells = {**BENDER, (255, "holding", BENDER_SETPOINT): (0,)}
    async with bench(device("bender_cc61x_ecu", cells), [spec("bender_cc61x_ecu", failsafe=WISH, **more)]) as found:
        await live(found, 2.0)
        assert found.reading().setpoint.readback_milli == 10_000
        assert told(found) == ""
        yield found


async def live(found: Bench, seconds: float, milli: int = 10_000) -> None:
    """Time under a lease that is always renewed."""
    for _ in range(round(seconds * 4)):
        found.offer(milli)
        await found.until_idle()
        found.now.s += 0.25
    await found.until_idle()


def janitza(*, swapped: bool = False):
    """A meter with float registers."""
    golden = GOLDEN["janitza_umg"]
    cells = {(golden.unit, *key): words for key, words in golden.cells.items()}
    return device("janitza_umg", in_other_order(cells) if swapped else cells)


def in_other_order(cells):
    return {k: [w for n in range(0, len(v), 2) for w in reversed(v[n : n + 2])] for k, v in cells.items()}


# -- wrong profile and word order -------------------------------------------------------------------------------------


async def test_a_wrong_profile_at_that_address():
    cells = device("vestel_evc04", {(255, "holding", 1000): (1,), (255, "holding", 5004): (16,)})
    async with bench(cells, [spec("keba_kecontact", failsafe=WISH)]) as found:
        await live(found, 3.0)
        says = told(found)
        assert f"{place(found, 255)}: product_code of KEBA keba_kecontact shows nothing" in says
        assert "This is no KeContact P30" in says
        assert found.log == [], "nothing but a pause is written to another make"
        assert identity_of("x", NOBODY_BOUND, found.reading()) == Identity.OTHER, "held at failsafe"


async def test_swapped_word_order():
    async with bench(janitza(swapped=True), [spec("janitza_umg")]) as found:
        await found.run_for(2.0)
        assert "word order or profile is wrong" in told(found)
        assert place(found, 1) in told(found)
        assert found.reading().suspect, "what it measures is not used (see the tests of the image)"
        assert abs(found.reading().value("current_l1_a") or 0.0) < 1e-3, "and it would have read as no current"


async def test_swapped_word_order_of_whole_numbers():
    async with bench(device("cg_em24_e1", in_other_order(EM24_E1)), [spec("cg_em24_e1")]) as found:
        await found.run_for(2.0)
        says = told(found)
        assert "cannot be true and is not used: wrong profile, word order or scale?" in says
        assert "current_l1_a" in says
        assert meter_row(found.reading(), "signed", 3) is None


# -- values that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [NAN, ONES, (0x7F80, 0), (0xFF80, 0)])
async def test_float_nan_and_infinity(words):
    async with bench(janitza(), [spec("janitza_umg")]) as found:
        await found.run_for(1.0)
        sampled_s = found.reading().roles["current_l2_a"].sampled_at_s
        assert meter_row(found.reading(), "signed", 3) is not None
        found.bank().put("holding", 19014, words)
        await found.run_for(3.0)
        assert "current_l2_a is not available, the device itself says so" in told(found)
        assert "check the voltage inputs and transformers of that phase" in told(found)
        assert meter_row(found.reading(), "signed", 3) is None, "a reading without a phase is no reading"
        assert found.reading().roles["current_l2_a"].quality == NOT_AVAILABLE
        assert found.reading().roles["current_l2_a"].sampled_at_s > sampled_s
        assert found.reading().value("current_l2_a") is None, "missing is not 0"


async def test_a_meter_that_shows_nothing_but_0xffff():
    """As signed numbers these are -1: no current at all, to whoever believes them."""
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1")]) as found:
        await found.run_for(1.0)
        assert meter_row(found.reading(), "signed", 3) is not None
        for table in found.bank().tables.values():
            table.update(dict.fromkeys(table, 0xFFFF))
        await found.run_for(3.0)
        assert meter_row(found.reading(), "signed", 3) is None
        assert found.reading().value("current_l1_a") is None
        assert "current_l1_a, current_l2_a, current_l3_a is not available" in told(found)


@pytest.mark.parametrize(
    ("words", "serial", "nameless"),
    [
        ((0x4142, 0, 0, 0, 0, 0, 0), "AB", False),  # ended early
        ((0x4142, 0x2020, 0x2020, 0x2020, 0x2020, 0x2020, 0x2020), "AB", False),
        ((0x3030, 0x3030, 0, 0, 0, 0, 0), "", True),  # "0000": nobody gave one
        ((0, 0, 0, 0, 0, 0, 0), "", True),
        ((0xFFFF,) * 7, "", True),
        ((0x0142, 0x4300, 0, 0, 0, 0, 0), "", True),  # control characters
    ],
)
async def test_short_and_empty_strings(words, serial, nameless):
    async with bench(device("cg_em24_e1", {**EM24_E1, (1, "holding", 0x5000): words}), [spec("cg_em24_e1")]) as found:
        await found.until_idle()
        (point,) = points(found)
        assert (point.serial, point.nameless) == (serial, nameless)
        assert meter_row(found.reading(), "signed", 3) is not None, "a text costs no current"


async def test_a_reply_that_is_shorter_than_asked():
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1")]) as found:
        await found.run_for(1.0)
        last_s = found.reading().roles["current_l1_a"].sampled_at_s
        found.server.faults = Faults(stretch=-1)
        await found.run_for(12.0)
        assert "does not answer (reply has another length" in told(found)
        assert "is a gateway between that is not transparent" in told(found)
        assert found.reading().roles["current_l1_a"].sampled_at_s == last_s


async def test_a_state_outside_the_map():
    async with bender() as found:
        assert pilot_of(found.reading()) != Pilot.UNKNOWN
        register = found.connection._members[0].device.profile.register("cp_state")
        found.bank().put(register.table, register.address, (77,) * register.words)
        await live(found, 3.0)
        assert "shows state" in told(found)
        assert "which the map of" in told(found)
        assert "wrong profile, or a newer firmware?" in told(found)
        assert place(found, 255) in told(found)
        assert pilot_of(found.reading()) == Pilot.UNKNOWN


# -- gateways ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "meaning"),
    [(0x0A, "0x0a, gateway has no path to this unit"), (0x0B, "0x0b, gateway gets no answer from this unit")],
)
async def test_gateway_exceptions(code, meaning):
    async with bender() as found:
        heard_s = found.reading().reply_s
        found.server.faults = Faults(exception=code)
        await live(found, 8.0)
        says = told(found)
        assert f"{place(found, 255)} does not answer" in says
        assert meaning in says
        assert "check the unit id, the gateway's own settings, and power, speed and termination of its line" in says
        assert found.reading().reply_s == heard_s, "only the gateway spoke: the charger is unreachable"
        assert not found.reading().connected
        found.server.faults = Faults()
        found.bank().put("holding", BENDER_SETPOINT, (32,))
        await live(found, 3.0)
        assert found.reading().setpoint.readback_milli == 10_000, "seen to anew: it may have fallen back"
        assert told(found) == ""


async def test_a_missing_service_of_a_gateway_whose_other_services_answer():
    """A Victron GX without the inverter/charger at the unit of the file: the battery is still there to be seen."""
    profile = spec("victron_gx").profile
    _, banks = banks_of(profile)
    points = [spec("victron_gx", unit=227, managed=False)]
    async with bench(banks, points) as found:
        assert set(found.server.units) == {100}
        before = found.server.units[100].requests
        await found.run_for(30.0, step_s=0.5)
        assert found.reading().connected
        assert found.reading().value("soc_pct") is not None
        assert found.server.units[100].requests - before < 30 * 20, "it is not read anew all the time"


async def test_a_device_that_answers_every_question_with_a_failure():
    async with bench(device("cg_em24_e1", EM24_E1), [spec("cg_em24_e1")]) as found:
        await found.run_for(1.0)
        found.server.faults = Faults(exception=4)
        await found.run_for(8.0)
        assert "current_l1_a, current_l2_a, current_l3_a cannot be read" in told(found)
        assert "0x04, device failure" in told(found)
        assert meter_row(found.reading(), "signed", 3) is None


async def test_a_gateway_that_acknowledges_writes_and_drops_them():
    async with bender() as found:
        found.bank().accept_writes = False
        await live(found, 1.0, milli=6000)
        assert found.reading().setpoint.problem == "acknowledged but not applied"
        assert told(found) == "", "some makes show a new setpoint a second later"
        await live(found, 5.0, milli=6000)
        says = told(found)
        assert f"the setpoint written to {place(found, 255)} does not stay written (read back 10 A after 6 A" in says
        assert "a gateway with logic of its own answers in its place, or remote control is switched off" in says
        found.bank().accept_writes = True
        await live(found, 3.0, milli=6000)
        assert told(found) == ""


async def test_a_gateway_that_sets_the_old_value_back_after_two_seconds():
    async with bender() as found:
        for _ in range(6):
            await live(found, 2.0, milli=16_000)
            found.bank().put("holding", BENDER_SETPOINT, (0,))
        await live(found, 1.0, milli=16_000)
        says = told(found)
        assert f"the setpoint written to {place(found, 255)} does not stay written (read back 0 A after 16 A)" in says
        assert "a gateway or another master with logic of its own sets it back; make the gateway transparent" in says
        assert found.reading().setpoint.contest == "set_back"
        await live(found, 70.0, milli=16_000)
        assert told(found) == "", "a minute of peace"


async def test_a_setpoint_that_is_cut_by_the_device():
    """A limit of its own: neither a gateway nor a master, and not what was written."""
    async with bender() as found:
        found.bank().put("holding", BENDER_SETPOINT, (13,))  # whatever is told from now on
        found.bank().accept_writes = False
        await live(found, 6.0, milli=16_000)
        assert f"the setpoint written to {place(found, 255)} is acknowledged but not applied: is remote" in told(found)
        assert found.reading().setpoint.contest == "ignored"


async def test_a_setpoint_that_is_refused():
    async with bender() as found:
        found.bank().on_write = lambda table, addr, words: 4
        await live(found, 2.0, milli=16_000)
        assert f"the setpoint cannot be written to {place(found, 255)}: device answered with an exc" in told(found)


async def test_two_masters_fighting():
    async with bender() as found:
        found.bank().put("holding", BENDER_SETPOINT, (25,))
        await live(found, 1.5)
        says = told(found)
        assert f"the setpoint written to {place(found, 255)} is changed by somebody else (10 A was written" in says
        assert "two masters command it; end the other one" in says
        assert found.reading().setpoint.readback_milli == 10_000, "it is told again at once"
        for amps in (25, 20, 25):
            found.bank().put("holding", BENDER_SETPOINT, (amps,))
            await live(found, 2.0)
        assert found.reading().setpoint.contest == "two_masters", "who meddles stays named"


async def test_a_device_that_fell_back_by_itself_is_no_second_master():
    """Its failsafe current in the register: our own silence, or a restart. Its failsafe is looked at again at once."""
    async with bender() as found:
        found.bank().put("holding", BENDER_SETPOINT, (6,))
        found.bank().put("holding", 131, (32,))
        await live(found, 2.0)
        assert "fell back to 6 A after 10 A had been shown: it restarted, or its own time-out ran out" in told(found)
        assert found.bank().get("holding", 131, 1) == (6,)
        assert found.reading().setpoint.readback_milli == 10_000


# -- the connection ---------------------------------------------------------------------------------------------------


async def test_the_only_connection_is_taken():
    banks = device("webasto_next", {**NEXT, (255, "holding", 1104): (32,)})
    async with bench(banks, [spec("webasto_next", failsafe=FailsafeWish(6.0, 9.0))]) as found:
        found.server.max_connections = 0
        await found.run_for(12.0)
        says = told(found)
        assert f"{place(found, 255)} does not answer (the connection is taken and hung up before any answer)" in says
        assert "another program probably holds the connection (" in says
        assert "client" in says
        assert found.reading().roles == {}, "nothing is made up"
        found.server.max_connections = None
        await found.run_for(8.0)
        assert found.reading().connected
        assert told(found) == ""


async def test_the_only_connection_is_taken_and_nothing_is_said():
    async with bench(device("alfen_eve_ng9xx", ALFEN), [spec("alfen_eve_ng9xx", failsafe=WISH)]) as found:
        found.server.faults.silent = True
        await found.run_for(12.0, step_s=1.0)
        assert "does not answer (no reply in time): check power and cable, the unit id" in told(found)
        assert "whether another program holds the connection" in told(found)


async def test_nobody_at_the_address():
    async with bender() as found:
        await found.server.stop()
        await live(found, 12.0)
        assert f"{place(found, 255)} does not answer (connection refused): check power, cable, address" in told(found)
        await found.server.start()

"""Running sessions and coming arrivals: priors, cards, conditioning, censoring."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.core import arrivals, sessions
from forecasting.core.arrivals import Chargers
from forecasting.core.quantiles import Flag
from forecasting.core.session_prior import PRIORS, arrival_block, daily_rates
from forecasting.core.sessions import PastSessions, Place, RunningSession, SiteClass, past_sessions

HOUR = 3600
DAY = 24 * HOUR
WORK = Place(SiteClass.WORKPLACE, "Europe/Amsterdam", "NL")
MORNING = int(datetime(2025, 6, 4, 6, 30, tzinfo=UTC).timestamp())  # Wednesday, 08:30 in Amsterdam


def commuter(rfid: str, stay_h: float, kwh: float, *, days: int = 20, held_back: bool = False) -> list[tuple]:
    """A card that came every morning of the last ``days``."""
    start = MORNING - days * DAY
    return [
        (start + d * DAY, start + d * DAY + int((stay_h + 0.1 * (d % 3)) * HOUR), kwh + 0.1 * (d % 3), rfid, held_back)
        for d in range(days)
    ]


def hours(forecast: sessions.SessionForecast) -> np.ndarray:
    return (forecast.departure_epoch_s - MORNING) / HOUR


PAST = past_sessions(commuter("long", 9.0, 30.0) + commuter("short", 2.0, 5.0))


@settings(max_examples=80)
@given(
    st.sampled_from(SiteClass),
    st.integers(0, 200 * HOUR),
    st.one_of(st.floats(0.0, 200.0), st.just(float("nan"))),
    st.sampled_from(["long", "short", "new", ""]),
    st.booleans(),
    st.sampled_from([None, PAST, past_sessions(commuter("long", 9.0, 30.0, held_back=True)), past_sessions([])]),
)
def test_there_is_always_a_future_in_order_and_never_before_now(site, elapsed, delivered, rfid, satisfied, past):
    now = MORNING + elapsed
    place = Place(site, "Europe/Amsterdam", "NL")
    found = sessions.forecast(place, RunningSession(MORNING, delivered, rfid, satisfied), now, past)
    assert np.isfinite(found.departure_epoch_s).all()
    assert np.isfinite(found.remaining_kwh).all()
    assert (np.diff(found.departure_epoch_s) >= 0.0).all()
    assert (np.diff(found.remaining_kwh) >= 0.0).all()
    assert found.departure_epoch_s[0] >= now
    assert found.departure_epoch_s[-1] > now
    assert found.remaining_kwh[0] >= 0.0
    assert 0.0 <= found.own_share < 1.0
    if satisfied:
        assert (found.remaining_kwh == 0.0).all()


@pytest.mark.parametrize(("site", "low_h", "high_h"), [("workplace", 6, 10), ("home", 4, 8), ("depot", 8, 12)])
def test_without_history_the_class_decides(site, low_h, high_h):
    found = sessions.forecast(Place(SiteClass(site), "Europe/Amsterdam"), RunningSession(MORNING, 0.0), MORNING)
    assert low_h < hours(found)[5] < high_h
    assert found.own_share == 0.0


def test_a_card_is_known_by_its_own_sessions():
    for rfid, stay_h, kwh in (("long", 9.0, 30.0), ("short", 2.0, 5.0)):
        found = sessions.forecast(WORK, RunningSession(MORNING, 0.0, rfid), MORNING, PAST)
        assert hours(found)[5] == pytest.approx(stay_h, abs=0.5)
        assert found.remaining_kwh[5] == pytest.approx(kwh, abs=1.5)
        assert found.own_share > 0.9
    unknown = sessions.forecast(WORK, RunningSession(MORNING, 0.0, "new"), MORNING, PAST)
    assert hours(unknown)[9] - hours(unknown)[1] > 5.0
    assert unknown.own_share == 0.0


def test_one_session_already_tells_something_and_each_more_narrows():
    widths, errors = [], []
    for days in (0, 1, 3, 15):
        past = past_sessions(commuter("long", 9.0, 30.0, days=days))
        found = sessions.forecast(WORK, RunningSession(MORNING, 0.0, "long"), MORNING, past)
        widths.append(found.remaining_kwh[8] - found.remaining_kwh[2])
        errors.append(abs(found.remaining_kwh[5] - 30.0))
    assert widths[1] > widths[2] > widths[3]
    assert errors[0] > 10.0 > 5.0 > errors[2]
    assert errors[3] < 0.2


def test_a_car_that_comes_in_the_evening_is_judged_by_evenings():
    evening = MORNING + 10 * HOUR
    rows = commuter("both", 9.0, 30.0)
    rows += [(a + 10 * HOUR, a + 11 * HOUR, 4.0, r, h) for a, _, _, r, h in commuter("both", 0.0, 0.0)]
    past = past_sessions(rows)
    found = sessions.forecast(WORK, RunningSession(evening, 0.0, "both"), evening, past)
    assert (found.departure_epoch_s[5] - evening) / HOUR < 2.0


def test_who_should_have_left_is_expected_to_stay_a_little_and_not_for_ever():
    running = RunningSession(MORNING, 0.0, "short")
    on_time = sessions.forecast(WORK, running, MORNING, PAST)
    late = sessions.forecast(WORK, running, MORNING + 4 * HOUR, PAST)
    assert hours(on_time)[9] < 4.0
    assert hours(late)[0] >= 4.0
    assert hours(late)[5] < 14.0


def test_what_was_delivered_counts_towards_what_is_wanted():
    before = sessions.forecast(WORK, RunningSession(MORNING, 0.0, "long"), MORNING, PAST)
    half = sessions.forecast(WORK, RunningSession(MORNING, 15.0, "long"), MORNING + 2 * HOUR, PAST)
    beyond = sessions.forecast(WORK, RunningSession(MORNING, 45.0, "long"), MORNING + 5 * HOUR, PAST)
    assert before.remaining_kwh[5] - half.remaining_kwh[5] == pytest.approx(15.0, abs=1.0)
    assert 0.0 < beyond.remaining_kwh[5] < 20.0


def test_energy_we_held_back_is_a_lower_bound():
    free = commuter("car", 9.0, 30.0, days=10)
    cut = [(a - 10 * DAY, d - 10 * DAY, 8.0, r, True) for a, d, _, r, _ in free]
    honest = sessions.forecast(WORK, RunningSession(MORNING, 0.0, "car"), MORNING, past_sessions(cut + free))
    naive = [(*row[:4], False) for row in cut]
    fooled = sessions.forecast(WORK, RunningSession(MORNING, 0.0, "car"), MORNING, past_sessions(naive + free))
    assert honest.remaining_kwh[5] == pytest.approx(30.0, abs=1.5)
    assert fooled.remaining_kwh[3] < 15.0 < honest.remaining_kwh[3]


def test_redistribution_to_the_right_is_the_kaplan_meier_estimate():
    energy = np.array([3.0, 1.0, 2.0, 4.0, 2.0])
    censored = np.array([False, False, True, False, False])
    found = sessions._uncensored(energy, np.ones(5), censored)
    # 5 at risk at 1: 1/5; 4 at 2 (one event before the censored tie): 1/5; then 3/5 shared by 3 and 4.
    np.testing.assert_allclose(found, [0.3 * 5, 1.0, 0.0, 0.3 * 5, 1.0])
    assert found.sum() == pytest.approx(5.0)
    last = sessions._uncensored(np.array([1.0, 2.0]), np.ones(2), np.array([False, True]))
    np.testing.assert_allclose(last, [1.0, 1.0])


def test_sessions_that_end_later_are_not_known_yet():
    now = MORNING - 5 * DAY
    known = PAST.before(now)
    assert (known.departure_epoch_s <= now).all()
    running = RunningSession(now, 0.0, "long")
    a, b = sessions.forecast(WORK, running, now, PAST), sessions.forecast(WORK, running, now, known)
    np.testing.assert_array_equal(a.departure_epoch_s, b.departure_epoch_s)
    np.testing.assert_array_equal(a.remaining_kwh, b.remaining_kwh)


def test_what_cannot_be_a_session_is_left_out():
    rows = [
        (10, 10, 1.0, "a", False),
        (10, 5, 1.0, "a", False),
        (0, 9, float("nan"), "a", False),
        (0, 9, 1.0, "a", False),
    ]
    assert len(past_sessions(rows).rfid) == 1


# -- priors and arrivals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("site", list(SiteClass))
def test_prior_tables_are_ordered_and_their_rates_add_up(site):
    prior = PRIORS[site]
    assert (np.diff(prior.stay_h, axis=1) >= 0.0).all()
    assert (np.diff(prior.energy_kwh, axis=1) >= 0.0).all()
    assert daily_rates(site, 0).sum() == pytest.approx(prior.per_charger[0])
    assert daily_rates(site, 2).sum() == pytest.approx(prior.per_charger[1])


@pytest.mark.parametrize(("hour", "block"), [(0, 4), (4, 4), (5, 0), (9, 1), (13, 2), (17, 3), (21, 4), (23, 4)])
def test_blocks_of_the_day(hour, block):
    assert arrival_block(hour * HOUR) == block


@settings(max_examples=40)
@given(
    st.sampled_from(SiteClass),
    st.integers(0, 300),
    st.floats(0.0, 400.0),
    st.integers(0, 200),
    st.sampled_from([None, PAST, past_sessions([])]),
)
def test_arrivals_stay_inside_what_the_chargers_can_give(site, count, car_kw, steps, past):
    found = arrivals.forecast(Place(site, "Europe/Amsterdam", "NL"), Chargers(count, car_kw), MORNING, steps, past)
    values = found.power_kw.values
    assert values.shape == (steps, 11)
    assert np.isfinite(values).all()
    assert (values >= 0.0).all()
    assert (values <= count * car_kw + 1e-6).all()
    assert found.spread_kw.shape == (steps,)
    assert (found.spread_kw >= 0.0).all()
    assert np.isfinite(found.energy_kwh).all()
    assert (found.count >= 0.0).all()


def test_a_site_that_fills_every_morning_is_learned():
    midnight = MORNING - 8 * HOUR - HOUR // 2
    rows = [row for i in range(10) for row in commuter(f"car{i}", 9.0, 22.0, days=28)]
    past = past_sessions(rows).before(midnight)
    found = arrivals.forecast(WORK, Chargers(20, 11.0), midnight, 96, past)
    plain = arrivals.forecast(WORK, Chargers(20, 11.0), midnight, 96)
    assert plain.power_kw.flags == (Flag.PRIOR_ONLY,)
    assert found.power_kw.flags == ()
    assert 8.0 < found.count.sum() < 12.0
    assert found.count[30:40].sum() > 0.8 * found.count.sum()
    assert found.energy_kwh.sum() == pytest.approx(22.0 * found.count.sum(), rel=0.2)
    assert plain.count[30:40].sum() < 0.6 * plain.count.sum()


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "Pacific/Honolulu", "Asia/Kolkata"])
def test_a_free_day_is_free_on_every_side_of_the_date_line(zone):
    place = Place(SiteClass.WORKPLACE, zone)
    monday = int(datetime(2025, 6, 2, tzinfo=ZoneInfo(zone)).timestamp())
    days = [d for d in range(28) if d % 7 < 5]
    rows = [
        (monday + d * DAY + 8 * HOUR, monday + d * DAY + 16 * HOUR, 20.0, "", False) for d in days for _ in range(10)
    ]
    found = arrivals.forecast(place, Chargers(20, 11.0), monday + 25 * DAY + 18 * HOUR, 192, past_sessions(rows))
    assert found.count[: 4 * 6 + 96].sum() < 2.0  # Friday evening and Saturday
    later = arrivals.forecast(place, Chargers(20, 11.0), monday + 28 * DAY, 96, past_sessions(rows))
    assert later.count.sum() > 8.0


def test_all_energy_that_comes_is_drawn_when_nobody_holds_it_back():
    midnight = MORNING - 8 * HOUR - HOUR // 2
    found = arrivals.forecast(WORK, Chargers(500, 11.0), midnight, 192, None)
    assert found.power_kw.mean[:96].sum() / 4.0 == pytest.approx(found.energy_kwh[:96].sum(), rel=0.1)


def test_energy_spread_over_the_stay_is_the_same_energy_at_a_lower_power():
    midnight = MORNING - 8 * HOUR - HOUR // 2
    rows = [row for i in range(10) for row in commuter(f"car{i}", 9.0, 22.0, days=28)]
    found = arrivals.forecast(WORK, Chargers(20, 11.0), midnight, 192, past_sessions(rows).before(midnight))
    assert found.spread_kw[:96].sum() / 4.0 == pytest.approx(found.energy_kwh[:96].sum(), rel=0.1)
    # Ten cars, 22 kWh in nine hours each: 24 kW through the working day, where free charging has a hump in the morning.
    assert found.spread_kw[44:64].mean() == pytest.approx(10 * 22.0 / 9.0, rel=0.2)
    assert found.spread_kw.max() < 0.7 * found.power_kw.mean.max()
    assert found.spread_kw[:24].max() < 0.1 * found.spread_kw.max()


def test_a_short_stay_asks_for_no_more_than_its_charger_gives():
    rows = commuter("hurry", 1.0, 80.0, days=28)
    found = arrivals.forecast(WORK, Chargers(1, 11.0), MORNING, 96, past_sessions(rows))
    assert 0.0 < found.spread_kw.max() <= 11.0 * found.count.sum()


def test_where_most_likely_nobody_comes_the_quantiles_say_so():
    one = arrivals.forecast(Place(SiteClass.HOME, "Europe/Amsterdam"), Chargers(1, 11.0), MORNING, 16)
    assert (one.count > 0.0).all()
    assert (one.power_kw.values[:, :9] == 0.0).all()  # up to 80 %: hardly ever does anybody come home in the morning
    many = arrivals.forecast(Place(SiteClass.HOME, "Europe/Amsterdam"), Chargers(500, 11.0), MORNING, 16)
    assert (many.power_kw.values[8:, 0] > 0.0).all()


def test_arrivals_after_the_start_are_not_used():
    cut = PAST.taken(np.flatnonzero(PAST.arrival_epoch_s < MORNING - 5 * DAY))
    a, b = (arrivals.forecast(WORK, Chargers(5, 11.0), MORNING - 5 * DAY, 96, past) for past in (PAST, cut))
    np.testing.assert_array_equal(a.count, b.count)
    np.testing.assert_array_equal(a.power_kw.values, b.power_kw.values)


def test_columns_keep_their_order():
    assert isinstance(PAST, PastSessions)
    assert (np.diff(PAST.arrival_epoch_s) >= 0).all()

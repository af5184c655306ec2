"""Session and arrival forecasts on public records: better than the class, better than knowing only the site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from forecasting.core import arrivals, sessions
from forecasting.core.arrivals import Chargers
from forecasting.core.baseline import persistence
from forecasting.core.history import Measured
from forecasting.core.score import coverage, mae, pinball, skill
from forecasting.core.sessions import PastSessions, Place, RunningSession, SiteClass, past_sessions
from tests.forecasting.core.backtest import QUARTER_S, STEPS, epoch_of, read_rows

HOUR = 3600
DAY = 24 * HOUR


@dataclass(frozen=True)
class Record:
    file: str
    place: Place
    site: Callable[[dict[str, str]], bool]
    stamp: str
    skills: tuple[float, float]
    """Least pinball skill of stay and energy against the same forecast without the card: measured, less a third."""


RECORDS = [
    Record(
        "acn_caltech_users_2020_12_to_2021_04",
        Place(SiteClass.WORKPLACE, "America/Los_Angeles", "US"),
        lambda row: True,
        "utc",
        (0.28, 0.2),
    ),
    Record(
        "us_workplace_2014_2015_sites_a",
        Place(SiteClass.WORKPLACE, "UTC"),  # its stamps are local
        lambda row: True,
        "local",
        (0.07, 0.28),
    ),
    Record(
        "norway_residential_sites_a",
        Place(SiteClass.HOME, "Europe/Oslo", "NO"),
        lambda row: row["location"] == "BAR",
        "utc",
        (0.03, 0.2),
    ),
]


def read(folder: Path, record: Record) -> PastSessions:
    zone = "+00:00" if record.stamp == "local" else ""
    rows = [
        (
            epoch_of(row[f"arrival_{record.stamp}"] + zone),
            epoch_of(row[f"departure_{record.stamp}"] + zone),
            float(row["delivered_energy_kwh"]),
            row["user_id"],
            False,
        )
        for row in read_rows(folder / "ev_sessions" / f"{record.file}.csv.gz")
        if record.site(row)
    ]
    return past_sessions([row for row in rows if row[2] > 0.0])


def replayed(past: PastSessions, record: Record, row: int, later: float, *, card: bool, site: bool) -> tuple:
    """(stay still to come h, energy still to come kWh) as foretold when a share ``later`` of the stay had passed."""
    arrival, departure = int(past.arrival_epoch_s[row]), int(past.departure_epoch_s[row])
    now = arrival + int(later * (departure - arrival))
    running = RunningSession(arrival, later * float(past.energy_kwh[row]) / 2.0, past.rfid[row] if card else "")
    found = sessions.forecast(record.place, running, now, past if site else None)
    return (found.departure_epoch_s - now) / HOUR, found.remaining_kwh


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.file)
def test_the_card_tells_more_than_the_site_and_the_site_more_than_the_class(reference_data, record):
    past = read(reference_data, record)
    count = len(past.rfid)
    rows = range(int(0.6 * count), count, max(1, count // 600))
    for later in (0.0, 0.5):
        stay = np.array([(1.0 - later) * (past.departure_epoch_s[i] - past.arrival_epoch_s[i]) / HOUR for i in rows])
        energy = np.array([(1.0 - later / 2.0) * past.energy_kwh[i] for i in rows])
        losses = {}
        for who, card, site in (("card", True, True), ("site", False, True), ("class", False, False)):
            said = [replayed(past, record, i, later, card=card, site=site) for i in rows]
            for what, truth, place in (("stay h", stay, 0), ("energy kWh", energy, 1)):
                values = np.array([pair[place] for pair in said])
                losses[who, what] = pinball(truth, values)
                print(
                    f"{record.file} {what} after {later:.0%} by {who}: pinball {losses[who, what]:.3f}"
                    f" mae {mae(truth, values[:, 5]):.2f} cov80 {coverage(truth, values):.2f} n {len(truth)}"
                )
                if who == "card":
                    assert 0.66 < coverage(truth, values) < 0.93
        for what, least in zip(("stay h", "energy kWh"), record.skills, strict=True):
            assert skill(losses["card", what], losses["site", what]) > (least if later == 0.0 else 0.0)
            assert losses["card", what] < losses["class", what]


def test_arrivals_and_their_power_beat_last_week(reference_data):
    rows = [
        (epoch_of(row["arrival_utc"]), epoch_of(row["departure_utc"]), float(row["delivered_energy_kwh"]), "", False)
        for row in read_rows(reference_data / "ev_sessions" / "acn_caltech_2019_2020.csv.gz")
    ]
    past = past_sessions(rows)
    begin, end = epoch_of("2019-05-01T07:00Z"), epoch_of("2019-12-20T08:00Z")
    quarter = (past.arrival_epoch_s - begin) // QUARTER_S
    counts = np.bincount(quarter[quarter < (end - begin) // QUARTER_S], minlength=(end - begin) // QUARTER_S)
    history = Measured(begin, counts.astype(float))
    place, chargers = Place(SiteClass.WORKPLACE, "America/Los_Angeles", "US"), Chargers(54, 6.6)
    origins = range(begin + 60 * DAY, end - 2 * DAY, 5 * DAY + 6 * HOUR)
    seen, said, weekly, drawn, power, power_weekly = [], [], [], [], [], []
    for origin in origins:
        found = arrivals.forecast(place, chargers, origin, STEPS, past)
        at = (origin - begin) // QUARTER_S
        seen.append(counts[at : at + STEPS])
        said.append(found.count)
        weekly.append(persistence(history, origin, STEPS, lag_days=7).median)
        drawn.append(free_power(past, origin, 6.6))
        power.append(found.power_kw.values)
        power_weekly.append(free_power(past, origin - 7 * DAY, 6.6))
    truth, values = np.concatenate(drawn), np.concatenate(power)
    ours, week = (mae(np.concatenate(seen), np.concatenate(rows)) for rows in (said, weekly))
    power_mae, week_mae = mae(truth, values[:, 5]), mae(truth, np.concatenate(power_weekly))
    print(f"arrivals per quarter: mae {ours:.3f}, week-naive {week:.3f}, mean {counts.mean():.3f}")
    print(f"free power kW: mae {power_mae:.2f}, week-naive {week_mae:.2f}, pinball {pinball(truth, values):.3f}")
    print(f"cov80 {coverage(truth, values):.2f}, mean {truth.mean():.2f}, quarters {len(truth)}")
    assert ours < week
    assert power_mae < 0.85 * week_mae
    assert pinball(truth, values) < 0.6 * week_mae / 2.0
    assert 0.7 < coverage(truth, values) <= 0.97  # nights without cars are certain, and inside


def free_power(past: PastSessions, origin: int, car_kw: float) -> np.ndarray:
    """kW (T,) of cars arriving from ``origin`` on, each at ``car_kw`` until it has its energy."""
    power = np.zeros(STEPS)
    edges = np.arange(STEPS + 1) * QUARTER_S
    for row in np.flatnonzero((past.arrival_epoch_s >= origin) & (past.arrival_epoch_s < origin + STEPS * QUARTER_S)):
        start = past.arrival_epoch_s[row] - origin
        until = start + past.energy_kwh[row] / car_kw * HOUR
        power += np.clip(np.minimum(edges[1:], until) - np.maximum(edges[:-1], start), 0.0, None) / QUARTER_S * car_kw
    return power

"""One message of every kind for the contract's documents, and for whoever wants to try a reader of his own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from interfaces.domain.live import AssetLive, CircuitLive, LiveStatus
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_text
from interfaces.domain.targets import Target, Targets
from interfaces.domain.wire import (
    AckCode,
    Birth,
    ConfigVersion,
    Energy,
    EnergyRow,
    Event,
    Message,
    PlanAck,
    Quality,
    RebirthRequest,
    Receipt,
    State,
    targets_message,
)
from interfaces.domain.wire_commands import (
    AnswerCode,
    ChargeNow,
    Command,
    CommandAnswer,
    LimitCharger,
    Order,
    OutOfService,
    Pause,
    ProposeConfiguration,
    Restart,
    Resume,
    SendJournal,
    SolarMode,
)
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_journal import JournalPiece
from interfaces.domain.wire_live import live_of

EPOCH_S = 1_793_000_000.0
SESSION = 1_793_000_000


def status(places: int = 2) -> LiveStatus:
    """A site with so many cars that charge, told finer than the wire is."""
    grid = CircuitLive("grid", 21.3749, 14.73, (31.04, None, 29.0), (6.1, 5.0, 5.5))
    return LiveStatus(
        site="depot", topology_version="9f3c", epoch_s=EPOCH_S, mode="plan", plan_sequence=812,
        operator_limit_w=None, circuits=(grid,), assets=tuple(map(_car, range(places))),
    )  # fmt: skip


def _car(k: int) -> AssetLive:
    return AssetLive(
        id=f"place-{k}", pilot=5, plugged_in_epoch_s=EPOCH_S - 3600.4, energy_kwh=4.256, tag="04A1B2C3D4",
        power_kw=7.3649, setpoint_a=16.0, offered_a=16.0, phases=(1, 1, 1), soc_pct=None, reason=29, reachable=True,
    )  # fmt: skip


def later(before: LiveStatus, seconds_s: float = 10.0) -> LiveStatus:
    """The same site a little later: one car draws less, energy went on."""
    first, *rest = before.assets
    return replace(
        before,
        epoch_s=before.epoch_s + seconds_s,
        assets=(replace(first, power_kw=6.9, energy_kwh=first.energy_kwh + 0.02), *rest),
    )


def head(seq: int, *, historical: bool = False) -> Head:
    """Of one session."""
    return Head(SESSION, seq, EPOCH_S + seq, historical=historical)


def examples() -> dict[str, Message]:
    """By the name of the example; every kind but the plan is there, and every order."""
    whole, known = live_of(head(1), status(), None)
    changes, _ = live_of(head(2), later(status()), known)
    commands = {f"command {order.do}": command(order) for order in ORDERS_GIVEN}
    rows = (EnergyRow("place-0", 1840.0, Quality.GOOD, 900.0), EnergyRow("place-1", None, Quality.MISSING, 0.0))
    return {
        "birth": Birth(
            head(0), software="0.1.0", site="depot", topology_version="9f3c", config_version="3a77",
            schemas={"plan": "1.0", "targets": "1.0", "command": "1.0"}, boot_reason="power_on",
            boot_epoch_s=EPOCH_S - 60,
        ),
        "state": State(SESSION, online=True, at_epoch_s=EPOCH_S),
        "config": ConfigVersion(head(3), "4b10", "9f3c", "0.1.0", "installer"),
        "live whole": whole,
        "live changes": changes,
        "energy": Energy(head(4, historical=True), EPOCH_S, rows, (EnergyRow("grid", -220.5, Quality.PARTIAL, 640.0),)),
        "event": Event(head(5), "104:place-0", True, 104, "ALARM_DISOBEYS", "place-0 draws more", asset="place-0"),
        "plan_ack": PlanAck(head(6), "depot-812", 812, AckCode.REPLAYED, "sequence 812 is not above 812"),
        "answer": CommandAnswer(head(7), "c0ffee00-0001", AnswerCode.DONE, "place-0 is paused"),
        "journal": JournalPiece(
            head(8), "c0ffee00-0001", 1, "00000042-20261026T061000Z.swj", 0, 22, JOURNAL_DIGEST,
            "c3Ryb29td2FjaHQgam91cm5hbCAxCg==",
        ),
        "targets": targets_message(TARGETS, site="depot", controller="depot-7"),
        "rebirth": RebirthRequest(EPOCH_S, SESSION, "message 17 is missing"),
        "receipt": Receipt(EPOCH_S, ((SESSION - 900, 12, 12), (SESSION, 0, 41))),
        **commands,
    }  # fmt: skip


def command(order: Order) -> Command:
    """An order with its envelope."""
    return Command("c0ffee00-0001", "depot-7", "depot", EPOCH_S, EPOCH_S + 60, "j.jansen", "installer", order)


JOURNAL_DIGEST = "5ca8aaab1fa1d76ef8c8f4f99760d64fa51868829b885373a572d99c8a4671d7"
"""SHA-256 of the 22 bytes that every segment begins with."""
ORDERS_GIVEN: tuple[Order, ...] = (
    LimitCharger("place-0", 10.0, EPOCH_S + 3600),
    Pause("place-0"),
    Resume("place-0"),
    Restart("place-0"),
    OutOfService("place-0"),
    SolarMode(on=True),
    ChargeNow("place-0"),
    SendJournal(EPOCH_S - 600, EPOCH_S),
    ProposeConfiguration("version: 1\n", "new charger"),
)
TARGETS = Targets(
    sequence=812,
    issued_epoch_s=EPOCH_S,
    targets=(
        Target("place-0", EPOCH_S + 7200, 22_000),
        Target("place-1", EPOCH_S + 600, 0, tag="04A1", never_pause=True),
    ),
    price_start_epoch_s=EPOCH_S - EPOCH_S % 900,
    price_step_s=900,
    price_eur_per_kwh=np.array([0.21, -0.03, 0.4]),
)


def plan_example() -> str:
    """The text of a plan of four quarters for one car."""
    quarter = EPOCH_S - EPOCH_S % 900
    steps = np.zeros(4, dtype=np.int64)
    plan = Plan(
        plan_id="depot-812", site="depot", topology_version="9f3c", sequence=812, key_id="", issued_epoch_s=EPOCH_S,
        start_epoch_s=quarter, step_s=900, valid_until_epoch_s=quarter + 3600, lease_until_epoch_s=EPOCH_S + 900,
        assets=("place-0",), setpoint_ma=np.array([[0], [0], [16_000], [16_000]]),
        value_ppm=np.full((4, 1), 210_000), planned_import_mw=steps + 21_000_000,
        grid_ppm=np.tile([50_000, 210_000, 0], (4, 1)), calm_import_mw=steps + 60_000_000,
    )  # fmt: skip
    return plan_text(plan)

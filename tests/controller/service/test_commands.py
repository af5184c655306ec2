"""Orders from the cloud side: who may, for how long, once only; and what then stands here, also after a restart."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from controller.core.fallback import SKEW_S
from controller.service.command_inbox import CommandHere, CommandInbox
from controller.service.command_judge import CommandSite, Outcome, judge_command
from controller.service.kept import Kept
from controller.service.messages import AssetOrder, StandingOrders
from controller.service.uplink import Answer
from interfaces.domain.wire import write
from interfaces.domain.wire_commands import (
    ORDERS,
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
from interfaces.domain.wire_examples import EPOCH_S, ORDERS_GIVEN
from interfaces.domain.wire_examples import command as example
from interfaces.domain.wire_head import Head
from interfaces.drivers.pki import key_id_of
from interfaces.drivers.signing import Signer, Verifier
from tests.controller.service.kit import garage_text

NOW = 1_795_415_500.0
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
STRANGER = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([2] * 32))
OURS = Signer(KEY, key_id_of(KEY.public_key()))
VERIFIER = Verifier({OURS.key_id: KEY.public_key()})
SITE = CommandSite("depot", "depot-1", frozenset({"place-0", "place-1", "b"}), ("place-0", "place-1"), NOW, True)


def command(order: Order, number: int = 1, **changes: Any) -> Command:
    made = Command(
        f"c0ffee00-{number:04d}", "depot-1", "depot", NOW - 1, NOW + 60, "j.jansen", "operator", order
    )  # fmt: skip
    return replace(made, **changes)


def signed(one: Command, by: Signer = OURS) -> bytes:
    return by.sign("command", write(one).decode())


def refused(payload: bytes, **site: Any) -> Outcome:
    found = judge_command(payload, replace(SITE, **site), VERIFIER)
    assert isinstance(found, Outcome), found
    return found


# -- judged -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS_GIVEN, ids=lambda order: order.do)
def test_every_order_of_the_closed_list_is_read_and_another_is_not(order):
    given = example(order)
    here = replace(SITE, controller=given.controller, epoch_s=EPOCH_S)
    found = judge_command(signed(given), here, VERIFIER)
    assert isinstance(found, Command), found
    assert found.order == order
    other = write(given).decode().replace(f'"do":"{order.do}"', '"do":"raise_limit"')
    assert refused(OURS.sign("command", other)).code is AnswerCode.MALFORMED


def test_the_list_is_the_one_this_test_knows():
    assert {order.do for order in ORDERS_GIVEN} == set(ORDERS)


@pytest.mark.parametrize(
    ("changes", "site", "code"),
    [
        ({"controller": "depot-2"}, {}, AnswerCode.NOT_FOR_US),
        ({"site": "villa"}, {}, AnswerCode.NOT_FOR_US),
        ({}, {"clock_trusted": False}, AnswerCode.NOT_YET),
        ({"issued_epoch_s": NOW + SKEW_S + 1, "expires_epoch_s": NOW + 200}, {}, AnswerCode.NOT_YET),
        ({}, {"epoch_s": NOW + 60}, AnswerCode.EXPIRED),
        ({"expires_epoch_s": NOW + 4000}, {}, AnswerCode.MALFORMED),
        ({"role": "viewer"}, {}, AnswerCode.NOT_ALLOWED),
        ({"order": Pause("ghost")}, {}, AnswerCode.UNKNOWN_ASSET),
        ({"order": Pause("place-0", NOW - 5)}, {}, AnswerCode.NOT_POSSIBLE),
    ],
)
def test_each_refusal_of_a_command_has_its_code(changes, site, code):
    found = refused(signed(replace(command(Pause("place-0")), **changes)), **site)
    assert found.code is code
    assert found.command == "c0ffee00-0001"


@pytest.mark.parametrize(
    ("role", "order", "allowed"),
    [
        ("viewer", Pause("place-0"), False),
        ("driver", Pause("place-0"), True),
        ("driver", LimitCharger("place-0", 10.0), False),
        ("driver", OutOfService("place-0"), False),
        ("operator", LimitCharger("place-0", 10.0), True),
        ("operator", ProposeConfiguration("x"), False),
        ("installer", ProposeConfiguration("x"), True),
        ("admin", Restart("place-0"), True),
    ],
)
def test_who_may_order_what(role, order, allowed):
    found = judge_command(signed(command(order, role=role)), SITE, VERIFIER)
    assert isinstance(found, Command) is allowed
    if isinstance(found, Outcome):
        assert found.code is AnswerCode.NOT_ALLOWED
        assert role in found.text


def test_row_12_a_forged_command_is_refused(figure):
    forged = signed(command(Pause("place-0")), Signer(STRANGER, OURS.key_id))
    found = refused(forged)
    assert found.code is AnswerCode.BAD_SIGNATURE
    figure("command by another key", found.text)
    assert refused(OURS.sign("plan", write(command(Pause("place-0"))).decode())).code is AnswerCode.BAD_SIGNATURE
    assert refused(write(command(Pause("place-0")))).code is AnswerCode.BAD_SIGNATURE


def test_row_79_a_command_of_an_unknown_major_version_is_refused_as_such():
    body = write(command(Pause("place-0"))).decode().replace('"schema":"1.0"', '"schema":"2.0"')
    assert refused(OURS.sign("command", body)).code is AnswerCode.UNKNOWN_MAJOR


# -- obeyed -----------------------------------------------------------------------------------------------------------


@dataclass
class Box:
    """A gateway's inbox for commands, on a real disk."""

    folder: Path
    epoch_s: float = NOW
    told: list[StandingOrders] = field(default_factory=list)
    segments: int = 3
    windows: list[tuple[str, SendJournal, float]] = field(default_factory=list)
    knows: bool = True
    trusted: bool = True

    def __post_init__(self) -> None:
        pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (self.folder / "signing.pub").write_bytes(pem)
        self.again()

    def again(self) -> Box:
        """As after a restart."""
        self.inbox = CommandInbox(
            Kept(self.folder / "state.db"), self.here, self.told.append, self.window,
            self.folder / "proposals",
        )  # fmt: skip
        return self

    def window(self, name: str, order: SendJournal, now_epoch_s: float) -> tuple[AnswerCode, str]:
        self.windows.append((name, order, now_epoch_s))
        code = AnswerCode.DONE if self.segments else AnswerCode.NOT_POSSIBLE
        return code, f"{self.segments} journal files"

    def here(self) -> CommandHere | None:
        if not self.knows:
            return None
        return CommandHere(replace(SITE, epoch_s=self.epoch_s, clock_trusted=self.trusted), self.folder / "signing.pub")

    def give(self, order: Order, number: int = 1, **changes: Any) -> CommandAnswer:
        times = {"issued_epoch_s": self.epoch_s - 1, "expires_epoch_s": self.epoch_s + 60}
        return self.send(signed(command(order, number, **{**times, **changes})))

    def send(self, payload: bytes) -> CommandAnswer:
        answers: Sequence[Answer] = asyncio.run(self.inbox.decide(payload))
        (answer,) = [make(Head(1, 1, NOW)) for _, make in answers]
        assert isinstance(answer, CommandAnswer)
        return answer

    @property
    def stands(self) -> set[tuple[str, str]]:
        """What the field process was told last."""
        return {(order.asset, order.do) for order in self.told[-1].orders}


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_limit_reaches_the_field_process_with_its_end(box):
    answer = box.give(LimitCharger("place-0", 10.5, NOW + 3600))
    assert answer.code is AnswerCode.DONE
    assert "limited to 10.5 A until" in answer.text
    assert box.told == [StandingOrders((AssetOrder("place-0", "limit", 10_500, 3600.0, 0.0),))]


def test_a_command_that_comes_again_is_answered_again_and_done_once(box):
    first = box.give(Pause("place-0"))
    box.give(Resume("place-0"), 2)
    again = box.give(Pause("place-0"))
    assert (again.code, again.text) == (first.code, first.text)
    assert box.stands == set(), "the second one of that number paused nobody"
    restarted = box.again().give(Pause("place-0"))
    assert restarted.text == first.text


def test_orders_stand_after_a_restart_as_long_as_they_would_have(box):
    box.give(LimitCharger("place-0", 10.0, NOW + 3600))
    box.give(OutOfService("place-1"), 2)
    box.again().epoch_s = NOW + 1800
    asyncio.run(box.inbox.field_started())
    assert {(o.asset, o.do, o.left_s) for o in box.told[-1].orders} == {
        ("place-0", "limit", 1800.0),
        ("place-1", "out_of_service", float("inf")),
    }
    box.epoch_s = NOW + 3600
    asyncio.run(box.inbox.field_started())
    assert box.stands == {("place-1", "out_of_service")}


def test_orders_are_told_again_as_soon_as_the_field_process_has_said_how_its_clock_is(box):
    box.give(Pause("place-0"))
    box.again().knows = False
    asyncio.run(box.inbox.field_started())
    assert len(box.told) == 1
    box.knows = True
    asyncio.run(box.inbox.look())
    asyncio.run(box.inbox.look())
    assert len(box.told) == 2
    assert box.stands == {("place-0", "pause")}


def test_a_resume_that_a_killed_gateway_could_not_pass_on_is_passed_on_by_the_next(box):
    box.give(Pause("place-0"))
    box.give(Resume("place-0"), 2)
    del box.told[1:]  # killed after it was stored, before it was told
    asyncio.run(box.again().inbox.field_started())
    assert box.told[1:] == [StandingOrders(())]


@pytest.mark.parametrize("wrong_epoch_s", [86_400.0, 4_200_000_000.0])
def test_an_order_ends_when_it_was_to_although_the_clock_lost_its_time_in_a_power_cut(box, wrong_epoch_s):
    box.give(Pause("place-0", NOW + 3600))
    box.give(LimitCharger("place-1", 8.0, NOW + 600), 2)
    box.again().epoch_s, box.trusted = wrong_epoch_s, False
    asyncio.run(box.inbox.field_started())
    assert box.stands == {("place-0", "pause"), ("place-1", "limit")}, "nobody knows whether they have ended"
    box.epoch_s, box.trusted = NOW + 1800, True
    asyncio.run(box.inbox.look())
    assert [(order.asset, order.left_s) for order in box.told[-1].orders] == [("place-0", 1800.0)]
    times = len(box.told)
    asyncio.run(box.inbox.look())
    assert len(box.told) == times


def test_while_what_was_ordered_cannot_be_read_nothing_is_obeyed_or_forgotten(box, monkeypatch):
    box.give(Pause("place-0"))
    with monkeypatch.context() as patch:
        patch.setattr(Kept, "get", unreadable)
        asyncio.run(box.again().inbox.field_started())
        assert box.give(Resume("place-0"), 2).code is AnswerCode.NOT_POSSIBLE
    asyncio.run(box.inbox.look())
    assert len(box.told) == 2
    assert box.stands == {("place-0", "pause")}


def unreadable(_kept: Kept, name: str) -> bytes | None:
    raise OSError(f"{name}: an error of the disk")


def test_who_may_not_order_something_may_not_take_it_back(box):
    box.give(OutOfService("place-0"), 1)
    answer = box.give(Resume("place-0"), 2, role="driver")
    assert answer.code is AnswerCode.NOT_ALLOWED
    assert "j.jansen" in answer.text
    assert box.stands == {("place-0", "out_of_service")}
    assert box.give(Resume("place-0"), 3).code is AnswerCode.DONE
    assert box.stands == set()


def test_a_driver_takes_back_a_pause_and_leaves_the_limit(box):
    box.give(LimitCharger("place-0", 8.0), 1)
    box.give(Pause("place-0"), 2, role="driver")
    answer = box.give(Resume("place-0"), 3, role="driver")
    assert "taken back: pause; limit by j.jansen stays" in answer.text
    assert box.stands == {("place-0", "limit")}


def test_a_second_limit_replaces_the_first(box):
    box.give(LimitCharger("place-0", 8.0), 1)
    box.give(LimitCharger("place-0", 12.0), 2)
    assert [order.limit_ma for order in box.told[-1].orders] == [12_000]


def test_solar_mode_is_of_one_place_or_of_all(box):
    box.give(SolarMode(on=True), 1)
    assert box.stands == {("place-0", "solar"), ("place-1", "solar")}
    box.give(SolarMode(on=False, asset="place-1"), 2)
    assert box.stands == {("place-0", "solar")}
    box.give(SolarMode(on=False), 3)
    assert box.stands == set()


def test_charging_now_ends_within_a_day(box):
    box.give(ChargeNow("place-0"), role="driver")
    (order,) = box.told[-1].orders
    assert (order.do, order.left_s) == ("charge_now", 86_400.0)


def test_a_restart_is_answered_not_possible(box):
    answer = box.give(Restart("place-0"))
    assert answer.code is AnswerCode.NOT_POSSIBLE
    assert "not possible" in answer.text
    assert not box.told


def test_a_window_of_the_journal_is_asked_for_once_and_answered_as_its_sender_says(box):
    window = SendJournal(NOW - 600, NOW)
    for _ in range(2):
        answer = box.give(window, 1)
        assert (answer.code, answer.text) == (AnswerCode.DONE, "3 journal files")
    assert box.windows == [("c0ffee00-0001", window, NOW)]
    box.segments = 0
    assert box.give(window, 2).code is AnswerCode.NOT_POSSIBLE


def test_a_journal_that_cannot_be_read_is_answered_and_holds_nobody_up(box):
    threads = []

    def broken(_name: str, _order: SendJournal, _now_s: float) -> tuple[AnswerCode, str]:
        threads.append(threading.current_thread())
        raise OSError(5, "Input/output error")

    box.inbox._send_window = broken
    answer = box.give(SendJournal(NOW - 60, NOW))
    assert answer.code is AnswerCode.NOT_POSSIBLE
    assert "Input/output error" in answer.text
    assert threads != [threading.main_thread()], "the loop waits for no disk"


def test_a_proposed_site_file_is_checked_and_laid_aside(box):
    good = box.give(ProposeConfiguration(garage_text()), 1, role="installer")
    assert good.code is AnswerCode.DONE
    assert (box.folder / "proposals" / "c0ffee00-0001.yaml").read_text("utf-8") == garage_text()
    bad = box.give(
        ProposeConfiguration(garage_text().replace("rated_a: [40, 40, 40]", "rated_a: [0]")), 2, role="admin"
    )
    assert bad.code is AnswerCode.NOT_POSSIBLE
    assert "line" in bad.text
    assert not (box.folder / "proposals" / "c0ffee00-0002.yaml").exists()


def test_what_cannot_be_stored_is_not_obeyed(tmp_path):
    box = Box(tmp_path)
    box.give(Resume("place-0"))
    for file in tmp_path.glob("state.db*"):
        file.unlink()
    (tmp_path / "state.db").mkdir()
    answer = box.give(Pause("place-0"), 2)
    assert answer.code is AnswerCode.NOT_POSSIBLE
    assert "stored" in answer.text
    assert not box.told


def test_a_refused_command_changes_nothing_and_is_forgotten(box):
    assert box.give(Pause("place-0"), controller="depot-2").code is AnswerCode.NOT_FOR_US
    asyncio.run(box.again().inbox.field_started())
    assert box.told == [StandingOrders(())]

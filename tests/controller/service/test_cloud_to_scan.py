"""From a signed message of the cloud to what a charger is told: inbox, disk, field process and scan in one row."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from controller.core.state import retained_of
from controller.service.cloud_inbox import CloudInbox, Here
from controller.service.command_inbox import CommandHere, CommandInbox
from controller.service.command_judge import CommandSite
from controller.service.kept import Kept
from controller.service.plan_inbox import Mark, Site
from controller.service.status import following_of
from interfaces.domain.codec import pack
from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_text
from interfaces.domain.reasons import Reason
from interfaces.domain.targets import Target, Targets
from interfaces.domain.wire import AckCode, targets_message, write
from interfaces.domain.wire_commands import AnswerCode, Command, Order, OutOfService, Pause, Resume, SendJournal
from interfaces.domain.wire_head import Head
from interfaces.domain.wire_topics import Kind
from interfaces.drivers.pki import key_id_of
from interfaces.drivers.signing import Signer
from tests.controller.service.kit import EPOCH_S, PLACE_1, PLACE_2, Bench

KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([1] * 32))
SIGNER = Signer(KEY, key_id_of(KEY.public_key()))
BOX = "box-1"
PLACES = (PLACE_1, PLACE_2)


def no_window(command: str, order: SendJournal, now_epoch_s: float) -> tuple[AnswerCode, str]:
    """No journal is kept here."""
    del command, order, now_epoch_s
    return AnswerCode.NOT_POSSIBLE, "no journal is kept here"


class Box:
    """A controller without its network: what the gateway would hand over goes straight into the field's inbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / "signing.pub").write_bytes(pem)
        self.bench = Bench()
        self.bench.advance(30)
        self._gateway()

    def _gateway(self) -> None:
        kept = Kept(self.folder / "state.db")
        self.commands = CommandInbox(kept, self.command_here, self.tell, no_window, self.folder / "proposals")
        self.inbox = CloudInbox(kept, self.here, self.tell, self.commands.decide)

    def restart(self) -> None:
        """Power fails and comes back: both processes begin with what is on disk."""
        bench = self.bench
        kept = retained_of(bench.loop.state, bench.setup.params, bench.now_s, bench.epoch_s)
        self.bench = Bench(retained=kept, now_s=bench.now_s + 30, epoch_s=bench.epoch_s + 30)
        self._gateway()
        asyncio.run(self.inbox.field_started())
        asyncio.run(self.commands.field_started())
        self.bench.advance(60)

    def tell(self, message: Any) -> None:
        refused = self.bench.inbox.take(pack(message))
        assert refused is None, refused

    def here(self) -> Here:
        topology = self.bench.setup.params.topology
        site = Site(
            self.bench.setup.site.id, BOX, topology.version, frozenset(topology.index), self.bench.epoch_s,
            self.bench.loop.clock_watch.trusted, Mark(),
        )  # fmt: skip
        return Here(site, self.folder / "signing.pub")

    def command_here(self) -> CommandHere:
        site = self.here().site
        return CommandHere(
            CommandSite(site.site, BOX, site.assets, PLACES, site.epoch_s, site.clock_trusted),
            self.folder / "signing.pub",
        )

    def arrives(self, kind: Kind, body: str) -> list[Any]:
        """A message comes; the answers to it."""
        answers = asyncio.run(self.inbox.take(kind, SIGNER.sign(kind.value, body)))  # type: ignore[arg-type]
        return [make(Head(1, 1, EPOCH_S)) for _, make in answers]

    def plan(self, amps: float, sequence: int, **changes: Any) -> list[Any]:
        """A plan of two quarters that begins where this one did; its lease is 10 min."""
        now = self.bench.epoch_s
        made = Plan(
            plan_id=f"p{sequence}", site=self.bench.setup.site.id,
            topology_version=self.bench.setup.params.topology.version, sequence=sequence, key_id="",
            issued_epoch_s=now, start_epoch_s=now, step_s=900, valid_until_epoch_s=now + 1800,
            lease_until_epoch_s=now + 600, assets=PLACES, setpoint_ma=np.full((2, 2), int(amps * 1000)),
            value_ppm=np.full((2, 2), 200_000), planned_import_mw=np.zeros(2, dtype=np.int64),
            grid_ppm=np.tile([30_000, 200_000, 10_000_000], (2, 1)), calm_import_mw=np.full(2, 10**12),
        )  # fmt: skip
        return self.arrives(Kind.PLAN, plan_text(replace(made, **changes)))

    def order(self, order: Order, number: int) -> Any:
        now = self.bench.epoch_s
        command = Command(
            f"c0ffee00-{number:04d}", BOX, self.bench.setup.site.id, now, now + 60, "j.jansen", "operator", order
        )  # fmt: skip
        (answer,) = self.arrives(Kind.COMMAND, write(command).decode())
        return answer

    def told_a(self) -> list[float]:
        columns = self.bench.setup.params.topology.index
        return [self.bench.told_a()[columns[place]] for place in PLACES]

    def reason(self, place: str) -> int:
        return int(self.bench.commands.reason[self.bench.setup.params.topology.index[place]])


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_signed_plan_is_followed_and_an_older_one_is_not(box):
    (ack,) = box.plan(7.0, 3)
    assert ack.code is AckCode.ACCEPTED
    box.bench.advance(40)
    assert box.told_a() == [7.0, 7.0]
    (ack,) = box.plan(10.0, 2)
    assert ack.code is AckCode.REPLAYED
    box.bench.advance(20)
    assert box.told_a() == [7.0, 7.0]
    told = following_of(box.bench.loop)
    assert (told.source, told.sequence, told.plans_accepted, told.switches) == ("plan", 3, 1, 1)


def test_row_11_a_power_cut_forgets_neither_the_plan_nor_its_number(box, figure):
    box.plan(7.0, 3)
    box.bench.advance(40)
    box.restart()
    assert box.bench.loop.state.mission.source == "plan"
    (ack,) = box.plan(10.0, 2)
    assert ack.code is AckCode.REPLAYED
    figure("after a power cut", ack.text)


def test_orders_reach_the_charger_and_survive_a_power_cut(box):
    assert box.order(Pause(PLACE_1), 1).code is AnswerCode.DONE
    box.bench.advance(5)
    assert box.told_a()[0] == 0.0
    assert box.reason(PLACE_1) == Reason.ORDERED_PAUSE
    assert box.order(OutOfService(PLACE_2), 2).code is AnswerCode.DONE
    box.restart()
    assert box.told_a() == [0.0, 0.0]
    assert {box.reason(PLACE_1), box.reason(PLACE_2)} == {Reason.ORDERED_PAUSE, Reason.OUT_OF_SERVICE}
    assert box.order(Resume(PLACE_1), 3).code is AnswerCode.DONE
    box.bench.advance(30)
    assert box.told_a()[0] >= 6.0


def test_targets_survive_a_power_cut_and_serve_the_local_rules(box):
    start = EPOCH_S - EPOCH_S % 900
    prices = np.array([0.4] * 8 + [0.05] * 40)
    wanted = tuple(Target(place, EPOCH_S + 11 * 3600, 9000) for place in PLACES)
    message = targets_message(
        Targets(1, EPOCH_S, wanted, start, 900, prices), site=box.bench.setup.site.id, controller=BOX
    )
    box.arrives(Kind.TARGETS, write(message).decode())
    box.bench.advance(2)
    assert box.bench.loop.inputs.targets is not None
    box.restart()
    assert box.bench.loop.inputs.targets is not None
    assert box.told_a() == [0.0, 0.0]
    assert box.reason(PLACE_1) == Reason.CHEAPER_LATER

"""One site's link over the process's connection to the broker, and the thread in which that connection lives.

The folder of the site stays what it is without a broker: the memory of statuses, the wishes, and the last plan, which a
restart begins from. What changes is how statuses get there and how plans and targets leave.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Final

from interfaces.domain.plan import PLAN_SCHEMA, Plan
from interfaces.domain.plan_text import plan_text
from interfaces.domain.targets import Targets
from interfaces.domain.wire import TargetsMessage, targets_message, write
from interfaces.domain.wire_commands import AnswerCode, Command, CommandAnswer, Order, RoleName, SendJournal, may
from interfaces.domain.wire_head import MAJOR
from interfaces.domain.wire_modes import MODES
from interfaces.domain.wire_topics import Address, Kind
from interfaces.drivers.clock import Clock, epoch_s
from interfaces.drivers.signing import Signer
from optimizer.service.local_link import LocalLink
from optimizer.service.mqtt_link import CloudLink, Outgoing
from optimizer.service.port import LinkError, Received

log = logging.getLogger(__name__)

REST_S: Final[float] = 10.0
"""After a failure of this program."""
TARGETS_AGAIN_S: Final[float] = 3600.0
"""Targets that have not changed are sent again after so long, so that the site sees that they still hold."""
COMMAND_S: Final[float] = 60.0
"""How long a command may be begun; who gave it waits no longer for its answer."""


class MqttSite:
    """The ``SiteLink`` of one controller; its plans and targets are always signed."""

    def __init__(
        self, cloud: CloudLink, address: Address, folder: LocalLink, signer: Signer, now_epoch_s: Clock = epoch_s
    ) -> None:
        self._cloud, self._address, self._folder, self._signer = cloud, address, folder, signer
        self._epoch_s = now_epoch_s
        self._targets: TargetsMessage | None = None

    def read(self) -> Received | LinkError:
        """What the folder has got since the last call; the connection puts it there."""
        return self._folder.read()

    def last_plan(self) -> Plan | None:
        """The plan made last, sent or not: the next one needs a higher sequence."""
        return self._folder.last_plan()

    def send_plan(self, plan: Plan) -> LinkError | None:
        """Remember the plan, then send it: retained, until nobody may follow it any more."""
        reason = self._not_readable(Kind.PLAN, PLAN_SCHEMA)
        error = LinkError(reason) if reason else self._folder.send_plan(plan)
        if error is not None:
            return error
        plan = self._leased(plan)
        until_epoch_s = min(plan.valid_until_epoch_s, plan.lease_until_epoch_s)
        payload = self._signer.sign("plan", plan_text(plan))
        return self._cloud.publish(Outgoing(self._address, Kind.PLAN, payload, until_epoch_s))

    def send_targets(self, targets: Targets) -> LinkError | None:
        """Send what has changed; the same again once an hour."""
        reason = self._not_readable(Kind.TARGETS, MAJOR)
        error = LinkError(reason) if reason else self._folder.send_targets(targets)
        if error is not None:
            return error
        message = targets_message(targets, site=self._address.site, controller=self._address.controller)
        if not self._news(message):
            return None
        self._targets = message
        payload = self._signer.sign("targets", write(message).decode())
        return self._cloud.publish(Outgoing(self._address, Kind.TARGETS, payload))

    def command(self, order: Order, *, actor: str, role: RoleName) -> Future[CommandAnswer | LinkError]:
        """Give an order in somebody's name; its answer, within a minute."""
        now_epoch_s = self._epoch_s()
        refused = "" if may(role, order) else f"the role {role} is not enough for {order.do}"
        refused = refused or self._not_readable(Kind.COMMAND, MAJOR)
        name = str(uuid.uuid4())
        if not refused and isinstance(order, SendJournal):
            error = self._folder.expect_window(name)
            refused = "" if error is None else error.reason
        if refused:
            answer: Future[CommandAnswer | LinkError] = Future()
            answer.set_result(LinkError(refused))
            return answer
        command = Command(
            name, self._address.controller, self._address.site, now_epoch_s, now_epoch_s + COMMAND_S, actor, role,
            order,
        )  # fmt: skip
        said = self._cloud.order(self._address, command, self._signer)
        if isinstance(order, SendJournal):
            said.add_done_callback(partial(self._answered, name))
        return said

    def _answered(self, window: str, said: Future[CommandAnswer | LinkError]) -> None:
        """A window that the site does not send is not waited for. Without an answer it may come all the same."""
        answer = said.result()
        if isinstance(answer, CommandAnswer) and answer.code is not AnswerCode.DONE:
            self._folder.forget_window(window)

    def _leased(self, plan: Plan) -> Plan:
        """The plan with a lease that lasts until the next one may come."""
        birth = self._cloud.birth(self._address)
        lease_s = 0.0 if birth is None else MODES[birth.mode].lease_s
        return replace(plan, lease_until_epoch_s=max(plan.lease_until_epoch_s, plan.issued_epoch_s + lease_s))

    def _news(self, message: TargetsMessage) -> bool:
        last = self._targets
        if last is None or message.issued_epoch_s - last.issued_epoch_s >= TARGETS_AGAIN_S:
            return True
        return replace(message, sequence=last.sequence, issued_epoch_s=last.issued_epoch_s) != last

    def _not_readable(self, kind: Kind, major: int) -> str:
        """Why the controller could not read it, by its own word."""
        birth = self._cloud.birth(self._address)
        reads = None if birth is None else birth.schemas.get(kind)
        if reads is None or int(reads.partition(".")[0]) == major:
            return ""
        return f"the controller reads the {kind} of schema {reads}, not {major}.x"


class CloudThread:
    """Runs a connection beside a program that is not asynchronous."""

    def __init__(self, cloud: CloudLink) -> None:
        self._cloud = cloud
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="broker", daemon=True)

    def start(self) -> None:
        """Begin; the connection is made in its own time."""
        self._thread.start()

    def stop(self) -> None:
        """Take leave of the broker and wait until what was heard is stored."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._forever())
        try:
            self._loop.run_until_complete(asyncio.wait({self._task}))
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()

    async def _forever(self) -> None:
        """The connection's one catcher: what fails there is a bug, and must not end the plans of all sites."""
        while True:
            try:
                await self._cloud.run()
            except Exception:
                log.exception("the link to the sites failed")
            await asyncio.sleep(REST_S)

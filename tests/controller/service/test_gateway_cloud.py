"""The real processes and a real broker: what a site tells, over the death of its gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from interfaces.domain.wire_live import Live
from interfaces.domain.wire_topics import Kind
from simulations.demo.stage import Stage
from tests.controller.service.cloud_kit import Cloud, clouded, until
from tests.controller.service.kit import garage_text
from tests.interfaces.drivers.mosquitto import Mosquitto, make_keys, running

pytestmark = pytest.mark.xdist_group("processes")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    yield from running(tmp_path / "broker", make_keys(tmp_path / "keys", "box-1"))


async def test_a_killed_gateway_goes_on_where_it_was_and_the_scan_notices_nothing(broker):
    service = {
        "broker": {
            "host": broker.broker("box-1").host,
            "port": broker.port,
            "organisation": "acme",
            "controller": "box-1",
            "keys_dir": str(broker.keys),
        },
        "telemetry": {"live_s": 1},
    }
    stage = Stage(garage_text(), seed=3, service=service)
    async with clouded(broker, stores=False) as cloud:
        await asyncio.to_thread(stage.__enter__)
        try:
            await _killed(cloud, stage)
        finally:
            await asyncio.to_thread(stage.close)
        await until(lambda: not cloud.of(Kind.STATE)[-1].online, "it took leave, or the broker told its will")


async def _killed(cloud: Cloud, stage: Stage) -> None:
    await until(lambda: len(cloud.live()) >= 3, "statuses")
    health = await asyncio.to_thread(stage.health)
    assert health["uplink"]["connected"] is True
    before, names = stage.processes(), set(cloud.names())
    os.kill(before["gateway"], signal.SIGKILL)
    await until(lambda: len(cloud.of(Kind.BIRTH)) >= 2, "the birth of another gateway")
    cloud.stores = True
    first, second = (birth.head.session for birth in cloud.of(Kind.BIRTH)[:2])
    assert second > first, "its memory of sessions outlived it"
    await until(lambda: unconfirmed(cloud, names, first) == set(), "what no receipt had named comes again")
    assert stage.processes()["field"] == before["field"]
    health = await asyncio.to_thread(stage.health)
    assert health["scan_errors"] == 0
    late = [message for message in cloud.late() if isinstance(message, Live)]
    assert all(message.whole is not None for message in late)


def unconfirmed(cloud: Cloud, names: set[tuple[int, int]], session: int) -> set[tuple[int, int]]:
    """Statuses of the first gateway that have not come a second time, as historical."""
    told = {(one.head.session, one.head.seq) for one in cloud.live() if one.head.session == session}
    again = {(one.head.session, one.head.seq) for one in cloud.late()}
    return (told & names) - again

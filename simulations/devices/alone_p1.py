"""A digital meter alone, without a site: telegrams of a small building on one TCP port, as a P1 bridge sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from interfaces.domain.topology import Circuit, build_topology
from interfaces.drivers.p1_reading import PERIOD_S, find_p1
from interfaces.errors import UserError
from simulations.devices.alone import BUILDING_A, STEP_S
from simulations.devices.moment import Counters
from simulations.devices.p1 import P1Feed
from simulations.devices.parts import DIALECTS
from simulations.plant.building import BuildingLoad
from simulations.plant.site import Environment, Plant

NOON_S: Final = 12 * 3600.0
CIRCUIT: Final = Circuit("gcp", None, (35.0,) * 3, meter="m", background_max_a=(20.0,) * 3)


class LoneMeter:
    """The meter and what flows through it. ``start`` listens, ``serve`` runs until it is cancelled.

    Raises:
        UserError: registers are to be set, and a P1 port has none.
    """

    def __init__(self, profile_id: str, texts: Sequence[str], *, port: int, start_epoch_s: float) -> None:
        profile = find_p1(profile_id)
        if profile is None:
            raise ValueError(f"there is no P1 profile {profile_id!r}")
        if texts:
            raise UserError(f"--set holds registers, and {profile.id} has none: it sends telegrams of a small building")
        environment = Environment((BuildingLoad("gcp", BUILDING_A),), start_day_s=NOON_S, start_epoch_s=start_epoch_s)
        self._plant = Plant(
            build_topology([CIRCUIT], [], version="alone"), seed=1, environment=environment, step_s=STEP_S
        )
        self._counters = Counters(self._plant)
        self.feed = P1Feed(0, DIALECTS.get(profile_id, "dsmr5"), PERIOD_S[profile.id], start_epoch_s)
        self.feed.port = port
        self._profile = profile.id

    async def start(self) -> None:
        """Listen; UserError when the port is taken."""
        try:
            await self.feed.start()
        except OSError as error:
            raise UserError(f"port {self.feed.port} cannot be used: {error.strerror or error}") from error

    @property
    def address_line(self) -> str:
        """One sentence that says where it sends."""
        return f"{self._profile} sends P1 telegrams at 127.0.0.1:{self.feed.port}"

    def advance(self) -> None:
        """A tenth of a second passes."""
        self._plant.step(STEP_S, self._plant.now_s + STEP_S)
        self._counters.observe(STEP_S)
        self.feed.refresh(self._counters.moment())

    async def serve(self) -> None:
        """Let time pass for the meter."""
        try:
            while True:
                await asyncio.sleep(STEP_S)
                self.advance()
        finally:
            await self.feed.stop()

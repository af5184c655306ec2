"""A driver against the virtual service over real HTTP, in simulated time."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from interfaces.drivers.zaptec import ZaptecInstallation
from interfaces.drivers.zaptec_api import Account, ZaptecApi
from interfaces.drivers.zaptec_point import Seen
from simulations.devices.zaptec import CHARGING, Box, CloudState, VirtualZaptec

PLACE = "11111111-2222-3333-4444-555555555555"
CHARGER = "aaaaaaaa-0000-0000-0000-000000000001"


@dataclass
class Clock:
    """Simulated seconds; ``pause`` is what the rate waits with."""

    now_s: float = 1000.0
    paused_s: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.paused_s.append(seconds)
        self.now_s += seconds


@dataclass
class Kit:
    """The service, its clock, and the driver."""

    clock: Clock
    cloud: VirtualZaptec
    api: ZaptecApi
    driver: ZaptecInstallation

    @property
    def state(self) -> CloudState:
        return self.cloud.state

    def run(self, seconds: float, wanted_a: int | None) -> list[Seen]:
        """A step a second, as the gateway's thread does."""
        found = []
        for _ in range(round(seconds)):
            seen = self.driver.step(wanted_a)
            found += [] if seen is None else [seen]
            self.clock.now_s += 1.0
        return found

    def last(self, seconds: float, wanted_a: int | None) -> Seen:
        return self.run(seconds, wanted_a)[-1]


def installation(**change: object) -> CloudState:
    return CloudState(PLACE, [Box(CHARGER, CHARGING)], **change)  # type: ignore[arg-type]


@contextmanager
def driven(state: CloudState | None = None, *, limit_a: float = 32.0, password: str = "") -> Iterator[Kit]:
    clock, state = Clock(), state or installation()
    with VirtualZaptec(state, clock) as cloud:
        api = ZaptecApi(Account(state.username, password or state.password), clock, clock.pause, cloud.url)
        yield Kit(clock, cloud, api, ZaptecInstallation(PLACE, limit_a, api, clock, random.Random(1)))
        api.close()

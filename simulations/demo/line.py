"""The line between the site and the cloud, which can be cut: a proxy of our own in front of the broker."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Final

from simulations.devices.proxy import DIRECTIONS, LOCALHOST, Direction, Proxy, Spoil

PATIENCE_S: Final[float] = 60.0
"""For what its thread does at once."""


class CloudLine:
    """Forwards ``port`` on 127.0.0.1 to the broker's port in a thread of its own. Use as a context manager.

    A cut line swallows what is sent and tells nobody, as a lost mobile network does.
    """

    def __init__(self, broker_port: int) -> None:
        self._proxy = Proxy(LOCALHOST, broker_port, seed=1)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="line", daemon=True)
        self._up = threading.Event()
        self._end = asyncio.Event()
        self.is_cut = False

    def __enter__(self) -> CloudLine:
        self._thread.start()
        if not self._up.wait(PATIENCE_S):
            raise RuntimeError("the proxy's thread does not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    @property
    def port(self) -> int:
        """Where the site's side connects."""
        return self._proxy.port

    def cut(self) -> None:
        """Nothing passes from now on, in either direction."""
        self.is_cut = True
        self._at_once(self._swallow)

    def spoil(self, how: Mapping[Direction, Spoil]) -> None:
        """What is done to everything that passes from now on."""
        self._at_once(lambda: self._proxy.spoil.update(how))

    def mend(self) -> None:
        """Everything passes again; connections from before the cut are gone, as after a new address."""
        self.is_cut = False
        self._at_once(self._renew)

    def _at_once(self, change: Callable[[], None]) -> None:
        async def changed() -> None:
            change()

        asyncio.run_coroutine_threadsafe(changed(), self._loop).result(PATIENCE_S)

    def _swallow(self) -> None:
        self._proxy.spoil = {direction: Spoil(half_open=True) for direction in DIRECTIONS}

    def _renew(self) -> None:
        self._proxy.cut_all()
        self._proxy.mend()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async with self._proxy:
            self._up.set()
            await self._end.wait()

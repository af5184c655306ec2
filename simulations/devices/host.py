"""A whole site in one process: the plant in real time, and a Modbus server for every address of the site file."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from interfaces.domain.site_bus import Line, devices, line_of
from interfaces.domain.site_types import ChargerEntry, MeterEntry, Site
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_load import find_profile
from simulations.devices.lines import Address, Plan, add_device, mapped_site, mapping_of, start
from simulations.devices.models import RequestCount
from simulations.devices.moment import Counters
from simulations.devices.parts import Part, device_of, feed_of, plant_topology, size_of, usual_environment
from simulations.devices.read_log import ReadLog
from simulations.devices.registers import station
from simulations.plant.ev import Arrival
from simulations.plant.evse import BOOT_S
from simulations.plant.site import Environment, Plant

STEP_S: Final[float] = 0.1
MOST_STEPS_BEHIND: Final[int] = 50
"""After a stall the plant catches up this many steps; the rest of the lost time is let go."""
WRITE_LOG: Final[int] = 20_000


class SiteHost:
    """Serves a site on 127.0.0.1 while the plant runs in real time. Use as an asynchronous context manager.

    ``addresses``: every address of the file -> where it is served. ``site_here``: the file with those put in.
    ``writes``: setpoints as they arrived (monotonic time, asset id, A per conductor). ``read_log``: who was asked when,
    once somebody wants to know. ``real_time`` False: time stands
    still but for ``advance``.
    """

    def __init__(
        self,
        site: Site,
        *,
        seed: int,
        environment: Environment | None = None,
        arrivals: Sequence[Arrival] = (),
        real_time: bool = True,
    ) -> None:
        self.site = site
        self.profiles = profiles_of(site)
        around = usual_environment(site) if environment is None else environment
        self.plant = Plant(plant_topology(site), arrivals, seed=seed, environment=around, step_s=STEP_S)
        self.parts: dict[str, Part] = {}
        self.writes: deque[tuple[float, str, float]] = deque(maxlen=WRITE_LOG)
        self.addresses: dict[Address, Address] = {}
        self.site_here = site
        self._plans: dict[Line, Plan] = {}
        self._servers: dict[Line, dict[int, ModbusServer]] = {}
        self._build()
        self.read_log: ReadLog | None = None
        self._counters = Counters(self.plant)
        self._real_time = real_time
        self._tasks: set[asyncio.Task[None]] = set()

    def _build(self) -> None:
        for entry in devices(self.site):
            if isinstance(entry, MeterEntry) and entry.p1 is not None:
                self.parts[entry.id] = Part(entry, feed=feed_of(self.site, self.plant, entry))
                continue
            profile = self.profiles[entry.profile]
            count = len(entry.evses) if isinstance(entry, ChargerEntry) else 1
            points = station(profile, size_of(entry, self.plant.topology), count)
            part = Part(entry)
            for number, point in enumerate(points):
                device, column = device_of(self.site, self.plant, entry, point, number, self._note)
                part.points.append(device)
                part.counts.append(RequestCount(point))
                if column is not None:
                    part.columns.append(column)
            self.parts[entry.id] = part
            add_device(self._plans, entry, profile, points)

    def _note(self, asset: str, setpoint_a: float) -> None:
        self.writes.append((time.monotonic(), asset, setpoint_a))

    async def __aenter__(self) -> SiteHost:
        self.advance(STEP_S)
        for line, plan in self._plans.items():
            self._servers[line] = await start(plan)
            owners = set(plan.owners.values())
            for (step, unit), owner in plan.owners.items():
                part, server = self.parts[owner], self._servers[line][step]
                part.homes.append((server, unit))
                part.shares_line = len(owners) > 1
        ports = {line: servers[0].port for line, servers in self._servers.items()}
        ports |= await self._start_feeds()
        self.addresses = mapping_of(self.site, self.profiles, ports)
        self.site_here = mapped_site(self.site, ports)
        if self._real_time:
            self._start_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in list(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for servers in self._servers.values():
            for server in servers.values():
                await server.stop()
        for part in self.parts.values():
            if part.feed is not None:
                await part.feed.stop()

    async def _start_feeds(self) -> dict[Line, int]:
        """Open the P1 ports; where each is."""
        ports: dict[Line, int] = {}
        for part in self.parts.values():
            if part.feed is not None and isinstance(part.entry, MeterEntry):
                await part.feed.start()
                ports[line_of(part.entry.address)] = part.feed.port
        return ports

    def _start_task(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self) -> None:
        origin_s = time.monotonic() - self.plant.now_s
        while True:
            due = int((time.monotonic() - origin_s - self.plant.now_s) / STEP_S)
            if due > MOST_STEPS_BEHIND:
                origin_s += (due - MOST_STEPS_BEHIND) * STEP_S
                due = MOST_STEPS_BEHIND
            for _ in range(due):
                self.advance(STEP_S)
            await asyncio.sleep(STEP_S / 2)

    def advance(self, dt_s: float) -> None:
        """One step of the plant, then every device shows it."""
        plant = self.plant
        for part in self.parts.values():
            for device, count in zip(part.points, part.counts, strict=True):
                if count.changed():
                    device.heard(plant.now_s)
        plant.step(dt_s, plant.now_s + dt_s)
        self._counters.observe(dt_s)
        self.show()

    def show(self) -> None:
        """Every device refreshes its registers from the plant's present."""
        moment = self._counters.moment()
        for part in self.parts.values():
            for device in part.points:
                device.refresh(moment)
            if part.feed is not None:
                part.feed.refresh(moment)

    def show_step(self) -> None:
        """Meters see what was injected at once, without waiting for the next step of the plant."""
        self.plant.settle()
        self._counters.observe(0.0)
        self.show()

    async def refuse(self, device_id: str) -> None:
        """The device closes its port (on a shared line: its unit falls silent)."""
        part = self.parts[device_id]
        if part.feed is not None:
            await part.feed.stop()
        for server, unit in part.homes:
            if part.shares_line:
                part.parked[unit] = server.units.pop(unit, part.parked.get(unit))
            elif server not in part.closed:
                part.closed.append(server)
                await server.stop()

    async def accept(self, device_id: str) -> None:
        """The device is reachable again on its old port."""
        part = self.parts[device_id]
        if part.feed is not None and not part.feed.listening:
            await part.feed.start()
        for server, unit in part.homes:
            bank = part.parked.pop(unit, None)
            if bank is not None:
                server.units[unit] = bank
        while part.closed:
            await part.closed.pop().start()

    async def reboot(self, device_id: str) -> None:
        """Cut a device's power; it comes back after ``BOOT_S`` without its volatile memory."""
        part, now_s = self.parts[device_id], self.plant.now_s
        for column in part.columns:
            self.plant.supplies.reboot(column, now_s)
        for device in part.points:
            device.restart(now_s)
        await self.refuse(device_id)

        async def back() -> None:
            await asyncio.sleep(BOOT_S)
            await self.accept(device_id)

        self._start_task(back())


def profiles_of(site: Site) -> dict[str, Profile]:
    """The shipped profile behind every name the site file uses; a P1 port has no registers to serve."""
    found: dict[str, Profile] = {}
    for entry in devices(site):
        if isinstance(entry, MeterEntry) and entry.p1 is not None:
            continue
        profile = find_profile(entry.profile)
        if profile is None:
            raise ValueError(f"there is no device profile {entry.profile!r}")
        found[entry.profile] = profile
    return found

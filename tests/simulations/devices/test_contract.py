"""A foreign client reads every make's state and currents at the addresses its manual gives, and commands it."""

from __future__ import annotations

import struct

import pytest
from pymodbus.client import AsyncModbusTcpClient

from interfaces.domain.image import Pilot
from interfaces.drivers.profile_load import find_profile, profile_ids
from simulations.devices.host import SiteHost
from simulations.devices.lines import Address
from simulations.plant.ev import Arrival, CarTraits
from tests.simulations.devices.conftest import Dial, pass_time

QUICK = CarTraits(react_s=1.0, ramp_a_per_s=99.0)


def arrive(host: SiteHost, asset: str, phases: int = 3, **traits: object) -> None:
    car = Arrival(asset, 0.0, 1e9, 50_000.0, phases=phases, max_a=32.0, tag="CAFE01", traits=QUICK)
    host.plant.sessions.arrive(car, host.plant.now_s, host.plant.cars)


async def words(
    client: AsyncModbusTcpClient, unit: int, addr: int, count: int, *, table: str = "holding"
) -> tuple[int, ...]:
    read = client.read_input_registers if table == "input" else client.read_holding_registers
    reply = await read(addr, count=count, device_id=unit)
    assert not reply.isError(), reply
    return tuple(reply.registers)


def as_float(pair: tuple[int, ...]) -> float:
    return float(struct.unpack(">f", struct.pack(">2H", *pair))[0])


def as_long(pair: tuple[int, ...]) -> int:
    return pair[0] << 16 | pair[1]


def as_swapped(pair: tuple[int, ...]) -> int:
    return int(struct.unpack(">i", struct.pack(">2H", pair[1], pair[0]))[0])


async def test_alfen(host: SiteHost, dial: Dial) -> None:
    client, left = await dial(("10.0.1.1", 502, 1))
    assert struct.pack(">5H", *await words(client, left, 1201, 5)).rstrip(b"\0") == b"A"
    for asset in ("twin-l", "twin-r"):
        arrive(host, asset, phases=3 if asset == "twin-l" else 1)
    for unit, current_a in ((1, 13.5), (2, 10.0)):
        pair = struct.unpack(">2H", struct.pack(">f", current_a))
        reply = await client.write_registers(1210, list(pair), device_id=unit)
        assert not reply.isError()
        assert as_float(await words(client, unit, 1210, 2)) == pytest.approx(current_a)
    pass_time(host, 15)
    assert struct.pack(">5H", *await words(client, left, 1201, 5)).rstrip(b"\0") == b"C2"
    assert [as_float(await words(client, 1, a, 2)) for a in (320, 322, 324)] == pytest.approx([13.5] * 3)
    assert [as_float(await words(client, 2, a, 2)) for a in (320, 322, 324)] == pytest.approx([10.0, 0.0, 0.0])
    assert as_float(await words(client, 1, 1206, 2)) == pytest.approx(13.5)
    assert as_float(await words(client, 1, 344, 2)) == pytest.approx(3 * 13.5 * 229.0, rel=0.02)
    # Conductor 1 of the right socket sits on L2.
    assert host.plant.draw_a[host.plant.topology.index["twin-r"]] == pytest.approx([0.0, 10.0, 0.0])
    uptime_ms = int.from_bytes(struct.pack(">4H", *await words(client, 200, 174, 4)), "big")
    assert uptime_ms == pytest.approx(15_100, abs=300)


async def test_alfen_counts_its_validity_down_and_falls_to_its_safe_current(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.1.1", 502, 1))
    arrive(host, "twin-l")
    await client.write_registers(1210, list(struct.unpack(">2H", struct.pack(">f", 16.0))), device_id=unit)
    pass_time(host, 20)
    assert as_long(await words(client, unit, 1208, 2)) == pytest.approx(40, abs=1)
    assert host.plant.cars.amps[host.plant.topology.index["twin-l"]] == pytest.approx(16.0)
    for _ in range(50):  # reading does not renew a setpoint
        await words(client, unit, 1208, 2)
        pass_time(host, 1)
    assert as_long(await words(client, unit, 1208, 2)) == 0
    assert as_float(await words(client, unit, 1212, 2)) == 6.0
    assert host.plant.cars.amps[host.plant.topology.index["twin-l"]] == pytest.approx(6.0)


async def test_abb(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.1.2", 502, 1))
    assert (await words(client, unit, 16396, 2))[1] >> 8 == 0
    arrive(host, "abb-1")
    assert not (await client.write_registers(16640, [0, 12_300], device_id=unit)).isError()
    assert as_long(await words(client, unit, 16398, 2)) == 12_300
    pass_time(host, 15)
    assert (await words(client, unit, 16396, 2))[1] >> 8 & 0x7F == 4
    assert [as_long(await words(client, unit, a, 2)) for a in (16400, 16402, 16404)] == [12_300, 0, 0]
    assert as_long(await words(client, unit, 16406, 2)) == pytest.approx(2290, abs=15)
    # The session command is its second path.
    assert not (await client.write_register(16645, 1, device_id=unit)).isError()
    pass_time(host, 1)
    assert as_long(await words(client, unit, 16400, 2)) == 0
    assert host.plant.supplies.stop[host.plant.topology.index["abb-1"]]
    assert (await words(client, unit, 16416, 1)) == (30,)
    assert not (await client.write_register(16646, 45, device_id=unit)).isError()
    pass_time(host, 0.1)
    assert (await words(client, unit, 16416, 1)) == (45,)


@pytest.mark.parametrize(("address", "asset"), [
    (("10.0.1.3", 502, 255), "duo-1"), (("10.0.1.3", 503, 255), "duo-2"), (("10.0.1.4", 502, 255), "live-1"),
])  # fmt: skip
async def test_bender(host: SiteHost, dial: Dial, address: Address, asset: str) -> None:
    client, unit = await dial(address)
    assert await words(client, unit, 122, 1) == (1,)
    arrive(host, asset)
    assert not (await client.write_register(1000, 0, device_id=unit)).isError()
    pass_time(host, 2)
    assert await words(client, unit, 122, 1) == (2,)
    assert not (await client.write_register(1000, 14, device_id=unit)).isError()
    assert await words(client, unit, 1000, 1) == (14,)
    pass_time(host, 15)
    assert await words(client, unit, 122, 1) == (3,)
    assert await words(client, unit, 140, 1) == (1,)
    assert await words(client, unit, 706, 1) == (14,)
    assert [as_long(await words(client, unit, a, 2)) for a in (212, 214, 216)] == [14_000] * 3
    tag = struct.pack(">10H", *await words(client, unit, 720, 10)).rstrip(b"\0")
    assert tag == b"CAFE01"
    assert not (await client.write_register(124, 0, device_id=unit)).isError()
    pass_time(host, 0.5)
    assert as_long(await words(client, unit, 212, 2)) == 0
    assert await words(client, unit, 140, 1) == (0,)


async def test_bender_falls_to_its_safe_current_when_nobody_asks_and_comes_back_when_somebody_does(
    host: SiteHost, dial: Dial
) -> None:
    client, unit = await dial(("10.0.1.4", 502, 255))
    column = host.plant.topology.index["live-1"]
    arrive(host, "live-1")
    await client.write_register(1000, 16, device_id=unit)
    for _ in range(30):
        pass_time(host, 4)
        await words(client, unit, 122, 1)
    assert host.plant.cars.amps[column] == pytest.approx(16.0)
    pass_time(host, 59)
    assert host.plant.in_force_a[column] == 16.0
    pass_time(host, 12)
    assert host.plant.in_force_a[column] == 6.0
    assert host.plant.cars.amps[column] == pytest.approx(6.0)
    assert not (await client.write_registers(131, [10, 30], device_id=unit)).isError()
    pass_time(host, 0.2)
    assert host.plant.in_force_a[column] == 16.0
    pass_time(host, 31)
    assert host.plant.in_force_a[column] == 10.0
    assert await words(client, unit, 131, 2) == (10, 30)


async def test_webasto_next_wants_its_life_bit(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.1.5", 502, 255))
    column = host.plant.topology.index["next-1"]
    arrive(host, "next-1", phases=2)
    assert not (await client.write_register(5004, 13, device_id=unit)).isError()
    for _ in range(30):
        pass_time(host, 1)
        assert not (await client.write_register(6000, 1, device_id=unit)).isError()
    assert await words(client, unit, 1000, 1) == (3,)
    assert [(await words(client, unit, a, 1))[0] for a in (1008, 1010, 1012)] == [13_000, 13_000, 0]
    assert await words(client, unit, 1100, 1) == (13,)
    for _ in range(22):  # any other request is not enough
        pass_time(host, 1)
        await words(client, unit, 1000, 1)
    assert host.plant.in_force_a[column] == 6.0


async def test_a_charger_nobody_manages_charges_at_its_own_limit_and_counts_as_background(host: SiteHost) -> None:
    arrive(host, "guest-1")
    pass_time(host, 90)
    column = host.plant.topology.index["guest-1"]
    assert host.plant.cars.amps[column] == pytest.approx(10.0)
    assert host.plant.background_a[host.plant.topology.circuit_index["hall"]] == pytest.approx([10.0] * 3)


async def test_meters(host: SiteHost, dial: Dial) -> None:
    plant = host.plant
    plant.added_a[0] = (30.0, 20.0, 10.0)
    plant.added_a[plant.topology.circuit_index["hall"]] = (1.0, 2.0, -3.0)
    pass_time(host, 60)
    main, unit = await dial(("10.0.0.1", 502, 1))
    currents = [as_float(await words(main, unit, a, 2, table="input")) for a in (6, 8, 10)]
    powers = [as_float(await words(main, unit, a, 2, table="input")) for a in (12, 14, 16)]
    rows = plant.row_a[0]
    assert currents == pytest.approx(list(abs(rows)), abs=0.06)
    # Direction is in the power: the roof feeds in.
    assert [p < 0 for p in powers] == [r < 0 for r in rows]
    assert any(p < 0 for p in powers)
    for address in (("/dev/ttyUSB0", 0, 3), ("10.0.0.3", 502, 9)):
        hall, unit = await dial(address)
        shown = [as_swapped(await words(hall, unit, a, 2, table="input")) / 1000 for a in (12, 14, 16)]
        assert shown == pytest.approx([1.0, 2.0, 3.0], abs=0.05)
        assert as_swapped(await words(hall, unit, 22, 2, table="input")) / 10 == pytest.approx(-690, rel=0.03)
    row, unit = await dial(("10.0.0.2", 502, 1))
    assert as_swapped(await words(row, unit, 0, 2, table="input")) / 10 == pytest.approx(230, abs=4)


async def test_battery_and_inverter_obey_per_cent_and_forget_after_their_revert_time(
    host: SiteHost, dial: Dial
) -> None:
    battery, roof = host.parts["store"].points[0].device, host.parts["roof"].points[0].device
    plant = host.plant
    pass_time(host, 30)
    full_a = -plant.draw_a[plant.topology.index["roof"], 0]
    assert full_a > 30.0
    for device, address, values in (
        (
            battery,
            ("10.0.2.1", 502, 1),
            {"InOutWRte_RvrtTms": 60, "InWRte": 5000, "OutWRte": -5000 & 0xFFFF, "StorCtl_Mod": 3},
        ),
        (roof, ("10.0.2.2", 502, 1), {"WMaxLimPct_RvrtTms": 60, "WMaxLimPct": 2000, "WMaxLim_Ena": 1}),
    ):
        client, unit = await dial(address)
        for name, raw in values.items():
            reply = await client.write_registers(device.profile.register(name).address, [raw], device_id=unit)
            assert not reply.isError()
    pass_time(host, 20)
    assert plant.draw_a[plant.topology.index["store"]] == pytest.approx([30_000 * 0.5 / 690] * 3, rel=0.01)
    assert plant.draw_a[plant.topology.index["roof"]] == pytest.approx([-50_000 * 0.2 / 690] * 3, rel=0.01)
    pass_time(host, 60)
    assert plant.draw_a[plant.topology.index["store"]] == pytest.approx([0.0] * 3, abs=0.01)
    assert -plant.draw_a[plant.topology.index["roof"], 0] > 25.0


async def test_a_foreign_unit_and_a_read_only_register_are_refused(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.1.4", 502, 255))
    assert (await client.write_register(122, 3, device_id=unit)).isError()
    assert (await client.read_holding_registers(122, count=1, device_id=7)).isError()
    assert (await client.read_holding_registers(60_000, count=1, device_id=unit)).isError()


async def test_states_of_a_session(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.1.1", 502, 1))
    column = host.plant.topology.index["twin-l"]
    arrive(host, "twin-l")
    seen: list[str] = []
    for current_a in (0.0, 16.0, 0.0):
        await client.write_registers(1210, list(struct.unpack(">2H", struct.pack(">f", current_a))), device_id=unit)
        for _ in range(150):
            pass_time(host, 0.1)
            text = struct.pack(">5H", *await words(client, unit, 1201, 5)).rstrip(b"\0").decode()
            assert Pilot[text] in {Pilot(host.plant.pilot[column]), Pilot.B2}
            if not seen or seen[-1] != text:
                seen.append(text)
    assert seen == ["B1", "B2", "C2", "C1", "B1"]


def test_every_shipped_profile_is_found() -> None:
    assert all(find_profile(name) is not None for name in profile_ids())

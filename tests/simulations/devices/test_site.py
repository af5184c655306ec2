"""The served site as a whole: addresses, faults on request, restarts, and the process around it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from interfaces.domain.site_bus import devices
from interfaces.domain.site_types import ModbusGateway, ModbusTcp
from interfaces.domain.topology import AssetKind
from simulations.devices.control import obey
from simulations.devices.host import SiteHost
from simulations.devices.parts import plant_topology, unmanaged_of, usual_environment
from simulations.devices.virtual_site import VirtualSite, VirtualSiteError
from simulations.plant.ev import Arrival
from simulations.plant.evse import BOOT_S
from tests.simulations.devices.conftest import Dial, pass_time
from tests.simulations.devices.sites import EVERYTHING, checked, everything, repository_text
from tests.simulations.devices.test_contract import arrive, as_float, as_long, as_swapped, words

LIVE = ("10.0.1.4", 502, 255)
TWIN = ("10.0.1.1", 502, 1)


async def told(host: SiteHost, **message: object) -> dict[str, Any]:
    answer = await obey(host, message)
    assert answer["ok"], answer
    return answer


async def test_every_address_of_the_file_has_one_here_and_nothing_else_changes(host: SiteHost) -> None:
    assert len(host.addresses) == 14
    assert len(set(host.addresses.values())) == 14
    for old, new in zip(devices(host.site), devices(host.site_here), strict=True):
        assert old.id == new.id
        assert isinstance(new.modbus, ModbusTcp | ModbusGateway)
        assert old.modbus is not None
        assert new.modbus.unit == old.modbus.unit
        assert (new.modbus.host if isinstance(new.modbus, ModbusTcp) else new.modbus.gateway) == "127.0.0.1"
    left, right = host.addresses["10.0.1.3", 502, 255], host.addresses["10.0.1.3", 503, 255]
    assert right[1] == left[1] + 1


@pytest.mark.parametrize("name", ["garage", "depot"])
async def test_the_shipped_sites_can_be_served(name: str) -> None:
    site = checked(repository_text(name))
    async with SiteHost(site, seed=1, real_time=False) as host:
        pass_time(host, 1)
        assert {key for key, _ in host.plant.topology.index.items()} >= {e.id for c in site.chargers for e in c.evses}
        assert len(host.addresses) >= len(list(devices(site)))


def test_the_plant_has_a_column_for_what_the_controller_may_not_touch() -> None:
    site = everything()
    topology = plant_topology(site)
    assert unmanaged_of(site) == {"guest-1"}
    assert "guest-1" in topology.index
    assert [a.kind for a in topology.assets].count(AssetKind.EVSE) == 8


def test_the_usual_building_stays_below_what_the_site_declares_for_it() -> None:
    environment = usual_environment(everything())
    declared = {"gcp": 40.0, "hall": 20.0}
    assert {load.circuit for load in environment.loads} == set(declared)
    for load in environment.loads:
        running = load.base_a[0] + load.swing_a[0] + sum(6.0 * motor.running_a[0] for motor in load.motors)
        assert 0.4 * declared[load.circuit] < running < declared[load.circuit]


async def test_cars_come_and_go_by_message(host: SiteHost) -> None:
    await told(host, do="plug_in", asset="live-1", phases=2, energy_wh=9000.0, traits={"react_s": 1.0})
    pass_time(host, 20)
    assert host.plant.cars.amps[host.plant.topology.index["live-1"]] == pytest.approx(6.0)
    await told(host, do="plug_out", asset="live-1")
    pass_time(host, 1)
    assert host.plant.draw_a.sum() == pytest.approx(host.plant.draw_a[host.plant.inverters.columns].sum())
    report = await told(host, do="report")
    assert report["energy_kwh"] > 0.0


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({"do": "dance"}, "'do' is one of"),
        ({"do": "plug_in", "asset": "nowhere"}, "nowhere"),
        ({"do": "plug_in", "asset": "live-1", "phases": "many"}, "phases"),
        ({"do": "fault", "device": "live", "kind": "sulk"}, "'kind' is one of"),
        ({"do": "fault", "device": "nobody", "kind": "silent"}, "nobody"),
        ({"do": "background", "circuit": "gcp", "amps": [1]}, "does not fit"),
    ],
)
async def test_a_bad_message_is_answered_with_a_reason(host: SiteHost, message: dict[str, object], word: str) -> None:
    answer = await obey(host, message)
    assert not answer["ok"]
    assert word in answer["error"]


async def test_a_setpoint_write_is_logged_and_reaches_the_evse_at_once(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(LIVE)
    before_s = time.monotonic()
    await client.write_register(1000, 12, device_id=unit)
    assert host.plant.supplies.applied_a[host.plant.topology.index["live-1"]] == 12.0
    ((at_s, asset, current_a),) = (await told(host, do="writes", since_s=before_s))["writes"]
    assert (asset, current_a) == ("live-1", 12.0)
    assert before_s <= at_s <= time.monotonic()


async def test_a_write_that_is_not_applied_echoes_and_changes_nothing(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(LIVE)
    column = host.plant.topology.index["live-1"]
    arrive(host, "live-1")
    await client.write_register(1000, 16, device_id=unit)
    pass_time(host, 15)
    await told(host, do="fault", device="live", kind="not_applied")
    await client.write_register(1000, 6, device_id=unit)
    pass_time(host, 15)
    assert await words(client, unit, 1000, 1) == (6,)
    assert host.plant.cars.amps[column] == pytest.approx(16.0)
    await told(host, do="fault", device="live", kind="clear")
    await client.write_register(1000, 6, device_id=unit)
    pass_time(host, 15)
    assert host.plant.cars.amps[column] == pytest.approx(6.0)


async def test_writes_that_are_dropped_are_acknowledged_and_do_not_echo(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(LIVE)
    await client.write_register(1000, 16, device_id=unit)
    await told(host, do="fault", device="live", kind="writes_dropped")
    assert not (await client.write_register(1000, 8, device_id=unit)).isError()
    assert await words(client, unit, 1000, 1) == (16,)


async def test_frozen_and_blind_devices(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("10.0.0.1", 502, 1))
    host.plant.added_a[0] = 10.0
    pass_time(host, 1)
    await told(host, do="fault", device="m-main", kind="frozen")
    before = await words(client, unit, 0, 18, table="input")
    host.plant.added_a[0] = 50.0
    pass_time(host, 2)
    assert await words(client, unit, 0, 18, table="input") == before
    await told(host, do="fault", device="m-main", kind="clear")
    await told(host, do="fault", device="m-main", kind="nan")
    assert as_float(await words(client, unit, 6, 2, table="input")) != as_float(
        await words(client, unit, 6, 2, table="input")
    )


async def test_a_background_step_shows_in_the_meter_without_waiting_for_the_plant(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("/dev/ttyUSB0", 0, 3))
    pass_time(host, 1)
    await told(host, do="background", circuit="hall", amps=[44, 0, 0])
    assert as_swapped(await words(client, unit, 12, 2, table="input")) == pytest.approx(44_000, abs=100)
    assert as_swapped(await words(client, unit, 14, 2, table="input")) == pytest.approx(0, abs=100)


async def test_meter_faults(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(("/dev/ttyUSB0", 0, 3))
    await told(host, do="background", circuit="hall", amps=[10, 20, 30])

    async def shown() -> list[int]:
        pass_time(host, 0.2)
        return [round(as_swapped(await words(client, unit, a, 2, table="input")) / 2300) for a in (18, 20, 22)]

    assert await shown() == [10, 20, 30]
    await told(host, do="meter", circuit="hall", sign=-1)
    assert await shown() == [-10, -20, -30]
    await told(host, do="meter", circuit="hall", sign=1, order=[2, 1, 0])
    assert await shown() == [30, 20, 10]
    await told(host, do="meter", circuit="hall", order=[0, 1, 2], offset_a=100)
    assert await shown() == [110, 120, 130]


async def test_world(host: SiteHost) -> None:
    pass_time(host, 5)
    roof = host.plant.topology.index["roof"]
    before_a = host.plant.draw_a[roof, 0]
    await told(host, do="world", pv=0.1, voltage=0.9, hot=True)
    pass_time(host, 1)
    assert host.plant.draw_a[roof, 0] == pytest.approx(0.1 * before_a, rel=0.05)
    assert host.plant.volts_v[roof, 0] < 212.0
    assert host.plant.batteries.hot.all()


async def test_a_restarted_charger_is_gone_then_back_without_what_it_was_told(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(LIVE)
    column = host.plant.topology.index["live-1"]
    await client.write_registers(131, [6, 30], device_id=unit)
    await client.write_register(1000, 10, device_id=unit)
    task = asyncio.create_task(host.reboot("live"))
    await task
    _, port, _ = host.addresses[LIVE]
    with pytest.raises(OSError, match=r"refused|Connect"):
        await asyncio.open_connection("127.0.0.1", port)
    pass_time(host, BOOT_S + 1)
    await host.accept("live")
    again, unit = await dial(LIVE)
    assert await words(again, unit, 131, 2) == (16, 0)
    assert await words(again, unit, 1000, 1) == (16,)
    assert host.plant.supplies.reboots[column] == 1


async def test_a_silent_device_on_a_shared_line_leaves_the_others_alone() -> None:
    shared = EVERYTHING.replace("{gateway: 10.0.0.3, unit: 9}", "{rtu: /dev/ttyUSB0, unit: 9, baud: 115200}")
    shared = shared.replace("cg_em24_rs485", "cg_em500")
    async with SiteHost(checked(shared), seed=1, real_time=False) as host:
        assert host.addresses["/dev/ttyUSB0", 0, 3][1] == host.addresses["/dev/ttyUSB0", 0, 9][1]
        await told(host, do="fault", device="m-watch", kind="silent")
        (server,) = {id(s): s for s, _ in host.parts["m-hall"].homes}.values()
        assert set(server.units) == {3}
        await told(host, do="fault", device="m-watch", kind="clear")
        assert set(server.units) == {3, 9}


async def test_frame_faults_reach_the_server(host: SiteHost, dial: Dial) -> None:
    client, unit = await dial(TWIN)
    await told(host, do="fault", device="twin", kind="exception", value=6)
    reply = await client.read_holding_registers(1200, count=1, device_id=unit)
    assert reply.isError()
    await told(host, do="fault", device="twin", kind="drip")
    assert host.parts["twin"].homes[0][0].faults.drip_s > 0.0
    await told(host, do="fault", device="twin", kind="clear")
    assert as_long(await words(client, unit, 1208, 2)) == 0


def test_a_site_in_its_own_process_starts_listens_and_ends() -> None:
    with VirtualSite(EVERYTHING, seed=3, arrivals=[Arrival("twin-l", 0.0, 1e9, 20_000.0)]) as site:
        assert len(site.addresses) == 14
        site.plug_in(Arrival("live-1", 0.0, 1e9, 10_000.0, phases=1))
        site.fault("live", "not_applied")
        report = site.report()
        assert report["assets"]["live-1"]["plugged"]
        assert report["assets"]["twin-l"]["plugged"]
        with pytest.raises(VirtualSiteError, match="'do' is one of"):
            site.tell("nothing")
        first_s = site.report()["now_s"]
        while site.report()["now_s"] < first_s + 0.3:
            time.sleep(0.05)
        pid = site.pid
    with pytest.raises(VirtualSiteError, match="ended"):
        site.report()
    assert pid == site.pid


def test_a_bad_site_is_refused_before_a_process_starts() -> None:
    with pytest.raises(ValueError, match="checks"):
        VirtualSite("version: 1", seed=1)

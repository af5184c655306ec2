"""`stroomwacht device read` over real sockets: words set by hand, values worked out by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

import pytest

from controller.service import device_p1
from controller.service.device_link import Target, with_talk
from controller.service.device_read import read_device
from controller.service.device_show import reading_figures
from interfaces.drivers.links import Line, RtuOverTcpLink, TcpLink
from interfaces.drivers.modbus_server import Framing, ModbusServer, crc16
from interfaces.drivers.profile_bank import banks_of
from interfaces.drivers.register_bank import answer
from simulations.devices.p1 import checksum
from tests.controller.service.device_kit import at, complaint, figures, run, server_of
from tests.interfaces.drivers.far_side import profile_of
from tests.interfaces.drivers.golden_chargers import GOLDEN as CHARGERS
from tests.interfaces.drivers.golden_power import GOLDEN as POWER
from tests.interfaces.drivers.sunspec_device import chain, text

F230, F16, F1_5 = (0x4366, 0), (0x4180, 0), (0x3FC0, 0)
NAN = (0x7FC0, 0)
ALFEN = {
    (200, "holding", 157): (0x414C, 0x4631, *[0] * 9),  # "ALF1"
    (200, "holding", 174): (0, 0, 0, 5000),  # 5000 ms
    (200, "holding", 1105): (2,),
    (1, "holding", 306): (*F230, *F230, *NAN),
    (1, "holding", 320): (*F16, *F1_5, *NAN),
    (1, "holding", 374): (0x4093, 0x4A00, 0, 0),  # float64 1234.5
    (1, "holding", 1201): (0x4332, 0, 0, 0, 0),  # "C2"
    (2, "holding", 1201): (0x4231, 0, 0, 0, 0),  # "B1"
    (2, "holding", 320): (*F1_5, *F1_5, *F1_5),
}


async def read(name: str, cells, capsys, *more: str) -> dict:
    async with server_of(name, cells) as server:
        return await figures(capsys, "read", "--profile", name, *at(server), *more)


@pytest.mark.parametrize("name", [*CHARGERS, *POWER])
async def test_golden_words_are_printed_by_the_names_of_the_makers_table(name):
    charger = CHARGERS.get(name)
    golden = charger or POWER[name]
    serial = charger is not None and charger.serial
    cells = {(golden.unit, *place): words for place, words in golden.cells.items()}
    async with server_of(name, cells, framing="rtu" if serial else "mbap") as server:
        tcp = TcpLink("127.0.0.1", server.port, 1.0)
        fast = RtuOverTcpLink("127.0.0.1", server.port, Line(115200, turnaround_s=0.0))
        target = Target(profile_of(name), (fast if serial else tcp,), golden.unit)
        reading = await with_talk(target, lambda talk: read_device(talk, target))
    profile = profile_of(name)
    prepared = {write.register for write in profile.on_connect}  # the vector has them as the controller leaves them
    for register, value in golden.registers.items():
        if register in prepared:
            continue
        place = profile.register(register)
        lead = "point1." if place.on == "point" and profile.points.address_step else ""
        shown = reading.values[lead + register]
        assert (shown.value, shown.unit) == (_nearly(value), place.unit), register
    if charger is not None:
        state = reading_figures(reading)["state"]
        assert state == {"iec61851": charger.state[2], "status": charger.state[1]}
        assert not reading.suspect, reading.problems


def _nearly(value: object) -> object:
    return pytest.approx(value, rel=1e-5) if isinstance(value, float) else value


async def test_high_word_first_with_a_station_and_two_sockets(capsys):
    found = await read("alfen_eve", ALFEN, capsys)
    values = found["values"]
    assert (found["profile"], found["quality"], found["problems"]) == ("alfen_eve_ng9xx", "good", [])
    assert values["serial_number"] == {"value": "ALF1", "unit": ""}
    assert values["uptime"] == {"value": 5.0, "unit": "s"}
    assert values["voltage_l2"] == {"value": 230.0, "unit": "V"}
    assert values["voltage_l3"] == {"value": None, "unit": "V"}
    assert values["energy_delivered_sum"] == {"value": 1234.5, "unit": "Wh"}
    assert values["mode3_state"] == {"value": "C2", "unit": ""}
    assert values["point2.current_l3"] == {"value": 1.5, "unit": "A"}
    assert found["state"] == {"iec61851": "C2", "status": "charging"}
    assert found["states"] == [
        {"point": 1, "iec61851": "C2", "status": "charging"}, {"point": 2, "iec61851": "B1", "status": "occupied"},
    ]  # fmt: skip


async def test_a_unit_that_is_named_is_read_alone(capsys):
    found = await read("alfen_eve", ALFEN, capsys, "--unit", "2")
    assert found["values"]["current_l1"]["value"] == 1.5
    assert found["state"] == {"iec61851": "B1", "status": "occupied"}
    assert "states" not in found
    assert not any(name.startswith("point") for name in found["values"])


async def test_low_word_first_and_its_missing_value(capsys):
    cells = {
        (1, "input", 0): (2301, 0, 2302, 0, 2303, 0),
        (1, "input", 12): (0x86A0, 0x0001, 0xFFFF, 0x7FFF, 0xFF9C, 0xFFFF),  # 100000, none, -100
        (1, "input", 11): (341,),
    }
    found = await read("cg_em300_et300", cells, capsys)
    assert [found["values"][f"current_l{n}"]["value"] for n in (1, 2, 3)] == [100.0, None, -0.1]
    assert found["values"]["voltage_l1"] == {"value": 230.1, "unit": "V"}
    assert found["state"] == {"iec61851": None, "status": None}


async def test_points_one_after_the_other(capsys):
    cells = {
        (255, "input", 8): (2,), (255, "input", 0x101): (3, 110, 160, 0, 159), (255, "input", 0x10D): (230, 231, 229),
        (255, "holding", 0x110): (42,), (255, "input", 0x111): (0, 0, 0, 0, 0),
    }  # fmt: skip
    found = await read("compleo_solo_duo", cells, capsys)
    values = found["values"]
    assert values["num_connectors"]["value"] == 2
    assert values["point1.status"]["value"] == 3
    assert values["point1.power"] == {"value": 11000, "unit": "W"}
    assert values["point2.max_power"] == {"value": 4200, "unit": "W"}
    assert found["states"] == [
        {"point": 1, "iec61851": "C2", "status": "charging"}, {"point": 2, "iec61851": "A", "status": "free"},
    ]  # fmt: skip


async def test_a_masked_state_and_a_state_outside_the_map(capsys):
    cells = {(1, "holding", 0x400C): (0, 0x8400), (1, "holding", 0x4006): (0, 32000)}
    found = await read("abb_terra_ac", cells, capsys)
    assert found["values"]["charging_state"]["value"] == 4
    assert found["state"] == {"iec61851": "C2", "status": "charging"}
    unknown = await read("abb_terra_ac", {**cells, (1, "holding", 0x400C): (0, 0x0900)}, capsys)
    assert unknown["values"]["charging_state"]["value"] == 9
    assert unknown["state"] == {"iec61851": None, "status": None}
    assert unknown["quality"] == "suspect"
    assert any("charging_state" in problem and "does not know" in problem for problem in unknown["problems"])


async def test_rows_of_channels(capsys):
    found = await read("waveshare_poe_eth_relay", {(1, "coil", 2): (1,), (1, "discrete", 7): (1,)}, capsys)
    assert [found["values"][f"relay[{n}]"]["value"] for n in range(4)] == [0, 0, 1, 0]
    assert found["values"]["di[7]"]["value"] == 1


async def test_a_gateway_shows_paths_and_says_which_services_are_not_there(capsys):
    cells = {(100, "holding", 840): (523, 0xFFCE, 0xFC18, 57, 2)}  # 52.3 V, -5.0 A, -1000 W, 57 %, discharging
    async with server_of("victron_gx", cells) as server:
        for addr in (3, 4, 5):
            del server.units[100].tables["holding"][addr]
        found = await figures(capsys, "read", "--profile", "victron_gx", *at(server))
    assert found["values"]["/Dc/Battery/Voltage"] == {"value": 52.3, "unit": "V DC"}
    assert found["values"]["/Dc/Battery/Power"] == {"value": -1000, "unit": "W"}
    assert found["values"]["/Dc/Battery/Soc"]["value"] == 57
    (problem,) = found["problems"]
    assert problem.startswith("not on this device (illegal address): ")


async def test_a_service_behind_a_gateway_that_is_not_there(capsys):
    async with server_of("victron_gx", {(100, "holding", 843): (57,)}) as server:
        found = await figures(capsys, "read", "--profile", "victron_gx", *at(server), "--unit", "227")
        assert server.units[100].writes == 0
    assert found["values"]["/Dc/Battery/Soc"]["value"] == 57
    (problem,) = found["problems"]
    assert problem.startswith("not on this device (gateway target does not answer): ")
    assert "/Hub4/L1/AcPowerSetpoint" in problem


INVERTER = (
    103, 50, {2: 321, 3: 107, 4: 107, 5: 0xFFFF, 6: 0xFFFF, 10: 2300, 13: 0xFFFF, 14: 737, 15: 1, 16: 4999, 17: 0xFFFE,
              38: 4},
)  # fmt: skip
CONTROLS = (123, 24, {5: 10000, 9: 0, 23: 0xFFFE})
COMMON = (1, 66, {2: text("Maker", 16), 18: text("One", 16), 50: text("SN7", 16)})


async def test_a_sunspec_device_is_discovered_and_its_points_read(capsys):
    bank = chain(COMMON, INVERTER, (9999, 3, {}), CONTROLS, base=50000)
    async with ModbusServer({1: bank}) as server:
        found = await figures(capsys, "read", "--profile", "sunspec_inverter", *at(server))
    values = found["values"]
    assert (values["Mn"]["value"], values["SN"]["value"]) == ("Maker", "SN7")
    assert values["A"] == {"value": 32.1, "unit": "A"}
    assert values["AphC"] == {"value": None, "unit": "A"}
    assert values["W"] == {"value": 7370, "unit": "W"}
    assert values["Hz"]["value"] == 49.99
    assert values["WMaxLimPct"] == {"value": 100.0, "unit": "%"}
    assert [model["id"] for model in found["models"]] == [1, 103, 9999, 123]
    assert found["problems"] == ["model 9999 at 50122: SunSpec model 9999 is not known"]
    assert found["quality"] == "good"


async def test_two_models_of_a_kind_have_names_of_their_own(capsys):
    meter = {2: 410, 6: 0xFFFF}
    bank = chain(COMMON, (203, 105, meter), (203, 105, {**meter, 2: 55}), base=40000)
    async with ModbusServer({1: bank}) as server:
        found = await figures(capsys, "read", "--profile", "sunspec_meter", *at(server))
    assert found["values"]["A"]["value"] == 41.0
    assert found["values"]["meter[1].A"]["value"] == 5.5


async def test_a_sunspec_device_without_what_the_profile_needs_is_suspect(capsys):
    async with ModbusServer({1: chain(COMMON, CONTROLS, base=40000)}) as server:
        found = await figures(capsys, "read", "--profile", "sunspec_inverter", *at(server))
    assert found["quality"] == "suspect"
    assert found["values"]["WMaxLimPct"]["value"] == 100.0
    assert any("no SunSpec model 101 or 102 or 103" in problem for problem in found["problems"])


async def test_no_sunspec_map_is_suspect_and_told(capsys):
    async with server_of("cg_em500", {}) as server:
        found = await figures(capsys, "read", "--profile", "sunspec_meter", *at(server))
    assert (found["quality"], found["values"]) == ("suspect", {})
    assert "no SunSpec" in found["problems"][0]


async def test_another_meter_of_the_make_is_suspect_and_printed(capsys):
    cells = {(1, "input", 0): (2301, 0), (1, "input", 11): (1648,), (1, "input", 12): (16000, 0)}
    found = await read("cg_em300_et300", cells, capsys)
    assert found["quality"] == "suspect"
    assert found["values"]["current_l1"]["value"] == 16.0
    assert any("device_id" in problem and "1648" in problem for problem in found["problems"])


async def test_swapped_words_are_suspect_and_printed(capsys):
    cells = {**ALFEN, (1, "holding", 306): (0, 0x4366, 0, 0x4366, *NAN)}
    found = await read("alfen_eve", cells, capsys, "--unit", "1")
    assert found["quality"] == "suspect"
    assert any("voltage_l1" in problem for problem in found["problems"])
    assert found["values"]["voltage_l1"]["value"] == pytest.approx(2.42e-41, rel=0.01)


async def test_a_value_no_site_can_have_is_suspect(capsys):
    cells = {**ALFEN, (1, "holding", 320): (0x4974, 0x2400)}  # 1 000 000 A
    found = await read("alfen_eve", cells, capsys, "--unit", "1")
    assert found["quality"] == "suspect"
    assert found["values"]["current_l1"]["value"] == 1_000_000.0
    assert any("current_l1_a would be 1e+06 A" in problem for problem in found["problems"])


async def test_a_webasto_live_with_another_register_set_names_the_setting(capsys):
    async with server_of("webasto_next", {(255, "input", 1000): (1,)}) as server:
        found = await figures(capsys, "read", "--profile", "webasto_live", *at(server))
    assert found["quality"] == "suspect"
    assert any("register address set" in problem for problem in found["problems"])


async def test_registers_a_device_refuses_are_named_and_the_rest_is_read(capsys):
    async with server_of("alfen_eve", ALFEN) as server:
        for addr in (1215, 1208, 1209):
            del server.units[1].tables["holding"][addr]
        found = await figures(capsys, "read", "--profile", "alfen_eve", *at(server), "--unit", "1")
    assert found["problems"] == ["not on this device (illegal address): max_current_valid_time, phases"]
    assert found["quality"] == "good"
    assert "phases" not in found["values"]
    assert found["values"]["mode3_state"]["value"] == "C2"


async def test_a_serial_device_behind_a_gateway_with_and_without_its_own_frames(capsys):
    cells = {(50, "holding", 19): (0x4D31, *[0] * 7), (50, "holding", 256): (5,), (50, "holding", 264): (28,)}
    cases: list[tuple[Framing, list[str]]] = [("rtu", []), ("rtu", ["--rtu"]), ("mbap", [])]
    for framing, more in cases:
        async with server_of("mennekes_compact_2s", cells, framing=framing) as server:
            found = await figures(capsys, "read", "--profile", "mennekes_compact_2s", *at(server), *more)
        assert found["values"]["serial_number"]["value"] == "M1"
        assert found["state"] == {"iec61851": "C2", "status": "charging"}


async def test_a_serial_line_of_this_computer(capsys):
    _, banks = banks_of(profile_of("phoenix_ev_cc_ac1_m_rtu"))
    banks[1].put("input", 24000, (0x4300,))  # "C"
    master, slave = os.openpty()
    os.set_blocking(master, False)

    def reply() -> None:
        request = os.read(master, 256)
        assert request[-2:] == crc16(request[:-2])
        said = request[:1] + answer(banks[1], request[1:-2])
        os.write(master, said + crc16(said))

    asyncio.get_running_loop().add_reader(master, reply)
    try:
        line = ["--serial", os.ttyname(slave), "--baud", "115200"]
        found = await figures(capsys, "read", "--profile", "phoenix_ev_cc_ac1_m_rtu", *line)
    finally:
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
        os.close(slave)
    assert found["values"]["cp_status"]["value"] == "C"
    assert found["state"]["status"] == "charging"


async def test_people_get_a_table(capsys):
    async with server_of("alfen_eve", ALFEN) as server:
        assert await run("read", "--profile", "alfen_eve", *at(server)) == 0
    said = capsys.readouterr().out
    assert "state of point 2: B1, occupied" in said
    assert "quality: good" in said
    assert "inoperative" in said


async def test_nobody_there(capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        said = await complaint(capsys, "read", "--profile", "alfen_eve", "--host", "127.0.0.1", "--port", port)
    assert f"127.0.0.1:{port} takes no connection" in said


async def test_the_only_connection_is_taken(capsys):
    async with server_of("abb_terra_ac", {}, max_connections=0) as server:
        said = await complaint(capsys, "read", "--profile", "abb_terra_ac", *at(server))
    assert "hangs up at once" in said
    assert "this make serves 1 client)" in said


async def test_a_silent_unit(capsys):
    async with server_of("cg_em500", {}) as server:
        server.faults.silent = True
        said = await complaint(capsys, "read", "--profile", "siemens_versicharge", *at(server), "--unit", "9")
    assert "unit 9 does not answer" in said
    assert "usually has 2" in said


async def test_a_gateway_that_reaches_nobody(capsys):
    async with server_of("cg_em24_e1", {}) as server:
        said = await complaint(capsys, "read", "--profile", "cg_em24_e1", *at(server), "--unit", "9")
    assert "gets no answer from unit 9 (exception 0x0b)" in said


async def test_a_device_with_none_of_the_registers(capsys):
    async with server_of("waveshare_poe_eth_relay", {}) as server:
        said = await complaint(capsys, "read", "--profile", "siemens_pac", *at(server))
    assert "has no register of siemens_pac" in said


async def test_a_device_that_falls_silent_on_the_way(capsys):
    async with server_of("alfen_eve", ALFEN) as server:
        server.faults.only_next = 1
        server.units[1].hang_up = frozenset(range(300, 400)) | frozenset(range(1200, 1216))
        said = await complaint(capsys, "read", "--profile", "alfen_eve", *at(server), "--unit", "1")
    assert "answered at first and then fell silent" in said


TELEGRAM = (
    "/ISK5\\2M550T-1012\r\n\r\n1-3:0.2.8(50)\r\n1-0:1.8.1(000100.500*kWh)\r\n1-0:1.8.2(000200.000*kWh)\r\n"
    "1-0:1.7.0(00.000*kW)\r\n1-0:2.7.0(01.150*kW)\r\n1-0:32.7.0(230.0*V)\r\n1-0:31.7.0(005*A)\r\n"
    "1-0:21.7.0(00.000*kW)\r\n1-0:22.7.0(01.150*kW)\r\n!"
)  # one phase, 5 A towards the grid


async def test_the_next_telegram_of_a_p1_port(capsys):
    whole = f"{TELEGRAM}{checksum(TELEGRAM):04X}\r\n".encode()

    done = asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(whole * 2)
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()
        done.set()

    async with await asyncio.start_server(stream, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        found = await figures(capsys, "read", "--profile", "dsmr_p1", "--host", "127.0.0.1", "--port", port)
        await done.wait()
    assert found["values"]["1-0:2.7.0"] == {"value": 1.15, "unit": "kW"}
    assert found["values"]["current_l1_a"] == {"value": -5.0, "unit": "A"}
    assert found["values"]["power_w"] == {"value": -1150.0, "unit": "W"}
    assert found["values"]["energy_import_wh"] == {"value": 300_500.0, "unit": "Wh"}


async def test_a_p1_port_that_says_nothing(capsys, monkeypatch):
    monkeypatch.setattr(device_p1, "PATIENCE_MIN_S", -2.3)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = str(closed.getsockname()[1])
        words = ["--profile", "dsmr_p1", "--host", "127.0.0.1"]
        assert "gives nothing: " in await complaint(capsys, "read", *words, "--port", port)
        assert "say --port" in await complaint(capsys, "read", *words)
        assert "neither --unit" in await complaint(capsys, "read", *words, "--unit", "1")
        assert "can only be read" in await complaint(capsys, "write", *words, "--port", port, "power_w", "0")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--profile", "toaster", "--host", "127.0.0.1"], "no device profile 'toaster'"),
        (["--profile", "alfen_eve"], "either --host"),
        (["--profile", "alfen_eve", "--host", "h", "--serial", "/dev/x"], "either --host"),
        (["--profile", "alfen_eve", "--serial", "/dev/x", "--port", "5"], "belong to --host"),
        (["--profile", "alfen_eve", "--host", "h", "--port", "70000"], "1 to 65535"),
        (["--profile", "alfen_eve", "--host", "h", "--unit", "256"], "0 to 255"),
        (["--profile", "eastron_sdm630", "--serial", "/dev/x", "--baud", "0"], "--baud is a positive number"),
        (["--profile", "eastron_sdm630", "--serial", "/dev/no-such-port"], "/dev/no-such-port cannot be opened"),
        (["--host", "127.0.0.1"], "--profile"),
    ],
)  # fmt: skip
async def test_a_mistake_is_one_sentence(capsys, words: list[str], says: str):
    assert says in await complaint(capsys, "read", *words)

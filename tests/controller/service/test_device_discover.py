"""`stroomwacht device discover`: several addresses of this machine, told by fingerprints; nothing is written."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from controller.service.device_discover import addresses_of, numbers_of
from controller.service.device_list import matching_profiles
from interfaces.cli import main
from interfaces.drivers.links import Line
from interfaces.drivers.modbus_server import ModbusServer
from interfaces.errors import UserError
from tests.controller.service.device_kit import Cells, complaint, figures, run, server_of
from tests.interfaces.drivers.sunspec_device import chain, text

METER: Cells = {
    (1, "input", 0): (2301, 0), (1, "input", 11): (341,), (1, "holding", 20480): (0x4B59, 0x3031, *[0] * 5),  # "KY01"
}  # fmt: skip
CHARGER: Cells = {
    (1, "holding", 1201): (0x4332, 0, 0, 0, 0), (1, "holding", 306): (0x4366, 0),
    (200, "holding", 157): (0x414C, 0x4631, *[0] * 9),  # "ALF1"
}  # fmt: skip


@contextlib.asynccontextmanager
async def site(*devices: tuple[str, Cells]):
    """Devices at 127.0.0.2, .3 and on, all at the port the first one got."""
    port, servers = 0, []
    async with contextlib.AsyncExitStack() as stack:
        for number, (name, cells) in enumerate(devices, start=2):
            server = server_of(name, cells, host=f"127.0.0.{number}")
            server.port = port
            servers.append(await stack.enter_async_context(server))
            port = server.port
        yield servers


async def test_devices_are_told_by_their_fingerprints_and_nothing_is_written(capsys):
    async with site(("cg_em300_et300", METER), ("alfen_eve", CHARGER)) as servers:
        port = str(servers[0].port)
        found = await figures(capsys, "discover", "--range", "127.0.0.1-4", "--port", port, "--unit", "1")
        assert all(bank.writes == 0 for server in servers for bank in server.units.values())
        assert max(server.accepted for server in servers) == 1
    meter, charger = found["found"]
    assert found["addresses"] == 4
    assert (meter["host"], meter["unit"], meter["serial"]) == ("127.0.0.2", 1, "KY01")
    assert meter["candidates"][0] == {
        "profile": "cg_em300_et300", "proof": "identity", "proofs": 2, "problems": [],
    }  # fmt: skip
    assert (charger["host"], charger["serial"]) == ("127.0.0.3", "ALF1")
    assert charger["candidates"][0]["profile"] == "alfen_eve_ng9xx"
    assert found["duplicates"] == []


async def test_one_identity_in_two_places_is_named(capsys):
    async with site(("cg_em300_et300", METER), ("cg_em300_et300", METER)) as servers:
        port = servers[0].port
        words = ["discover", "--range", "127.0.0.2-127.0.0.3", "--port", str(port), "--unit", "1"]
        found = await figures(capsys, *words)
        assert await run(*words) == 0
    places = [f"127.0.0.2:{port} unit 1", f"127.0.0.3:{port} unit 1"]
    assert found["duplicates"] == [{"serial": "KY01", "places": places}]
    assert "serial number KY01 answers in several places" in " ".join(capsys.readouterr().out.split())


async def test_a_serial_number_that_nobody_gave_makes_no_twins(capsys):
    """ "000000" in both: two new devices, not one in two places."""
    nameless = {**METER, next(key for key in METER if key[2] == 20480): (0x3030, 0x3030, 0x3030, 0, 0, 0, 0)}
    async with site(("cg_em300_et300", nameless), ("cg_em300_et300", nameless)) as servers:
        port = str(servers[0].port)
        found = await figures(capsys, "discover", "--range", "127.0.0.2-127.0.0.3", "--port", port, "--unit", "1")
    assert [one["serial"] for one in found["found"]] == [None, None]
    assert found["duplicates"] == []


async def test_several_units_behind_one_address(capsys):
    first, second = server_of("cg_em300_et300", METER), server_of("cg_em300_et300", METER)
    other = second.units[1]
    other.put("holding", 20480, (0x4B59, 0x3032))  # "KY02"
    async with ModbusServer({1: first.units[1], 7: other, 8: other}) as server:
        found = await figures(
            capsys, "discover", "--range", "127.0.0.1", "--port", str(server.port), "--unit", "1-3,7,8"
        )
    assert [(one["unit"], one["units"], one["serial"]) for one in found["found"]] == [
        (1, [1], "KY01"), (7, [7, 8], "KY02"),
    ]  # fmt: skip
    assert found["duplicates"] == []


async def test_a_sunspec_device_is_told_by_its_models_and_its_nameplate(capsys):
    common = (1, 66, {2: text("Maker", 16), 18: text("One", 16), 50: text("SN7", 16)})
    bank = chain(common, (103, 50, {}), (123, 24, {}), base=40000)
    async with ModbusServer({1: bank}) as server:
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(server.port))
    (one,) = found["found"]
    assert one["identity"] == {"serial": "SN7", "model": "One", "manufacturer": "Maker"}
    assert "sunspec_inverter" in [candidate["profile"] for candidate in one["candidates"]]
    assert "sunspec_meter" not in [candidate["profile"] for candidate in one["candidates"]]


async def test_what_is_no_device_of_ours_is_listed_with_what_it_does(capsys):
    async with server_of("waveshare_poe_eth_relay", {}) as relay:
        relay.units[1].tables["holding"] = {0: 0x7777}
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(relay.port), "--unit", "1")
        assert found["found"][0]["note"] == "answers Modbus, and no fingerprint fits"
    async with server_of("abb_terra_ac", {}, max_connections=0) as busy:
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(busy.port), "--unit", "1")
        assert "hangs up" in found["found"][0]["note"]
        assert found["found"][0]["unit"] is None
    async with server_of("abb_terra_ac", {}) as mute:
        mute.faults.silent = True
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(mute.port), "--unit", "1")
        assert "answers none of the unit ids" in found["found"][0]["note"]


def line(*devices: tuple[int, str, Cells]) -> ModbusServer:
    """A transparent gateway with devices on the serial line behind it."""
    units = {}
    for unit, name, cells in devices:
        one = server_of(name, cells)
        units[unit] = next(iter(one.units.values()))
    return ModbusServer(units, framing="rtu")


async def test_a_gateway_that_passes_rtu_frames_on_is_asked_in_rtu_frames(capsys, monkeypatch):
    quick = Line(baud=115200, max_response_s=0.1, turnaround_s=0.0)
    monkeypatch.setattr("controller.service.device_discover.LINE", quick)
    serials = ((0x4B59, 0x3031, *[0] * 5), (0x4B59, 0x3032, *[0] * 5))
    meters = [{**METER, (1, "holding", 20480): serial} for serial in serials]
    async with line((3, "cg_em300_et300", meters[0]), (5, "cg_em300_et300", meters[1])) as gateway:
        words = ["discover", "--range", "127.0.0.1", "--port", str(gateway.port), "--units", "2-5"]
        found = await figures(capsys, *words)
        assert all(bank.writes == 0 for bank in gateway.units.values())
        assert [(one["unit"], one["serial"], one["framing"]) for one in found["found"]] == [
            (3, "KY01", "rtu"), (5, "KY02", "rtu"),
        ]  # fmt: skip
        assert found["found"][0]["candidates"][0]["profile"] == "cg_em300_et300"
        assert "a gateway to a serial line (`gateway` in the site file, `--rtu` by hand)" in found["found"][0]["note"]


async def test_a_gateway_that_converts_is_not_asked_in_rtu_frames(capsys):
    async with server_of("cg_em300_et300", METER) as server:
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(server.port), "--units", "1,9")
        assert server.accepted == 1
    assert [(one["unit"], one["framing"]) for one in found["found"]] == [(1, "tcp")]


async def test_a_device_that_goes_silent_is_left_alone(capsys):
    async with server_of("alfen_eve", CHARGER) as server:
        server.units[1].hang_up = frozenset(range(1, 60_000))
        server.units[1].put("holding", 0, (1,))
        found = await figures(capsys, "discover", "--range", "127.0.0.1", "--port", str(server.port), "--unit", "1")
        assert server.units[1].requests < 20
    assert found["found"][0]["candidates"] == []


async def test_an_empty_range(capsys):
    async with server_of("abb_terra_ac", {}) as gone:
        port = str(gone.port)
    assert await run("discover", "--range", "127.0.0.1-2", "--port", port) == 0
    assert "none of 2 addresses takes a connection" in capsys.readouterr().out


def test_ranges():
    assert [str(one) for one in addresses_of("192.168.1.10-12")] == ["192.168.1.10", "192.168.1.11", "192.168.1.12"]
    assert len(addresses_of("10.0.0.250-10.0.1.4")) == 11
    assert [str(one) for one in addresses_of("10.0.0.4/30")] == ["10.0.0.5", "10.0.0.6"]
    assert len(addresses_of("10.0.0.0/24")) == 254
    assert len(addresses_of("10.0.0.0-255")) == 256
    assert numbers_of(["1,3-5", "3"], "--unit", 0, 255, 32) == (1, 3, 4, 5)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--range", "10.0.0.0/16"], "65536 addresses"),
        (["--range", "10.0.0.0-10.0.2.0"], "513 addresses"),
        (["--range", "10.0.0.9-3"], "backwards"),
        (["--range", "somewhere"], "takes 192.168.1.10-40"),
        (["--range", "10.0.0.1-"], "takes 192.168.1.10-40"),
        (["--range", "10.0.0.300"], "takes 192.168.1.10-40"),
        (["--range", "::1"], "takes 192.168.1.10-40"),
        (["--range", "10.0.0.1", "--port", "0"], "1 to 65535"),
        (["--range", "10.0.0.1", "--port", "1-65535"], "more than the 8"),
        (["--range", "10.0.0.1", "--unit", "0-255"], "more than the 32"),
        (["--range", "10.0.0.1", "--unit", "x"], "takes numbers such as"),
        ([], "--range"),
    ],
)
async def test_a_mistake_is_one_sentence(capsys, words: list[str], says: str):
    assert says in await complaint(capsys, "discover", *words)


def test_a_range_is_refused_before_anybody_is_asked():
    with pytest.raises(UserError, match="take it in parts"):
        addresses_of("0.0.0.0/0")


LABELS = {
    "ABB Terra AC": "ABB", "Weidmueller AC Wallbox Business": "Weidmüller",
    "Mennekes AMTRON Professional+": "Mennekes / Bender (ebee)", "Webasto Live": "Webasto / Ampure",
    **dict.fromkeys(["Pro", "Go", "Go 2", "Home"], "Zaptec"),
    **dict.fromkeys(
        ["EM111", "EM112", "ET112", "EM330", "EM340", "ET330", "ET340", "EM530", "EM540"], "Carlo Gavazzi"
    ),
}  # fmt: skip


def test_every_label_is_found_in_the_list(capsys):
    assert main(["device", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    for label, vendor in LABELS.items():
        found = [one for one in listed["devices"] if label in (*one["models"], *one["aliases"])]
        assert [one["vendor"] for one in found] == [vendor], label
    keys = {"id", "kind", "vendor", "models", "aliases", "confidence", "transports"}
    assert all(set(one) == keys for one in listed["devices"])
    assert {"tcp", "rtu", "p1", "cloud"} == {way for one in listed["devices"] for way in one["transports"]}
    others = {one["vendor"]: one for one in listed["not_supported"]}
    assert {"Easee", "Smappee", "Teltonika"} <= set(others)
    assert all(one["reason"] and one["instead"] for one in others.values())


@pytest.mark.parametrize(
    ("words", "shows", "hides"),
    [
        (["carlo", "em340"], "cg_em300_et300", "cg_em500"),
        (["easee"], "cloud", "alfen"),
        (["charger", "siemens"], "siemens_versicharge", "siemens_pac"),
    ],
)
def test_people_search_by_words_of_the_label(capsys, words, shows, hides):
    assert main(["device", "list", *words]) == 0
    said = capsys.readouterr().out
    assert shows in said
    assert hides not in said


async def test_a_word_that_is_on_no_label(capsys):
    assert "no device is called 'toaster'" in await complaint(capsys, "list", "toaster")


async def test_one_profile_is_shown_with_what_must_be_set_on_the_device(capsys):
    found = await figures(capsys, "list", "--profile", "Mennekes AMTRON Professional+")
    (device,) = found["devices"]
    assert any("DLM Master (With internal DLM Slave)" in step for step in device["setup_on_device"])
    assert await run("list", "--profile", "weidmueller_ac_smart") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "set up on Weidmüller (weidmueller_ac_smart)" in shown
    assert "without power for at least 40 s" in shown
    assert shown.endswith("Set DIP switch 10 to OFF only at the end, when everything else is set.")


@pytest.mark.parametrize("name", ["dsmr_p1", "zaptec"])
async def test_a_profile_without_registers_is_shown_too(capsys, name):
    (device,) = (await figures(capsys, "list", "--profile", name))["devices"]
    assert device["id"] == name
    assert device["setup_on_device"]


async def test_the_steps_are_shown_where_a_search_for_a_label_leaves_one_profile(capsys):
    assert await run("list", "terra", "ac") == 0
    assert "TerraConfig app" in capsys.readouterr().out
    assert await run("list", "carlo") == 0
    assert "set up on" not in capsys.readouterr().out


@pytest.mark.parametrize(("words", "says"), [(["--profile", "nobody"], "there is no profile 'nobody'"),
                                            (["--profile", "zaptec", "abb"], "--profile stands alone")])  # fmt: skip
async def test_a_profile_that_cannot_be_meant(capsys, words, says):
    assert says in await complaint(capsys, "list", *words)


async def test_what_a_search_told_apart_is_shown_with_its_steps(capsys):
    async with site(("cg_em300_et300", METER), ("alfen_eve", CHARGER)) as servers:
        words = ["discover", "--range", "127.0.0.2-3", "--port", str(servers[0].port), "--unit", "1"]
        found = await figures(capsys, *words)
        assert await run(*words) == 0
    shown = capsys.readouterr().out
    told = {one["profile"]: one for one in found["setup_on_device"]}
    assert set(told) == {"cg_em300_et300", "alfen_eve_ng9xx"}
    assert told["alfen_eve_ng9xx"]["devices"] == [f"127.0.0.3:{servers[0].port} unit 1"]
    assert f"set up on Alfen (alfen_eve_ng9xx): 127.0.0.3:{servers[0].port} unit 1" in shown
    assert "  4. Buy and enter the licence Active Load Balancing." in shown


async def test_a_device_that_fits_several_profiles_is_shown_with_no_steps(capsys):
    async with ModbusServer({1: chain(base=40000)}) as server:
        words = ["--range", server.host, "--port", str(server.port), "--unit", "1"]
        found = await figures(capsys, "discover", *words)
    assert found["setup_on_device"] == []


def test_the_counts_in_the_document_are_those_of_the_list():
    told = (Path(__file__).parents[3] / "docs" / "profiles.md").read_text("utf-8")
    line = re.search(r"knows (\d+) profiles: ([^;]+);", told)
    assert line is not None
    listed = Counter(one.kind for one in matching_profiles())
    assert int(line[1]) == listed.total()
    assert {kind: int(count) for count, kind in re.findall(r"(\d+) (\w+)", line[2])} == listed

"""Names people see."""

from __future__ import annotations

from interfaces.drivers.shown import Shown, shown_values
from tests.interfaces.drivers.far_side import profile_of

L1 = "/Ac/L1/Power"


def test_a_path_shows_the_service_that_answers():
    profile = profile_of("victron_gx")
    grid = next(r.name for r in profile.registers if r.addr == 2638)
    inverter = next(r.name for r in profile.registers if r.addr == 1058)
    assert (profile.register(grid).label or grid) == (profile.register(inverter).label or inverter) == L1
    assert shown_values(profile, {grid: 100, inverter: None})[L1] == Shown(100, "W")
    assert shown_values(profile, {grid: None, inverter: 500})[L1] == Shown(500, "W")
    assert shown_values(profile, {})[L1] == Shown(None, "W")


def test_of_two_widths_the_wider_comes_first():
    profile = profile_of("victron_gx")
    narrow = next(r.name for r in profile.registers if r.addr == 820)
    wide = next(r.name for r in profile.registers if r.addr == 908)
    path = "/Ac/Grid/L1/Power"
    assert wide == path
    assert shown_values(profile, {narrow: 32767, wide: 40_000})[path].value == 40_000
    assert shown_values(profile, {narrow: 32767, wide: None})[path].value == 32767
    assert shown_values(profile, {narrow: 32767, wide: None})[narrow].value == 32767


def test_every_path_of_the_gateway_is_shown():
    profile = profile_of("victron_gx")
    paths = {register.label or register.name for register in profile.registers}
    assert paths <= set(shown_values(profile, {}))
    assert all(path.startswith("/") for path in paths)


def test_channels_and_write_only_registers():
    profile = profile_of("waveshare_poe_eth_relay")
    found = shown_values(profile, {"relay[2]": 1, "software_version": 1.35})
    assert found["relay[2]"] == Shown(1, "")
    assert found["relay[0]"] == Shown(None, "")
    assert found["software_version"].value == 1.35
    assert "flash_on[0]" not in found

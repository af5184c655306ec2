"""Meters and batteries that are not what the profile says: another make, swapped words, nothing there."""

from __future__ import annotations

import pytest

from tests.interfaces.drivers.far_side import bench, device, spec
from tests.interfaces.drivers.golden_power import GOLDEN


def banks(name: str, *, swapped: bool = False):
    golden = GOLDEN[name]
    cells = {(golden.unit, *place): list(words) for place, words in golden.cells.items()}
    if swapped:
        cells = {place: _swapped(words) for place, words in cells.items()}
    return device(name, cells)


def _swapped(words: list[int]) -> list[int]:
    pairs = [words[n : n + 2][::-1] for n in range(0, len(words), 2)]
    return [word for pair in pairs for word in pair]


SWAPPABLE = [
    "abb_b2x", "cg_em100_et100", "cg_em300_et300", "eastron_sdm72d_m", "janitza_umg", "janitza_umg604",
    "phoenix_eem_ma37x", "schneider_iem3x55_pm5xxx", "siemens_pac", "socomec_countis_diris", "sma_native", "solaredge",
]  # fmt: skip


@pytest.mark.parametrize("name", SWAPPABLE)
async def test_swapped_words_are_told(name):
    async with bench(banks(name), [spec(name)]) as found:
        await found.until_idle()
        assert found.reading().suspect == ()
    async with bench(banks(name, swapped=True), [spec(name)]) as found:
        await found.until_idle()
        (told,) = found.reading().suspect
        assert "word order or profile is wrong" in told


@pytest.mark.parametrize(
    ("name", "code", "right"),
    [
        ("cg_em100_et100", 331, False),
        ("cg_em100_et100", 104, True),
        ("cg_em300_et300", 104, False),
        ("cg_em300_et300", 341, True),
        ("cg_em300_et300", 1648, False),
    ],
)
async def test_another_meter_of_the_maker_is_told(name, code, right):
    units = banks(name)
    units[1].put("input", 11, (code,))
    async with bench(units, [spec(name)]) as found:
        await found.until_idle()
        told = found.reading().suspect
        assert told == () if right else "choose the profile of the meter that is there" in told[0]


async def test_a_dead_phase_is_no_wrong_profile():
    units = banks("cg_em300_et300")
    units[1].put("input", 0, (0, 0))
    async with bench(units, [spec("cg_em300_et300")]) as found:
        await found.until_idle()
        assert found.reading().suspect == ()

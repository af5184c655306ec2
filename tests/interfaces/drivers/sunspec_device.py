"""A virtual SunSpec device for tests: a chain of models put together word by word, without our tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from interfaces.drivers.register_bank import RegisterBank

SUNSPEC_GOLDEN = {
    "sunspec_inverter", "sunspec_inverter_float", "sunspec_battery", "sunspec_meter", "sunspec_meter_float",
    "sunspec_der", "sunspec_der_battery", "fronius_gen24",
}  # fmt: skip
"""Profiles whose vectors are chains, in the tests of SunSpec."""

Cells = Mapping[int, int | Sequence[int]]
"""Offset from the model's id word -> a word, or several."""
Part = tuple[int, int, Cells]
"""A model of a chain: its id, its length, its words."""


def chain(*models: Part, base: int) -> RegisterBank:
    """A SunSpec device by hand: (id, length, cells) one after the other; what is not given is 0."""
    bank, addr = RegisterBank(), base + 2
    bank.put("holding", base, (0x5375, 0x6E53))
    for model, length, cells in models:
        bank.put("holding", addr, (model, length, *[0] * length))
        for offset, words in cells.items():
            bank.put("holding", addr + offset, (words,) if isinstance(words, int) else tuple(words))
        addr += 2 + length
    bank.put("holding", addr, (0xFFFF, 0))
    return bank


def text(value: str, words: int) -> tuple[int, ...]:
    """ASCII in so many words, filled with zeros."""
    data = value.encode("ascii").ljust(2 * words, b"\0")
    return tuple(int.from_bytes(data[n : n + 2], "big") for n in range(0, 2 * words, 2))

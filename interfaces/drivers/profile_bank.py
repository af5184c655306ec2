"""The registers of a virtual device that has a given profile: every register exists and says "not available"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Final

from interfaces.drivers.profile import Profile
from interfaces.drivers.register_bank import RegisterBank
from interfaces.drivers.registers import not_available
from interfaces.drivers.sunspec import chain_words, resolve_all

RESERVED: Final = 0xFFFF


def banks_of(
    profile: Profile, *, points: int = 1, model_ids: Mapping[str, int] | None = None
) -> tuple[Profile, dict[int, RegisterBank]]:
    """The profile with absolute addresses, and a bank per Modbus unit (points first, then the station's).

    With ``port_step`` the points share a unit id on different TCP ports: ask once per point. Registers that may be
    written, by the profile, are the only ones a client can write, with the functions known to work; forbidden ranges
    make the device hang up.
    """
    placed = resolve_all(profile, model_ids) if profile.sunspec else profile
    banks = {unit: RegisterBank() for unit in profile.points.units[:points]}
    if profile.points.station_unit is not None:
        banks[profile.points.station_unit] = RegisterBank()
    for addr, word in chain_words(profile, model_ids).items():
        banks[profile.points.units[0]].put("holding", addr, [word])
    for number, unit in enumerate(profile.points.units[:points]):
        for register in placed.registers:
            at_station = register.on == "station"
            station = profile.points.station_unit if at_station else None
            bank = banks[unit if station is None else station]
            shift = 0 if at_station else number * profile.points.address_step
            bank.put(register.table, register.address + shift, not_available(register, profile.word_order))
    for bank in banks.values():
        _fill_gaps(bank, placed.limits.gap_words)
        _limit(bank, placed)
    return placed, banks


def _fill_gaps(bank: RegisterBank, gap_words: int) -> None:
    """Words between declared registers that the profile says may be read across."""
    for cells in bank.tables.values():
        for before, after in pairwise(sorted(cells)):
            if 1 < after - before <= gap_words + 1:
                cells.update(dict.fromkeys(range(before + 1, after), RESERVED))


def _limit(bank: RegisterBank, profile: Profile) -> None:
    span = range(len(profile.points.units))
    shifts = {number * profile.points.address_step for number in span}
    bank.writable = frozenset(
        register.address + shift + index
        for register in profile.registers
        if register.writable
        for shift in shifts
        for index in range(register.words)
    )
    bank.writers = {
        (register.table, register.address + shift): frozenset(register.fc_write)
        for register in profile.registers
        if register.fc_write
        for shift in shifts
    }
    bank.functions = frozenset(profile.limits.functions) or None
    bank.max_read_words = profile.limits.max_read_words
    bank.hang_up = frozenset(addr for first, last in profile.limits.forbidden for addr in range(first, last + 1))


def at_point(profile: Profile, point: int) -> Profile:
    """The profile with the addresses of its n-th point (makes that place points one after the other)."""
    shift = point * profile.points.address_step
    if not shift:
        return profile
    return replace(profile, registers=tuple(
        register if register.on == "station" else replace(register, addr=register.address + shift)
        for register in profile.registers
    ))  # fmt: skip

"""Registers that stand for a row of equal ones: ``channels: 8`` becomes ``name[0]`` to ``name[7]``. Pure."""

from __future__ import annotations

from dataclasses import replace

from interfaces.drivers.profile import Profile, Register


def with_channels(profile: Profile) -> Profile:
    """The profile with every row of channels spelled out; a poll that names the row reads all of it."""
    rows = {register.name: channels_of(register) for register in profile.registers if register.channels > 1}
    if not rows:
        return profile
    registers = (one for register in profile.registers for one in rows.get(register.name, (register,)))
    polls = (
        replace(poll, registers=tuple(one for name in poll.registers for one in _names(rows.get(name), name)))
        for poll in profile.polls
    )
    return replace(profile, registers=tuple(registers), polls=tuple(polls))


def channels_of(register: Register) -> tuple[Register, ...]:
    """The registers of one row, channel n behind n others of the same length."""
    return tuple(
        replace(
            register,
            name=f"{register.name}[{number}]",
            addr=None if register.addr is None else register.addr + number * register.words,
            channels=1,
        )
        for number in range(register.channels)
    )


def _names(row: tuple[Register, ...] | None, name: str) -> tuple[str, ...]:
    return (name,) if row is None else tuple(register.name for register in row)

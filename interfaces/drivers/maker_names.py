"""Registers as people are shown them: by the names of the maker's table, with the connector they belong to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from interfaces.drivers.profile import Profile, Register
from interfaces.drivers.profile_bank import at_point
from interfaces.drivers.profile_check import touches
from interfaces.drivers.registers import Value
from interfaces.drivers.roles import raw_state


@dataclass(frozen=True, slots=True)
class Named:
    """A register under the name it is shown by, at the address of its connector (counted from 0)."""

    name: str
    register: Register
    point: int


def named_registers(profile: Profile, points: int = 1) -> tuple[Named, ...]:
    """Every readable register once: those of the station, then per connector "point1.NAME" where a make places its
    connectors one after the other; a make with one connector, or one unit or port per connector, has plain names.

    Registers that make the device hang up are left out. ``profile`` has absolute addresses. ``points``: how many
    connectors there are.
    """
    in_blocks = bool(profile.points.address_step)
    found = []
    for number in range(points if in_blocks else 1):
        for register in at_point(profile, number).registers:
            hangs_up = touches(profile.limits.forbidden, register)
            if not register.readable or hangs_up or (number and register.on == "station"):
                continue
            prefix = f"point{number + 1}." if in_blocks and register.on == "point" else ""
            found.append(Named(prefix + (register.label or register.name), register, number))
    return tuple(found)


def masked_value(profile: Profile, register: Register, value: Value | None) -> Value | None:
    """The value as it is shown: a state register with the byte and the mask its maker tells, all others as they are.

    Bit fields stay the whole number they are.
    """
    state = profile.state
    if state is None or register.name != state.register or register.type.startswith("bitfield"):
        return value
    return raw_state(state, value)

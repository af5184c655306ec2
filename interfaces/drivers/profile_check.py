"""What a profile must get right beyond the shape of its values: names that exist, ranges, units, rights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from interfaces.drivers.profile import (
    ROLE_UNITS,
    WORDS_OF,
    Expression,
    First,
    Hexadecimal,
    Lookup,
    Negate,
    Product,
    Profile,
    Register,
    Scaled,
    StateMap,
    Sum,
)
from interfaces.drivers.profile_control import Write
from interfaces.drivers.roles import UNIT_FACTORS, registers_of

LAST_ADDRESS: Final = 0xFFFF
_CYCLIC: Final = frozenset({"setpoint", "power_setpoint", "keepalive"})
"""Parts of a profile whose registers are written over and over."""

READ_FUNCTIONS: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}

_REQUIRED_ROLES: Final = {
    "charger": ("current_l1_a", "offered_a"),
    "meter": ("current_l1_a",),
    "inverter": ("power_w",),
    "battery": ("power_w", "soc_pct"),
    "io": (),
}


def problems_of(profile: Profile) -> tuple[str, ...]:
    """Every problem, as ``path: what is wrong``; none for a usable profile."""
    names = [register.name for register in profile.registers]
    problems = [f"registers.{name}: given twice" for name, count in Counter(names).items() if count > 1]
    for register in profile.registers:
        problems += [f"registers.{register.name}: {text}" for text in _of_register(profile, register)]
    known = {register.name: register for register in profile.registers}
    problems += [f"{path}: there is no register {name}" for path, name in _names_used(profile) if name not in known]
    if problems:  # what follows looks registers up
        return tuple(problems)
    checks = (_of_polls, _of_roles, _of_writes, _of_kind)
    return tuple(text for check in checks for text in check(profile, known))


def _of_register(profile: Profile, register: Register) -> Iterator[str]:
    yield from _of_place(profile, register)
    yield from _of_functions(profile, register)
    if register.type not in WORDS_OF and register.count is None:
        yield f"type {register.type} needs a count"
    if register.type in WORDS_OF and register.count not in (None, WORDS_OF[register.type]):
        yield f"type {register.type} takes {WORDS_OF[register.type]} words, not {register.count}"
    if register.channels < 1:
        yield "channels: at least 1"
    if register.scale == 0:
        yield "a scale of 0 loses every value"
    if register.writable and register.table in ("input", "discrete"):
        yield f"table {register.table} cannot be written"
    if register.text in ("low_byte", "high_byte") and register.type != "uint16":
        yield f"text {register.text} is for uint16"
    if register.text in ("hex", "version") and register.type != "raw":
        yield f"text {register.text} is for raw"


def _of_functions(profile: Profile, register: Register) -> Iterator[str]:
    if register.fc_write and not register.writable:
        yield "fc_write on a register that is read-only"
    if register.fc_write == (6,) and register.words > 1:
        yield "function 6 writes one word"
    functions = profile.limits.functions
    if functions and register.readable and READ_FUNCTIONS[register.table] not in functions:
        yield f"table {register.table} needs function {READ_FUNCTIONS[register.table]}, which limits.functions lacks"
    if functions and not set(register.fc_write) <= set(functions):
        yield "fc_write names a function that limits.functions lacks"


def _of_place(profile: Profile, register: Register) -> Iterator[str]:
    if (register.addr is None) == (register.model is None):
        yield "needs either addr, or model and offset"
    if register.model is not None:
        if profile.sunspec is None or register.model not in profile.sunspec.models:
            yield f"there is no SunSpec model {register.model}"
        if register.offset is None:
            yield "a register of a SunSpec model needs its offset"
    if register.addr is not None and not 0 <= register.addr <= LAST_ADDRESS + 1 - register.words:
        yield f"address {register.addr} is outside 0..{LAST_ADDRESS}"


def _names_used(profile: Profile) -> Iterator[tuple[str, str]]:
    """Every register name the profile mentions, with the path where it does."""
    for poll in profile.polls:
        yield from ((f"polls.{poll.name}", name) for name in poll.registers)
    for role, expression in profile.roles.items():
        yield from ((f"roles.{role}", name) for name in registers_of(expression))
    if profile.state is not None:
        yield from (("state", name) for name in state_registers(profile.state))
    yield from (("registers", register.sf) for register in profile.registers if register.sf is not None)
    for path, writes in _writes_of(profile):
        yield from ((path, write.register) for write in writes)
    for path, name in _single_names(profile):
        if name is not None:
            yield path, name
    yield from (("fingerprint", check.register) for check in profile.fingerprint)
    yield from _conditions_of(profile)


def _conditions_of(profile: Profile) -> Iterator[tuple[str, str]]:
    """Registers that conditions look at, with the path where they do."""
    if profile.setpoint is not None:
        yield from (("setpoint.paused_when", test.register) for test in profile.setpoint.paused_when)
    yield from (("failsafe.active_when", test.register) for test in profile.failsafe.active_when)
    yield from (("keepalive.unless", test.register) for test in profile.keepalive.unless)


def _single_names(profile: Profile) -> Iterator[tuple[str, str | None]]:
    if profile.setpoint is not None:
        yield "setpoint.readback", profile.setpoint.readback
    if profile.power_setpoint is not None:
        yield "power_setpoint.readback", profile.power_setpoint.readback
        yield "power_setpoint.percent_of", profile.power_setpoint.percent_of
        yield "power_setpoint.revert", profile.power_setpoint.revert
    if profile.stop is not None:
        yield "stop", profile.stop.register
    if profile.phase_switch is not None:
        yield "phase_switch", profile.phase_switch.register
        yield "phase_switch.readback", profile.phase_switch.readback
    failsafe = profile.failsafe
    yield "failsafe.current_read", failsafe.current_read
    yield "failsafe.current_write", failsafe.current_write
    yield "failsafe.timeout_read", failsafe.timeout_read
    yield "failsafe.timeout_write", failsafe.timeout_write
    yield "keepalive.register", profile.keepalive.register
    yield "points.count", profile.points.count


def state_registers(state: StateMap) -> tuple[str, ...]:
    """Every register the state map looks at."""
    conditions = [condition for row in state.map for condition in row.when]
    conditions += [condition for override in state.overrides for condition in override.when]
    others = () if state.otherwise is None else state_registers(state.otherwise)
    return tuple(dict.fromkeys([state.register, *(condition.register for condition in conditions), *others]))


def _of_polls(profile: Profile, known: dict[str, Register]) -> Iterator[str]:
    for poll in profile.polls:
        if poll.period_ms and poll.period_ms < profile.limits.min_poll_ms:
            yield f"polls.{poll.name}: faster than limits.min_poll_ms"
        for name in poll.registers:
            if not known[name].readable:
                yield f"polls.{poll.name}: {name} cannot be read"
            if known[name].words > profile.limits.max_read_words:
                yield f"polls.{poll.name}: {name} is longer than a request may be"
            if known[name].addr is not None and touches(profile.limits.forbidden, known[name]):
                yield f"polls.{poll.name}: {name} lies in a forbidden range"
    polled = {name for poll in profile.polls for name in poll.registers}
    needed = {name for expression in profile.roles.values() for name in registers_of(expression)}
    needed |= {name for path, name in _single_names(profile) if name is not None and "read" in path}
    if profile.state is not None:
        needed |= set(state_registers(profile.state))
    needed |= {name for _, name in _conditions_of(profile)}
    yield from (f"polls: {name} is used but never read" for name in sorted(needed - polled))


def touches(forbidden: Iterable[tuple[int, int]], register: Register) -> bool:
    """Whether the register overlaps a forbidden range (inclusive ends)."""
    return any(register.address <= last and first < register.address + register.words for first, last in forbidden)


def _of_roles(profile: Profile, known: dict[str, Register]) -> Iterator[str]:
    for role, expression in profile.roles.items():
        if role not in ROLE_UNITS:
            yield f"roles.{role}: unknown role"
            continue
        wanted = ROLE_UNITS[role]
        for unit in _units_of(expression, known):
            if wanted not in ("", "text") and UNIT_FACTORS.get(unit, (unit, 1))[0] != wanted:
                yield f"roles.{role}: is in {wanted}, the register in {unit or 'no unit'}"
    for role in _REQUIRED_ROLES[profile.kind]:
        if role not in profile.roles and not (profile.behaviour.unmetered and role.startswith("current")):
            yield f"roles.{role}: a {profile.kind} needs it"


def _units_of(expression: Expression, known: dict[str, Register]) -> Iterator[str]:
    match expression:
        case str():
            yield known[expression].unit
        case Sum(sum=terms) | First(first=terms):
            for term in terms:
                yield from _units_of(term, known)
        case Negate(negate=term):
            yield from _units_of(term, known)
        case Product(unit=unit) | Scaled(unit=unit):
            yield unit
        case Lookup() | Hexadecimal():
            return


def _writes_of(profile: Profile) -> Iterator[tuple[str, tuple[Write, ...]]]:
    if profile.setpoint is not None:
        yield "setpoint.writes", profile.setpoint.writes
    if profile.power_setpoint is not None:
        yield "power_setpoint.writes", profile.power_setpoint.writes
        yield "power_setpoint.release", profile.power_setpoint.release
    yield "on_connect", profile.on_connect
    if profile.phase_switch is not None:
        yield "phase_switch.before", profile.phase_switch.before


def _of_writes(profile: Profile, known: dict[str, Register]) -> Iterator[str]:
    written = [(path, write.register) for path, writes in _writes_of(profile) for write in writes]
    written += [
        (path, name)
        for path, name in _single_names(profile)
        if name is not None and (path.endswith("_write") or path in ("stop", "phase_switch", "keepalive.register"))
    ]
    for path, name in written:
        if not known[name].writable:
            yield f"{path}: {name} cannot be written"
        if known[name].memory == "flash" and path.split(".")[0] in _CYCLIC and profile.behaviour.memory != "flash":
            yield f"{path}: {name} is worn by every write, it cannot be written cyclically"
    if profile.setpoint is not None and not 0 < profile.setpoint.step_ma <= profile.setpoint.min_ma:
        yield "setpoint.step_ma: must be above 0 and not above min_ma"
    if profile.setpoint is not None and not 0 <= profile.setpoint.pause_ma < profile.setpoint.min_ma:
        yield "setpoint.pause_ma: must be below min_ma"
    if profile.setpoint is not None and profile.setpoint.min_ma > profile.setpoint.max_ma:
        yield "setpoint.min_ma: above max_ma"
    if profile.keepalive.kind == "register" and profile.keepalive.register is None:
        yield "keepalive.register: missing"


def _of_kind(profile: Profile, known: dict[str, Register]) -> Iterator[str]:  # noqa: ARG001  one shape of check
    if profile.tcp is None and profile.rtu is None:
        yield "tcp: the profile has neither tcp nor rtu"
    if profile.kind == "charger" and profile.state is None:
        yield "state: a charger needs it"
    if profile.kind == "meter" and profile.current_sign is None:
        yield "current_sign: a meter needs it"
    if not profile.points.units:
        yield "points.units: at least one"
    seen: set[int | str] = set()
    for row in profile.state.map if profile.state else ():
        if seen & set(row.raw):
            yield f"state.map: {sorted(seen & set(row.raw), key=str)} can never match, an earlier row does"
        if not row.when:
            seen |= set(row.raw)

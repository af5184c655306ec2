"""What the commands of one device print: JSON figures, and tables for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from controller.service.device_discover import Discovered, Sweep, place_of
from controller.service.device_list import matching_not_supported, matching_profiles, transports
from controller.service.device_read import DeviceReading, Item, PointState
from controller.service.device_write import WriteReport
from controller.service.setup_steps import SetUp, set_up_lines, set_ups, set_ups_plain
from interfaces.drivers.profile import Profile
from interfaces.drivers.registers import Value

GOOD, SUSPECT = "good", "suspect"


def reading_figures(reading: DeviceReading) -> dict[str, object]:
    """A reading as one JSON object; ``states`` where there are several points, ``models`` of a SunSpec device."""
    states = [_state(one) for one in reading.states]
    figures: dict[str, object] = {
        "profile": reading.profile.id,
        "quality": SUSPECT if reading.suspect else GOOD,
        "values": {name: _item(item) for name, item in reading.values.items()},
        "state": states[0] if states else {"iec61851": None, "status": None},
        "problems": list(reading.problems),
    }
    if len(states) > 1:
        numbered = zip(reading.states, states, strict=True)
        figures["states"] = [{"point": one.point, **state} for one, state in numbered]
    if reading.models:
        figures["models"] = list(reading.models)
    return figures


def report_figures(report: WriteReport) -> dict[str, object]:
    """A write as one JSON object."""
    return {
        "profile": report.profile,
        "name": report.name,
        "unit": report.unit,
        "written": report.written,
        "words": list(report.words),
        "read_back": report.read_back,
        "before": None if report.before is None else report.before.value,
        "after": None if report.after is None else report.after.value,
        "applied": report.applied,
        "problems": list(report.problems),
    }


def sweep_figures(sweep: Sweep) -> dict[str, object]:
    """A search as one JSON object."""
    return {
        "addresses": sweep.addresses,
        "ports": list(sweep.ports),
        "units": list(sweep.units),
        "found": [_found(one) for one in sweep.found],
        "duplicates": [{"serial": one.serial, "places": list(one.places)} for one in sweep.duplicates],
        "setup_on_device": set_ups_plain(_set_ups_of(sweep)),
    }


def _set_ups_of(sweep: Sweep) -> tuple[SetUp, ...]:
    """Of every device that a register told apart from all other makes, and of those that only one profile fits."""
    sure = [one for one in sweep.found if one.candidates and _is_sure(one)]
    return set_ups((place_of(one), one.candidates[0].profile) for one in sure)


def _is_sure(one: Discovered) -> bool:
    return one.candidates[0].proof == "identity" or len(one.candidates) == 1


def print_list(words: str) -> bool:
    """The lists as tables, and the steps where one profile is left; whether there was anything to show."""
    profiles, others = matching_profiles(words), matching_not_supported(words)
    if profiles:
        table = _table("profile", "kind", "vendor", "models", "by", "confidence")
        for one in profiles:
            by = ", ".join(transports(one))
            table.add_row(*map(Text, (one.id, one.kind, one.vendor, ", ".join(one.models), by, one.confidence)))
        Console().print(table)
    if others:
        table = _table("no profile", "models", "why", "use instead")
        for other in others:
            table.add_row(*map(Text, (other.vendor, ", ".join(other.models), other.reason, other.instead)))
        Console().print(table)
    for line in set_up_lines(set_ups([("", one.id) for one in profiles]) if len(profiles) == 1 else ()):
        Console().print(Text(line))
    return bool(profiles or others)


def print_profile(profile: Profile) -> None:
    """One profile for people: what it is, and its steps."""
    console = Console()
    console.print(Text(f"{profile.id}: {profile.vendor} {', '.join(profile.models)}"))
    also = f", also found as {', '.join(profile.aliases)}" if profile.aliases else ""
    by = ", ".join(transports(profile))
    console.print(Text(f"{profile.kind} by {by}, confidence {profile.confidence}{also}"))
    for line in set_up_lines(set_ups([("", profile.id)])):
        console.print(Text(line))


def print_reading(reading: DeviceReading) -> None:
    """A reading for people: values, state, what is wrong."""
    console = Console()
    table = _table("register", "value", "unit", "meaning", lines=False)
    for name, item in reading.values.items():
        table.add_row(*map(Text, (name, shown(item.value), item.unit, item.meaning)))
    console.print(table)
    for one in reading.states:
        told = "unknown" if one.state is None else f"{one.state.iec61851}, {one.state.status} {one.state.text}".rstrip()
        console.print(Text(f"state of point {one.point}: {told}" if len(reading.states) > 1 else f"state: {told}"))
    console.print(Text(f"quality: {SUSPECT if reading.suspect else GOOD}"))
    for problem in reading.problems:
        console.print(Text(f"- {problem}"))


def print_report(report: WriteReport) -> None:
    """A write for people."""
    console = Console()
    unit = f" {report.unit}" if report.unit else ""
    console.print(Text(f"{report.name}: wrote {shown(report.written)}{unit}"))
    if report.read_back is None:
        console.print(Text("the device has no register that shows it"))
    else:
        before, after = (shown(None if item is None else item.value) for item in (report.before, report.after))
        console.print(Text(f"{report.read_back}: {before} before, {after} after"))
    for problem in report.problems:
        console.print(Text(f"- {problem}"))


def print_sweep(sweep: Sweep) -> None:
    """A search for people."""
    console = Console()
    if not sweep.found:
        console.print(Text(f"none of {sweep.addresses} addresses takes a connection at port {_list(sweep.ports)}"))
        return
    table = _table("where", "profile", "serial", "model", "remarks")
    for one in sweep.found:
        names = ", ".join(each.profile for each in one.candidates)
        remarks = "; ".join([*([one.note] if one.note else []), *(p for each in one.candidates for p in each.problems)])
        place = place_of(one) if one.units else f"{one.host}:{one.port}"
        serial, model = one.identity.get("serial", ""), one.identity.get("model", "")
        table.add_row(*map(Text, (place, names, serial, model, remarks)))
    console.print(table)
    for twin in sweep.duplicates:
        console.print(Text(f"serial number {twin.serial} answers in several places: {', '.join(twin.places)}"))
    for line in set_up_lines(_set_ups_of(sweep)):
        console.print(Text(line))


def shown(value: Value | None) -> str:
    """A value for people: at most seven digits, "-" where the device has none."""
    if value is None:
        return "-"
    return f"{value:.7g}" if isinstance(value, float) else str(value)


def _table(first: str, *others: str, lines: bool = True) -> Table:
    """A table whose first column, the one people type or look for, is never cut or broken."""
    table = Table(show_lines=lines)
    table.add_column(first, no_wrap=True, overflow="fold")
    for heading in others:
        table.add_column(heading, overflow="fold")
    return table


def _list(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _item(item: Item) -> Mapping[str, object]:
    return {"value": item.value, "unit": item.unit}


def _state(one: PointState) -> dict[str, object]:
    state = one.state
    return {"iec61851": None if state is None else state.iec61851, "status": None if state is None else state.status}


def _found(one: Discovered) -> dict[str, object]:
    return {
        "host": one.host,
        "port": one.port,
        "unit": one.units[0] if one.units else None,
        "units": list(one.units),
        "candidates": [
            {"profile": each.profile, "proof": each.proof, "proofs": each.proofs, "problems": list(each.problems)}
            for each in one.candidates
        ],
        "identity": dict(one.identity),
        "serial": one.identity.get("serial"),
        "note": one.note,
        "framing": one.framing,
    }

"""What is wrong with single devices, in sentences that say what, where and what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from controller.service.messages import PointStatus
from interfaces.domain.site_hosts import outside
from interfaces.drivers.contest import NOT_APPLIED, PATTERNS
from interfaces.drivers.doubts import in_words
from interfaces.drivers.neighbours import Network
from interfaces.drivers.p1_reading import find_p1
from interfaces.drivers.profile_load import find_profile
from interfaces.drivers.replies import Fault

SILENT_S: Final = 5.0
"""A device that answered less than this ago may be back at once."""
ADVICE: Final[Mapping[Fault, str]] = {
    Fault.REFUSED: "check power, cable, address and port, and that Modbus TCP is switched on in the device",
    Fault.HUNG_UP: "another program probably holds the connection ({clients}): end it, or use a proxy it can share",
    Fault.DISCONNECTED: "check its power and cable, and whether another program took the connection ({clients})",
    Fault.TIMEOUT: "check power and cable, the unit id, the wiring behind a gateway, and whether another program holds "
    "the connection ({clients})",
    Fault.EXCEPTION: "check the unit id, the gateway's own settings, and power, speed and termination of its line",
}
NO_MODBUS: Final = (
    "it answers, but not as Modbus demands: is a gateway between that is not transparent, or another protocol there?"
)
KNOWN_FAULTS: Final = tuple(sorted(Fault, key=lambda fault: -len(fault)))


def point_problems(points: Sequence[PointStatus], networks: Sequence[Network]) -> dict[str, str]:
    """Condition -> sentence: devices that do not answer, do not obey, or say what cannot be used."""
    found: dict[str, str] = {}
    for point in points:
        if _is_away(point):
            found[f"away.{point.key}"] = _why_away(point, networks)
        elif point.connected and point.problem and find_p1(point.profile) is not None:
            found[f"telegram.{point.key}"] = f"{_who(point)}: {point.problem}"
        if point.setpoint_problem:
            found[f"setpoint.{point.key}"] = _of_setpoint(point)
        for k, text in enumerate(point.suspect):
            found[f"suspect.{point.key}.{k}"] = f"{_who(point)}: {text}"
        for k, text in enumerate(point.doubts):
            found[f"value.{point.key}.{k}"] = f"{_who(point)}: {text}"
    return found | dict(_double_addresses(points))


def point_notes(points: Sequence[PointStatus]) -> dict[str, str]:
    """Nobody has to come for these, but who looks should know them."""
    found = {f"note.{p.key}.{k}": f"{p.key}: {text}" for p in points for k, text in enumerate(p.notes)}
    hosts: dict[str, dict[str, str]] = {}
    for point in points:
        if point.mac and point.connected:
            hosts.setdefault(point.mac, {}).setdefault(host_of(point.place), point.key)
    for mac, keys in hosts.items():
        if len(keys) > 1:
            places = ", ".join(f"{key} at {host}" for host, key in keys.items())
            found[f"one_card.{mac}"] = (
                f"one network card ({mac}) answers for {places}: a gateway or router is between, or one device has "
                "several addresses and stands in the file more than once"
            )
    return found


def outside_text(host: str, networks: Sequence[Network]) -> str:
    """What people are told of a host in a network this computer is not in."""
    known = ", ".join(map(str, networks))
    return (
        f"{host} is not in this machine's networks {known}: give this machine an address in the network of the devices "
        "or correct the host (right as it is only where a router joins them)"
    )


def host_of(place: str) -> str:
    """The host of a place as ``PointStatus`` has it; empty for a serial port."""
    return place.rpartition(":")[0]


def _who(point: PointStatus) -> str:
    return f"{point.key} at {point.place}" if point.place else point.key


def _of_setpoint(point: PointStatus) -> str:
    problem = point.setpoint_problem
    if problem == NOT_APPLIED:
        problem = f"is {problem}: is remote control switched off, or a lower limit set, in the device?"
    elif not problem.startswith(PATTERNS):
        return f"the setpoint cannot be written to {_who(point)}: {in_words(problem)}"
    return f"the setpoint written to {_who(point)} {problem}"


def _is_away(point: PointStatus) -> bool:
    """A device that has not answered for a while, for a reason that is its own."""
    late = not 0.0 <= point.reply_age_s <= SILENT_S
    return not point.connected and late and bool(point.problem) and point.problem != Fault.NO_INTERFACE


def _why_away(point: PointStatus, networks: Sequence[Network]) -> str:
    host = host_of(point.place)
    if outside(host, networks):
        return f"{point.key} does not answer: {outside_text(host, networks)}"
    fault = next((fault for fault in KNOWN_FAULTS if point.problem.startswith(fault)), None)
    if fault is None:
        return f"{_who(point)} does not answer: {point.problem}"
    advice = ADVICE.get(fault, NO_MODBUS).format(clients=_clients(point.profile))
    return f"{_who(point)} does not answer ({in_words(point.problem)}): {advice}"


def _clients(profile_id: str) -> str:
    profile = find_profile(profile_id)
    most = None if profile is None or profile.tcp is None else profile.tcp.max_connections
    return f"this make serves {most} client{'' if most == 1 else 's'}" if most else "some makes serve one client only"


def _double_addresses(points: Sequence[PointStatus]) -> Iterator[tuple[str, str]]:
    for point in points:
        if point.rival_macs:
            host = host_of(point.place)
            cards = " and ".join(point.rival_macs)
            text = f"duplicate IP address {host} ({point.key}): the network cards {cards} answer there in turns"
            yield f"duplicate_ip.{host}", f"{text}; give one of the two devices another address"

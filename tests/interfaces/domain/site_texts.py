"""What the site-file tests share: a literal table of device facts, and the garage file with pieces replaced."""

from __future__ import annotations

from importlib import resources

from interfaces.domain.device_facts import DeviceFacts
from interfaces.domain.site_file import SiteResult, load_site

BOTH = ("tcp", "rtu")
FACTS = {
    "cg_em500": DeviceFacts("cg_em500", "meter", transports=BOTH, cycle_words=49, cycle_requests=2, response_s=0.2),
    "tcp_meter": DeviceFacts("tcp_meter", "meter", poll_s=0.5, cycle_words=20, cycle_requests=2, response_s=0.05),
    "webasto_live": DeviceFacts(
        "webasto_live",
        "charger",
        max_a=32.0,
        failsafe_settable=True,
        failsafe_verifiable=True,
        cycle_requests=2,
        cycle_words=40,
        unit_ids=(255,),
        timeout_range_s=(1.0, 300.0),
    ),
    "abb_terra_ac": DeviceFacts("abb_terra_ac", "charger", step_a=0.1, poll_s=5.0, settle_poll_s=5.0, transports=BOTH),
    "double": DeviceFacts(
        "double", "charger", connectors=2, failsafe_verifiable=True, boot_current_a=0.0, unit_ids=(1, 2)
    ),
    "two_ports": DeviceFacts(
        "two_ports", "charger", connectors=2, failsafe_verifiable=True, unit_ids=(255, 255), port_step=1
    ),
    "dc": DeviceFacts("dc", "charger", direct_current=True, max_a=400.0, min_a=6.0, failsafe_verifiable=True),
    "inverter": DeviceFacts("inverter", "inverter", min_a=0.0, step_a=0.1),
    "battery": DeviceFacts("battery", "battery", min_a=0.0, step_a=0.1),
    "relay": DeviceFacts("relay", "io", min_a=0.0),
}

GARAGE = (resources.files("interfaces.domain") / "examples" / "garage.yaml").read_text("utf-8")


def garage(*changes: tuple[str, str]) -> str:
    """The garage file with pieces of text replaced; each must occur exactly once."""
    text = GARAGE
    for before, after in changes:
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def line_of(text: str, piece: str) -> int:
    """The line (from 1) in which a piece of text first stands."""
    return text[: text.index(piece)].count("\n") + 1


def load(text: str) -> SiteResult:
    return load_site(text, FACTS)


EXTRA_CHARGER = """\
  - id: place-3
    profile: webasto_live
    modbus: {host: 192.168.1.22}
    circuit: garage
    evses:
      - {id: place-3, max_current_a: [16, 16, 16], phases: [L3, L1, L2]}
    failsafe: {current_a: 0, timeout_s: 60}
"""
MORE = "\n# optional sections"

"""A site file with every kind of device and address the virtual site must serve."""

from __future__ import annotations

from pathlib import Path

from interfaces.domain.site_types import Site
from interfaces.drivers.site_reader import parse_site

EVERYTHING = """
version: 1
site: {id: bench, time_zone: Europe/Zurich}
circuits:
  - id: gcp
    rated_a: [400, 400, 400]
    protection: {kind: gG, rated_a: 400}
    meter: m-main
    background_max_a: [60, 60, 60]
  - id: hall
    parent: gcp
    rated_a: [250, 250, 250]
    meter: m-hall
    background_max_a: [20, 20, 20]
  - id: row
    parent: hall
    rated_a: [250, 250, 250]
    meter: m-row
    background_max_a: [0, 0, 0]
meters:
  - {id: m-main, profile: eastron_sdm630, modbus: {host: 10.0.0.1}}
  - {id: m-hall, profile: cg_em500, modbus: {rtu: /dev/ttyUSB0, unit: 3, baud: 115200}}
  - {id: m-row, profile: cg_em24_e1, modbus: {host: 10.0.0.2}}
  - {id: m-watch, profile: cg_em24_rs485, modbus: {gateway: 10.0.0.3, unit: 9}, monitors: hall}
chargers:
  - id: twin
    profile: alfen_eve
    modbus: {host: 10.0.1.1}
    circuit: row
    evses:
      - {id: twin-l, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}
      - {id: twin-r, max_current_a: [16, 16, 16], phases: [L2, L3, L1]}
    failsafe: {current_a: 6, timeout_s: 60}
  - id: abb
    profile: abb_terra_ac
    modbus: {host: 10.0.1.2}
    circuit: row
    evses: [{id: abb-1, max_current_a: [32], phases: [L3]}]
    failsafe: {current_a: 0, timeout_s: 30}
    accept_unverified_failsafe: fused at 32 A
  - id: duo
    profile: mennekes_amtron
    modbus: {host: 10.0.1.3}
    circuit: row
    evses:
      - {id: duo-1, max_current_a: [16, 16, 16], phases: [L3, L1, L2]}
      - {id: duo-2, max_current_a: [16, 16, 16], phases: [L3, L2, L1]}
    failsafe: {current_a: 6, timeout_s: 20}
  - id: live
    profile: webasto_live
    modbus: {host: 10.0.1.4}
    circuit: hall
    evses: [{id: live-1, max_current_a: [16, 16, 16], phases: [L1, L2, L3]}]
    failsafe: {current_a: 6, timeout_s: 60}
  - id: next
    profile: webasto_next
    modbus: {host: 10.0.1.5}
    circuit: hall
    evses: [{id: next-1, max_current_a: [16, 16, 16], phases: [L1, L3, L2]}]
    failsafe: {current_a: 6, timeout_s: 20}
  - id: guest
    profile: webasto_live
    modbus: {host: 10.0.1.6}
    circuit: hall
    managed: false
    evses: [{id: guest-1, max_current_a: [10, 10, 10], phases: [L1, L2, L3]}]
batteries:
  - id: store
    profile: sunspec_battery
    modbus: {host: 10.0.2.1}
    circuit: gcp
    max_charge_w: 30000
    max_discharge_w: 30000
    capacity_kwh: 60
    failsafe: {current_a: 0, timeout_s: 60}
    accept_unverified_failsafe: rests without us
pv:
  - {id: roof, profile: sunspec_inverter, modbus: {host: 10.0.2.2}, circuit: gcp, rated_w: 50000}
"""


def checked(text: str) -> Site:
    result = parse_site(text)
    assert result.site is not None, "\n".join(str(problem) for problem in result.problems)
    return result.site


def everything() -> Site:
    return checked(EVERYTHING)


def repository_text(name: str) -> str:
    return (Path("interfaces/domain/examples") / f"{name}.yaml").read_text("utf-8")

"""`stroomwacht device read --json` of six chargers whose words and values were both written by hand.

The words are those of the driver contracts; the values below stand by the names of the makers' tables, so that a wrong
table cannot pass by agreeing with itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.controller.service.device_kit import at, figures, server_of
from tests.interfaces.drivers.test_profile_contracts import CONTRACTS

BENDER: Mapping[str, tuple[object, str]] = {
    "firmware_version": ("4.40", ""), "ocpp_cp_status": (1, ""), "cp_state": (3, ""), "cp_state_hex": (12, ""),
    "cp_availability": (1, ""), "safe_current": (6, "A"), "comm_timeout": (60, "s"),
    "hardware_current_limit": (32, "A"), "operator_current_limit": (32, "A"), "relay_state": (5, ""),
    "energy_l1": (None, "Wh"), "energy_l3": (None, "Wh"), "power_l1": (3680, "W"), "power_l2": (0, "W"),
    "power_total": (None, "W"), "current_l1": (16.0, "A"), "current_l3": (0.0, "A"), "energy_total": (123_456, "Wh"),
    "voltage_l1": (230, "V"), "voltage_l2": (231, "V"), "voltage_l3": (229, "V"), "signalled_current": (16, "A"),
    "session_energy": (1500, "Wh"), "user_id": ("04A1B2C3", ""), "hems_current_limit": (16, "A"),
}  # fmt: skip
SHOWN: Mapping[str, tuple[Mapping[str, tuple[object, str]], tuple[str, str]]] = {
    "alfen_eve_ng9xx": (
        {
            "serial_number": ("ACE0012345", ""), "firmware_version": ("5.8.1", ""), "uptime": (90_061.0, "s"),
            "voltage_l1": (230.0, "V"), "voltage_l2": (None, "V"), "voltage_l3": (231.5, "V"),
            "current_l1": (15.5, "A"), "current_l2": (None, "A"), "current_l3": (0.0, "A"), "frequency": (50.0, "Hz"),
            "power_sum": (3565.0, "W"), "energy_delivered_sum": (12_345.0, "Wh"), "mode3_state": ("C2", ""),
            "actual_applied_max_current": (16.0, "A"), "max_current_valid_time": (60, "s"), "max_current": (10.0, "A"),
            "safe_current": (6.0, "A"), "phases": (3, ""),
        },
        ("C2", "charging"),
    ),
    "abb_terra_ac": (
        {
            "serial_number": ("2112345678900001", ""), "firmware_version": ("1.6.5", ""),
            "max_rated_current": (32.0, "A"), "error_code": (0, ""), "socket_lock_state": (0x0111, ""),
            "charging_state": (4, ""), "current_limit_actual": (16.0, "A"), "current_l1": (16.0, "A"),
            "current_l2": (16.001, "A"), "current_l3": (0.0, "A"), "voltage_l1": (230.1, "V"),
            "voltage_l2": (230.2, "V"), "voltage_l3": (230.0, "V"), "active_power": (11_040, "W"),
            "session_energy": (70_000, "Wh"), "comm_timeout_read": (60, "s"),
        },
        ("C2", "charging"),
    ),
    "bender_cc61x_ecu": (BENDER, ("C2", "charging")),
    "webasto_live": (BENDER, ("C2", "charging")),
    "webasto_next": (
        {
            "charge_point_state": (3, ""), "current_l1": (16.0, "A"), "current_l2": (16.0, "A"),
            "current_l3": (0.0, "A"), "power_total": (7360, "W"), "energy_total": (123_456, "Wh"),
            "max_current": (16, "A"), "safe_current": (6, "A"), "com_timeout": (60, "s"),
        },
        ("C2", "charging"),
    ),
    "alpitronic_hyc": (
        {
            "num_connectors": (2, ""), "station_state": (0, ""), "station_power": (50_000, "W"),
            "station_serial": ("HYC01", ""), "load_management": (1, ""), "sw_major": (1, ""), "sw_minor": (8, ""),
            "sw_patch": (3, ""), "point1.state": (3, ""), "point1.charging_voltage": (400.0, "V"),
            "point1.charging_current": (123.45, "A"), "point1.charging_power": (50_000, "W"),
            "point1.charge_time": (600, "s"), "point1.charged_energy": (12.34, "kWh"), "point1.soc": (57.0, "%"),
            "point1.connector_type": (1, ""), "point1.energy_total": (1_234_567, "Wh"),
            "point1.max_power_ac": (100_000, "W"),
        },
        ("C2", "charging"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SHOWN)
async def test_hand_made_words_of_a_charger_are_printed_as_json(name, capsys):
    expected, (iec61851, status) = SHOWN[name]
    async with server_of(name, CONTRACTS[name][0]) as server:
        found = await figures(capsys, "read", "--profile", name, *at(server))
        assert all(bank.writes == 0 for bank in server.units.values())
    assert found["profile"] == name
    shown = {key: (found["values"][key]["value"], found["values"][key]["unit"]) for key in expected}
    assert shown == {key: (_nearly(value), unit) for key, (value, unit) in expected.items()}
    assert found["state"] == {"iec61851": iec61851, "status": status}


def _nearly(value: object) -> object:
    return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value

"""Words of meters, batteries, inverters and I/O modules, worked out by hand from the makers' tables.

Per profile: (table, address) -> words on the wire, the registers they mean, and the roles made of them. None: the
device says "not available". Nothing here was derived from a profile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Golden(NamedTuple):
    """One vector; ``unit``: the Modbus unit that holds the words."""

    cells: Mapping[tuple[str, int], Sequence[int]]
    registers: Mapping[str, object]
    roles: Mapping[str, object]
    unit: int = 1


# IEEE 754, high word first: 230.0, 16.0, 25.0, 41.0, 50.0, 3680, -5000, -1320, +-100, 1234.5
F230, F16, F25, F41, F50 = (0x4366, 0), (0x4180, 0), (0x41C8, 0), (0x4224, 0), (0x4248, 0)
F3680, FM5000, FM1320, F100, FM100 = (0x4566, 0), (0xC59C, 0x4000), (0xC4A5, 0), (0x42C8, 0), (0xC2C8, 0)
F1234_5, F0, QUIET_NAN, ONES = (0x449A, 0x5000), (0, 0), (0x7FC0, 0), (0xFFFF, 0xFFFF)
GONE_LSW = (0xFFFF, 0x7FFF)  # int32 0x7FFFFFFF, low word first
NONE64 = (0xFFFF,) * 4


def lsw(*pairs: tuple[int, int]) -> tuple[int, ...]:
    """Two-word values with the low word first."""
    return tuple(word for high, low in pairs for word in (low, high))


FLOAT_METER = {
    "current_l1": 16.0, "current_l2": 0.0, "current_l3": 25.0, "voltage_l1": 230.0, "voltage_l2": None,
    "power_l1": 3680.0, "power_l2": 0.0, "power_l3": -5000.0, "power_total": -1320.0,
}  # fmt: skip
FLOAT_ROLES = {
    "current_l1_a": 16.0, "current_l2_a": 0.0, "current_l3_a": 25.0, "voltage_l1_v": 230.0, "voltage_l2_v": None,
    "power_l1_w": 3680.0, "power_l3_w": -5000.0, "power_w": -1320.0,
}  # fmt: skip

METERS = {
    "abb_b2x": Golden(
        {
            ("holding", 23308): (0, 1612, 0, 0, *ONES),
            ("holding", 23316): (0xFFF8, 0x5EE0, 0x0005, 0x9D80, 0, 0, 0x7FFF, 0xFFFF),  # -500 000, 368 000, 0, none
            ("holding", 23296): (0, 0x08FD, 0, 0x08FE, *ONES),
            ("holding", 23340): (5000,),
            ("holding", 23354): (0xFC7C, 0x7FFF),  # -900, none
            ("holding", 20480): (0, 0, 0x0001, 0xE240, *NONE64),
            ("holding", 35072): (0x0012, 0xD687),
            ("holding", 35080): (0x4232, 0x332E, 0x3100, 0, 0, 0, 0, 0),  # "B23.1"
            ("holding", 35168): (0x4232, 0x3320),
        },
        {
            "current_l1": 16.12, "current_l2": 0.0, "current_l3": None, "power_total": -5000.0, "power_l1": 3680.0,
            "power_l3": None, "voltage_l1": 230.1, "voltage_l2": 230.2, "voltage_l3": None, "frequency": 50.0,
            "pf_total": -0.9, "pf_l1": None, "energy_import": 1234.56, "energy_export": None,
            "serial_number": 1234567, "firmware_version": "B23.1", "type_code": 0x42323320,
        },
        {
            "current_l1_a": 16.12, "current_l3_a": None, "power_w": -5000.0, "power_l1_w": 3680.0,
            "energy_import_wh": 1234560.0, "energy_export_wh": None, "serial": "1234567", "frequency_hz": 50.0,
            "power_factor": -0.9, "power_factor_l1": None,
        },
    ),
    "cg_em100_et100": Golden(
        {
            ("input", 0): (0x08FD, 0, 0x3EFB, 0, 0x3CB0, 0xFFFF, 0xC350, 0, 0xFC18, 0xFFFF),
            ("input", 12): GONE_LSW,
            ("input", 14): (0xFC7C, 0x01F4),
            ("input", 16): (0x3039, 0),
            ("input", 32): (1, 0),
            ("input", 44): (0x2710, 0),
            ("holding", 4355): (1,),
            ("holding", 20480): (0x4258, 0x3132, 0x3334, 0, 0, 0, 0),
        },
        {
            "voltage": 230.1, "current": 16.123, "power": -5000.0, "apparent_power": 5000.0, "reactive_power": -100.0,
            "demand_power_peak": None, "pf": -0.9, "frequency": 50.0, "energy_import": 1234.5, "energy_export": 0.1,
            "hour_counter": 100.0, "measurement_mode": 1, "serial_number": "BX1234",
        },
        {
            "current_l1_a": 16.123, "voltage_l1_v": 230.1, "power_w": -5000.0, "reactive_var": -100.0,
            "energy_import_wh": 1234500.0, "energy_export_wh": 100.0, "frequency_hz": 50.0, "serial": "BX1234",
            "apparent_l1_va": 5000.0, "apparent_va": 5000.0, "power_factor_l1": -0.9, "power_factor": -0.9,
        },
    ),
    "cg_em300_et300": Golden(
        {
            ("input", 0): (0x08FD, 0, 0x08FE, 0, *GONE_LSW),
            ("input", 12): (0x3EFB, 0, 0, 0, 0x86A0, 0x0001),  # 16.123, 0, 100.000 A
            ("input", 18): (0x3CB0, 0xFFFF, 0, 0, *GONE_LSW),
            ("input", 30): (0x03E8, 0, 0xFC18, 0xFFFF, 0, 0),
            ("input", 40): (0x3CB0, 0xFFFF, 0xC350, 0, 0xFC18, 0xFFFF),
            ("input", 46): (0xFC7C, 900, 1000, 0xFC18, 0xFFFF, 500),  # pf, phase sequence -1, 50.0 Hz
            ("input", 52): (0x3039, 0),
            ("input", 78): (1, 0),
            ("input", 96): GONE_LSW,
        },
        {
            "voltage_l1": 230.1, "voltage_l3": None, "current_l1": 16.123, "current_l3": 100.0, "power_l1": -5000.0,
            "power_l3": None, "reactive_power_l1": 100.0, "reactive_power_l2": -100.0, "power_total": -5000.0,
            "apparent_power_total": 5000.0, "reactive_power_total": -100.0, "pf_l1": -0.9, "pf_total": -1.0,
            "phase_sequence": -1, "frequency": 50.0, "energy_import": 1234.5, "energy_export": 0.1,
            "energy_export_l1": None,
        },
        {
            "current_l1_a": 16.123, "current_l2_a": 0.0, "current_l3_a": 100.0, "power_w": -5000.0, "power_l3_w": None,
            "reactive_var": -100.0, "energy_import_wh": 1234500.0, "frequency_hz": 50.0, "apparent_va": 5000.0,
            "power_factor_l1": -0.9, "power_factor": -1.0, "energy_export_l1_wh": None,
        },
    ),
    "eastron_sdm72d_m": Golden(
        {
            ("input", 0): (*F230, *QUIET_NAN, *F230, *F16, *F0, *F25, *F3680, *F0, *FM5000),
            ("input", 24): (*FM100, *F0, *F100),
            ("input", 48): F41,
            ("input", 52): FM1320,
            ("input", 60): F0,
            ("input", 70): F50,
            ("input", 72): (*F1234_5, *F0),
            ("input", 342): (*F1234_5, *ONES),
        },
        {
            **FLOAT_METER, "reactive_power_l1": -100.0, "reactive_power_l3": 100.0, "current_sum": 41.0,
            "frequency": 50.0, "energy_import": 1234.5, "energy_export": 0.0, "energy_total": 1234.5,
            "reactive_energy_total": None,
        },
        {**FLOAT_ROLES, "reactive_l1_var": -100.0, "energy_import_wh": 1234500.0, "frequency_hz": 50.0},
    ),
    "janitza_umg": Golden(
        {
            ("holding", 19000): (*F230, *QUIET_NAN, *F230),
            ("holding", 19012): (*F16, *F0, *F25, *F41, *F3680, *F0, *FM5000, *FM1320),
            ("holding", 19036): (*FM100, *F0, *F100, *F0),
            ("holding", 19044): (0x3F00, 0),
            ("holding", 19050): F50,
            ("holding", 19068): F1234_5,
            ("holding", 19076): F0,
        },
        {
            **FLOAT_METER, "current_sum": 41.0, "reactive_power_l1": -100.0, "reactive_power_total": 0.0, "pf_l1": 0.5,
            "frequency": 50.0, "energy_import": 1234.5, "energy_export": 0.0,
        },
        {**FLOAT_ROLES, "reactive_l3_var": 100.0, "energy_import_wh": 1234.5, "frequency_hz": 50.0},
    ),
    "janitza_umg604": Golden(
        {
            ("holding", 1317): (*F230, *QUIET_NAN, *F230),
            ("holding", 1325): (*F16, *F0, *F25),
            ("holding", 1333): (*F3680, *F0, *FM5000),
            ("holding", 1341): FM100,
            ("holding", 1369): (*FM1320, *F100),
            ("holding", 1439): F50,
            ("holding", 9851): F1234_5,
            ("holding", 9863): F0,
        },
        {
            **FLOAT_METER, "reactive_power_l1": -100.0, "reactive_power_total": 100.0, "frequency": 50.0,
            "energy_import": 1234.5, "energy_export": 0.0,
        },
        {**FLOAT_ROLES, "reactive_var": 100.0, "energy_import_wh": 1234.5, "energy_export_wh": 0.0},
    ),
    "phoenix_eem_ma37x": Golden(
        {
            ("holding", 32774): lsw(F230, QUIET_NAN, F230, F50, F16, F0, F25, F41, FM1320),
            ("holding", 32798): lsw(F3680, F0, FM5000),
            ("holding", 33024): lsw(F1234_5),
        },
        {**FLOAT_METER, "frequency": 50.0, "current_n": 41.0, "energy_import": 1234.5},
        {**FLOAT_ROLES, "frequency_hz": 50.0},
    ),
    "schneider_iem3x55_pm5xxx": Golden(
        {
            ("holding", 2999): (*F16, *F0, *F25),
            ("holding", 3027): (*F230, *QUIET_NAN, *F230),
            ("holding", 3053): (0x4060, 0, *F0, *QUIET_NAN, 0xBFC0, 0),  # 3.5 kW, 0, none, -1.5 kW
            ("holding", 3067): (0x3F00, 0),  # 0.5 kvar
            ("holding", 3109): F50,
            ("holding", 3203): (0, 0, 0x0001, 0xE240, 0, 0, 0, 1),
        },
        {
            "current_l1": 16.0, "current_l3": 25.0, "voltage_l1": 230.0, "voltage_l2": None, "power_l1": 3500.0,
            "power_l3": None, "power_total": -1500.0, "reactive_power_total": 500.0, "frequency": 50.0,
            "energy_import": 123456, "energy_export": 1,
        },
        {
            "current_l1_a": 16.0, "power_l1_w": 3500.0, "power_l3_w": None, "power_w": -1500.0, "reactive_var": 500.0,
            "energy_import_wh": 123456, "energy_export_wh": 1,
        },
    ),
    "siemens_pac": Golden(
        {
            ("input", 1): (*F230, *QUIET_NAN, *F230),
            ("input", 13): (*F16, *F0, *F25),
            ("input", 25): (*F3680, *F0, *FM5000),
            ("input", 37): (0x3F00, 0),
            ("input", 63): (*F3680, *FM1320, *F100, 0xBF00, 0),
            ("input", 801): (0x4093, 0x4800, 0, 0),  # float64: 1234
            ("input", 809): (0x7FF8, 0, 0, 0),
        },
        {
            **FLOAT_METER, "pf_l1": 0.5, "apparent_power_total": 3680.0, "reactive_power_total": 100.0,
            "pf_total": -0.5, "energy_import": 1234.0, "energy_export": None,
        },
        {**FLOAT_ROLES, "reactive_var": 100.0, "energy_import_wh": 1234.0, "energy_export_wh": None,
         "apparent_va": 3680.0, "power_factor_l1": 0.5, "power_factor": -0.5},
    ),
    "socomec_countis_diris": Golden(
        {
            ("holding", 50520): (0, 23010, 0, 23020, 0, 23000, 0, 5000, 0, 16123, 0, 0, 0x0001, 0x86A0),
            ("holding", 50536): (0xFFFF, 0xFF7C, 0, 10),  # -132, 10
            ("holding", 50544): (0, 368, 0, 0, 0xFFFF, 0xFE0C),  # 368, 0, -500
            ("holding", 50946): (0x0001, 0xE240),
        },
        {
            "voltage_l1": 230.1, "voltage_l3": 230.0, "frequency": 50.0, "current_l1": 16.123, "current_l3": 100.0,
            "power_total": -1320, "reactive_power_total": 100, "power_l1": 3680, "power_l3": -5000,
            "energy_import": 123456,
        },
        {"current_l1_a": 16.123, "current_l3_a": 100.0, "power_w": -1320, "power_l3_w": -5000, "reactive_var": 100},
    ),
}  # fmt: skip

BATTERIES = {
    "e3dc": Golden(
        {("holding", 40067): (0x1388, 0, 0xF830, 0xFFFF, 700, 0, 0xFC18, 0xFFFF, 0, 0), ("holding", 40082): (57,)},
        {"pv_power": 5000, "battery_power": -2000, "house_power": 700, "grid_power": -1000, "external_power": 0,
         "battery_soc": 57},
        {"power_w": -2000, "soc_pct": 57},
    ),
    "huawei_sun2000_luna": Golden(
        {
            ("holding", 32064): (0x7FFF, 0xFFFF),
            ("holding", 32108): (0x0001, 0xE240),
            ("holding", 37046): (0, 5000, 0, 4000),
            ("holding", 37107): (0xFFFF, 0xF9B4),
            ("holding", 37113): (0, 1500),
            ("holding", 37760): (855,),
            ("holding", 37765): (0xFFFF, 0xF830),
            ("holding", 47418): (0xFF9C,),
        },
        {"pv_input_power": None, "pv_energy_total": 1234.56, "ess_max_charge_power": 5000,
         "ess_max_discharge_power": 4000, "grid_current_l1": -16.12, "grid_power": 1500, "ess_soc": 85.5,
         "ess_power": -2000, "max_feed_in_percent": -10.0},
        {"power_w": -2000, "soc_pct": 85.5, "charge_max_w": 5000, "discharge_max_w": 4000},
    ),
    "sma_native": Golden(
        {
            ("input", 30775): (0x8000, 0),
            ("holding", 30513): (0, 0, 0x0012, 0xD687),
            ("holding", 30845): (0, 57),
            ("input", 31393): (0, 0, 0, 2000),
            ("holding", 31401): NONE64,
            ("input", 31435): (0, 16123),
            ("input", 31259): ONES,
            ("holding", 40236): (0, 2290),
            ("holding", 40793): (0, 0, 0, 0, 0, 2000, 0, 2000, 0, 0),
        },
        {"ac_power_total": None, "energy_total": 1234567, "battery_soc": 57, "battery_charge_power": 0,
         "battery_discharge_power": 2000, "battery_energy_discharged": None, "grid_current_l1": 16.123,
         "grid_power_out_l1": None, "bms_op_mode": 2290, "bat_discharge_max_w": 2000},
        {"power_w": -2000, "soc_pct": 57, "setpoint_w": -2000, "mode": 2290},
        unit=3,
    ),
    "solaredge": Golden(
        {
            ("holding", 57344): (0x0801, 1, *lsw(QUIET_NAN), 4),
            ("holding", 57357): (7, *lsw(F3680, F100)),
            ("holding", 57716): (*lsw(FM5000), 0xD687, 0x0012, 0, 0),
            ("holding", 57732): lsw((0x4280, 0)),
        },
        {"export_control_mode": 0x0801, "export_limit_mode": 1, "export_site_limit": None, "storage_control_mode": 4,
         "storage_remote_command": 7, "storage_charge_limit": 3680.0, "storage_discharge_limit": 100.0,
         "battery_power": -5000.0, "battery_energy_export": 1234567, "battery_soe": 64.0},
        {"power_w": -5000.0, "soc_pct": 64.0, "mode": 7},
    ),
    "sungrow_sh": Golden(
        {
            ("input", 5016): (0x86A0, 0x0001, 2301),
            ("input", 5602): (0xF830, 0xFFFF),
            ("input", 13009): (0x05DC, 0),
            ("input", 13020): (0xFFCE, 0xF830, 855),
            ("holding", 13049): (2, 187, 2000),
            ("holding", 33047): (500,),
        },
        {"dc_power_total": 100_000, "voltage_l1": 230.1, "meter_power_l1": -2000, "export_power": 1500,
         "battery_current": -5.0, "battery_power": -2000, "battery_soc": 85.5, "ems_mode": 2, "forced_cmd": 187,
         "forced_power": 2000, "max_discharge_power": 5000},
        {"power_w": -2000, "soc_pct": 85.5, "setpoint_w": -2000, "mode": 2},
    ),
    "victron_gx": Golden(
        {
            ("holding", 37): (0xFA24,),
            ("holding", 800): (0x4851, 0x3231, 0x3131, 0, 0, 0),
            ("holding", 840): (518, 0xFFCE, 0xF830, 57, 2, 123, 36),
            ("holding", 820): (0xF830,),
            ("holding", 884): (0x0001, 0x86A0),
            ("holding", 908): (0xFFFF, 0xF830),
            ("holding", 2700): (0xFFCE,),
            ("holding", 2716): (0xFFFE, 0x7960),
            ("holding", 2902): (3,),
        },
        {"/Dc/Battery/Voltage": 51.8, "/Dc/Battery/Current": -5.0, "/Dc/Battery/Power": -2000, "/Dc/Battery/Soc": 57,
         "/Dc/Battery/State": 2, "/Dc/Battery/ConsumedAmphours": -12.3, "/Dc/Battery/TimeToGo": 3600,
         "/Ac/Grid/L1/Power": -2000, "/Ac/PvOnOutput/L1/Power": 100_000, "/Hub4/L1/AcPowerSetpoint": -1500,
         "/Serial": "HQ2111",
         "/Settings/CGwacs/AcPowerSetPoint": -50, "/Overrides/Setpoint": -100_000, "/Settings/CGwacs/Hub4Mode": 3},
        {"power_w": -2000, "soc_pct": 57, "setpoint_w": -1500, "mode": 3, "serial": "HQ2111"},
        unit=100,
    ),
}  # fmt: skip
BATTERIES["sma_native_pv"] = Golden(
    {("input", 30775): (0, 5000), ("holding", 30513): (0, 0, 0x0012, 0xD687), ("holding", 30773): (0x8000, 0)},
    {"ac_power_total": 5000, "energy_total": 1234567, "dc_power_1": None},
    {"power_w": -5000, "energy_wh": 1234567},
    unit=3,
)
BATTERIES["victron_gx_three_phase"] = Golden(
    {
        ("holding", 37): (1000,),
        ("holding", 40): (1000, 999),
        ("holding", 842): (3000,),
        ("holding", 843): (57,),
        ("holding", 884): (0x0001, 0x86A0),
        ("holding", 908): (0xFFFF, 0xF830),
    },
    {
        "/Ac/PvOnOutput/L1/Power": 100_000,
        "/Ac/Grid/L1/Power": -2000,
        "/Hub4/L2/AcPowerSetpoint": 1000,
        "/Hub4/L3/AcPowerSetpoint": 999,
    },
    {"setpoint_w": 2999, "power_w": 3000},
    unit=100,
)

HYBRIDS = {
    "huawei_sun2000_pv": Golden(
        {("holding", 32064): (0, 4000), ("holding", 32108): (0x0001, 0xE240)},
        {"pv_input_power": 4000, "pv_energy_total": 1234.56},
        {"power_w": -4000, "energy_wh": 1_234_560.0},
    ),
    "sungrow_sh_pv": Golden(
        {("input", 5016): (0x86A0, 0x0001, 2301, 2302, 2303), ("input", 13002): (0x3039, 0)},
        {"dc_power_total": 100_000, "voltage_l3": 230.3, "pv_energy_total": 1234.5},
        {"power_w": -100_000, "voltage_l1_v": 230.1, "energy_wh": 1_234_500.0},
    ),
    "e3dc_pv": Golden(
        {("holding", 40067): (0x86A0, 0x0001)}, {"pv_power": 100_000}, {"power_w": -100_000},
    ),
    "victron_gx_pv": Golden(
        {("holding", 890): (0, 1000, 0, 2000, 0, 3000)},
        {"/Ac/PvOnGrid/L1/Power": 1000, "/Ac/PvOnGrid/L3/Power": 3000},
        {"power_w": -6000},
        unit=100,
    ),
    "huawei_sun2000_meter": Golden(
        {
            ("holding", 37101): (0, 2301, 0, 2302, 0, 2303, 0, 1612, 0xFFFF, 0xF9B4, 0, 0, 0xFFFF, 0xFA24),
            ("holding", 37119): (0, 12345, 0x0001, 0xE240),
            ("holding", 37132): (0, 3680, 0xFFFF, 0xF1A0, 0, 0),
        },
        {"grid_voltage_l2": 230.2, "grid_current_l1": 16.12, "grid_current_l2": -16.12, "grid_power": -1500,
         "grid_energy_export": 123.45, "grid_energy_import": 1234.56, "grid_power_l1": 3680, "grid_power_l2": -3680},
        {"current_l1_a": -16.12, "current_l2_a": 16.12, "current_l3_a": 0.0, "voltage_l1_v": 230.1, "power_w": 1500,
         "power_l1_w": -3680, "power_l2_w": 3680, "energy_import_wh": 1_234_560.0, "energy_export_wh": 123_450.0},
    ),
    "sma_native_meter": Golden(
        {
            ("input", 30865): (0, 1500, 0, 0),
            ("input", 31259): (0, 0, 0, 700, *ONES, 0, 2200, 0, 0, *ONES),
            ("input", 31435): (0, 16123, 0, 3000, 0x8000, 0),
            ("holding", 30581): (0x0001, 0xE240),
        },
        {"grid_power_in": 1500, "grid_power_out_l2": 700, "grid_power_out_l3": None, "grid_power_in_l1": 2200,
         "grid_current_l1": 16.123, "grid_current_l3": None, "grid_energy_in": 123456},
        {"current_l1_a": 16.123, "current_l3_a": None, "power_l1_w": 2200, "power_l2_w": -700, "power_l3_w": None,
         "power_w": 1500, "energy_import_wh": 123456},
        unit=3,
    ),
    "victron_gx_meter": Golden(
        {
            ("holding", 2616): (2301, 160, 2302, 0xFF60, 2303, 0),
            ("holding", 2634): (0x0001, 0xE240, 0, 12345),
            ("holding", 2638): (0, 3680, 0xFFFF, 0xF1A0, 0, 100),
            ("holding", 2644): (5000, 0xFC7C),
        },
        {"/Ac/L1/Voltage": 230.1, "/Ac/L1/Current": 16.0, "/Ac/L2/Current": -16.0, "/Ac/L1/Power": 3680,
         "/Ac/L2/Power": -3680, "/Ac/Energy/Forward": 1234.56, "/Ac/Frequency": 50.0, "/Ac/L1/PowerFactor": -0.9},
        {"current_l1_a": 16.0, "current_l2_a": -16.0, "voltage_l3_v": 230.3, "power_l2_w": -3680, "power_w": 100,
         "energy_import_wh": 1_234_560.0, "energy_export_wh": 123_450.0, "frequency_hz": 50.0,
         "power_factor_l1": -0.9},
        unit=30,
    ),
}  # fmt: skip
"""Parts of hybrids and gateways: their PV and their grid meters."""

MODULES = {
    "advantech_adam_605x": Golden(
        {("coil", 0): (1, 0, 1), ("coil", 16): (0, 1), ("holding", 300): (5,), ("holding", 302): (2,)},
        {"di[0]": 1, "di[1]": 0, "di[2]": 1, "do[0]": 0, "do[1]": 1, "di_word": 5, "do_word": 2},
        {},
    ),
    "icpdas_et7060": Golden(
        {
            ("coil", 0): (1, 0, 0, 0, 0, 1), ("discrete", 0): (0, 1), ("discrete", 64): (0, 0, 0, 0, 0, 1),
            ("coil", 267): (0, 1), ("holding", 257): (30, 2),
        },
        {"do[0]": 1, "do[5]": 1, "di[0]": 0, "di[1]": 1, "di_latched_low[5]": 1, "safe_value[1]": 1,
         "host_watchdog_timeout": 30, "host_watchdog_count": 2},
        {},
    ),
    "moxa_iologik_e12xx": Golden(
        {
            ("discrete", 0): (0, 1), ("discrete", 15): (1,), ("coil", 0): (1,), ("coil", 271): (1,),
            ("input", 16): (1, 5), ("input", 48): (0x8002,), ("holding", 32): (1,),
        },
        {"di[0]": 0, "di[1]": 1, "di[15]": 1, "do[0]": 1, "di_counter_operate[15]": 1, "di_counter": 65_541,
         "di_word": 0x8002, "do_word": 1},
        {},
    ),
    "openwb_dimm_kit": Golden(
        {("input", 0): (512, 0, 0, 1024), ("coil", 0): (1,), ("coil", 7): (1,), ("coil", 16): (0, 1)},
        {"analog_inputs[0]": 512, "analog_inputs[3]": 1024, "digital_inputs[0]": 1, "digital_inputs[7]": 1,
         "digital_outputs[0]": 0, "digital_outputs[1]": 1},
        {},
    ),
    "wago_750_35x": Golden(
        {
            ("coil", 0): (1,), ("coil", 511): (1,), ("coil", 512): (0, 1), ("discrete", 3): (1,),
            ("holding", 0): (0xABCD,), ("holding", 513): (7,), ("holding", 4096): (100,), ("holding", 4132): (16, 8),
            ("holding", 8304): (0x8801,),
        },
        {"digital_inputs[0]": 1, "digital_inputs[511]": 1, "digital_outputs[0]": 0, "digital_outputs[1]": 1,
         "digital_inputs_discrete[3]": 1, "input_words[0]": 0xABCD, "output_words[1]": 7, "watchdog_time": 10.0,
         "digital_out_bits": 16, "digital_in_bits": 8, "module_list_1[64]": 0x8801},
        {},
    ),
    "waveshare_poe_eth_relay": Golden(
        {("coil", 0): (1, 0, 1), ("discrete", 7): (1,), ("holding", 4096): (0, 1), ("holding", 32768): (135,),
         ("holding", 16384): (1,)},
        {"relay[0]": 1, "relay[1]": 0, "relay[2]": 1, "di[7]": 1, "control_mode[1]": 1, "software_version": 1.35,
         "device_address": 1},
        {},
    ),
}  # fmt: skip

GOLDEN: dict[str, Golden] = {**METERS, **BATTERIES, **HYBRIDS, **MODULES}

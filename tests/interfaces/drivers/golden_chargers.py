"""Words of chargers, worked out by hand from the makers' tables. Nothing here was derived from a profile.

Per profile: (table, address) -> words on the wire, the registers and roles they mean, the state they show, and what a
setpoint and a pause put on the wire. None: the device says "not available".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

Cells = Mapping[tuple[str, int], Sequence[int]]
Writes = tuple[tuple[int, tuple[int, ...]], ...]


@dataclass(frozen=True)
class Golden:
    """One vector. ``state``: pilot, status, and the IEC 61851 state as the device tells it.

    ``told``: what ``wanted_ma`` becomes on the wire, in order; ``paused``: what 0 becomes; ``alive``: writes that come
    by themselves (life bits, modes). ``applied``: the device's register repeats what was written.
    """

    cells: Cells
    registers: Mapping[str, object]
    roles: Mapping[str, object]
    state: tuple[str, str, str]
    told: Writes
    paused: Writes
    wanted_ma: int = 10_999
    told_ma: int = 10_000
    alive: Writes = ()
    applied: bool = True
    unit: int = 255
    serial: bool = False
    more: Cells = field(default_factory=dict)


# IEEE 754, high word first
F0, F10, F15_5, F16, F32, F230 = (0, 0), (0x4120, 0), (0x4178, 0), (0x4180, 0), (0x4200, 0), (0x4366, 0)
F13_3 = (0x4154, 0xCCCC)  # 13.3 A: the float32 just below
MINUS_ONE = (0xFFFF, 0xFFFF)

COMPLEO = Golden(
    {
        ("holding", 5): (60,),
        ("input", 8): (2,),
        ("holding", 0x100): (110,),
        ("input", 0x101): (3, 110, 160, 0, 159, 0, 3600, 55),  # 0x106: seconds in two words
        ("input", 0x10D): (230, 231, 229),
    },
    {
        "fallback_timeout": 60, "num_connectors": 2, "max_power": 11000, "status": 3, "power": 11000,
        "current_l1": 16.0, "current_l2": 0.0, "current_l3": 15.9, "charge_duration": 3600, "energy_session": 5.5,
        "voltage_l1": 230, "voltage_l2": 231, "voltage_l3": 229,
    },
    {
        "current_l1_a": 16.0, "current_l2_a": 0.0, "current_l3_a": 15.9, "voltage_l1_v": 230, "power_w": 11000,
        "session_energy_wh": 5500.0, "failsafe_timeout_s": 60, "offered_a": 17.71337,
    },
    ("C2", "charging", "C2"),
    told=((0x100, (99,)),),  # 16 A x 621 W = 9936 W, 100 W steps
    paused=((0x100, (0,)),),
    wanted_ma=16_000,
    told_ma=16_000,
)  # fmt: skip

DAHEIMLADEN = Golden(
    {
        ("holding", 0): (4,), ("holding", 2): (3,), ("holding", 4): (0,),
        ("holding", 6): (161,), ("holding", 8): (0,), ("holding", 10): (159,),
        ("holding", 12): (0, 7360), ("holding", 16): (0, 3703), ("holding", 24): (0, 3657),
        ("holding", 28): (0x0001, 0x86A0), ("holding", 32): (320,), ("holding", 34): (60,),
        ("holding", 38): (0x0044, 0x004C, 0x0031, *[0] * 13),  # UTF-16 "DL1"
        ("holding", 54): (0x0041, 0x0031, *[0] * 14),
        ("holding", 72): (123,), ("holding", 78): (0x0001, 0x0001), ("holding", 87): (60,), ("holding", 89): (90,),
        ("holding", 91): (160,), ("holding", 109): (2301,), ("holding", 111): (2302,), ("holding", 113): (2299,),
    },
    {
        "current_l1": 16.1, "active_power": 7360, "power_l1": 3703, "power_l3": 3657, "energy_total": 10000.0,
        "evse_max_current": 32.0, "station_id": "DL1", "card_id": "A1", "session_energy": 12.3, "session_time": 65537,
        "safe_current": 6.0, "comm_timeout": 90, "current_limit": 16.0, "voltage_l2": 230.2,
    },
    {
        "current_l1_a": 16.1, "current_l3_a": 15.9, "power_w": 7360, "energy_wh": 10_000_000.0, "offered_a": 16.0,
        "session_energy_wh": 12300.0, "failsafe_current_a": 6.0, "failsafe_timeout_s": 90, "serial": "DL1",
        "rfid": "A1", "voltage_l3_v": 229.9,
    },
    ("C2", "charging", "C2"),
    told=((91, (133,)),),
    paused=((91, (1,)),),  # 0.1 A; a 0 would start charging without leave
    wanted_ma=13_370,
    told_ma=13_300,
)  # fmt: skip

DELTA = Golden(
    {
        ("input", 100): (1,), ("input", 102): (1,), ("input", 110): (0x4445, 0x3100, *[0] * 18),
        ("input", 130): (0x4143, *[0] * 19),
        ("holding", 201): (1, 60, 0x0000, 0x0E8E),  # enabled, 60 s, 3726 W
        ("input", 1000): (4, 3), ("input", 1003): F230, ("input", 1005): (0, 7360), ("input", 1007): F16,
        ("input", 1009): (0x45E6, 0x0000), ("input", 1011): (555,), ("input", 1017): (0, 3600),
        ("input", 1019): (0, 1500), ("input", 1100): (0x3034, 0x4131, *[0] * 18),
        ("holding", 1600): (0x0000, 0x26D0, 0),  # 9936 W
    },
    {
        "station_charger_state": 1, "evse_count": 1, "serial": "DE1", "model": "AC", "comm_timeout_enabled": 1,
        "comm_timeout": 60, "fallback_power": 3726, "evse_state": 4, "charger_state": 3, "output_voltage": 230.0,
        "charging_power": 7360, "charging_current": 16.0, "output_power": 7360.0, "soc": 55.5, "charging_time": 3600,
        "charged_energy": 1500, "rfid": "04A1", "power_limit": 9936, "suspend": 0,
    },
    {
        "current_l1_a": 9.69695, "power_w": 7360, "session_energy_wh": 1500, "soc_pct": 55.5, "offered_a": 16.0,
        "failsafe_current_a": 6.0, "failsafe_timeout_s": 60, "rfid": "04A1", "serial": "DE1", "model": "AC",
    },
    ("C2", "charging", "C2"),
    told=((1600, (0, 6210)),),  # 10 A x 621 W
    paused=((1600, (0, 0)),),
    wanted_ma=10_000,
    unit=1,
)  # fmt: skip

ENOVATES = Golden(
    {
        ("holding", 51): (32,), ("holding", 200): (16000, 0, 15900, 230, 0xFFFF, 229, 3680),
        ("holding", 216): (0x0001, 0xE240), ("holding", 301): (0x4332, 0), ("holding", 400): (16000,),
        ("holding", 401): (0x3034, 0x4131, *[0] * 14), ("holding", 417): (15500,),
        ("holding", 5032): (0x454E, 0x3100, *[0] * 14), ("holding", 5048): (0x5357, *[0] * 15),
        ("holding", 5064): (0x312E, 0x3400, *[0] * 14),
    },
    {
        "max_amp_per_phase": 32, "current_l1": 16.0, "current_l3": 15.9, "voltage_l1": 230, "voltage_l2": -1,
        "power_total": 3680, "energy_import": 123456, "mode3_state": "C2", "ems_limit": 16.0, "token": "04A1",
        "current_offered": 15.5, "serial": "EN1", "model": "SW", "firmware": "1.4",
    },
    {
        "current_l1_a": 16.0, "power_w": 3680, "energy_wh": 123456, "offered_a": 15.5, "setpoint_a": 16.0,
        "rated_current_a": 32, "rfid": "04A1",
    },
    ("C2", "charging", "C2"),
    told=((400, (13300,)),),
    paused=((400, (0,)),),
    wanted_ma=13_370,
    told_ma=13_300,
    unit=1,
)  # fmt: skip

ETREL = Golden(
    {
        ("input", 0): (4,), ("input", 4): F10, ("input", 14): F16, ("input", 16): F0, ("input", 18): F15_5,
        ("input", 26): (0x4060, 0),  # 3.5 kW
        ("input", 990): (0x4531, *[0] * 9), ("input", 1000): (0x494E, 0x4348, *[0] * 8),
        ("input", 1010): (0x3100, 0, 0, 0, 0), ("input", 1015): (0x322E, 0x3000, 0, 0, 0),
        ("holding", 8): F0,
    },
    {
        "charge_status": 4, "target_current": 10.0, "current_l1": 16.0, "current_l2": 0.0, "current_l3": 15.5,
        "power": 3500.0, "serial": "E1", "model": "INCH", "hw_version": "1", "sw_version": "2.0",
    },
    {"current_l1_a": 16.0, "current_l3_a": 15.5, "power_w": 3500.0, "offered_a": 10.0, "firmware": "2.0"},
    ("C2", "charging", "C2"),
    told=((8, F13_3),),
    paused=((8, F0),),
    wanted_ma=13_370,
    told_ma=13_300,
    applied=False,
    unit=1,
)  # fmt: skip

GO_E = Golden(
    {
        ("input", 100): (2, 32), ("input", 105): (0x3535, 0x2E36, 0, 0, 230, 0, 231, 0, 229, 0, 160, 0, 0, 0, 159),
        ("input", 120): (0, 368), ("input", 128): (0x0001, 0x86A0), ("input", 132): (0, 360),
        ("input", 146): (0, 37, 0, 0, 0, 36), ("input", 205): (0b111001,),
        ("input", 304): (0x3132, 0x3334, 0, 0, 0, 0),
        ("holding", 200): (1, 0), ("holding", 211): (32,), ("holding", 299): (16, 20), ("holding", 332): (0,),
        ("holding", 333): (0x7FF0, 0, 0, 0), ("holding", 337): (0,),  # no energy limit: +infinity
    },
    {
        "car_state": 2, "cable_rating": 32, "firmware": "55.6", "error": 0, "voltage_l1": 230, "voltage_l3": 229,
        "current_l1": 16.0, "current_l3": 15.9, "power_total": 3680, "energy_total": 10000.0, "session_energy": 3600,
        "power_l1": 3700, "power_l3": 3600, "phases": 57, "serial": "1234", "allow": 1, "ampere_volatile": 16,
        "ampere_eeprom": 20, "energy_limit": None,
    },
    {
        "current_l1_a": 16.0, "current_l3_a": 15.9, "voltage_l2_v": 231, "power_w": 3680, "energy_wh": 10_000_000.0,
        "session_energy_wh": 1.0, "phases": 1, "offered_a": 16, "serial": "1234",
    },
    ("C2", "charging", "C2"),
    told=((299, (10,)), (200, (1,))),
    paused=((200, (0,)),),
    unit=1,
)  # fmt: skip

HEIDELBERG = Golden(
    {
        ("input", 4): (0x0108, 7, 160, 0, 159, 0xFFF6, 230, 231, 229, 1, 3680, 0, 1500, 0x0001, 0xE240),
        ("input", 100): (16, 6), ("holding", 257): (15000, 0, 1), ("holding", 261): (160, 60),
    },
    {
        "layout_version": 264, "charging_state": 7, "current_l1": 16.0, "current_l3": 15.9, "pcb_temperature": -1.0,
        "voltage_l2": 231, "extern_lock_state": 1, "power": 3680, "energy_since_power_on": 1500,
        "energy_total": 123456, "hw_max_current": 16, "hw_min_current": 6, "watchdog_timeout": 15000,
        "standby_control": 4, "remote_lock": 1, "max_current": 16.0, "failsafe_current": 6.0,
    },
    {
        "current_l1_a": 16.0, "power_w": 3680, "energy_wh": 123456, "offered_a": 16.0, "rated_current_a": 16,
        "failsafe_current_a": 6.0, "failsafe_timeout_s": 15.0, "temperature_degc": -1.0,
    },
    ("C2", "charging", "C2"),
    told=((261, (133,)),),
    paused=((261, (0,)),),
    wanted_ma=13_370,
    told_ma=13_300,
    alive=((258, (4,)),),  # no standby
)  # fmt: skip

KEBA = Golden(
    {
        ("holding", 1000): (0, 3), ("holding", 1004): (0, 7), ("holding", 1006): (0, 0), ("holding", 1008): (0, 16000),
        ("holding", 1010): (0, 0), ("holding", 1012): (0, 15900), ("holding", 1014): (0x0115, 0xB6B5),
        ("holding", 1016): (0x0004, 0xCE82), ("holding", 1018): (0x030A, 0x2A00), ("holding", 1020): (0x0038, 0x2700),
        ("holding", 1036): (0x0012, 0xD680), ("holding", 1040): (0, 230), ("holding", 1046): (0, 995),
        ("holding", 1100): (0, 16000), ("holding", 1110): (0, 32000), ("holding", 1500): (0x04A1, 0xB2C3),
        ("holding", 1502): (0, 15000), ("holding", 1552): (0, 1), ("holding", 1600): (0, 6000, 0, 30),
    },
    {
        "charging_state": 3, "cable_state": 7, "current_l1": 16.0, "current_l3": 15.9, "serial_number": 18200245,
        "product_code": 315010, "active_power": 3680.0, "energy_total": 123456.0, "voltage_l1": 230,
        "power_factor": 99.5, "max_charging_current": 16.0, "max_supported_current": 32.0, "rfid": 0x04A1B2C3,
        "session_energy": 1500.0, "failsafe_current": 6.0, "failsafe_timeout": 30,
    },
    {
        "current_l1_a": 16.0, "power_w": 3680.0, "energy_wh": 123456.0, "session_energy_wh": 1500.0,
        "offered_a": 16.0, "rated_current_a": 32.0, "failsafe_current_a": 6.0, "failsafe_timeout_s": 30,
        "rfid": "04A1B2C3", "serial": "18200245",
    },
    ("C2", "charging", "C2"),
    told=((5004, (13370,)), (5014, (1,))),
    paused=((5014, (0,)),),
    wanted_ma=13_370,
    told_ma=13_370,
    alive=((5018, (30,)),),
    applied=False,
)  # fmt: skip

COMPACT = Golden(
    {
        ("holding", 0): (1,), ("holding", 1): (0x312E, 0x3033, *[0] * 6), ("holding", 19): (0x4D31, *[0] * 7),
        ("holding", 256): (5,), ("holding", 264): (28,), ("holding", 770): F16, ("holding", 774): F32,
        ("holding", 780): (2,), ("holding", 785): (3,), ("holding", 1280): (*F16, *F0, *F15_5),
        ("holding", 1286): (*F230, *F230, *F230), ("holding", 1298): (0x4566, 0), ("holding", 2818): (0x40B0, 0),
        ("holding", 2820): (0, 3600), ("holding", 3332): (0, 1), ("holding", 4096): (0x449A, 0x5000),
    },
    {
        "firmware_version": "1.03", "serial_number": "M1", "evse_state": 5, "cp_state": 28,
        "charging_current_em": 16.0, "max_current_evse": 32.0, "current_l1": 16.0, "current_l3": 15.5,
        "voltage_l1": 230.0, "power": 3680.0, "session_energy": 5.5, "session_duration": 3600,
        "charging_release_em": 1, "energy_total": 1234.5,
    },
    {
        "current_l1_a": 16.0, "current_l3_a": 15.5, "voltage_l2_v": 230.0, "power_w": 3680.0,
        "energy_wh": 1_234_500.0, "session_energy_wh": 5500.0, "offered_a": 16.0, "rated_current_a": 32.0,
    },
    ("C2", "charging", "C2"),
    told=((770, F13_3), (3333, (1,))),
    paused=((770, F0), (3333, (0,))),
    wanted_ma=13_370,
    told_ma=13_300,
    alive=((3328, (0x55AA,)),),
    unit=50,
    serial=True,
)  # fmt: skip

HCC3 = Golden(
    {
        ("input", 770): (6, 4, 0, 3), ("input", 776): (3, 32, 32, 0xE240, 0x0001, 1500, 0, 7360, 0),
        ("input", 785): (0x4D41, 0x5254, 0x4E4F, *[0] * 8),  # "AMTRON", low byte first
        ("input", 805): (6, 32), ("holding", 1024): (16,),
    },
    {
        "cp_state": 6, "pp_state": 4, "error_code": 0, "amtron_state": 3, "phase_count": 3, "rated_current": 32,
        "installation_current": 32, "serial_number": 123456, "session_energy": 1500, "power": 7360, "name": "AMTRON",
        "planned_min_current": 6, "planned_max_current": 32, "customer_current_limit": 16,
    },
    {
        "power_w": 7360, "current_l1_a": 9.69695, "session_energy_wh": 1500, "offered_a": 16, "rated_current_a": 32,
        "serial": "123456", "model": "AMTRON",
    },
    ("C2", "charging", "C2"),
    told=((1024, (10,)),),
    paused=((1024, (0,)),),
)  # fmt: skip

PEBLAR = Golden(
    {
        ("input", 30000): (0, 0, 0x0001, 0xE240), ("input", 30008): (0, 3680, 0, 0, 0, 3640, 0, 7320),
        ("input", 30016): (0, 230, 0, 231, 0, 229, 0, 16000, 0, 0, 0, 15900),
        ("input", 30050): (0x5042, 0x3100, *[0] * 10), ("input", 30062): (0x3630, *[0] * 11),
        ("input", 30074): (0x312E, 0x3600, *[0] * 10), ("input", 30092): (3, 1), ("input", 30110): (67,),
        ("input", 30112): (1, 0, 15500), ("holding", 40000): (0, 16000, 0),
    },
    {
        "energy_total": 123456, "power_l1": 3680, "power_l3": 3640, "power_total": 7320, "voltage_l1": 230,
        "current_l1": 16.0, "current_l3": 15.9, "serial_number": "PB1", "firmware": "1.6", "phase_count": 3,
        "independent_relays": 1, "cp_state": 67, "current_limit_source": 1, "current_limit_actual": 15.5,
        "modbus_current_limit": 16.0, "force_single_phase": 0,
    },
    {
        "current_l1_a": 16.0, "current_l3_a": 15.9, "voltage_l3_v": 229, "power_w": 7320, "energy_wh": 123456,
        "offered_a": 15.5, "setpoint_a": 16.0, "serial": "PB1",
    },
    ("C2", "charging", "C"),
    told=((40000, (0, 13370)),),
    paused=((40000, (0, 0)),),
    wanted_ma=13_370,
    told_ma=13_370,
)  # fmt: skip

CHARX = Golden(
    {
        ("holding", 100): (0x4348, 0x4152, 0x5800, *[0] * 7), ("holding", 110): (0x312E, 0x3500, 0, 0),
        ("holding", 114): (1,), ("holding", 152): (0x0038, 0x2700), ("holding", 158): (*MINUS_ONE, 0, 16000),
        ("holding", 1101): (32, 6), ("holding", 1120): (5,), ("holding", 1232): (0x0003, 0x8270),
        ("holding", 1238): (0, 16000, *MINUS_ONE, 0, 15900), ("holding", 1244): (0x0038, 0x2700),
        ("holding", 1250): (0, 0, 0x0001, 0xE240), ("holding", 1275): (0x3034, 0x4131, *[0] * 8),
        ("holding", 1289): (0, 0, 0, 1500), ("holding", 1297): (15, 32, 0x4332, 1, 16),
        ("holding", 1306): (6, 60),
    },
    {
        "designation": "CHARX", "num_controllers": 1, "group_active_power": 3680.0, "group_current_l1": None,
        "group_current_l2": 16.0, "max_current_cfg": 32, "release_mode": 5, "voltage_l1": 230.0, "current_l1": 16.0,
        "current_l2": None, "current_l3": 15.9, "active_power": 3680.0, "energy_total": 123456, "rfid": "04A1",
        "session_energy": 1500, "setpoint_current": 15, "vehicle_status": "C2", "charging_release": 1,
        "max_current": 16, "watchdog_current": 6, "watchdog_timer": 60,
    },
    {
        "current_l1_a": 16.0, "current_l2_a": None, "current_l3_a": 15.9, "voltage_l1_v": 230.0, "power_w": 3680.0,
        "energy_wh": 123456, "session_energy_wh": 1500, "offered_a": 15, "setpoint_a": 16, "rated_current_a": 32,
        "failsafe_current_a": 6, "failsafe_timeout_s": 60, "rfid": "04A1",
    },
    ("C2", "charging", "C2"),
    told=((1301, (10,)),),
    paused=((1301, (0,)),),
    unit=1,
)  # fmt: skip

EM_CP = Golden(
    {
        ("input", 100): (0x0043,), ("input", 102): (60, 0),
        ("input", 108): (0x59E2, 0, 0x59E3, 0, 0, 0, 16000, 0, 0, 0, 0xFC18, 0xFFFF, 368, 0),
        ("input", 128): (0x86A0, 0x0001), ("holding", 300): (16,), ("coil", 400): (1,),
    },
    {
        "cp_status": "C", "charge_time": 60, "voltage_l1": 230.1, "voltage_l2": 230.11, "current_l1": 16.0,
        "current_l3": -1.0, "power": 3680, "energy": 1000.0, "max_current": 16, "enable": 1,
    },
    {"current_l1_a": 16.0, "current_l3_a": -1.0, "voltage_l1_v": 230.1, "power_w": 3680, "energy_wh": 1_000_000.0},
    ("C2", "charging", "C"),
    told=((300, (10,)), (400, (1,))),
    paused=((400, (0,)),),
    unit=180,
)  # fmt: skip

EV_CC = Golden(
    {
        ("input", 100): (0x0043, 0, 60, 0, 0x0201, 0x2E31, 0x3730, 0),  # firmware "1.07", low byte first
        ("input", 108): (230, 0, 231, 0, 229, 0, 16, 0, 0, 0, 15, 0, 3680, 0), ("holding", 300): (16,),
        ("holding", 304): (0x5031, *[0] * 5), ("holding", 310): (0x4556, *[0] * 4), ("coil", 400): (1,),
        ("coil", 436): (1,), ("holding", 528): (16,), ("holding", 606): (0x3034, *[0] * 15),
        ("holding", 904): (0xE240, 0x0001), ("holding", 2980): (0x0001, 0, 0, 0),
    },
    {
        "cp_status": "C", "charge_time": 60, "dip_switches": 0x0201, "firmware": "1.07", "error_code": 0,
        "voltage_l2": 231, "current_l1": 16, "current_l3": 15, "power": 3680, "signalled_current": 16, "serial": "P1",
        "enable": 1, "charging_allowed": 1, "max_current": 16, "energy_wh": 123456, "energy_wallbe": 1,
    },
    {
        "current_l1_a": 16, "current_l2_a": 0, "power_w": 3680, "energy_wh": 123456, "offered_a": 16.0,
        "setpoint_a": 16, "firmware": "1.07", "rfid": "04",
    },
    ("C2", "charging", "C"),
    told=((528, (10,)), (400, (1,))),
    paused=((400, (0,)),),
)  # fmt: skip

EV_CC_RTU = Golden(
    {("input", 24000): (0x4300,), ("holding", 22000): (16,), ("coil", 20000): (1,)},
    {"cp_status": "C", "max_current": 16, "enable": 1},
    {"offered_a": 16},
    ("C2", "charging", "C"),
    told=((22000, (10,)), (20000, (1,))),
    paused=((20000, (0,)),),
    unit=1,
    serial=True,
)

SCHNEIDER = Golden(
    {
        ("holding", 1): (8,), ("holding", 150): (2,), ("holding", 2999): (0, 0x4180, 0, 0, 0, 0x4178),
        ("holding", 3027): (0, 0x4366, 0, 0x4366, 0xFFFF, 0xFFFF), ("holding", 3059): (0, 0x4060),
        ("holding", 3203): (0xE240, 0x0001, 0, 0), ("holding", 4000): (1,), ("holding", 4004): (16,),
        ("holding", 4007): (3600, 0),
    },
    {
        "ev_state": 8, "ocpp_status": 2, "current_l1": 16.0, "current_l2": 0.0, "current_l3": 15.5,
        "voltage_l1": 230.0, "voltage_l3": None, "power": 3500.0, "energy": 123456, "life_bit": 1, "set_current": 16,
        "charging_time": 3600,
    },
    {"current_l1_a": 16.0, "current_l3_a": 15.5, "voltage_l1_v": 230.0, "voltage_l3_v": None, "power_w": 3500.0,
     "energy_wh": 123456, "offered_a": 16},
    ("C2", "charging", "C"),
    told=((4004, (10,)),),
    paused=((4004, (0,)),),
    alive=((4000, (1,)),),
)  # fmt: skip

SIEMENS = Golden(
    {
        ("holding", 0): (0x5369, 0x656D, 0x656E, 0x7300, 0), ("holding", 5): (0x2024, 0x0131),
        ("holding", 7): (0x5331, 0, 0, 0, 0), ("holding", 1599): (0x4300, 0xFFFF), ("holding", 1602): (35,),
        ("holding", 1633): (1600,), ("holding", 1647): (16, 0, 15), ("holding", 1651): (230, 231, 229),
        ("holding", 1662): (3680, 0xFFFF, 0xFFF6), ("holding", 1692): (0x0001, 0xE240),
    },
    {
        "brand": "Siemens", "serial": "S1", "evse_status": "C", "error_code": -1, "temperature": 35,
        "max_current": 16.0, "current_l1": 16, "current_l3": 15, "voltage_l2": 231, "power_l1": 3680,
        "power_l2": None, "power_l3": -10, "energy_total": 123.456,
    },
    {
        "current_l1_a": 16, "current_l2_a": 0, "power_l1_w": 3680, "power_l2_w": None, "power_w": None,
        "energy_wh": 123456.0, "offered_a": 16.0, "temperature_degc": 35,
    },
    ("C2", "charging", "C"),
    told=((1633, (1000,)),),
    paused=((1633, (0,)),),
    unit=2,
)  # fmt: skip

VESTEL = Golden(
    {
        ("input", 100): (0x0057, 0x0031, *[0] * 23),  # UTF-16
        ("input", 190): (0x5665, 0x7374, 0x656C, *[0] * 7),  # ASCII, as other firmware has it
        ("input", 404): (1,), ("holding", 405): (1,), ("input", 1000): (2, 1, 1), ("input", 1004): (3,),
        ("input", 1006): (0, 0, 16000), ("input", 1010): (0,), ("input", 1012): (15900,), ("input", 1014): (230,),
        ("input", 1020): (0, 3680), ("input", 1024): (0, 3680), ("input", 1036): (0, 12345), ("input", 1100): (16,),
        ("input", 1104): (32,), ("input", 1502): (0, 1500), ("input", 1516): (0x0030, 0x0034, *[0] * 13),
        ("holding", 2000): (6,), ("holding", 2002): (60,), ("holding", 5004): (16,), ("holding", 6000): (0,),
    },
    {
        "serial_number": "W1", "brand": "Vestel", "number_of_phases": 1, "charge_point_state": 2, "charging_state": 1,
        "equipment_state": 1, "cable_state": 3, "current_l1": 16.0, "current_l3": 15.9, "voltage_l1": 230,
        "power_total": 3680, "energy_total": 1234.5, "session_max_current": 16, "evse_max_current": 32,
        "session_energy": 1500, "rfid": "04", "failsafe_current": 6, "failsafe_timeout": 60, "set_current": 16,
    },
    {
        "current_l1_a": 16.0, "current_l3_a": 15.9, "power_w": 3680, "energy_wh": 1_234_500.0,
        "session_energy_wh": 1500, "offered_a": 16, "failsafe_current_a": 6, "failsafe_timeout_s": 60, "rfid": "04",
        "phases": 3, "serial": "W1",
    },
    ("C2", "charging", "C2"),
    told=((5004, (10,)),),
    paused=((5004, (0,)),),
    alive=((6000, (1,)),),
)  # fmt: skip

VICTRON = Golden(
    {
        ("holding", 5001): (0x5148, 0x3132, 0x3233, 0, 0, 0),  # "HQ2132", low byte first
        ("holding", 5007): (0x0001, 0x1AFF),
        ("holding", 5009): (1, 1, 3680, 0, 3450, 7130, 2, 16, 32, 160, 0, 3600, 150),
        ("holding", 5023): (0, 12345), ("holding", 5062): (6,),
    },
    {
        "serial": "HQ2132", "firmware": 0x00011AFF, "mode": 0, "start_stop": 1, "power_l1": 3680, "power_l3": 3450,
        "power": 7130, "status": 2, "set_current": 16, "max_current": 32, "current": 16.0, "session_time": 3600,
        "session_energy": 1.5, "energy_total": 123.45, "min_current": 6,
    },
    {
        "current_l1_a": 14.54546, "current_l2_a": 0.0, "power_l1_w": 3680, "power_w": 7130, "energy_wh": 123450.0,
        "session_energy_wh": 1500.0, "offered_a": 16, "rated_current_a": 32, "serial": "HQ2132",
    },
    ("C2", "charging", "C2"),
    told=((5016, (10,)), (5010, (1,))),
    paused=((5010, (0,)),),
    alive=((5009, (0,)),),  # manual mode
    unit=1,
)  # fmt: skip

WEIDMUELLER = Golden(
    {
        ("holding", 301): (0x0043, 2), ("holding", 318): (1,),
        ("holding", 400): (0x8270, 0x0003, 0x8271, 0x0003, 0, 0, 16000, 0, 0, 0, 15900, 0),
        ("holding", 418): (0x2700, 0x0038), ("holding", 457): (0xE240, 0x0001, 0, 0), ("holding", 702): (160,),
        ("holding", 1000): (0x3034, 0x4131, *[0] * 9), ("holding", 11050): (0, 0, 16),
    },
    {
        "car_state": 67, "evse_state": 2, "phases_lm": 1, "voltage_l1": 230.0, "voltage_l2": 230.001,
        "current_l1": 16.0, "current_l3": 15.9, "active_power": 3680.0, "energy_total": 123.456,
        "user_current_limit": 160, "rfid_uid": "04A1", "lcm_current_limit": 16,
    },
    {
        "current_l1_a": 16.0, "current_l2_a": 0.0, "voltage_l1_v": 230.0, "power_w": 3680.0, "energy_wh": 123456.0,
        "offered_a": 16, "phases": 3, "rfid": "04A1",
    },
    ("C2", "charging", "C"),
    told=((11052, (10,)),),
    paused=((11052, (0,)),),
    alive=((11050, (0, 60000)),),  # high word first, other than what is read
)  # fmt: skip


def also(base: Golden, cells: Cells, registers: Mapping[str, object], roles: Mapping[str, object]) -> Golden:
    """The vector of a variant: what differs from the make it builds on."""
    return replace(
        base, cells={**base.cells, **cells}, registers={**base.registers, **registers}, roles={**base.roles, **roles}
    )


GOLDEN: Mapping[str, Golden] = {
    "compleo_solo_duo": COMPLEO,
    "daheimladen": DAHEIMLADEN,
    "daheimladen_pro": also(DAHEIMLADEN, {("holding", 186): (1,)}, {"phase_switch_control": 1}, {"phases": 1}),
    "delta_ac_max_smart": DELTA,
    "enovates": ENOVATES,
    "etrel_inch": ETREL,
    "go_e_charger": GO_E,
    "heidelberg_ec": HEIDELBERG,
    "amperfied_connect": also(
        HEIDELBERG, {("input", 5001): (3,), ("input", 2002): (0x04A1, 0xB2C3, 0, 0)},
        {"rfid_uid": "04a1b2c300000000", "phase_switch_state": 3}, {"phases": 3, "rfid": "04a1b2c300000000"},
    ),
    "keba_kecontact": KEBA,
    "keba_kecontact_s10": also(KEBA, {}, {"phase_switch_state": 1}, {"phases": 3}),
    "keba_kecontact_p40": replace(
        also(KEBA, {("holding", 1016): (0x003D, 0x0901), ("holding", 1552): (0, 1)},
             {"product_code": 4000001}, {"phases": 1}),
        told=((5004, (13370,)),), paused=((5004, (0,)),),
    ),
    "mennekes_compact_2s": COMPACT,
    "mennekes_compact_2s_phases": also(COMPACT, {}, {"requested_phases": 0, "phase_options_hw": 2}, {"phases": 3}),
    "mennekes_hcc3": HCC3,
    "peblar": PEBLAR,
    "peblar_phases": also(PEBLAR, {("holding", 40002): (1,)}, {"force_single_phase": 1}, {"phases": 1}),
    "phoenix_charx_sec3xxx": CHARX,
    "phoenix_em_cp_pp_eth": EM_CP,
    "phoenix_ev_cc_ac1_eth": EV_CC,
    "phoenix_ev_cc_ac1_eth_wallbe": replace(
        also(EV_CC, {("holding", 300): (160,), ("holding", 528): (160,)},
             {"signalled_current": 160, "max_current": 16.0}, {"offered_a": 16.0, "energy_wh": 1, "setpoint_a": 16.0}),
        wanted_ma=13_370, told_ma=13_300, told=((528, (133,)), (400, (1,))),
    ),
    "phoenix_ev_cc_ac1_m_rtu": EV_CC_RTU,
    "schneider_evlink_pro_ac": SCHNEIDER,
    "siemens_versicharge": SIEMENS,
    "vestel_evc04": VESTEL,
    "vestel_evc04_phases": also(VESTEL, {("holding", 405): (0,)}, {"phase_switch": 0}, {"phases": 1}),
    "victron_evcs": VICTRON,
    "weidmueller_ac_smart": WEIDMUELLER,
}  # fmt: skip

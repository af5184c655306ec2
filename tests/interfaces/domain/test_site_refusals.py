"""Every way a site file is refused: the line, the path, and words that say what to do."""

from __future__ import annotations

import pytest

from interfaces.domain.site_file import MAX_BYTES
from tests.interfaces.domain.site_texts import EXTRA_CHARGER, MORE, garage, line_of, load

SECOND = "id: place-1\n    name"
NETWORK = "  device_interface: eth1            # Modbus binds here only; nothing routes between the two\n"


def with_charger(*changes: tuple[str, str]) -> str:
    """The garage with a third charger, itself with pieces replaced."""
    charger = EXTRA_CHARGER
    for before, after in changes:
        assert charger.count(before) >= 1, before
        charger = charger.replace(before, after)
    return garage((MORE, "\n" + charger + MORE))


def with_sections(text: str) -> str:
    return garage((MORE, "\n" + text + MORE))


# what is changed, a piece of the line that is blamed, the path, words of the message
CASES = {
    "unknown key, with a proposal": (
        garage(("margin_a: [10", "margn_a: [10")),
        "margn_a",
        "circuits[0].margn_a",
        "did you mean 'margin_a'",
    ),
    "unknown key, no proposal": (garage(("  period_ms: 200", "  zzz: 200")), "zzz", "site.zzz", "unknown key 'zzz'"),
    "unknown section": (garage(("network:", "chargepoint_bus:")), "chargepoint_bus", "chargepoint_bus", "unknown key"),
    "key given twice": (
        garage(("    parent: gcp\n", "    parent: gcp\n    parent: gcp\n")),
        "    parent: gcp\n    rated_a: [40",
        "circuits[1].parent",
        "already given in line 24",
    ),
    "circuit id twice": (
        garage(
            (
                "\nmeters:",
                "  - {id: garage, parent: gcp, rated_a: [40, 40, 40], background_max_a: [0, 0, 0]}\n\nmeters:",
            )
        ),
        "{id: garage,",
        "circuits[2].id",
        "already used in line 23",
    ),
    "meter and charger of one id": (
        garage(
            ("  - id: m-main", "  - id: place-2"),
            ("meter: m-main", "meter: place-2"),
            ("- id: place-2\n        max", "- id: place-2a\n        max"),
        ),
        "id: place-2\n    name",
        "chargers[0].id",
        "give it another one",
    ),
    "an EVSE called like a meter": (
        garage(("- {id: place-1,", "- {id: m-main,")),
        "{id: m-main,",
        "chargers[1].evses[0].id",
        "EVSE id 'm-main' is already used in line 30",
    ),
    "EVSE id twice": (
        garage(("- {id: place-1,", "- {id: place-2,")),
        "{id: place-2,",
        "chargers[1].evses[0].id",
        "EVSE id 'place-2' is already used",
    ),
    "unknown parent": (
        garage(("parent: gcp", "parent: gpc")),
        "parent: gpc",
        "circuits[1].parent",
        "no circuit of this file",
    ),
    "two roots": (garage(("    parent: gcp\n", "")), "id: garage\n", "circuits[1]", "exactly one circuit"),
    "a circle": (
        garage(("parent: gcp", "parent: garage")),
        "parent: garage",
        "circuits[1].parent",
        "its own parent",
    ),
    "unknown meter": (garage(("meter: m-main", "meter: main")), "meter: main", "circuits[0].meter", "not under"),
    "one meter for two circuits": (
        garage(("    parent: gcp\n", "    parent: gcp\n    meter:   m-main\n")),
        "meter:   m-main",
        "circuits[1].meter",
        "already measures circuit 'gcp'",
    ),
    "limit above the fuse": (
        garage(("rated_a: [60, 60, 60]", "rated_a: [60, 80, 60]")),
        "rated_a: [60, 80",
        "circuits[0].rated_a",
        "above its protective device of 63 A",
    ),
    "contract above rated": (
        garage(("    meter: m-main\n", "    contract_a: [50, 50, 61]\n    meter: m-main\n")),
        "contract_a",
        "circuits[0].contract_a",
        "above rated_a on L3",
    ),
    "a circuit that carries nothing": (
        garage(("rated_a: [40, 40, 40]", "rated_a: [0, 0, 0]")),
        "rated_a: [0, 0, 0]",
        "circuits[1].rated_a",
        "carries nothing",
    ),
    "neither meter nor background": (
        garage(("    background_max_a: [0, 0, 0]     # unmetered, nothing else behind it\n", "")),
        "id: garage\n",
        "circuits[1]",
        "no meter and no background_max_a",
    ),
    "failsafe currents and background too large": (
        garage(("background_max_a: [40, 40, 40]", "background_max_a: [40, 56, 40]")),
        "id: gcp",
        "circuits[0]",
        "failsafe currents 6 A + worst-case background 56 A on L2 are above 60 A",
    ),
    "derating counts in that sum": (
        garage(("    meter: m-main\n", "    derating: 0.75\n    meter: m-main\n")),
        "id: gcp",
        "circuits[0]",
        "above 45 A (rated x derating)",
    ),
    "an unverifiable failsafe counts at nameplate": (
        garage(('    accept_unverified_failsafe: "installer', '    #"')),
        "id: gcp",
        "circuits[0]",
        "failsafe of place-1 cannot be verified and counts at nameplate",
    ),
    "no failsafe": (
        with_charger(("    failsafe: {current_a: 0, timeout_s: 60}\n", "")),
        "id: place-3\n",
        "chargers[2]",
        "has no failsafe",
    ),
    "failsafe above nameplate": (
        with_charger(("{current_a: 0,", "{current_a: 17,")).replace("[40, 40, 40]  #", "[30, 30, 30]  #"),
        "current_a: 17",
        "chargers[2].failsafe.current_a",
        "above its max_current_a of 16 A",
    ),
    "failsafe nobody can signal": (
        with_charger(("{current_a: 0,", "{current_a: 3,")),
        "current_a: 3,",
        "chargers[2].failsafe.current_a",
        "write 0 or at least 6 A",
    ),
    "time-out the device does not take": (
        with_charger(("timeout_s: 60", "timeout_s: 900")),
        "timeout_s: 900",
        "chargers[2].failsafe.timeout_s",
        "1 to 300 s",
    ),
    "unmanaged chargers not in the background": (
        with_charger(("    evses:", "    managed: false\n    evses:")),
        "background_max_a: [0, 0, 0]",
        "circuits[1].background_max_a",
        "may draw 16 A on L1, L2, L3",
    ),
    "unknown circuit": (
        with_charger(("circuit: garage", "circuit: garden")),
        "circuit: garden",
        "chargers[2].circuit",
        "no circuit of this file",
    ),
    "unknown profile": (
        with_charger(("webasto_live", "webasto_life")),
        "profile: webasto_life",
        "chargers[2].profile",
        "choose one of those for it: abb_terra_ac, dc, double",
    ),
    "profile of another kind": (
        with_charger(("webasto_live", "tcp_meter")),
        "profile: tcp_meter",
        "chargers[2].profile",
        "is for a meter",
    ),
    "transport the device does not speak": (
        with_charger(("{host: 192.168.1.22}", "{rtu: /dev/ttyUSB1, unit: 4}")),
        "unit: 4",
        "chargers[2].modbus",
        "does not speak Modbus RTU: write its address as {host, port}",
    ),
    "an empty host": (
        with_charger(("{host: 192.168.1.22}", "{host: ''}")),
        "host: ''",
        "chargers[2].modbus.host",
        "'host' is '', but must be a host name or an IP address",
    ),
    "a gateway that is no address": (
        garage(
            (
                "\nchargers:",
                "  - {id: m2, profile: cg_em500, modbus: {gateway: 10.0.0.300, unit: 2}, monitors: gcp}\n\nchargers:",
            )
        ),
        "gateway: 10.0.0.300",
        "meters[1].modbus.gateway",
        "'10.0.0.300' is no IP address",
    ),
    "same host, port and unit": (
        with_charger(("192.168.1.22", "192.168.1.20")),
        "host: 192.168.1.20}",
        "chargers[2].modbus",
        "same address, 192.168.1.20 port 502 unit 255",
    ),
    "same unit on one serial line": (
        garage(
            (
                "\nchargers:",
                "  - {id: m2, profile: cg_em500, modbus: {rtu: /dev/ttyUSB0, unit: 1}, monitors: garage}\n\nchargers:",
            )
        ),
        "id: m2",
        "meters[1].modbus",
        "same address, /dev/ttyUSB0 unit 1",
    ),
    "the second unit of a double is taken": (
        with_sections(
            "  - {id: d, profile: double, modbus: {host: h}, circuit: garage,\n"
            "     failsafe: {current_a: 0, timeout_s: 60},\n"
            "     evses: [{id: d1, max_current_a: [16], phases: [L1]}, {id: d2, max_current_a: [16], phases: [L2]}]}\n"
            "  - {id: e, profile: double, modbus: {host: h, unit: 2}, circuit: garage,\n"
            "     failsafe: {current_a: 0, timeout_s: 60}, evses: [{id: e1, max_current_a: [16], phases: [L1]}]}\n"
        ),
        "id: e,",
        "chargers[3].modbus",
        "h port 502 unit 2",
    ),
    "two speeds on one line": (
        garage(
            (
                "\nchargers:",
                (
                    "  - {id: m2, profile: cg_em500, modbus: {rtu: /dev/ttyUSB0, unit: 2, baud: 19200},\n"
                    "     monitors: garage}\n\nchargers:"
                ),
            )
        ),
        "id: m2",
        "meters[1].modbus",
        "all devices of one serial line are set alike",
    ),
    "TCP and RTU frames on one port": (
        garage(
            (
                "\nchargers:",
                (
                    "  - {id: m2, profile: cg_em500, modbus: {gateway: 192.168.1.20, unit: 2},\n"
                    "     monitors: garage}\n\nchargers:"
                ),
            )
        ),
        "modbus: {host: 192.168.1.20",
        "chargers[0].modbus",
        "one port speaks one of the two",
    ),
    "a slow bus": (
        garage(
            (
                "\nchargers:",
                "".join(
                    f"  - {{id: s{k}, profile: cg_em500, modbus: {{rtu: /dev/ttyUSB0, unit: {k}}}, monitors: garage}}\n"
                    for k in range(2, 6)
                )
                + "\nchargers:",
            )
        ),
        "modbus: {rtu: /dev/ttyUSB0, unit: 1,",
        "meters[0].modbus",
        "one round of its 5 devices",
    ),
    "more EVSEs than the make has": (
        with_charger(
            (
                "    failsafe",
                "      - {id: place-4, max_current_a: [16], phases: [L1]}\n    failsafe",
            )
        ),
        "evses:\n      - {id: place-3",
        "chargers[2].evses",
        "has at most 1",
    ),
    "one unit for a double": (
        with_sections(
            "  - {id: d, profile: double, modbus: {host: h, unit: 1}, circuit: garage,\n"
            "     failsafe: {current_a: 0, timeout_s: 60},\n"
            "     evses: [{id: d1, max_current_a: [16], phases: [L1]}, {id: d2, max_current_a: [16], phases: [L2]}]}\n"
        ),
        "id: d,",
        "chargers[2].modbus.unit",
        "leave 'unit' out",
    ),
    "phases and conductors differ in number": (
        with_charger(("phases: [L3, L1, L2]", "phases: [L3, L1]")),
        "phases: [L3, L1]}",
        "chargers[2].evses[0].phases",
        "2 phases for 3 conductors",
    ),
    "one phase named twice": (
        with_charger(("phases: [L3, L1, L2]", "phases: [L3, L1, L1]")),
        "phases: [L3, L1, L1]",
        "chargers[2].evses[0].phases",
        "two conductors on one phase",
    ),
    "minimum above maximum": (
        with_charger(("phases:", "min_current_a: 17, phases:")),
        "min_current_a",
        "chargers[2].evses[0].min_current_a",
        "above its max_current_a 16 A",
    ),
    "minimum below what can be signalled": (
        with_charger(("phases:", "min_current_a: 5, phases:")),
        "min_current_a",
        "chargers[2].evses[0].min_current_a",
        "below 6 A",
    ),
    "more than the make delivers": (
        with_charger(("[16, 16, 16]", "[36, 36, 36]")),
        "[36, 36, 36]",
        "chargers[2].evses[0].max_current_a",
        "more than a 'webasto_live' can deliver (32 A)",
    ),
    "more than the circuit can ever carry": (
        garage(
            ("max_current_a: [16, 16, 16] #", "max_current_a: [31, 16, 16] #"),
            ("rated_a: [40, 40, 40]", "rated_a: [30, 40, 40]"),
        ),
        "id: place-2\n        max_current_a",
        "chargers[0].evses[0]",
        "more than circuit 'garage' can ever carry there (30 A)",
    ),
    "AC written as DC": (
        with_charger(("phases:", "kind: dc, phases:")),
        "kind: dc",
        "chargers[2].evses[0].kind",
        "is ac",
    ),
    "a write on a monitored site": (
        garage(
            ("  period_ms: 200", "  period_ms: 200\n  mode: monitor"),
            ("    managed: true\n", ""),
        ),
        "managed: true                   #",
        "chargers[0].managed",
        "nothing is ever written",
    ),
    "two phases on a one-phase site": (
        garage(
            ("connection: 3ph_wye", "connection: 1ph"),
            ("[60, 60, 60]", "[60, 0, 0]"),
            ("[40, 40, 40]\n    protection: {kind: mcb", "[40, 0, 0]\n    protection: {kind: mcb"),
            ("max_current_a: [16, 16, 16] #", "max_current_a: [16] #"),
            ("phases: [L1, L2, L3]", "phases: [L1]"),
            ("max_current_a: [16, 16, 16], phases: [L2, L3, L1]", "max_current_a: [16], phases: [L2]"),
            ("[40, 40, 40]  # worst", "[40, 0, 0]  # worst"),
        ),
        "{id: place-1,",
        "chargers[1].evses[0].phases",
        "so its phases are [L1]",
    ),
    "one line on a delta site": (
        garage(
            ("connection: 3ph_wye", "connection: 3ph_delta"),
            ("max_current_a: [16, 16, 16], phases: [L2, L3, L1]", "max_current_a: [16], phases: [L2]"),
        ),
        "{id: place-1,",
        "chargers[1].evses[0].phases",
        "name both",
    ),
    "a number that is a truth": (
        garage(("tier: 1                     #", "tier: true  #")),
        "tier: true",
        "chargers[0].evses[0].tier",
        "must be a whole number, but is 'true'",
    ),
    "a truth that is a word": (
        garage(("managed: true                   #", "managed: yes  #")),
        "managed: yes",
        "chargers[0].managed",
        "must be true or false, but is 'yes'",
    ),
    "not a number": (
        garage(("rated_a: 63}", "rated_a: .nan}")),
        "rated_a: .nan",
        "circuits[0].protection.rated_a",
        "not a finite number",
    ),
    "infinite": (
        garage(("timeout_s: 60}\n  - id", "timeout_s: 1e999}\n  - id")),
        "1e999",
        "chargers[0].failsafe.timeout_s",
        "not a finite number",
    ),
    "out of range": (garage(("period_ms: 200", "period_ms: 20")), "period_ms", "site.period_ms", "at least 100"),
    "a port in the unit field": (
        garage(("unit: 1, baud", "unit: 502, baud")),
        "unit: 502",
        "meters[0].modbus.unit",
        "at most 247",
    ),
    "too long a text": (
        garage(("spot: P2", "spot: " + "P" * 41)),
        "spot: PPP",
        "chargers[0].evses[0].spot",
        "at most 40 characters",
    ),
    "an id with a blank": (garage(("id: garage-norella", "id: garage norella")), "id: garage n", "site.id", "may only"),
    "a value for each phase is missing": (
        garage(("[10, 10, 10]", "[10, 10]")),
        "margin_a",
        "circuits[0].margin_a[2]",
        "L1, L2 and L3",
    ),
    "a required key is missing": (
        garage(("    rated_a: [60, 60, 60]           # L1 L2 L3\n", "")),
        "id: gcp",
        "circuits[0].rated_a",
        "'rated_a' is missing",
    ),
    "unknown protection": (
        garage(("kind: gG", "kind: gg")),
        "kind: gg",
        "circuits[0].protection.kind",
        "must be 'gG' or 'mcb', but is gg",
    ),
    "another version": (garage(("version: 1", "version: 2")), "version: 2", "version", "must be 1"),
    "an anchor": (garage(("margin_a: [10, 10, 10]", "margin_a: &m [10, 10, 10]")), "&m", "circuits[0].margin_a", "'m'"),
    "a tag": (garage(("version: 1", "version: !!int 1")), "version", "version", "remove it"),
    "a second document": (garage(("network:", "---\nnetwork:")), "---", "file", "one document"),
    "no YAML": (garage(("version: 1", "version: [1")), "site:", "file", "this is not YAML"),
    "too deep": (
        garage(("eth0", "[[[[[[[[[[[[[[]]]]]]]]]]]]]]")),
        "[[[[",
        "network.uplink_interface[0][0][0][0][0][0][0][0]",
        "deeper",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(name):
    text, piece, path, words = CASES[name]
    result = load(text)
    assert result.site is None
    found = [(problem.line, problem.path) for problem in result.problems]
    assert (line_of(text, piece), path) in found, found
    message = next(problem.message for problem in result.problems if problem.path == path)
    assert words in message
    assert len(result.problems) == 1, [problem.message for problem in result.problems]


def test_a_limit_of_one_megabyte_holds_before_anything_is_parsed():
    text = garage() + "#" * MAX_BYTES
    result = load(text)
    assert [(problem.line, problem.path) for problem in result.problems] == [(1, "file")]
    assert "larger than 1000000 bytes" in result.problems[0].message
    assert load(garage() + "#" * (MAX_BYTES - len(garage().encode()))).site is not None


def test_the_limit_counts_bytes_not_characters():
    assert load(garage() + "#" + "é" * (MAX_BYTES // 2)).site is None


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n", "null\n"])
def test_an_empty_file_is_one_problem(text):
    assert [problem.message for problem in load(text).problems] == [
        "the file is empty: start with 'version: 1' and 'site:'"
    ]


@pytest.mark.parametrize("text", ["- a\n- b\n", "42", "'text'"])
def test_a_file_that_is_no_mapping(text):
    assert [problem.path for problem in load(text).problems] == ["file"]


def test_all_problems_come_in_one_report():
    text = garage(
        ("margin_a: [10, 10, 10]", "margn_a: [10, 10, 10]"),
        ("rated_a: [60, 60, 60]", "rated_a: [70, 60, 60]"),
        ("192.168.1.21", "192.168.1.20"),
        ("tier: 1                     #", "tier: zero  #"),
        ("  period_ms: 200", "  period_ms: 20"),
        ("profile: abb_terra_ac", "profile: webasto_live"),
        ("circuit: garage\n    managed: true\n", "circuit: garden\n    managed: true\n"),
    )
    assert [problem.path for problem in load(text).problems] == [
        "site.period_ms",
        "circuits[0].rated_a",
        "circuits[0].margn_a",
        "chargers[0].evses[0].tier",
        "chargers[1].modbus",
        "chargers[1].circuit",
    ]


def test_a_part_that_cannot_be_read_accuses_nobody_else():
    """A broken circuit, meter or charger is one problem; those that name it are not called wrong."""
    assert [p.path for p in load(garage(("  - id: gcp\n", "  - id: gcp\n    name: [1]\n"))).problems] == [
        "circuits[0].name"
    ]
    assert [p.path for p in load(garage(("id: garage\n", "id: ga rage\n"))).problems] == ["circuits[1].id"]
    assert [p.path for p in load(garage(("profile: cg_em500", "profile: 7"))).problems] == ["meters[0].profile"]
    assert [p.path for p in load(garage(("meter: m-main", "meter: [m-main]"))).problems] == ["circuits[0].meter"]
    assert [p.path for p in load(garage(("{current_a: 6, timeout_s: 60}", "{current_a: six}"))).problems] == [
        "chargers[0].failsafe.current_a",
        "chargers[0].failsafe.timeout_s",
    ]


def test_problems_keep_the_place_in_the_file_when_entries_before_them_cannot_be_read():
    text = garage(
        ("id: place-2\n    name", "id: 2\n    name"), (MORE, "\n" + EXTRA_CHARGER.replace("garage", "x") + MORE)
    )
    problems = {problem.path: problem.line for problem in load(text).problems}
    assert problems == {"chargers[0].id": line_of(text, "id: 2\n"), "chargers[2].circuit": line_of(text, "circuit: x")}


def test_row_77_limit_above_fuse_duplicate_address_and_shares_above_the_circuit_are_refused(figure):
    """Fault 77: unsafe figures never reach a running controller; one report says why."""
    text = garage(
        ("rated_a: [60, 60, 60]", "rated_a: [80, 60, 60]"),
        ("background_max_a: [40, 40, 40]", "background_max_a: [40, 40, 55]"),
        (MORE, "\n" + EXTRA_CHARGER.replace("192.168.1.22", "192.168.1.20") + MORE),
    )
    result = load(text)
    assert result.site is None
    assert [(problem.line, problem.path) for problem in result.problems] == [
        (line_of(text, "id: gcp"), "circuits[0]"),
        (line_of(text, "rated_a: [80"), "circuits[0].rated_a"),
        (line_of(text, "host: 192.168.1.20}"), "chargers[2].modbus"),
    ]
    shares, limit, address = (problem.message for problem in result.problems)
    assert "failsafe currents 6 A + worst-case background 55 A on L3 are above 60 A" in shares
    assert "rated 80 A, above its protective device of 63 A" in limit
    assert "same address" in address
    figure("problems in one report", len(result.problems))


def test_many_problems_are_cut_and_counted():
    text = "".join(f"key-{k}: 1\n" for k in range(1000))
    problems = load(text).problems
    assert len(problems) == 201
    assert problems[-1].message.endswith("more problems: correct these first")

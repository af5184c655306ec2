"""Topics: what is built is read back as the same, lies within the broker's rights, and nothing else is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from interfaces.domain.wire_topics import ROUTES, Address, Kind, Place, address_problem, cloud_filters, place_of

ACL = Path(__file__).resolve().parents[3] / "deploy" / "acl"
HERE = Address("acme", "Depot_1", "depot-7")


@pytest.mark.parametrize("kind", list(Kind))
def test_a_topic_names_its_place(kind):
    assert place_of(HERE.topic(kind)) == Place(HERE, kind)
    assert set(ROUTES) == set(Kind)


@pytest.mark.parametrize("kind", list(Kind))
def test_the_brokers_rights_let_each_kind_through_in_its_direction_alone(kind):
    rules = [line.split() for line in ACL.read_text().splitlines() if line.startswith("pattern ")]
    found = {word for _, word, rule in rules if covers(rule.replace("%u", HERE.controller), HERE.topic(kind))}
    assert found == ({"write"} if ROUTES[kind].up else {"read"})
    assert not any(covers(rule.replace("%u", "other"), HERE.topic(kind)) for _, _, rule in rules)


def covers(rule: str, topic: str) -> bool:
    return topic == rule[:-2] or topic.startswith(rule[:-1])


def test_what_the_two_sides_subscribe_to():
    assert HERE.filters == tuple(HERE.topic(kind) for kind in (Kind.PLAN, Kind.TARGETS, Kind.COMMAND, Kind.REBIRTH,
                                                               Kind.RECEIPT))  # fmt: skip
    assert cloud_filters() == ("sw/1/+/state/#", "sw/1/+/telemetry/#", "sw/1/+/events/#", "sw/1/+/ack/#")
    assert cloud_filters("a")[0] == "sw/1/a/state/#"


@pytest.mark.parametrize(
    "name", ["", "a/b", "a+", "#", "$SYS", "ä", "a b", "a\n", "x" * 65, "-a", "a.b", "../a", "a\x00"]
)
def test_no_name_leaves_its_level(name):
    for address in (Address(name, "s", "c"), Address("o", name, "c"), Address("o", "s", name)):
        assert address_problem(address)
        assert place_of(address.topic(Kind.LIVE)) is None
    assert not address_problem(HERE)


@pytest.mark.parametrize(
    "topic",
    [
        "", "sw", "sw/2/c/telemetry/o/s/live", "sw/1/c/telemetry/o/s", "sw/1/c/telemetry/o/s/live/x",
        "sw/1/c/state/o/s/live", "sw/1/c/telemetry/o/s/LIVE", "sw/1/c/telemetry/o/s/nonsense",
        "sw/1/C/telemetry/o/s/live", "/sw/1/c/telemetry/o/s/live", "$SYS/broker/uptime",
    ],
)  # fmt: skip
def test_what_is_no_topic_of_ours(topic):
    assert place_of(topic) is None

"""The JSON Schema for editors says the same as the reader about shapes and ranges."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from interfaces.domain.site_schema import site_schema
from interfaces.domain.site_yaml import read_yaml
from tests.interfaces.domain.site_texts import garage

EXAMPLES = sorted(
    (entry.name, entry.read_text("utf-8"))
    for entry in (resources.files("interfaces.domain") / "examples").iterdir()
    if entry.name.endswith(".yaml")
)


def errors_of(text: str) -> list[tuple[Any, ...]]:
    return [
        tuple(error.absolute_path) for error in Draft202012Validator(site_schema()).iter_errors(read_yaml(text).value)
    ]


def test_it_is_a_schema():
    Draft202012Validator.check_schema(site_schema())


def test_both_examples_are_there():
    assert [name for name, _ in EXAMPLES] == ["depot.yaml", "garage.yaml"]


@pytest.mark.parametrize(("name", "text"), EXAMPLES)
def test_examples_fit(name, text):
    assert errors_of(text) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (("margin_a: [10", "margn_a: [10"), ("circuits", 0)),
        (("tier: 1                     #", "teer: 1  #"), ("chargers", 0, "evses", 0)),
        (("period_ms: 200", "period_ms: 20"), ("site", "period_ms")),
        (("{kind: gG, rated_a: 63}", "{kind: gG, rated_a: 63, curve: B}"), ("circuits", 0, "protection")),
        (("modbus: {host: 192.168.1.20, port: 502}", "modbus: {host: h, rtu: /dev/x}"), ("chargers", 0, "modbus")),
        (("[60, 60, 60]", "[60, 60]"), ("circuits", 0, "rated_a")),
        (("managed: true                   #", "managed: 'true'  #"), ("chargers", 0, "managed")),
    ],
)
def test_slips_are_marked_where_they_are(change, where):
    assert errors_of(garage(change)) == [where]


def test_every_key_of_every_section_is_closed():
    """No part of the schema lets a key through that the reader refuses."""
    schema = site_schema()
    objects = [schema, *schema["$defs"].values()]
    assert all(part["additionalProperties"] is False for part in objects if part.get("type") == "object")

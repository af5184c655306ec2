"""The contract's documents say what the programs do: made from the types, and checked against their readers."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from interfaces.domain.plan import Plan
from interfaces.domain.plan_text import plan_of_text
from interfaces.domain.wire import TYPES, read
from interfaces.domain.wire_head import WireRefusal
from interfaces.domain.wire_schema import SIGNED, asyncapi, bodies, schemas
from interfaces.domain.wire_topics import ROUTES, Address, Kind, place_of
from interfaces.wire_documents import FOLDER, documents

SCHEMAS = schemas()
BODIES = bodies()
DOCUMENT = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text("utf-8"))
HERE = {"organisation": "acme", "site": "depot", "controller": "depot-7"}


def fits(name: str, body: Any) -> bool:
    return not list(Draft202012Validator(SCHEMAS[name]).iter_errors(body))


def readable(kind: Kind, body: Any) -> bool:
    text = json.dumps(body)
    found = plan_of_text(text, "") if kind is Kind.PLAN else read(text, TYPES[kind])
    return isinstance(found, Plan) if kind is Kind.PLAN else not isinstance(found, WireRefusal)


def test_the_files_are_what_the_types_give():
    there = {path.relative_to(FOLDER).as_posix(): path.read_text("utf-8") for path in FOLDER.rglob("*.*")}
    assert {name: text for name, text in there.items() if name != "README.md"} == documents(), "run `make contract`"
    assert asyncapi() == DOCUMENT


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name):
    Draft202012Validator.check_schema(SCHEMAS[name])


@pytest.mark.parametrize("name", BODIES)
def test_an_example_fits_its_schema_and_is_read(name):
    kind, body = BODIES[name]
    assert fits(kind, body)
    assert readable(kind, body)


def changed(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The example without one key, and with each value replaced by one of another type, down to the head."""
    for key in body:
        yield {other: value for other, value in body.items() if other != key}
        wrong: Any
        for wrong in (None, "?" * 400, -1.5, [], {}, True):
            yield {**body, key: wrong}
    if isinstance(body.get("head"), dict):
        yield from ({**body, "head": head} for head in changed(body["head"]))
    yield {**body, "unheard_of": 1}


@pytest.mark.parametrize("name", BODIES)
def test_schema_and_reader_refuse_the_same(name):
    kind, body = BODIES[name]
    verdicts = [(fits(kind, one), readable(kind, one), one) for one in changed(copy.deepcopy(body))]
    assert sum(not fit for fit, _, _ in verdicts) > 5
    # Where the two differ the reader is the stricter: it knows what spans several fields.
    loose = [one for fit, read_, one in verdicts if read_ and not fit]
    assert loose == []
    strict = [one for fit, read_, one in verdicts if fit and not read_]
    assert kind is Kind.PLAN or strict == []


def test_every_kind_has_its_channel_operation_and_message_in_the_document():
    kinds = {str(kind) for kind in Kind}
    assert set(DOCUMENT["channels"]) == set(DOCUMENT["components"]["messages"]) == kinds
    assert {operation["channel"]["$ref"] for operation in DOCUMENT["operations"].values()} == {
        f"#/channels/{kind}" for kind in kinds
    }
    for kind in Kind:
        topic = DOCUMENT["channels"][kind]["address"].format(**HERE)
        found = place_of(topic)
        assert found is not None
        assert (found.address, found.kind) == (Address(**HERE), kind)


def test_every_reference_leads_somewhere():
    def references(node: Any) -> Iterator[str]:
        for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from references(value)
        if isinstance(node, dict) and "$ref" in node:
            yield node["$ref"]

    found = set(references(DOCUMENT))
    assert len(found) > 40
    for one in found:
        if one.startswith("./"):
            assert (FOLDER / one).is_file()
            continue
        node = DOCUMENT
        for part in one.removeprefix("#/").split("/"):
            node = node[part]


@pytest.mark.parametrize("kind", list(Kind))
def test_every_example_in_the_document_fits_its_payload(kind):
    message = DOCUMENT["components"]["messages"][kind]
    name = message["payload"]["$ref"].removeprefix("./schemas/").removesuffix(".json")
    assert name == ("signed" if kind in SIGNED else kind)
    assert message["examples"]
    for example in message["examples"]:
        assert fits(name, example["payload"])
        if kind in SIGNED:
            assert fits(kind, json.loads(example["payload"]["body"]))


@pytest.mark.parametrize("kind", list(Kind))
def test_the_table_of_topics_says_how_each_kind_travels(kind):
    route = ROUTES[kind]
    lines = [
        line for line in (FOLDER / "README.md").read_text("utf-8").splitlines() if line.startswith(f"| `{kind}` |")
    ]
    assert len(lines) == 1
    cells = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert cells[1] == f"`{route.folder}`"
    assert cells[2] == ("up" if route.up else "down")
    assert cells[3] == ("yes" if route.retained else "no")
    assert cells[4].startswith("none" if route.expiry_s is None and kind not in {Kind.PLAN, Kind.COMMAND} else
                               "its own" if route.expiry_s is None else f"{route.expiry_s} s")  # fmt: skip
    assert (cells[5] == "Ed25519") == (kind in SIGNED)

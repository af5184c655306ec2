"""The contract as documents: a JSON Schema per kind of message and the AsyncAPI 3 description of all topics.

Both are made from the types and routes that the programs themselves go by, so that they cannot say anything else.
``docs/wire`` holds them as files; ``python -m interfaces.wire_documents`` writes those.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from interfaces.domain.codec_json import MAX_JSON_BYTES
from interfaces.domain.plan import MAX_STEPS, MOST_MA, MOST_MW, MOST_PPM, PLAN_SCHEMA
from interfaces.domain.plan_text import LONGEST_TEXT, MAX_ASSETS
from interfaces.domain.site_types import ID_PATTERN
from interfaces.domain.wire import CONTENT_TYPE, TYPES, write
from interfaces.domain.wire_examples import examples, plan_example
from interfaces.domain.wire_head import MAJOR, SCHEMA
from interfaces.domain.wire_topics import CONTROLLER_PATTERN, ROUTES, Address, Kind

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SIGNED: Final = frozenset({Kind.PLAN, Kind.TARGETS, Kind.COMMAND})
"""Kinds whose text is the body of a signed envelope."""
ENVELOPE: Final = "signed"
KEEPALIVE_S: Final[int] = 10
Plain = dict[str, Any]

_TITLES: Final[Mapping[Kind, str]] = {
    Kind.BIRTH: "Opens a session",
    Kind.STATE: "Connected or not; also the will",
    Kind.CONFIG: "Another configuration is in force",
    Kind.LIVE: "Live status, whole or what changed",
    Kind.ENERGY: "Energy of a quarter of an hour",
    Kind.EVENT: "A condition was entered or left",
    Kind.PLAN_ACK: "A plan was taken or refused",
    Kind.ANSWER: "What became of a command",
    Kind.JOURNAL: "A piece of the journal that was asked for",
    Kind.PLAN: "The plan that holds from now on",
    Kind.TARGETS: "Departures and prices for the site's own rules",
    Kind.COMMAND: "One order of the closed list",
    Kind.REBIRTH: "Asks for a birth and a whole status",
    Kind.RECEIPT: "What the cloud side has stored",
}


def schema_of(kind: Kind) -> Plain:
    """JSON Schema (draft 2020-12) of a message; of a signed kind that of the text inside the envelope."""
    found = _plan_schema() if kind is Kind.PLAN else _of_type(TYPES[kind])
    return {"$schema": DIALECT, "$id": f"urn:stroomwacht:wire:{MAJOR}:{kind}", "title": _TITLES[kind], **found}


def envelope_schema() -> Plain:
    """JSON Schema of the envelope around signed texts."""
    return {
        "$schema": DIALECT,
        "$id": f"urn:stroomwacht:wire:{MAJOR}:{ENVELOPE}",
        "title": "A signed text",
        "description": "Ed25519 (RFC 8032) over 'stroomwacht/1/KIND', a line break and the UTF-8 bytes of the body.",
        "type": "object",
        "additionalProperties": False,
        "required": ["key_id", "signature", "body"],
        "properties": {
            "key_id": {"type": "string", "maxLength": 64},
            "signature": {"type": "string", "contentEncoding": "base64", "maxLength": 88},
            "body": {"type": "string", "contentMediaType": CONTENT_TYPE, "maxLength": MAX_JSON_BYTES},
        },
    }


def schemas() -> dict[str, Plain]:
    """All schemas by the name of their file without its ending."""
    return {**{str(kind): schema_of(kind) for kind in Kind}, ENVELOPE: envelope_schema()}


def bodies() -> dict[str, tuple[Kind, Any]]:
    """An example of every message as plain data, of signed kinds the text inside."""
    found = {name: (Kind(message.kind), json.loads(write(message))) for name, message in examples().items()}
    return {**found, "plan": (Kind.PLAN, json.loads(plan_example()))}


def asyncapi() -> Plain:
    """The AsyncAPI 3.0 document, as the controller sees it: it sends what goes up and receives what comes down."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "stroomwacht: site and cloud",
            "version": f"{SCHEMA}.0",
            "description": "What a controller on site and the cloud side tell each other over MQTT 5. README.md beside "
            "this file has the rules of sessions, numbers and versions.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"broker": _server()},
        "channels": {str(kind): _channel(kind) for kind in Kind},
        "operations": {_operation_name(kind): _operation(kind) for kind in Kind},
        "components": {
            "messages": {str(kind): _message(kind) for kind in Kind},
            "securitySchemes": {
                "certificate": {
                    "type": "X509",
                    "description": "The common name of the client's certificate is its user name, and its rights at "
                    "the broker follow from that name alone.",
                }
            },
            "parameters": {
                "controller": {"description": f"Common name of the controller's certificate: {CONTROLLER_PATTERN}"},
                "organisation": {"description": f"Whose site it is: {ID_PATTERN}"},
                "site": {"description": f"Id in the site file: {ID_PATTERN}"},
            },
        },
    }


def _server() -> Plain:
    here = Address("{organisation}", "{site}", "{controller}")
    return {
        "host": "broker.example.org:8883",
        "protocol": "mqtts",
        "protocolVersion": "5",
        "description": "TLS 1.2 or newer with a certificate on both sides.",
        "security": [{"$ref": "#/components/securitySchemes/certificate"}],
        "bindings": {
            "mqtt": {
                "cleanSession": True,
                "keepAlive": KEEPALIVE_S,
                "sessionExpiryInterval": 0,
                "maximumPacketSize": MAX_JSON_BYTES + 8192,
                "lastWill": {"topic": here.topic(Kind.STATE), "qos": 1, "retain": True, "message": "state, offline"},
                "bindingVersion": "0.2.0",
            }
        },
    }


def _channel(kind: Kind) -> Plain:
    return {
        "address": Address("{organisation}", "{site}", "{controller}").topic(kind),
        "title": _TITLES[kind],
        "messages": {str(kind): {"$ref": f"#/components/messages/{kind}"}},
        "parameters": {
            name: {"$ref": f"#/components/parameters/{name}"} for name in ("controller", "organisation", "site")
        },
    }


def _operation_name(kind: Kind) -> str:
    return f"{'send' if ROUTES[kind].up else 'receive'}_{kind}"


def _operation(kind: Kind) -> Plain:
    route = ROUTES[kind]
    mqtt: Plain = {"qos": 1, "retain": route.retained, "bindingVersion": "0.2.0"}
    if route.expiry_s is not None:
        mqtt["messageExpiryInterval"] = route.expiry_s
    return {
        "action": "send" if route.up else "receive",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
        "bindings": {"mqtt": mqtt},
    }


def _message(kind: Kind) -> Plain:
    payload = ENVELOPE if kind in SIGNED else kind
    shown = {
        name: body if kind not in SIGNED else {"key_id": "4f1c", "signature": "c2ln", "body": _text(body)}
        for name, (its, body) in bodies().items()
        if its is kind
    }
    found: Plain = {
        "name": str(kind),
        "title": _TITLES[kind],
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"./schemas/{payload}.json"},
        "examples": [{"name": name, "payload": body} for name, body in shown.items()],
    }
    if kind in SIGNED:
        found["summary"] = f"Signed; its body is a text that fits ./schemas/{kind}.json"
    return found


def _text(body: Any) -> str:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def _of_type(cls: type[Any]) -> Plain:
    """What pydantic says of a type, without the titles it makes up, and with what every message must say itself."""
    found: Plain = _bare(TypeAdapter(cls).json_schema())
    for one in (found, found.get("$defs", {}).get("Head", {})):
        fields = one.get("properties", {})
        one["required"] = [*one.get("required", ()), *(name for name in ("schema", "kind") if name in fields)]
        if "schema" in fields:
            fields["schema"] = {"type": "string", "pattern": rf"^{MAJOR}\.[0-9]{{1,4}}$", "description": "major.minor"}
    return {key: value for key, value in found.items() if key != "title"}


def _bare(schema: Any) -> Any:
    """Without the titles of fields, and with descriptions on one line."""
    if isinstance(schema, list):
        return [_bare(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    spare = {"title"} if isinstance(schema.get("title"), str) else set()
    found = {key: _bare(value) for key, value in schema.items() if key not in spare}
    if isinstance(found.get("description"), str):
        found["description"] = re.sub(r"\s+", " ", found["description"].replace("``", ""))
    return found


def _plan_schema() -> Plain:
    def changes(most: int) -> Plain:
        whole = {"type": "integer", "minimum": -most, "maximum": most}
        steps = {"type": "integer", "minimum": 0, "maximum": MAX_STEPS - 1}
        both = [{"type": "array", "items": item, "minItems": 1} for item in (steps, whole)]
        return {"type": "array", "prefixItems": both, "minItems": 2, "items": False}

    def columns(most: int) -> Plain:
        return {"type": "object", "maxProperties": MAX_ASSETS, "additionalProperties": changes(most)}

    text, time_s = {"type": "string", "maxLength": LONGEST_TEXT}, {"type": "number"}
    properties = {
        "schema": {"const": PLAN_SCHEMA},
        **dict.fromkeys(("plan_id", "site", "topology_version"), text),
        "sequence": {"type": "integer", "minimum": 0},
        **dict.fromkeys(("issued_epoch_s", "start_epoch_s", "valid_until_epoch_s", "lease_until_epoch_s"), time_s),
        "step_s": {"type": "integer", "exclusiveMinimum": 0},
        "steps": {"type": "integer", "minimum": 1, "maximum": MAX_STEPS},
        "setpoint_ma": columns(MOST_MA),
        "value_ppm": columns(MOST_PPM),
        "planned_import_mw": changes(MOST_MW),
        "calm_import_mw": changes(MOST_MW),
        **dict.fromkeys(("export_ppm", "import_ppm", "beyond_ppm"), changes(MOST_PPM)),
    }
    return {
        "description": "Each column is [steps, values]: from each of these steps on that value, until the next one.",
        "type": "object",
        "additionalProperties": False,
        "required": list(properties),
        "properties": properties,
    }

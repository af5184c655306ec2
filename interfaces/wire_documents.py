"""Writes the contract's documents: ``python -m interfaces.wire_documents`` (``make contract``)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import yaml

from interfaces.domain.wire_schema import asyncapi, schemas

FOLDER: Final = Path(__file__).resolve().parents[1] / "docs" / "wire"


def documents() -> dict[str, str]:
    """Text by path below the folder."""
    found = {
        f"schemas/{name}.json": json.dumps(schema, indent=1, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }
    head = "# Made by `make contract` from interfaces/domain: do not edit.\n"
    body = yaml.dump(asyncapi(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return {**found, "asyncapi.yaml": head + body}


class _Plain(yaml.SafeDumper):
    """Without anchors: readers of specifications do not expect them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002  the signature is PyYAML's
        return True


def main() -> int:
    """Write all of them; a schema of a kind that is no more is removed."""
    wanted = documents()
    (FOLDER / "schemas").mkdir(parents=True, exist_ok=True)
    for path in (FOLDER / "schemas").glob("*.json"):
        if f"schemas/{path.name}" not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The JSON Schema of ``site.yaml``, so that editors complete keys and mark slips while a person types.

It knows shapes and ranges. What only the whole file tells (sums, trees, addresses) is found by ``load_site``.
"""

from __future__ import annotations

from typing import Any, Final

from interfaces.domain.site_read import site_adapter

DIALECT: Final[str] = "https://json-schema.org/draft/2020-12/schema"


def site_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a site file; an unknown key is an error everywhere."""
    schema = site_adapter.json_schema()
    return {
        "$schema": DIALECT,
        "title": "stroomwacht site.yaml",
        **{key: value for key, value in schema.items() if key != "title"},
    }

"""Profile files: YAML text -> checked ``Profile``, and the profiles that ship with the product.

A profile may build on another one (``extends``): mappings are merged key by key, ``registers`` and ``polls`` by name,
everything else is replaced. Aliases are never inherited.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import TypeAdapter, ValidationError

from interfaces.drivers.profile import Profile
from interfaces.drivers.profile_channels import with_channels
from interfaces.drivers.profile_check import problems_of
from interfaces.drivers.sunspec_models import NOT_IMPLEMENTED, with_model_points

MAX_BYTES: Final = 1_000_000
"""A larger file is refused before it is parsed."""
MAX_VALUES: Final = 100_000
"""... and so is one that multiplies itself through YAML aliases."""
MAX_EXTENDS: Final = 4

_SCALAR_LISTS: Final = frozenset({"raw", "one_of", "nan", "over", "starts_with", "ignore"})
"""Keys under which a person may write one value instead of a list of one."""

_adapter: Final[TypeAdapter[Profile]] = TypeAdapter(Profile)


@dataclass(frozen=True, slots=True)
class ProfileProblems:
    """Why a profile file is refused: every problem, as ``path: what is wrong``."""

    where: str
    problems: tuple[str, ...]


if TYPE_CHECKING:
    from yaml import SafeLoader
else:  # the parser in C where PyYAML was built with it: much faster, same result
    SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _ProfileYaml(SafeLoader):
    """YAML as people mean it.

    Only ``true`` and ``false`` are truth values (a register may say ``on: station``), and a mapping that says the same
    key twice is refused: the second would silently win.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  a class's own copy, as the library wants it
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:bool"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key in (self.construct_object(key, deep=True) for key, _ in node.value):
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


_ProfileYaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def parse_profile(text: str, where: str) -> Profile | ProfileProblems:
    """A checked profile from YAML text, or every problem found in it. ``where`` names the text for people."""
    if len(text) > MAX_BYTES:
        return ProfileProblems(where, (f"the file is larger than {MAX_BYTES} bytes",))
    try:
        document = _extended(_document(text))
    except (yaml.YAMLError, RecursionError) as error:
        return ProfileProblems(where, (" ".join(str(error).split()),))
    except _BadDocumentError as error:
        return ProfileProblems(where, (str(error),))
    try:
        if _is_too_large(document):
            return ProfileProblems(where, (f"the file says more than {MAX_VALUES} values",))
        profile = _adapter.validate_json(json.dumps(_normal(document)), strict=True)
    except (ValidationError, TypeError) as error:
        return ProfileProblems(where, _report(error))
    profile = with_model_points(with_channels(profile))
    problems = problems_of(profile)
    return ProfileProblems(where, problems) if problems else profile


def profile_ids() -> tuple[str, ...]:
    """Ids of all shipped profiles, sorted."""
    return tuple(sorted({profile.id for profile in _shipped().values()}))


def find_profile(name: str) -> Profile | None:
    """The shipped profile with that id or alias."""
    return _shipped().get(name)


def profile_json_schema() -> dict[str, Any]:
    """JSON Schema of a profile file, for editors (``extends`` makes every other key optional)."""
    schema = _adapter.json_schema()
    _allow_single_values(schema)
    schema["properties"]["extends"] = {"type": "string", "description": "id of a shipped profile to build on"}
    schema["if"] = {"required": ["extends"]}
    schema["then"] = {"required": ["schema", "id"]}
    schema["else"] = {"required": schema.pop("required")}
    return schema


def _allow_single_values(node: Any) -> None:
    """Say in the schema what ``_normal`` accepts: one value where a list of values may stand."""
    if isinstance(node, list):
        for item in node:
            _allow_single_values(item)
    if isinstance(node, dict):
        for key, value in node.items():
            _allow_single_values(value)
            if key == "properties":
                for name in _SCALAR_LISTS & value.keys():
                    value[name] = _or_its_item(value[name])


def _or_its_item(schema: dict[str, Any]) -> dict[str, Any]:
    choices = schema.get("anyOf", [schema])
    single = [choice["items"] for choice in choices if "items" in choice]
    return {**{key: schema[key] for key in ("title", "default") if key in schema}, "anyOf": [*choices, *single]}


class BrokenProfileError(Exception):
    """A profile that ships with the product is wrong: a bug of ours."""


class _BadDocumentError(Exception):
    """The text is no profile document; its message says why."""


def _document(text: str) -> dict[str, Any]:
    document = yaml.load(text, Loader=_ProfileYaml)  # noqa: S506  a SafeLoader
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise _BadDocumentError("a profile is a mapping of names to values")
    return document


def _extended(document: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    parent_id = document.get("extends")
    if parent_id is None:
        return document
    if depth >= MAX_EXTENDS:
        raise _BadDocumentError(f"extends: more than {MAX_EXTENDS} profiles build on each other")
    for text in _shipped_texts().values():
        if not re.search(rf"^id: {re.escape(str(parent_id))}\s*$", text, re.MULTILINE):
            continue  # parsing takes its time
        parent = _document(text)
        if parent.get("id") == parent_id:
            merged = _merge(_extended(parent, depth + 1), document)
            merged["aliases"] = document.get("aliases", [])
            return {key: value for key, value in merged.items() if key != "extends"}
    raise _BadDocumentError(f"extends: there is no profile {parent_id!r}")


def _merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        elif key in ("registers", "polls") and isinstance(value, list) and isinstance(below, list):
            merged[key] = list({item["name"]: item for item in [*below, *value]}.values())
        else:
            merged[key] = value
    return merged


def _normal(node: Any, key: str = "") -> Any:
    """Single values under list keys become lists; SunSpec registers get the "not implemented" value of their type."""
    if isinstance(node, dict):
        if "model" in node and "offset" in node and "nan" not in node and node.get("type") in NOT_IMPLEMENTED:
            node = {**node, "nan": [NOT_IMPLEMENTED[node["type"]]]}
        return {name: _normal(value, name) for name, value in node.items()}
    if isinstance(node, list):
        return [_normal(item) for item in node]
    return [node] if key in _SCALAR_LISTS else node


def _is_too_large(document: dict[str, Any]) -> bool:
    count, waiting = 0, [document]
    while waiting:
        node: Any = waiting.pop()
        count += 1
        if count > MAX_VALUES:
            return True
        waiting.extend(node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
    return False


def _report(error: ValidationError | TypeError) -> tuple[str, ...]:
    if isinstance(error, TypeError):
        return (f"a value is of a kind no profile uses: {error}",)
    return tuple(f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors())


@cache
def _shipped() -> Mapping[str, Profile]:
    """Every shipped profile by id and alias."""
    found: dict[str, Profile] = {}
    for where, text in _shipped_texts().items():
        profile = parse_profile(text, where)
        if isinstance(profile, ProfileProblems):
            raise BrokenProfileError(f"shipped profile {profile.where}: " + "; ".join(profile.problems))
        for name in (profile.id, *profile.aliases):
            if name in found:
                raise BrokenProfileError(f"shipped profile {where}: the name {name} is taken")
            found[name] = profile
    return found


@cache
def _shipped_texts() -> Mapping[str, str]:
    folder = resources.files("interfaces.drivers") / "profiles"
    kinds = (entry for entry in folder.iterdir() if entry.is_dir())
    return {file.name: file.read_text("utf-8") for kind in kinds for file in _files(kind)}


def _files(folder: Traversable) -> Iterator[Traversable]:
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.is_dir():
            yield from _files(entry)
        elif entry.name.endswith(".yaml"):
            yield entry

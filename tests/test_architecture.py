"""The picture of the parts, kept true: layers, purity, sizes, and a few habits a linter does not know."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("controller", "forecasting", "interfaces", "optimizer", "simulations")
PURE = ("controller/core", "forecasting/core", "interfaces/domain", "optimizer/core")
UNITS = "interfaces/domain/units.py"

# Hard ceilings; the aim is 400 and 40.
MAX_FILE_LINES = 450
MAX_RULE_LINES = 80
MAX_FUNCTION_LINES = 55

# Factors between units: outside units.py nobody multiplies or divides by them. (230 and 400 V are facts of a site.)
CONVERSION_FACTORS = {0.001, 1e-6, 60_000, 1000, 1e6, 3600, 3_600_000, 86_400, 230, 400, 1.732, 3**0.5}
WALL_CLOCK_CALLS = {"now", "utcnow", "today", "time", "monotonic", "perf_counter"}
IMPURE_BUILTINS = {"open", "print", "input", "eval", "exec", "breakpoint", "__import__"}
# What a class of a pure package may derive from: facts and enumerations, no trees of our own classes.
PLAIN_BASES = {
    "Enum",
    "Exception",
    "Flag",
    "IntEnum",
    "IntFlag",
    "NamedTuple",
    "Protocol",
    "StrEnum",
    "TypedDict",
    "ValueError",
}


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"


def nodes(*folders: str) -> Iterator[tuple[Path, ast.AST]]:
    for path in sources(*folders):
        for node in ast.walk(parsed(path)):
            yield path, node


# -- layers -----------------------------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def test_all_import_contracts_are_kept():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("controller/core", "import time", "Pure packages"),
        ("controller/core/rules", "import random", "Pure packages"),
        ("interfaces/domain", "import logging", "Pure packages"),
        ("interfaces/domain", "import interfaces.drivers", "Layers"),
        ("controller/core", "import controller.service", "Layers"),
        ("interfaces/web", "import simulations.plant", "Production never imports simulations"),
        ("interfaces/drivers", "import controller.core", "The shared interfaces know no product"),
        ("controller/service", "import optimizer.core", "Controller, optimizer and forecasting"),
        ("forecasting/core", "import controller.core", "Controller, optimizer and forecasting"),
        ("controller/service", "import pandas", "Series tools"),
        ("controller/service", "import pymodbus", "pymodbus is known"),
    ],
)
def test_a_forbidden_import_breaks_its_contract(tmp_path, module, line, contract):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / module / "intruder.py").write_text(line + "\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode != 0
    broken = [row for row in done.stdout.splitlines() if " BROKEN" in row]
    assert any(row.startswith(contract) for row in broken), done.stdout


def test_the_one_cross_product_import_is_allowed(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "forecasting/core/friend.py").write_text("", encoding="utf-8")
    (tmp_path / "optimizer/service/user.py").write_text("import forecasting.core.friend\n", encoding="utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == 0, done.stdout


# -- purity that imports do not show ----------------------------------------------------------------------------------


def impurity(node: ast.AST) -> str | None:
    """What is impure about a node, or None."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id=owner))) if (
            owner
            in {
                "datetime",
                "date",
                "dt",
                "time",
            }
            and name in WALL_CLOCK_CALLS
        ):
            return f"reads the clock: {owner}.{name}()"
        case ast.Attribute(attr="random", value=ast.Name(id="np" | "numpy")):
            return "draws random numbers"
        case ast.Call(func=ast.Name(id=name)) if name in IMPURE_BUILTINS:
            return f"does I/O: {name}()"
        case ast.AsyncFunctionDef() | ast.Await():
            return "awaits"
        case ast.Global() | ast.Nonlocal():
            return "writes state outside the function"
    return None


def test_pure_packages_read_no_clock_and_do_no_io():
    found = [f"{place(path, node)} {why}" for path, node in nodes(*PURE) if (why := impurity(node))]
    assert not found, found


@pytest.mark.parametrize(
    "line",
    ["datetime.now()", "date.today()", "time.time()", "np.random.default_rng(1)", "open('x')", "print(1)", "eval('1')"],
)
def test_the_purity_check_sees(line):
    assert any(impurity(node) for node in ast.walk(ast.parse(line)))


def is_conversion(node: ast.AST) -> bool:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Mult | ast.Div | ast.FloorDiv | ast.Mod):
        return False
    values = [side.value for side in (node.left, node.right) if isinstance(side, ast.Constant)]
    return any(not isinstance(value, bool | str | bytes) and value in CONVERSION_FACTORS for value in values)


def test_unit_conversions_live_in_units_alone():
    found = [
        place(path, node)
        for path, node in nodes(*PURE)
        if is_conversion(node) and path.relative_to(ROOT).as_posix() != UNITS
    ]
    assert not found, f"use {UNITS}: {found}"


@pytest.mark.parametrize(
    ("expression", "verdict"), [("x * 1000", True), ("x / 3600.0", True), ("230 * i", True), ("x * 7", False)]
)
def test_the_conversion_check_sees(expression, verdict):
    assert any(is_conversion(node) for node in ast.walk(ast.parse(expression))) is verdict


def test_no_base_class_trees_in_pure_packages():
    found = []
    for path, node in nodes(*PURE):
        if not isinstance(node, ast.ClassDef):
            continue
        for base in node.bases:
            name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base).rpartition(".")[2]
            if name not in PLAIN_BASES | {"Generic"}:
                found.append(f"{place(path, node)} {node.name}({name})")
    assert not found, found


# -- one catcher per loop ---------------------------------------------------------------------------------------------


def is_broad(node: ast.AST) -> bool:
    if not isinstance(node, ast.ExceptHandler):
        return False
    caught = [node.type] if not isinstance(node.type, ast.Tuple) else node.type.elts
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"}) for kind in caught
    )


def test_pure_packages_catch_nothing_broad():
    found = [place(path, node) for path, node in nodes(*PURE) if is_broad(node)]
    assert not found, found


def test_a_file_holds_at_most_one_broad_catcher():
    for path in sources(*PACKAGES):
        found = [place(path, node) for node in ast.walk(parsed(path)) if is_broad(node)]
        assert len(found) <= 1, found


# -- sizes ------------------------------------------------------------------------------------------------------------


def test_files_stay_readable():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines()) for path in sources(*PACKAGES)
    }
    ceilings = {
        name: MAX_RULE_LINES if name.startswith("controller/core/rules/") else MAX_FILE_LINES for name in lengths
    }
    found = {name: lines for name, lines in lengths.items() if lines > ceilings[name]}
    assert not found, found


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def test_functions_fit_a_screen():
    found = [
        f"{place(path, node)} {node.name}: {body_lines(node)} lines"
        for path, node in nodes(*PACKAGES)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > MAX_FUNCTION_LINES
    ]
    assert not found, found


# -- habits -----------------------------------------------------------------------------------------------------------


def test_commands_use_the_shared_parser_whose_complaint_is_one_sentence():
    found = [
        place(path, node)
        for path, node in nodes(*PACKAGES)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"ArgumentParser", "argparse.ArgumentParser"}
    ]
    assert not found, f"use interfaces.command_line.command_parser: {found}"


def test_every_folder_of_a_package_is_a_package_with_a_sentence():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            init = path.parent / "__init__.py"
            assert init.is_file(), f"{init.relative_to(ROOT)} is missing"
            assert ast.get_docstring(parsed(init)), f"{init.relative_to(ROOT)} says nothing"

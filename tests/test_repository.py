"""What is committed: locks with hashes, no registry address, no path of one machine, no secret; complete wheels."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("controller", "forecasting", "interfaces", "optimizer", "simulations")
LOCKS = ("controller", "dev", "optimizer")
MAX_TRACKED_BYTES = 600_000  # the development lock is the largest file anybody should commit

# Written so that no pattern matches its own text.
FORBIDDEN = {
    "address of a package registry": re.compile(
        r"https?://[^\s\"'`)>]*(?:py[p]i\.|pythonhosted|npm[j]s|/simpl[e]\b|artifactor[y]|devp[i]|proxy\.golan[g]|conda\.anacond[a])"
    ),
    "registry option": re.compile(
        r"(?<!emit)-{1,2}(?:extra-)?index-ur[l]|(?<!emit-)find-link[s]|PIP_INDEX_UR[L]|npm_config_registr[y]"
    ),
    "path of one machine": re.compile(
        r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+|tm[p]/bash_jobs|op[t]/(?:pypi|wheels))/"
    ),
    "folder outside the repository": re.compile(r"\bshare[d]/(?:data|devices|reference|design|bench)"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----"),
}
# The CI script is the one place that may look beside the checkout.
EXCEPTIONS = {(".ci/run", "folder outside the repository")}


def tracked(*folders: str) -> list[Path]:
    """Files under version control; in an unpacked archive without git, nothing to check."""
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", *folders], cwd=ROOT, capture_output=True, text=True, check=True, timeout=180
    ).stdout.split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def findings(name: str, text: str) -> list[str]:
    return [
        f"{name}: {kind}: {found.group(0)}"
        for kind, pattern in FORBIDDEN.items()
        if (name, kind) not in EXCEPTIONS
        for found in pattern.finditer(text)
    ]


def test_nothing_committed_names_a_registry_a_machine_or_a_secret():
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += findings(path.relative_to(ROOT).as_posix(), text)
    assert not found, found


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "pypi.example/packages/x.whl",
        "http://10.0.0.1/" + "simple/",
        "--index" + "-url=x",
        "/ro" + "ot/.cache",
        "see /wo" + "rk/main",
        "../sha" + "red/data",
        "-----BEGIN EC PRIVATE " + "KEY-----",
    ],
)
def test_the_check_sees(text):
    assert findings("some/file", text)


def test_no_large_file_is_committed():
    found = {path.name: path.stat().st_size for path in tracked() if path.stat().st_size > MAX_TRACKED_BYTES}
    assert not found, found


# -- locks ------------------------------------------------------------------------------------------------------------


def locked(name: str) -> dict[str, list[tuple[Requirement, int]]]:
    """Requirements of one lock by canonical name, each with its number of hashes; a marker may split one in two."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    found: dict[str, list[tuple[Requirement, int]]] = {}
    for block in re.split(r"(?m)^(?=\S)", text):
        if not block.strip():
            continue
        requirement = Requirement(block.split("--hash", 1)[0].replace("\\\n", " ").strip())
        hashes = len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", block))
        found.setdefault(canonicalize_name(requirement.name), []).append((requirement, hashes))
    return found


def declared() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": project["dependencies"], **project["optional-dependencies"]}


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_is_pinned_and_hashed(name):
    entries = locked(name)
    assert len(entries) > 10
    for rows in entries.values():
        for requirement, hashes in rows:
            assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
            assert hashes >= 1, requirement


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_no_url(name):
    assert "://" not in (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("controller", ("", "build")),
        ("dev", ("", "build", "cloud", "dev", "sim")),
        ("optimizer", ("", "build", "cloud")),
    ],
)
def test_the_lock_satisfies_what_is_declared(name, groups):
    entries = locked(name)
    for text in (text for group in groups for text in declared()[group]):
        wanted = Requirement(text)
        rows = entries.get(canonicalize_name(wanted.name))
        assert rows, f"{wanted} is not in requirements/{name}.txt: run `make lock`"
        for requirement, _ in rows:
            pinned = Version(str(requirement.specifier).removeprefix("=="))
            assert wanted.specifier.contains(pinned, prereleases=True), (
                f"{requirement} against {wanted}: run `make lock`"
            )


def hashes(name: str) -> dict[str, set[str]]:
    """Hashes of one lock by ``name==version``."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    blocks = [block for block in re.split(r"(?m)^(?=\S)", text) if block.strip()]
    return {block.split()[0]: set(re.findall(r"sha256:[0-9a-f]{64}\b", block)) for block in blocks}


@pytest.mark.parametrize("lock", ["controller", "optimizer"])
def test_what_runs_are_the_files_the_tests_ran_with(lock):
    tested = hashes("dev")
    assert {name for name, found in hashes(lock).items() if found != tested.get(name)} == set()


@pytest.mark.parametrize("lock", ["controller", "optimizer"])
def test_what_runs_are_the_versions_the_tests_ran_with(lock):
    tested = locked("dev")
    for name, rows in locked(lock).items():
        # Only the versions: development tools may want a package on more platforms than the controller does.
        assert {str(row.specifier) for row, _ in rows} == {str(row.specifier) for row, _ in tested[name]}


def test_the_light_install_stays_light():
    heavy = {"cvxpy", "highspy", "pandas", "pyarrow", "scipy", "pytest", "mypy"}
    assert not heavy & set(locked("controller"))


# -- what ships -------------------------------------------------------------------------------------------------------


def test_the_wheel_carries_every_file_of_the_packages(tmp_path):
    files = tracked(*PACKAGES)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    missing = [name for path in files if (name := path.relative_to(ROOT).as_posix()) not in shipped]
    assert not missing, missing
    assert not [name for name in shipped if name.startswith("tests/")]


def test_the_dockerfile_passes_its_linter():
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint has no wheel for this platform")
    done = subprocess.run(
        [hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stdout


def third_party_imports(package: str) -> set[str]:
    """Distributions that a package imports anywhere, also inside functions (``_typeshed`` is the type checker's)."""
    brought_by = packages_distributions()
    found: set[str] = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names.append(node.module)
            roots = (
                {name.partition(".")[0] for name in names}
                - set(sys.stdlib_module_names)
                - set(PACKAGES)
                - {"_typeshed"}
            )
            found |= {canonicalize_name(name) for root in roots for name in brought_by.get(root, [f"unknown {root}"])}
    return found


@pytest.mark.parametrize(
    ("package", "groups"),
    [
        ("controller", ("",)),
        ("interfaces", ("", "cloud")),
        ("simulations", ("", "sim")),
        ("optimizer", ("", "cloud")),
        ("forecasting", ("", "cloud")),
    ],
)
def test_a_package_imports_only_what_its_install_declares(package, groups):
    allowed = {canonicalize_name(Requirement(text).name) for group in groups for text in declared()[group]}
    allowed.add(canonicalize_name("pydantic-core"))  # part of the interface of pydantic
    assert third_party_imports(package) <= allowed


def test_links_between_documents_lead_somewhere():
    broken = []
    for document in (path for path in tracked() if path.suffix == ".md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
            path = target.partition("#")[0]
            if path and "://" not in path and not path.startswith("mailto:") and not (document.parent / path).exists():
                broken.append(f"{document.relative_to(ROOT)} -> {target}")
    assert not broken, broken


def test_python_sources_have_no_merge_leftovers():
    marks = ("<" * 7 + " ", ">" * 7 + " ")
    found = [
        path.name
        for path in tracked()
        for line in path.read_bytes().decode("utf-8", "replace").splitlines()
        if line.startswith(marks)
    ]
    assert not found, found

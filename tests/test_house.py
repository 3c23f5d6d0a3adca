"""Who may import whom: the plan of docs/architecture.md, held by a walk over the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import udbench

HOUSE = Path(udbench.__file__).parent
MODULES = sorted(HOUSE.rglob("*.py"))

CONTRACTS = {
    "udbench.adapters",
    "udbench.architectures",
    "udbench.domains",
    "udbench.errors",
    "udbench.launchers",
    "udbench.recipes",
    "udbench.reporters",
    "udbench.scores",
    "udbench.studies",
    "udbench.suites",
}

MAY_IMPORT = {
    "contracts": set(),
    "hookspecs": CONTRACTS,
    "registry": {*CONTRACTS, "udbench.hookspecs"},
    "plugins": {*CONTRACTS, "udbench.hookspecs", "udbench.registry"},
    "builtin": {*CONTRACTS, "udbench.hookspecs", "udbench.launching"},
    "config": set(),
    "settings": {"udbench.errors"},
    "results": {"udbench.errors", "udbench.config"},
    "published": {"udbench.errors"},
    "files": {"udbench.errors"},
    "machine": set(),
    "plots": {"udbench.errors"},
    "processes": {"udbench.errors"},
    "data": {*CONTRACTS, "udbench.files", "udbench.processes", "udbench.data"},
    "train": {*CONTRACTS, "udbench.files", "udbench.machine", "udbench.processes", "udbench.train"},
    "bench": {
        *CONTRACTS,
        "udbench.bench",
        "udbench.data",
        "udbench.files",
        "udbench.machine",
        "udbench.processes",
        "udbench.runs",
        "udbench.scale",
        "udbench.train",
    },
    "runs": {
        *CONTRACTS,
        "udbench.boards.scoring",
        "udbench.config",
        "udbench.data",
        "udbench.files",
        "udbench.results",
        "udbench.runs",
        "udbench.settings",
        "udbench.train",
    },
    "scale": {
        *CONTRACTS,
        "udbench.config",
        "udbench.data",
        "udbench.files",
        "udbench.machine",
        "udbench.processes",
        "udbench.runs",
        "udbench.scale",
        "udbench.settings",
        "udbench.train",
    },
    "launching": {"udbench.errors", "udbench.launchers", "udbench.launching", "udbench.machine"},
    "authors": {
        *CONTRACTS,
        "udbench.authors",
        "udbench.builtin",
        "udbench.config",
        "udbench.data",
        "udbench.files",
        "udbench.hookspecs",
        "udbench.plugins",
        "udbench.processes",
        "udbench.published",
        "udbench.registry",
        "udbench.results",
        "udbench.runs",
        "udbench.settings",
        "udbench.sweeps",
        "udbench.testing",
        "udbench.train",
    },
    "health": {
        *CONTRACTS,
        "udbench.authors.child",
        "udbench.data.locate",
        "udbench.hookspecs",
        "udbench.machine",
        "udbench.plugins",
        "udbench.registry",
        "udbench.train",
    },
    "library": {
        *CONTRACTS,
        "udbench.boards.entry",
        "udbench.cli",
        "udbench.data",
        "udbench.results",
        "udbench.runs",
        "udbench.train.precision",
    },
    "boards": {"udbench.errors", "udbench.files", "udbench.results", "udbench.boards", "udbench.data.store"},
    "pages": {
        "udbench.boards",
        "udbench.config",
        "udbench.data.locate",
        "udbench.data.store",
        "udbench.domains",
        "udbench.errors",
        "udbench.files",
        "udbench.pages",
        "udbench.plots",
        "udbench.published",
        "udbench.results",
        "udbench.scores",
        "udbench.suites",
    },
    "sweeps": {
        "udbench.config",
        "udbench.errors",
        "udbench.files",
        "udbench.launchers",
        "udbench.plots",
        "udbench.published",
        "udbench.results",
        "udbench.settings",
        "udbench.sweeps",
    },
    "testing": {
        *CONTRACTS,
        "udbench.authors",
        "udbench.boards",
        "udbench.cli",
        "udbench.config",
        "udbench.data",
        "udbench.files",
        "udbench.plugins",
        "udbench.registry",
        "udbench.results",
        "udbench.runs",
        "udbench.testing",
        "udbench.train",
    },
}
TIE_THE_REST = ("", "__main__", "cli")


def module_of(path: Path) -> str:
    parts = path.relative_to(HOUSE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    return "contracts" if module in CONTRACTS else [*module.split("."), ""][1]


def imports(path: Path, *, top_only: bool = False) -> set[str]:
    """Modules that a file imports when it runs; what stands under TYPE_CHECKING does not count."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
        for node in ast.walk(branch)
    }
    if top_only:
        hidden |= {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for n in ast.walk(f)}
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {module_of(p) for p in MODULES}
            found |= (inner & modules) or {node.module}
    return found


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_a_room_imports_only_what_the_plan_lets_it(path: Path) -> None:
    room = room_of(module_of(path))
    if room in TIE_THE_REST or path.name == "__main__.py":
        return
    allowed = MAY_IMPORT[room]
    ours = {name for name in imports(path) if name.startswith("udbench.")}
    strange = {name for name in ours if not any(name == ok or name.startswith(ok + ".") for ok in allowed)}
    assert not strange, f"{module_of(path)} imports {strange}"


def test_the_plan_that_people_read_is_this_one() -> None:
    """The last column of the table of rooms in docs/architecture.md."""
    page = HOUSE.parent / "docs" / "architecture.md"
    if not page.is_file():
        pytest.skip("the documentation is not beside the core")
    table = page.read_text(encoding="utf-8").partition("## Rooms")[2].partition("\n## ")[0]
    seen: dict[str, set[str]] = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            rooms, _, uses = (cell.strip() for cell in line.strip("|").split("|"))
            told = set(re.findall(r"`([\w.]+)`", uses)) | ({"contracts"} if "contracts" in uses else set())
            seen |= {room.strip("`").removesuffix(".py").rstrip("/"): told for room in rooms.split(" ")}
    assert seen.pop("cli") == set()
    for name in (module.removeprefix("udbench.") for module in CONTRACTS):
        assert seen.pop(name) == set()
    planned = {
        room: {name.removeprefix("udbench.") for name in allowed - CONTRACTS} - {room}
        | ({"contracts"} if allowed >= CONTRACTS else {name.removeprefix("udbench.") for name in allowed & CONTRACTS})
        for room, allowed in MAY_IMPORT.items()
        if room != "contracts"
    }
    assert seen == planned


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_only_training_runs_and_their_tests_import_torch_at_module_level(path: Path) -> None:
    if room_of(module_of(path)) in ("train", "runs", "bench", "scale", "testing", "authors"):
        return
    assert not {name.split(".")[0] for name in imports(path, top_only=True)} & {
        "torch",
        "timm",
        "datasets",
        "pandas",
        "scipy",
    }


@pytest.mark.parametrize("path", [p for p in MODULES if "train" in p.parts], ids=module_of)
def test_training_knows_neither_pydantic_pandas_nor_the_command_line(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"pydantic", "pandas", "typer", "rich", "pluggy"}


def test_plugins_import_the_public_names_and_nobody_elses() -> None:
    plugins = HOUSE.parent / "plugins"
    if not plugins.is_dir():
        pytest.skip("the plugins' sources are not beside the core")
    for path in sorted(plugins.glob("*/udbench_*/**/*.py")):
        package = path.relative_to(plugins).parts[1]
        ours = {n for n in imports(path) if n.startswith("udbench") and n.split(".")[0] != package}
        assert ours <= {"udbench", "udbench.testing"}, f"{path}: {ours}"


def test_the_core_names_no_dataset_method_or_network() -> None:
    from udbench.plugins import load

    registry = load()
    words = {
        item.name
        for kind in ("domains", "adapters", "archs")
        for item in registry.items(kind)
        if item.owner.name != "builtin"
    }
    shown_as_examples = {"domain-bn", "resnet38", "mnist"}
    for path in MODULES:
        strings = {
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) < 40
        }
        assert not strings & (words - shown_as_examples), path


def test_the_public_names_are_those_that_are_promised() -> None:
    assert sorted(udbench.__all__) == udbench.__all__
    assert all(hasattr(udbench, name) for name in udbench.__all__)


KEYS = {
    "config.py",
    "errors.py",
    "settings.py",
    "boards/sizes.py",
    "sweeps/grid.py",
    "sweeps/capacity.py",
    "pages/methods.py",
    "scale/rates.py",
}
"""Where json.dumps makes a key or a word of settings, which are finite, and no document."""


def test_no_json_is_written_that_holds_nan() -> None:
    """NaN is no JSON: what is written says so to json.dumps, or goes through files.json_text."""
    core = {path.relative_to(HOUSE).as_posix(): path for path in MODULES}
    read = {name: path for name, path in core.items() if not name.startswith(("data/", "testing/", "authors/"))}
    read |= {str(path): path for path in (HOUSE.parent / "plugins").glob("udbench-domains/udbench_*/**/*.py")}
    found = [
        f"{name}:{node.lineno}"
        for name, path in read.items()
        if name not in {*KEYS, "results.py"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "json.dumps"
        and ("allow_nan", "False") not in [(word.arg, ast.unparse(word.value)) for word in node.keywords]
    ]
    assert found == []

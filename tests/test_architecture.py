"""Who may import whom: the plan of docs/architecture.md, held by a walk over the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import udbench

ROOT = Path(udbench.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

PAGE = ROOT.parent / "docs" / "architecture.md"
TIE_THE_REST = ("", "__main__", "cli")


def plan() -> dict[str, set[str]]:
    """What each package may import: the last column of the table of packages in docs/architecture.md."""
    if not PAGE.is_file():
        pytest.skip("the documentation is not beside the core")
    table = PAGE.read_text(encoding="utf-8").partition("## Packages")[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            package, _, uses = (cell.strip() for cell in line.strip("|").split(" | "))
            name = "contracts" if "contracts_" in package else package.strip("`").removesuffix(".py").rstrip("/")
            found[name] = set(re.findall(r"`(\w+)`", uses)) | ({"contracts"} if "contracts" in uses else set())
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def package_of(module: str) -> str:
    first, *rest = module.split(".")[1:] or [""]
    return "contracts" if first == "plugin" and rest and rest[0].startswith("contracts_") else first


def imports(path: Path, *, top_only: bool = False, typing: bool = False) -> set[str]:
    """Modules that a file imports when it runs, and with `typing` what stands under TYPE_CHECKING."""
    tree = ast.parse(path.read_text())
    hidden = (
        set[int]()
        if typing
        else {
            id(node)
            for branch in ast.walk(tree)
            if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.dump(branch.test)
            for node in ast.walk(branch)
        }
    )
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


def test_a_package_imports_only_what_the_plan_lets_it() -> None:
    allowed, strange = plan(), list[str]()
    for path in MODULES:
        package = package_of(module_of(path))
        if package not in TIE_THE_REST:
            used = {package_of(name) for name in imports(path) if name.startswith("udbench.")} - {package}
            strange += [f"{module_of(path)} imports {name}" for name in sorted(used - allowed[package])]
    assert strange == []


def test_the_plan_names_every_package_and_no_import_that_nobody_makes() -> None:
    made: dict[str, set[str]] = {}
    for path in MODULES:
        package = package_of(module_of(path))
        used = {package_of(name) for name in imports(path, typing=True) if name.startswith("udbench.")}
        made.setdefault(package, set()).update(used - {package, ""})
    planned = plan()
    assert sorted(planned) == sorted(name for name in made if name not in ("", "__main__"))
    assert {name: used - made[name] for name, used in planned.items() if used - made[name]} == {}


@pytest.mark.parametrize("path", MODULES, ids=module_of)
def test_only_training_runs_and_their_tests_import_torch_at_module_level(path: Path) -> None:
    if package_of(module_of(path)) in ("train", "runs", "export", "perf", "testing"):
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
    plugins = ROOT.parent / "plugins"
    if not plugins.is_dir():
        pytest.skip("the plugins' sources are not beside the core")
    for path in sorted(plugins.glob("*/udbench_*/**/*.py")):
        package = path.relative_to(plugins).parts[1]
        ours = {n for n in imports(path) if n.startswith("udbench") and n.split(".")[0] != package}
        assert ours <= {"udbench", "udbench.testing"}, f"{path}: {ours}"


def test_the_core_names_no_dataset_method_or_network() -> None:
    from udbench.plugin.loader import load

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
    "overrides.py",
    "boards/sizes.py",
    "studies/grid.py",
    "studies/capacity.py",
    "pages/methods.py",
    "processes/isolated.py",
    "perf/rates.py",
}
"""Where json.dumps makes a key or a word of settings, which are finite, and no document."""


def test_no_json_is_written_that_holds_nan() -> None:
    """NaN is no JSON: what is written says so to json.dumps, or goes through files.json_text."""
    core = {path.relative_to(ROOT).as_posix(): path for path in MODULES}
    read = {name: path for name, path in core.items() if not name.startswith(("data/", "testing/"))}
    read |= {str(path): path for path in (ROOT.parent / "plugins").glob("udbench-domains/udbench_*/**/*.py")}
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

"""Who may import whom: the plan of docs/architecture.md, held by a walk over the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import udbench
from udbench.plugin.loader import load

ROOT = Path(udbench.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

PAGE = ROOT.parent / "docs" / "architecture.md"
TIE_THE_REST = ("", "__main__", "cli")


def plan(*, typing: bool = True) -> dict[str, set[str]]:
    """What each package may import: the last column of the table of packages in docs/architecture.md. Without `typing`
    what it may import when it runs: what stands before "; for types"."""
    if not PAGE.is_file():
        pytest.skip("the documentation is not beside the core")
    table = PAGE.read_text(encoding="utf-8").partition("## Packages")[2].partition("\n## ")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        if line.startswith("| `"):
            package, _, uses = (cell.strip() for cell in line.strip("|").split(" | "))
            uses = uses if typing else uses.partition("; for types")[0]
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
            found |= inner & NAMES | (set() if inner <= NAMES else {node.module})
    return found


NAMES = {module_of(path) for path in MODULES}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one file (Tarjan 1972), each sorted."""
    found: list[list[str]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        path.append(name)
        for other in sorted(graph[name]):
            if other not in number:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == number[name]:
            component = path[path.index(name) :]
            del path[path.index(name) :]
            if len(component) > 1:
                found.append(sorted(component))

    for name in sorted(graph):
        if name not in number:
            visit(name)
    return found


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports of functions and those for typing included; no file is exempt."""
    graph = {module_of(path): imports(path, typing=True) & NAMES - {module_of(path)} for path in MODULES}
    assert circles(graph) == []


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}, "f": {"a"}}
    assert circles(graph) == [["d", "e"], ["a", "b", "c"]]


@pytest.mark.parametrize("typing", [False, True], ids=["run", "types"])
def test_a_package_imports_only_what_the_plan_lets_it(typing: bool) -> None:
    allowed, strange = plan(typing=typing), list[str]()
    for path in MODULES:
        package = package_of(module_of(path))
        if package not in TIE_THE_REST:
            used = {package_of(name) for name in imports(path, typing=typing) if name.startswith("udbench.")}
            strange += [f"{module_of(path)} imports {name}" for name in sorted(used - {package} - allowed[package])]
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


WORDS = {"words", "timm"}
"""Names of items that are also an English word, or a library's."""

NAMED = {
    "axes": {"resnet38"},
    "cli": {"domain-bn", "resnet38"},
    "cli.bench": {"domain-bn", "resnet38", "pocket"},
    "cli.board.show": {"pocket"},
    "cli.data": {"pocket"},
    "cli.plan": {"pocket"},
    "cli.run": {"pocket"},
    "resolve.names": {"pocket"},
    "train.model": {"domain-bn"},
    "train.norm.norms": {"universal-bn"},
}
"""Names of plugins' items that the core still has as defaults and examples. It may only become shorter."""


def test_the_core_names_no_dataset_method_or_network() -> None:
    """Not even within a longer string, docstrings aside."""
    kinds = ("domains", "suites", "adapters", "archs", "recipes", "studies")
    items = [item for kind in kinds for item in load().items(kind) if item.owner.name != "builtin"]
    names = {item.name.removesuffix("/*") for item in items} - WORDS
    assert {"mnist", "pocket", "domain-bn", "resnet38"} <= names, "the project's plugins are installed"
    whole = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, sorted(names, key=len, reverse=True)))})(?![\w-])")
    found: dict[str, set[str]] = {}
    for path in MODULES:
        if named := {name for text in strings(path) for name in whole.findall(text)}:
            found[module_of(path).removeprefix("udbench.")] = named
    assert found == NAMED


def strings(path: Path) -> list[str]:
    """The strings of a file without its docstrings."""
    tree = ast.parse(path.read_text())
    owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    said = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, owners) and node.body and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


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

"""The public API: what `udbench.__all__` and the hooks promise, as it is written down in public_api.json.

A change shows here. One that plugins can live with is written down anew (python tests/test_public_api.py) and told in
the CHANGELOG; any other raises hookspecs.CONTRACT as well.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import udbench
from udbench.plugin import hookspecs

GOLDEN = Path(__file__).with_name("public_api.json")


def described(value: Any) -> Any:
    """A name's promise: a function's signature, a class's fields and methods, an error's base and exit code."""
    if inspect.isclass(value) and issubclass(value, BaseException):
        code = getattr(value, "exit_code", None)
        return {"error": [base.__name__ for base in value.__bases__], "exit_code": code}
    if dataclasses.is_dataclass(value):
        fields = {field.name: f"{field.type}{_default(field)}" for field in dataclasses.fields(value)}
        return {"fields": fields, **_methods(value)}
    if inspect.isclass(value) and hasattr(value, "model_fields"):
        return {"fields": {name: str(value.__annotations__[name]) for name in value.model_fields}, **_methods(value)}
    if inspect.isclass(value):
        return _methods(value)
    return str(inspect.signature(value)) if inspect.isfunction(value) else type(value).__name__


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f" = {field.default!r}"
    return " = …" if field.default_factory is not dataclasses.MISSING else ""


def _methods(value: Any) -> dict[str, Any]:
    found: dict[str, str] = {}
    for name, member in vars(value).items():
        if not name.startswith("_") or name == "__init__":
            if isinstance(member, property):
                found[name] = "property"
            elif inspect.isfunction(member) and not (name == "__init__" and _made_by_python(value)):
                found[name] = str(inspect.signature(member))
    return {"methods": dict(sorted(found.items()))} if found else {}


def _made_by_python(value: Any) -> bool:
    return dataclasses.is_dataclass(value) or getattr(value, "_is_protocol", False)


def api() -> dict[str, Any]:
    hooks = {name: function for name, function in vars(hookspecs).items() if name.startswith("udbench_")}
    return {
        "contract": hookspecs.CONTRACT,
        "oldest": hookspecs.OLDEST,
        "names": {name: described(getattr(udbench, name)) for name in udbench.__all__},
        "hooks": {name: str(inspect.signature(function)) for name, function in sorted(hooks.items())},
    }


def test_the_public_api_is_as_it_is_written_down() -> None:
    written, now = json.loads(GOLDEN.read_text()), json.loads(json.dumps(api()))
    for part in ("names", "hooks"):
        assert now[part].keys() == written[part].keys(), f"{part} came or went"
        for name, promise in now[part].items():
            assert promise == written[part][name], f"{name} is no longer what plugins were written for"
    assert now == written


def test_every_public_name_is_explained_where_it_is_defined() -> None:
    assert not [name for name in udbench.__all__ if name != "hookimpl" and not (getattr(udbench, name).__doc__ or "")]


def test_the_table_of_names_is_what_type_checkers_and_dir_see() -> None:
    (branch,) = [
        node
        for node in ast.parse(Path(udbench.__file__).read_text()).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imports = {
        alias.asname: node.module for node in branch.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imports == udbench._MODULES
    assert udbench.__all__ == sorted(imports) and set(udbench.__all__) <= set(dir(udbench))
    with pytest.raises(AttributeError, match="module 'udbench' has no attribute 'nothing'"):
        _ = udbench.nothing  # type: ignore[attr-defined]


def test_no_public_name_imports_torch() -> None:
    code = (
        "import sys, udbench\n"
        "for name in udbench.__all__:\n"
        "    getattr(udbench, name)\n"
        "    assert 'torch' not in sys.modules, name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(api(), indent=1, ensure_ascii=False) + "\n")

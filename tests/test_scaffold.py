"""`udbench new-plugin`: packages that work at once, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from udbench import scaffold
from udbench.cli import new_plugin
from udbench.errors import DataError, SettingError, UdbenchError
from udbench.plugin.registry import KINDS as REGISTERED
from udbench.plugin.registry import Registry
from udbench.scaffold import KINDS, new_package
from udbench.testing.conformance.target import folder_target


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_says_what_it_brings_and_for_which_contract(kind: Any, tmp_path: Path, registry: Registry) -> None:
    place = new_package("udbench-my-thing", kind, tmp_path / "deep" / "down", registry)
    project = tomllib.loads((place / "pyproject.toml").read_text())["project"]
    assert project["name"] == "udbench-my-thing" and project["license"]
    assert project["entry-points"] == {
        "udbench": {"my-thing": "udbench_my_thing"},
        "udbench.contract": {"my-thing": "v1"},
    }
    assert (place / "udbench_my_thing/__init__.py").is_file() and "my-thing" in (place / "README.md").read_text()
    assert [path.name for path in (tmp_path / "deep/down").iterdir()] == ["udbench-my-thing"]
    assert (place.stat().st_mode & 0o077) == (tmp_path / "deep").stat().st_mode & 0o077
    target = folder_target(place, tmp_path / "about")
    assert target.entries == ("my-thing",) and target.contracts == {"my-thing": "v1"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_clean_code(kind: Any, tmp_path: Path, registry: Registry) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is None:
        pytest.skip("ruff is not installed here")
    place = new_package("a-very-long-name-for-a-plugin-of-somebodys-x", kind, tmp_path, registry)
    rules = ["--isolated", "--select", "E,F,W,I,UP,B,S102,S301,S307", "--line-length", "120"]
    done = subprocess.run([ruff, "check", *rules, "."], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../x", "starts with a letter"),
        ("My-Thing", "1 to 48 of a-z"),
        ("my--thing", "single - between"),
        ("-x", "starts with a letter"),
        ("9x", "starts with a letter"),
        ("x" * 49, "1 to 48"),
        ("", "1 to 48"),
        ("\x1b[31m", "1 to 48"),
        ("class", "a word or a module of Python's"),
        ("json", "a word or a module of Python's"),
        ("udbench", "a word or a module of Python's or udbench's"),
        ("udbench-9", "behind udbench- must start with a letter"),
        ("numpy", "a module 'numpy' is installed here already"),
        ("mnist", "there is a domain 'mnist' already, of domains"),
    ],
)
def test_names_that_something_would_trip_over_are_refused(
    name: str, said: str, tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(SettingError, match=said):
        new_package(name, "domain", tmp_path, registry)
    assert not list(tmp_path.iterdir())


def test_what_lies_there_is_left_as_it_is(tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "my-thing").mkdir()
    with pytest.raises(DataError, match="exists already; choose another name"):
        new_package("my-thing", "recipe", tmp_path, registry)
    assert not list((tmp_path / "my-thing").iterdir())


def test_it_is_written_whole_or_not_at_all(tmp_path: Path, registry: Registry) -> None:
    written: list[Path] = []

    def full(path: Path, text: str) -> None:
        if written:
            raise OSError(28, "No space left on device")
        path.write_text(text)
        written.append(path)

    with pytest.raises(UdbenchError, match="the disk is full"):
        new_package("my-thing", "recipe", tmp_path, registry, write=full)
    assert written and not list(tmp_path.iterdir())


def test_a_plugin_can_be_begun_of_every_kind_that_there_is() -> None:
    assert {scaffold.item_kind(kind) for kind in KINDS} == set(REGISTERED)


@pytest.mark.parametrize("kind", ["suite", "study", "published"])
def test_what_names_items_is_refused_where_none_are_installed(kind: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"install a plugin that brings (some|one), such as udbench-pocket"):
        new_package("my-thing", kind, tmp_path, Registry())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["suite", "study", "published"])
def test_a_package_requires_the_distributions_whose_items_it_names(
    kind: Any, tmp_path: Path, registry: Registry
) -> None:
    place = new_package("my-thing", kind, tmp_path, registry)
    required = tomllib.loads((place / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "udbench-pocket" in required and ("udbench-adapters" in required) == (kind == "study")


def test_a_verb_of_udbenchs_own_is_refused(tmp_path: Path, registry: Registry) -> None:
    with pytest.raises(SettingError, match="name 'udbench-run': udbench itself has a verb 'run'; choose another"):
        new_package("udbench-run", "command", tmp_path, registry, verbs=["run"])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_every_kind_works_at_once(tmp_path: Path, registry: Registry) -> None:
    """As pip would install them: the packages' own tests, which ask what `udbench check` asks, all pass."""
    site = tmp_path / "site"
    for kind in KINDS:
        place = new_package(f"fresh-{kind}", kind, tmp_path, registry)
        target = folder_target(place, site)
        (info,) = site.glob(f"fresh_{kind}-0.dist-info")
        metadata = (info / "METADATA").read_text()
        (info / "METADATA").write_text(metadata + "License-Expression: Apache-2.0\n")
        shutil.copytree(Path(target.paths[1]) / f"fresh_{kind}", site / f"fresh_{kind}")
    tests = [str(tmp_path / f"fresh-{kind}/tests") for kind in KINDS]
    environment = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    words = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "error", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *tests],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout.splitlines()[-1]


def test_the_verb_says_what_it_wrote_and_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from udbench.cli import main

    monkeypatch.chdir(tmp_path)
    call: Callable[[list[str]], None] = main
    with pytest.raises(SystemExit) as left:
        call(["new-plugin", "my-thing", "--kind", "adapter"])
    assert not left.value.code
    out = capsys.readouterr().out
    assert "my-thing/my_thing/__init__.py" in out and "udbench check my-thing" in out
    with pytest.raises(SystemExit) as left:
        call(["new-plugin", "my-thing", "--kind", "adapter"])
    assert left.value.code == 2 and "exists already" in capsys.readouterr().err


def test_the_command_line_offers_every_kind() -> None:
    """It has the words again, since importing the scaffold for a help text would load the registry."""
    assert get_args(new_plugin.Kind) == scaffold.KINDS

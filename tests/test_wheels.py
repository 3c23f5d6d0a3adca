"""What is installed from a wheel: whole, and enough for the tutorial's plugin to be checked, without this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import udbench

PROJECT = Path(udbench.__file__).parent.parent
EXAMPLE = PROJECT / "plugins" / "udbench-example"
UV = shutil.which("uv")
WHERE = """
import json, udbench.plugin.loader
print(json.dumps([udbench.__file__, [entry.name for entry in udbench.plugin.loader.installed()]]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(UV is None, reason="wheels are built by uv, which is not here"),
    pytest.mark.skipif(not EXAMPLE.is_dir(), reason="the sources of core and plugins are not here"),
]


def called(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=300, env={**own, **environment})


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of core and example, built without a network: what builds them is in uv's cache since `uv sync`."""
    folder = tmp_path_factory.mktemp("wheels")
    for source in (PROJECT, EXAMPLE):
        done = called(UV or "uv", "build", "--offline", "--wheel", "--out-dir", folder, source)
        if done.returncode and "hatchling" in done.stderr and "cache" in done.stderr:
            pytest.skip("hatchling, which builds the wheels, is not in uv's cache, and tests ask no network for it")
        assert done.returncode == 0, done.stderr
    return sorted(folder.glob("*.whl"))


def test_a_wheel_holds_all_that_its_package_needs(wheels: list[Path]) -> None:
    for package, wheel in zip((PROJECT / "udbench", EXAMPLE / "udbench_example"), wheels, strict=True):
        there = {path.relative_to(package.parent).as_posix() for path in package.rglob("*") if path.is_file()}
        needed = {name for name in there if "__pycache__" not in name}
        with zipfile.ZipFile(wheel) as archive:
            held = {name for name in archive.namelist() if ".dist-info/" not in name}
        assert held == needed


def test_the_tutorials_plugin_passes_the_check_where_only_wheels_are_installed(
    wheels: list[Path], tmp_path: Path
) -> None:
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True, timeout=60)
    done = called(UV or "uv", "pip", "install", "--offline", "--no-deps", "--python", python, *wheels)
    assert done.returncode == 0, done.stderr
    # of what is installed here they find all but udbench and its plugins
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.suffix != ".pth" and not entry.name.startswith(("udbench", "_editable", "__editable__")):
            (libraries / entry.name).symlink_to(entry)
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(f"{libraries}\n")

    file, names = json.loads(called(python, "-P", "-c", WHERE).stdout)
    assert Path(file).is_relative_to(site) and sorted(names) == ["builtin", "example"]
    done = called(python.with_name("udbench"), "check", "udbench-example", UDBENCH_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr

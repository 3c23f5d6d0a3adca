"""Broken plugins: each is named, with what to mend, and survived."""

from __future__ import annotations

import re
import sys
import textwrap
import time
import tomllib
from pathlib import Path

import pytest

import udbench
from support.conformance import failed, install
from udbench.errors import UnknownNameError
from udbench.plugin import hookspecs
from udbench.plugin.loader import check_contract, load
from udbench.testing.conformance.kit import LOADS, TORCH
from udbench.testing.conformance.target import installed_target

HOOKS = "import udbench\n@udbench.hookimpl\ndef udbench_recipes():\n    "

PLUGINS = {
    "imports": "import einops_that_is_not_there",
    "newer": "from udbench import NameOfTomorrow",
    "types": HOOKS + "return [42]",
    "clashes": HOOKS + "return [udbench.Recipe(name='short', settings={'rounds': 1})]",
    "misspelt": HOOKS.replace("recipes", "recipe") + "return []",
    "raises": HOOKS + "raise RuntimeError('boom')",
    "escapes": HOOKS + "return [udbench.Recipe(name='[bold]\\x1b[31m../x')]",
    "nothing": HOOKS + "return []",
    "sleeps": "import time\ntime.sleep(60)",
    "leaves": "import os\nos._exit(3)",
    "heavy": "import sys, types\nsys.modules['torch'] = types.ModuleType('torch')\n"
    + HOOKS
    + "return [udbench.Recipe(name='heavy', settings={'rounds': 1})]",
    "settings": HOOKS + "return [udbench.Recipe(name='settings', settings={'rounds': 1, 'ronds': 1})]",
    "good": HOOKS + "return [udbench.Recipe(name='good', settings={'rounds': 1})]",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize(
    ("name", "check", "came"),
    [
        ("imports", LOADS, "No module named 'einops_that_is_not_there'"),
        ("newer", LOADS, "cannot import name 'NameOfTomorrow' from 'udbench'"),
        ("types", LOADS, "returned a int where a Recipe is expected: 42"),
        ("misspelt", LOADS, "no hook 'udbench_recipe'. Did you mean 'udbench_recipes'?"),
        ("raises", LOADS, "RuntimeError: boom"),
        ("escapes", LOADS, "a recipe's name is 1 to 64 of a-z"),
        ("leaves", LOADS, "the process ended with exit code 3"),
        ("nothing", "it brings something", "its hooks bring nothing"),
        ("clashes", "its names are nobody else's", "recipe 'short' is also brought by builtin"),
        ("heavy", TORCH, "torch is imported"),
        ("settings", "its settings are a recipe's", "no setting 'ronds'. Did you mean 'rounds'?"),
    ],
)
def test_each_is_named_with_what_came_and_how_to_mend_it(
    site: Path, tmp_path: Path, name: str, check: str, came: str
) -> None:
    install(site, name, PLUGINS[name])
    first = failed(name, tmp_path)[0]
    assert first.check == check and came in first.came and first.expected and first.mend


def test_one_that_sleeps_when_it_is_imported_is_stopped_and_named(site: Path, tmp_path: Path) -> None:
    install(site, "sleeps", PLUGINS["sleeps"])
    began = time.monotonic()
    (stopped, *rest) = failed("sleeps", tmp_path, limit=8)
    assert time.monotonic() - began < 45
    assert stopped.check == LOADS and "done within 8 s" in stopped.expected and "nothing behind it" in stopped.came
    assert [each.check for each in rest] == ["something that it brings was checked"]


def test_a_good_one_passes_and_what_it_lacks_in_its_package_is_told(site: Path, tmp_path: Path) -> None:
    install(site, "good", PLUGINS["good"], contract="", licence="")
    found = failed("good", tmp_path)
    assert [each.check for each in found] == [
        "it declares the contract that it was written for",
        "its distribution names a licence",
    ]
    assert f'[project.entry-points."udbench.contract"] good = "v{hookspecs.CONTRACT}"' in found[0].mend


def test_an_unknown_plugin_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match=r"no plugin 'udbench-adaptors'\. Did you mean 'udbench-adapters'\?"):
        installed_target("udbench-adaptors")


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ("v99", r"written for contract v99 of udbench, and this udbench supports v1; update udbench"),
        ("v0", r"written for contract v0 of udbench, which this udbench no longer supports \(v1\); update the plugin"),
        ("1.0", r"declared as '1.0' where v1 is expected"),
    ],
)
def test_a_plugin_for_another_contract_is_told_so_before_its_code_is_imported(
    site: Path, declared: str, said: str
) -> None:
    install(site, "other", "raise AttributeError('what is not there yet')", contract=declared)
    registry = load()
    (failure,) = [each for each in registry.failures if each.owner.name == "other"]
    assert re.search(said, failure.cause) and "other_broken" not in sys.modules


def test_what_was_kept_and_what_comes_is_told_by_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hookspecs, "CONTRACT", 4)
    monkeypatch.setattr(hookspecs, "OLDEST", 3)
    check_contract(""), check_contract("v3"), check_contract("v4")
    for text, said in (("v2", r"no longer supports \(v3 to v4\)"), ("v5", "supports v3 to v4")):
        with pytest.raises(Exception, match=said):
            check_contract(text)


def test_every_first_party_plugin_declares_the_contract_in_its_package() -> None:
    top = Path(udbench.__file__).parents[1]
    projects = [top / "pyproject.toml", *(top / "plugins").glob("*/pyproject.toml")]
    if not projects[0].is_file():
        pytest.skip("the packages of first-party plugins are in a clone of the repository only, and this is none")
    for path in projects:
        points = tomllib.loads(path.read_text())["project"]["entry-points"]
        assert points["udbench.contract"] == dict.fromkeys(points["udbench"], f"v{hookspecs.CONTRACT}"), path


ADAPTER = "import udbench\ndef attach(surgeon, settings):\n    raise KeyError('boom')\n@udbench.hookimpl\n"
ARCHITECTURE = "import udbench\ndef build(inputs, settings):\n    return 1 / 0\n@udbench.hookimpl\n"
DOMAIN = """
    import numpy, udbench
    SPEC = udbench.DomainSpec(name="mine", num_classes=2, channels=3, num_train=8, num_test=4, flip=True,
        content="", licence="MIT", homepage="", citation="")
    class Source:
        class_names = ("a", "b")
        index = udbench.Index(label=numpy.arange(12) % 2, split=numpy.array(["train"] * 8 + ["test"] * 4),
            name=numpy.array([str(i) for i in range(12)]))
        def read(self, i):
            raise LookupError("boom")
    def broken(root):
        raise KeyError("boom")
    @udbench.hookimpl
    def udbench_domains():
        return [udbench.Domain(spec=SPEC, open=OPEN, embedded=True)]
"""


@pytest.mark.parametrize(
    ("code", "words", "said"),
    [
        (
            ADAPTER + "def udbench_adapters():\n    return [udbench.Adapter(name='mine', attach=attach)]",
            ["--adapter", "mine"],
            "adapter 'mine', attached to 'resnet38': its code failed with KeyError: 'boom'",
        ),
        (
            ADAPTER.replace("KeyError('boom')", "FileNotFoundError('no mask.npy')")
            + "def udbench_adapters():\n    return [udbench.Adapter(name='mine', attach=attach)]",
            ["--adapter", "mine"],
            "adapter 'mine', attached to 'resnet38': its code failed with FileNotFoundError: no mask.npy",
        ),
        (
            ARCHITECTURE + "def udbench_architectures():\n    return [udbench.Architecture(name='mine', build=build)]",
            ["--arch", "mine"],
            "architecture 'mine', built: its code failed with ZeroDivisionError",
        ),
        (
            DOMAIN.replace("OPEN", "broken"),
            ["--domains", "mine,handwriting"],
            "domain 'mine', opened and its images listed: its code failed with KeyError: 'boom'",
        ),
        (
            DOMAIN.replace("OPEN", "lambda root: Source()"),
            ["--domains", "mine,handwriting"],
            "a domain, reading image 0: its code failed with LookupError: boom",
        ),
    ],
    ids=["adapter", "its file", "architecture", "domain", "images"],
)
def test_one_that_fails_at_work_is_named_and_nothing_is_left(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    code: str, words: list[str], said: str,
) -> None:  # fmt: skip
    from udbench.cli import main

    install(site, f"works_{words[0][2:]}_{len(said)}", textwrap.dedent(code))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    chosen = {"--adapter": "domain-bn", "--arch": "resnet38", "--domains": "handwriting", words[0]: words[1]}
    given = [word for pair in chosen.items() for word in pair]
    with pytest.raises(SystemExit) as left:
        main(["run", *given, "--set", "rounds=1", "--set", "image_size=16", "--workers", "1", "--no-board"])
    told = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2 and said in told and "--traceback shows where" in told
    assert not list(tmp_path.glob("runs/*/result.json"))

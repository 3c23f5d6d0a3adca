"""Law 7: a plugin cannot break the command line or another plugin."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest

from udbench.errors import UdbenchError, UnknownNameError
from udbench.plugin.contracts_data import Suite
from udbench.plugin.contracts_model import Adapter
from udbench.plugin.contracts_run import Recipe
from udbench.plugin.hookspecs import hookimpl
from udbench.plugin.loader import load
from udbench.plugin.registry import FIRST_PARTY


def plugin(**hooks: object) -> SimpleNamespace:
    """A plugin whose hooks return these values."""
    return SimpleNamespace(
        **{name: hookimpl(value if callable(value) else lambda v=value: v) for name, value in hooks.items()}
    )


def recipe(name: str) -> Recipe:
    return Recipe(name=name, settings={"rounds": 1})


def causes(**plugins: object) -> dict[str, str]:
    return {failure.owner.name: failure.cause for failure in load(extra=plugins).failures}


def test_everything_first_party_loads_and_names_its_owner() -> None:
    registry = load()
    assert registry.failures == []
    assert registry.item("recipes", "short").owner.distribution == "udbench"
    assert registry.item("adapters", "domain-bn").owner.distribution == "udbench-adapters"
    assert registry.get(Adapter, "domain-bn").eval_stats == "running"


def explode() -> list[Recipe]:
    raise RuntimeError("boom")


class Leaving(BaseException):
    """As test runners raise where a module asks to be skipped."""


def leave() -> list[Recipe]:
    raise Leaving("for good")


def half() -> object:
    yield recipe("before")
    raise KeyError("midway")


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (plugin(udbench_recipes=explode), "RuntimeError: boom"),
        (plugin(udbench_recipes=half), "KeyError: 'midway'"),
        (plugin(udbench_recipes=[42]), "returned a int where a Recipe is expected: 42"),
        (plugin(udbench_recipes=recipe("x")), "a hook returned a Recipe"),
        (plugin(udbench_recipes=[recipe("[red]<script>")]), "a recipe's name is 1 to 64 of a-z"),
        (plugin(udbench_recipes=[recipe("a" * 65)]), "a recipe's name is"),
        (plugin(udbench_recipes=[recipe("../../x")]), "a recipe's name is"),
        (plugin(udbench_recipes=[recipe("mine"), recipe("mine")]), "returned the recipe 'mine' twice"),
        (plugin(udbench_recipe=[recipe("mine")]), "no hook 'udbench_recipe'. Did you mean 'udbench_recipes'?"),
        (plugin(udbench_commands={"verb": "module:function"}), "returned 'module:function' for 'verb' where"),
        (plugin(udbench_commands={"verb": (1, "x")}), "returned (1, 'x') for 'verb' where"),
        (plugin(udbench_recipes=[recipe("a/../../x")]), "a recipe's name is"),
        (plugin(udbench_recipes=[Recipe(name="mine", summary=None)]), "'mine' with a NoneType as its summary"),
        (plugin(udbench_recipes=leave), "Leaving: for good"),
        (SimpleNamespace(), "it implements no hook of udbench"),
        (None, "it implements no hook of udbench"),
    ],
)
def test_a_broken_plugin_is_named_with_its_cause_and_the_rest_go_on(broken: object, cause: str) -> None:
    registry = load(extra={"film": broken, "good": plugin(udbench_recipes=[recipe("mine-too")])})
    assert [failure.owner.name for failure in registry.failures] == ["film"]
    assert cause in registry.failures[0].cause
    assert registry.get(Recipe, "mine-too") and registry.get(Adapter, "domain-bn")


def test_what_a_plugin_brought_before_it_failed_is_kept() -> None:
    bad = plugin(udbench_recipes=explode, udbench_suites=[Suite(name="s", domains=("a",), recipe="short")])
    assert load(extra={"film": bad}).get(Suite, "s").domains == ("a",)


def test_a_name_that_two_plugins_bring_is_neithers_and_both_are_named() -> None:
    registry = load(
        extra={"one": plugin(udbench_recipes=[recipe("same")]), "two": plugin(udbench_recipes=[recipe("same")])}
    )
    with pytest.raises(UdbenchError, match="by one and two; leave all but one out: --no-plugin one or --no-plugin two"):
        registry.get(Recipe, "same")
    assert load(["two"], {"one": plugin(udbench_recipes=[recipe("same")]), "two": plugin()}).get(Recipe, "same")


def test_a_stranger_cannot_take_the_place_of_a_first_party_name() -> None:
    registry = load(extra={"aaa": plugin(udbench_recipes=[recipe("short")])})
    with pytest.raises(UdbenchError, match=r"aaa and builtin \(udbench .*\); leave the newcomer out: --no-plugin aaa$"):
        registry.get(Recipe, "short")


def test_an_unknown_name_answers_with_the_nearest_the_list_and_what_did_not_load() -> None:
    registry = load(extra={"film": plugin(udbench_adapters=explode)})
    with pytest.raises(UnknownNameError) as caught:
        registry.get(Adapter, "domain-nb")
    lines = str(caught.value).splitlines()
    assert lines[0] == "no adapter 'domain-nb'. Did you mean 'domain-bn'?"
    assert lines[1].startswith("installed: affine-mask, bitfit, bn-only, bn-plus, domain-bn")
    assert lines[2] == "(plugin 'film' did not load: RuntimeError: boom; see udbench list plugins)"


@pytest.mark.parametrize("name", ["adapters", "udbench-adapters"])
def test_a_plugin_is_left_out_by_its_own_or_its_distributions_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load([name]).names("adapters") == []
    monkeypatch.setenv("UDBENCH_DISABLE", f" {name} ,")
    assert load().names("adapters") == []


def test_leaving_out_what_is_not_there_is_a_mistake() -> None:
    with pytest.raises(UdbenchError, match="no plugin 'adaptres' to leave out"):
        load(["adaptres"])


def install(site: Path, distribution: str, entry: str, module: str, *, at: float) -> None:
    """What pip leaves of a distribution that brings one plugin."""
    info = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[udbench]\n{entry} = {module}\n")
    os.utime(info, (at, at))


def recipes(site: Path, module: str, *names: str) -> None:
    """A module that brings recipes."""
    (site / f"{module}.py").write_text(
        "import udbench\n@udbench.hookimpl\ndef udbench_recipes():\n"
        f"    return [udbench.Recipe(name=name, settings={{'rounds': 1}}) for name in {names!r}]\n"
    )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_a_renamed_package_left_behind_is_blamed_and_not_its_successor(site: Path) -> None:
    """Both have the same entry point; the old one names a module that is gone."""
    recipes(site, "renamed_module", "mine-one")
    install(site, "my-new", "mine", "renamed_module", at=2000)
    install(site, "my-old", "mine", "module_that_is_gone", at=1000)
    registry = load()
    (failure,) = registry.failures
    assert failure.owner.distribution == "my-old"
    assert "'my-old' is damaged, or was left behind" in failure.cause and "pip uninstall my-old" in failure.cause
    assert registry.item("recipes", "mine-one").owner.distribution == "my-new"
    found = {owner.distribution: registry.failures_of(owner) for owner in registry.owners}
    assert found["my-new"] == [] and len(found["my-old"]) == 1
    assert "plugin 'mine (my-old 1.0)' did not load" in registry.notes()[0]


@pytest.mark.parametrize("names", [("my-new", "my-old"), ("a-old", "b-new"), ("b-old", "a-new")])
def test_of_two_that_name_one_module_the_one_installed_earlier_is_blamed(site: Path, names: tuple[str, str]) -> None:
    old, new = sorted(names, key=lambda name: "new" in name)
    recipes(site, f"same_{new[0]}_module", "mine-one")
    install(site, old, "mine", f"same_{new[0]}_module", at=1000)
    install(site, new, "mine", f"same_{new[0]}_module", at=2000)
    registry = load()
    (failure,) = registry.failures
    assert failure.owner.distribution == old and f"pip uninstall {old}" in failure.cause
    assert registry.item("recipes", "mine-one").owner.distribution == new
    assert load([f"{old}:mine"]).failures == [] and load([old]).failures == []


def test_a_name_that_two_distributions_have_must_be_said_whole_to_leave_one_out(site: Path) -> None:
    for number, name in enumerate(("my-film", "your-film")):
        recipes(site, f"film_of_{number}", f"film-{number}")
        install(site, name, "film", f"film_of_{number}", at=number)
    with pytest.raises(UdbenchError, match=r"'film' .* say which: my-film:film, your-film:film"):
        load(["film"])
    for word in ("my-film", "my-film:film"):
        registry = load([word])
        assert "film-0" not in registry.names("recipes") and "film-1" in registry.names("recipes")
    assert {owner.choice for owner in load().owners} >= {"my-film:film", "your-film:film", "adapters"}


def test_the_newcomer_is_to_be_left_out_and_not_who_had_the_name_before(site: Path) -> None:
    recipes(site, "early_module", "dots")
    recipes(site, "late_module", "dots", "short")
    install(site, "z-early", "film", "early_module", at=1000)
    install(site, "a-late", "film", "late_module", at=2000)
    registry = load()
    for name, before in (("dots", "film (z-early 1.0)"), ("short", "builtin (udbench ")):
        with pytest.raises(UdbenchError) as caught:
            registry.get(Recipe, name)
        assert before in str(caught.value) and "film (a-late 1.0)" in str(caught.value)
        assert str(caught.value).endswith("leave the newcomer out: --no-plugin a-late:film")
    assert load(["a-late:film"]).get(Recipe, "dots") and load(["a-late:film"]).get(Recipe, "short")


def test_the_projects_own_distributions_are_known() -> None:
    packages = Path(__file__).parents[2] / "plugins"
    own = {folder.name for folder in packages.iterdir() if folder.is_dir()} - {"udbench-example"}
    assert {"udbench", *own} == FIRST_PARTY


MODULES = {
    "imports": "import einops_that_is_not_there",
    "exits": "raise SystemExit('I leave')",
    "syntax": "def (:",
    "hostile": textwrap.dedent(
        """
        import udbench
        @udbench.hookimpl
        def udbench_recipes():
            return [udbench.Recipe(name="[bold]\\x1b[31m")]
        """
    ),
    "verbs": textwrap.dedent(
        """
        import udbench
        @udbench.hookimpl
        def udbench_commands():
            return {"greet": ("verbs_verb:greet", "Say [red]hello"), "lost": ("no_such_module:f", "Gone"),
                    "run": ("verbs_verb:greet", "Not the real one")}
        """
    ),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which all of these modules are installed as plugins."""
    site = tmp_path_factory.mktemp("site")
    for name, code in MODULES.items():
        (site / f"{name}_plugin.py").write_text(code)
        info = site / f"{name}_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[udbench]\n{name} = {name}_plugin\n")
    (site / "verbs_verb.py").write_text(
        "def greet(name: str = 'you') -> None:\n    '''Greet.'''\n    print('hello', name)\n"
    )
    return {**os.environ, "PYTHONPATH": str(site)}


def udbench(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "udbench", *words], env=environment, capture_output=True, text=True, timeout=120
    )


def test_plugins_that_break_at_import_are_listed_with_their_causes(installed: dict[str, str]) -> None:
    done = udbench(installed, "list", "plugins")
    assert done.returncode == 0
    for said in (
        "No module named 'einops_that_is_not_there'",
        "SystemExit: I leave",
        "SyntaxError",
        "a recipe's name is",
    ):
        assert said in done.stdout
    assert "\x1b" not in done.stdout


def test_other_verbs_go_on_and_name_those_plugins_only_where_it_matters(installed: dict[str, str]) -> None:
    done = udbench(installed, "list", "adapters", "--json")
    assert done.returncode == 0 and '"domain-bn"' in done.stdout
    assert "plugin 'imports (imports-plugin 1.0)' did not load" in done.stderr
    assert udbench(installed, "--no-plugin", "imports", "list", "archs").stderr.count("did not load") == 3


def test_a_plugins_verb_is_loaded_only_when_called_and_cannot_replace_one_of_ours(installed: dict[str, str]) -> None:
    assert udbench(installed, "greet", "--name", "Ada").stdout == "hello Ada\n"
    lost = udbench(installed, "lost")
    assert lost.returncode == 2 and "its verb 'lost' (no_such_module:f) does not load" in lost.stderr
    assert "Traceback" not in lost.stderr
    assert "--adapter" in udbench(installed, "run", "--help").stdout
    listed = udbench(installed, "list", "commands")
    assert "[red]hello" in listed.stdout


def test_verbs_and_options_that_are_none_are_the_users_mistake(installed: dict[str, str]) -> None:
    for words in (["rn"], ["run"], ["list", "adaptors"], ["run", "--adaptr", "x"]):
        done = udbench(installed, *words)
        assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
    assert "Did you mean 'adapters'?" in udbench(installed, "list", "adaptors").stderr


LIGHT = """
import sys
sys.argv = ["udbench", *{words!r}]
import udbench.cli
try:
    udbench.cli.main()
except SystemExit as exit:
    assert not exit.code, exit.code
heavy = {heavy!r} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    ("words", "heavy"),
    [
        (["--help"], {"torch", "numpy", "pydantic", "pandas", "scipy", "PIL", "udbench_adapters"}),
        (["run", "--help"], {"torch", "numpy", "scipy", "udbench_adapters"}),
        (["list", "adapters"], {"torch", "numpy", "pandas", "scipy", "timm", "datasets", "sklearn"}),
        (["list", "plugins"], {"torch", "numpy", "pandas", "scipy", "timm", "datasets", "sklearn"}),
        (["board", "show", "universal-ten"], {"torch", "numpy", "timm", "datasets"}),
    ],
)
def test_verbs_import_no_more_than_they_need(words: list[str], heavy: set[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(words=words, heavy=heavy)], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr

"""A request becomes a run: each name is looked up and each setting checked once, for the verb as for the library."""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import udbench
from udbench import overrides
from udbench.errors import RunError, SettingError
from udbench.plugin.session import Session
from udbench.resolve.job import job_of_config, make_config, make_job
from udbench.resolve.request import RunRequest, resolve, resolve_config
from udbench.testing.trees import write_class_folders

SETTINGS: Mapping[str, Any] = {
    "rounds": 2,
    "image_size": 16,
    "arch": {"width": 0.5},
    "adapter": {"rank": 3},
    "domain": {"folder-shells": {"flip": False}},
}
WORDS = ("rounds=2", "image_size=16", "arch.width=0.5", "adapter.rank=3", "domain.folder-shells.flip=false")
ADAPTER = "lora"
CHOICES = {"adapter": ADAPTER, "arch": "resnet38"}


@pytest.fixture(autouse=True)
def shells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDBENCH_CACHE", str(tmp_path / "cache"))
    write_class_folders(tmp_path / "shells", {"cone": 6, "spiral": 6})


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run ends where it would be executed."""

    def execute(*_: object, **__: object) -> None:
        raise RunError("here it would be executed")

    monkeypatch.setattr("udbench.runs.execute.execute", execute)


def from_words() -> None:
    from udbench.cli import main

    options = [part for word in WORDS for part in ("--set", word)]
    words = ["run", "--adapter", ADAPTER, "--arch", "resnet38", "--domains", "folder:shells", "--no-board"]
    with pytest.raises(SystemExit) as left:
        main([*words, "--device", "cpu", *options])
    assert left.value.code == RunError.exit_code


def from_python() -> None:
    with pytest.raises(RunError, match="here it would be executed"):
        udbench.run(adapter=ADAPTER, arch="resnet38", domains=["folder:shells"], device="cpu", settings=SETTINGS)


@pytest.mark.parametrize("run", [from_words, from_python])
def test_settings_are_parsed_once_and_each_model_is_validated_once(
    run: Callable[[], None], stopped: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed, validated = Counter[str](), Counter[str]()
    value, check = overrides._value, overrides.validated

    def parse(word: str, text: str) -> Any:
        parsed[word] += 1
        return value(word, text)

    def validate(model: Any, *given: Any, **options: Any) -> Any:
        validated[model.__name__] += 1
        return check(model, *given, **options)

    monkeypatch.setattr(overrides, "_value", parse)
    monkeypatch.setattr(overrides, "validated", validate)
    run()
    assert parsed == (Counter(WORDS) if run is from_words else {})
    assert set(validated) >= {"RecipeSettings", "RunConfig"} and len(validated) == 4, "and the two items' models"
    assert set(validated.values()) == {1}


def test_few_files_are_entered_between_the_command_and_the_run(stopped: None) -> None:
    """The way that a newcomer reads (docs/architecture.md): files in which a function is called, imports aside."""
    root = str(Path(udbench.__file__).parent)
    entered = set[str]()

    def profile(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED and code.co_filename.startswith(root):
            entered.add(code.co_filename.removeprefix(root + "/"))

    from_words()  # what is imported, prepared and cached once counts no more
    sys.setprofile(profile)
    try:
        from_words()
    finally:
        sys.setprofile(None)
    tops = Counter(name.partition("/")[0] for name in entered)
    assert tops["resolve"] <= 8 and len(entered) <= 40, sorted(entered)


def test_the_run_that_a_configuration_gives_is_the_one_that_it_was_made_from() -> None:
    session = Session()
    request = RunRequest(
        choices={"adapter": ADAPTER, "arch": "resnet38"}, domains="folder:shells", settings=WORDS, seed=3
    )
    asked = resolve(session, request)
    config = make_config(asked, "cpu", "fp32")
    again = resolve_config(session, config)
    for name in ("names", "part", "method", "recipe", "settings", "heads", "score", "plugins", "seed", "group"):
        assert getattr(again, name) == getattr(asked, name), name
    assert (again.suite.name, again.suite.version) == (asked.suite.name, asked.suite.version)
    assert make_config(again, "cpu", "fp32") == config
    job = make_job(session, replace(asked, device="cpu", precision="fp32"))
    assert replace(job, folders={}) == job_of_config(session, config)
    with pytest.raises(FrozenInstanceError):
        asked.seed = 4  # type: ignore[misc]


def test_words_and_the_mapping_that_they_stand_for_are_one_run() -> None:
    session = Session()
    request = RunRequest(choices=CHOICES, domains="folder:shells", settings=WORDS)
    assert make_config(resolve(session, request), "cpu", "fp32") == make_config(
        resolve(session, replace(request, domains=["folder:shells"], settings=SETTINGS)), "cpu", "fp32"
    )


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"choices": CHOICES | {"adapter": None}}, "--adapter is required: choose one"),
        ({"choices": {"adapter": ADAPTER}}, "--arch is required: choose one"),
        ({"settings": ["arch.width=wide"]}, "architecture 'resnet38': width"),
        ({"settings": ["lr=0.0001"]}, "below the warm-up's rate"),
        ({"cuda_graphs": True, "processes": 2}, "--cuda-graphs with 2 processes"),
        (
            {"choices": CHOICES | {"sharing": "full"}, "domains": "folder:shells,folder:theirs=more"},
            "--sharing full shares the classifier",
        ),
    ],
)
def test_what_names_and_numbers_show_to_be_wrong_is_refused(changed: dict[str, Any], message: str) -> None:
    write_class_folders(Path("more"), {"a": 3, "b": 3, "c": 3})
    request = RunRequest(choices=CHOICES, domains="folder:shells")
    with pytest.raises(SettingError, match=message):
        resolve(Session(), replace(request, **changed))

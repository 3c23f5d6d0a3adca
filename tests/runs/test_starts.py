"""A run that was stopped and goes on elsewhere: its record keeps every start; and a folder that somebody removes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from support.records import made_result
from support.runs import Interrupting, Silent, bytes_of, job_of
from udbench.boards.entry import Entry
from udbench.boards.ranking import remarks, row_of
from udbench.cli.progress import LogFile
from udbench.cli.show import show_result
from udbench.data.store import Store
from udbench.errors import DataError, RunError
from udbench.plugin.contracts_run import RoundStatus
from udbench.plugin.registry import Registry
from udbench.results import parse_result, read_result
from udbench.runs.execute import execute
from udbench.runs.folder import find_run, lock_folder, read_config


def test_every_start_is_recorded_with_its_rounds_and_what_differs_is_shown(
    registry: Registry,
    stores: list[Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    job, run = job_of(registry, eval_every=1), tmp_path / "run"
    whole = execute(job, stores, tmp_path / "whole", Silent())
    assert [(start.first, start.last) for start in whole.starts] == [(1, 6)] and whole.environments == ()
    assert whole.starts[0].torch == torch.__version__
    with monkeypatch.context() as other:
        other.setattr(torch, "__version__", "1.0.old")
        with pytest.raises(KeyboardInterrupt):
            execute(job, stores, run, Interrupting(2), resume=True)
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            execute(job, stores, run, Interrupting(4), resume=True)
    finally:
        torch.set_num_threads(1)
    result = execute(job, stores, run, Silent(), resume=True)
    assert [(start.first, start.last, start.threads) for start in result.starts] == [(1, 2, 1), (3, 4, 2), (5, 6, 1)]
    assert result == read_result(run / "result.json")
    now = f"torch {torch.__version__}"
    told = ("rounds 1 to 2: torch 1.0.old, 1 threads", f"rounds 3 to 4: {now}, 2 threads",
            f"rounds 5 to 6: {now}, 1 threads")  # fmt: skip
    assert result.environments == told
    assert remarks(row_of([Entry(path=run, result=result, standing="reported")])) == ["trained in several environments"]
    assert remarks(row_of([Entry(path=run, result=whole, standing="reported")])) == []
    show_result(result)
    shown = capsys.readouterr().out
    assert all(line in shown for line in told) and "resumed in another environment:" in shown


def test_a_start_that_only_scores_and_one_that_left_no_round(
    registry: Registry, stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its scoring, a run has all its rounds; stopped before its first checkpoint, none."""
    from udbench.runs import run as module

    job, run = job_of(registry), tmp_path / "run"
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(module, "initialize", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        execute(job, stores, run, Silent(), resume=True)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(module, "evaluate", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        execute(job, stores, run, Silent(), resume=True)
    result = execute(job, stores, run, Silent(), resume=True)
    assert [(start.first, start.last, start.rounds) for start in result.starts] == [
        (1, 6, "rounds 1 to 6"), (7, 6, "scoring"),
    ]  # fmt: skip


def test_networks_that_share_nothing_have_starts_each(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry)
    job = replace(job, config=job.config.model_copy(update={"sharing": "none"}))
    result = execute(job, stores, tmp_path / "run", Silent())
    assert [(start.network, start.rounds) for start in result.starts] == [
        ("left", "left, rounds 1 to 6"), ("right", "right, rounds 1 to 6"),
    ]  # fmt: skip


def test_a_record_without_starts_reads_as_before() -> None:
    document = made_result().document()
    del document["starts"]
    result = parse_result(json.dumps(document).encode(), "old")
    assert result.starts == () and result.environments == ()


def test_the_log_says_what_each_start_was_made_with(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    execute(job_of(registry, rounds=1), stores, tmp_path / "run", LogFile(tmp_path / "run"))
    (started,) = [line for line in _events(tmp_path / "run") if line["event"] == "started"]
    assert started["torch"] == torch.__version__ and started["processes"] == 1 and started["hardware"]


def test_a_run_that_is_done_on_other_images_is_not_gone_on_with(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, rounds=1)
    execute(job, stores, tmp_path / "run", Silent())
    path = tmp_path / "run" / "result.json"
    path.write_text(path.read_text().replace(stores[1].sha256, "other"))
    with pytest.raises(DataError, match=r"was finished on other images of 'right' .*--out"):
        execute(job, stores, tmp_path / "run", Silent(), resume=True)


def test_another_configuration_is_told_by_what_differs(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    execute(job_of(registry, rounds=1), stores, tmp_path / "run", Silent())
    with pytest.raises(DataError, match=r"another configuration \(settings\.rounds is 1, not 6; settings\.nesterov is"):
        job = job_of(registry, nesterov=not job_of(registry).config.settings.nesterov)
        execute(job, stores, tmp_path / "run", Silent(), resume=True)


def _events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


class Removing(Silent):
    """Has the run's folder removed behind a round; a log is kept beside."""

    def __init__(self, folder: Path, after: int, then: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.folder, self.after, self.then, self.log = folder, after, then, LogFile(folder)

    def on_start(self, about: Mapping[str, Any]) -> None:
        super().on_start(about)
        self.log.on_start(about)

    def on_round(self, step: RoundStatus) -> None:
        super().on_round(step)
        self.log.on_round(step)

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        if round == self.after:
            shutil.rmtree(self.folder)
            self.then()
        self.log.on_scores(round, split, scores)

    def on_finish(self, result: Mapping[str, Any]) -> None:
        self.log.on_finish(result)


def test_a_folder_that_is_removed_in_mid_training_is_made_again_from_memory(
    registry: Registry, stores: list[Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of(registry, eval_every=1, checkpoint_rounds=4)
    whole = execute(job, stores, tmp_path / "whole", Silent())
    run = tmp_path / "run"
    result = execute(job, stores, run, Removing(run, 2))
    assert bytes_of(run) == bytes_of(tmp_path / "whole") and result.scores == whole.scores
    assert read_config(run)[1] == job.config and (run / "domains.json").exists()
    assert not (run / ".lock").exists()
    events = _events(run)
    assert (events[0]["event"], events[0]["round"]) == ("scored", 2)
    assert events[-1]["event"] == "finished"
    assert capsys.readouterr().err.count("was removed during the run") == 1


def test_a_run_stopped_behind_that_goes_on(registry: Registry, stores: list[Store], tmp_path: Path) -> None:
    job = job_of(registry, eval_every=1, checkpoint_rounds=3)
    runs = tmp_path / "runs"
    runs.mkdir()
    run = runs / "one"

    class Both(Removing):
        def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
            super().on_scores(round, split, scores)
            if round == 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(job, stores, run, Both(run, 2))
    assert find_run(runs, job.config) == run
    last = Silent()
    execute(job, stores, run, last, resume=True)
    assert last.start == 3


def test_a_folder_that_another_run_has_taken_meanwhile_is_left_to_it(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    other = lock_folder(run, resume=False)

    def taken() -> None:
        other.__enter__()
        (run / "mine").write_text("another's")

    with pytest.raises(RunError, match="was removed while the run was at work, and cannot be made again: another run"):
        execute(job_of(registry, eval_every=1, checkpoint_rounds=3), stores, run, Removing(run, 2, taken))
    assert (run / "mine").exists() and (run / ".lock").exists() and not (run / "checkpoint.pt").exists()
    other.__exit__(None, None, None)


def test_a_place_that_cannot_be_made_again_fails_the_run(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "one"

    def file_in_the_way() -> None:
        run.parent.rmdir()
        run.parent.write_text("")

    with pytest.raises(RunError) as caught:
        execute(job_of(registry, eval_every=1, checkpoint_rounds=3), stores, run, Silently(run, 2, file_in_the_way))
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    assert str(run) in str(caught.value) and "directory" in str(caught.value).lower()


class Silently(Removing):
    """Keeps no log behind the round."""

    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        if round == self.after:
            shutil.rmtree(self.folder)
            self.then()
            self.log._write = lambda *_: None  # type: ignore[method-assign]


def test_networks_that_were_done_and_are_removed_fail_the_run_by_name(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, eval_every=1)
    job = replace(job, config=job.config.model_copy(update={"sharing": "none"}))
    run = tmp_path / "run"

    class InTheSecond(Silent):
        def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
            if "right" in scores and round == 2:
                shutil.rmtree(run)

    with pytest.raises(RunError, match="was removed while the run was at work, and with it the networks of left;"):
        execute(job, stores, run, InTheSecond())
    assert read_config(run)[1] == job.config
    result = execute(job, stores, run, Silent(), resume=True)
    assert result.config == job.config

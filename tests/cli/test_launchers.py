"""`--launcher`: how launchers are named, how a sweep and a run go by one, and what is told when one fails."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import filelock
import pytest
from pydantic import BaseModel

from support.pretend import pretend, write_result
from udbench import Launcher, Task, TaskStatus, UdbenchError, hookimpl
from udbench.cli.launching import without_launching

Call = Callable[..., Any]

STUDY = """
title = "Toys"
domains = ["handwriting", "walkers"]
recipe = "pocket"
set = { rounds = 4, image_size = 16, batch_size = 4 }
[[row]]
label = "shared"
adapter = "universal-bn"
[[row]]
label = "own"
adapter = "domain-bn"
"""


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, cli: Call, tmp_path: Path) -> Path:
    Path("toys.toml").write_text(STUDY)
    return pretend(monkeypatch, tmp_path / "pretend", ("handwriting", "walkers"))


def test_launchers_are_listed_and_shown_with_their_settings(cli: Call) -> None:
    named = {each["name"]: each for each in cli("list", "launchers", "--json").json}
    assert {"local", "torchrun"} <= named.keys() and named["local"]["owner"] == "builtin"
    said = cli("show", "local").out
    assert "launcher.cores" in said and "launcher.threads" in said and "OMP_NUM_THREADS" in said
    (facts,) = [each for each in cli("show", "local", "--json").json if each["kind"] == "launchers"]
    assert facts["settings"] == {"cores": None, "threads": 1, "gpus": 0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--launcher", "locla"], "no launcher 'locla'. Did you mean 'local'?"),
        (["--launcher", "local", "--set", "launcher.core=2"], "no setting 'core'. Did you mean 'cores'?"),
        (["--launcher", "local", "--set", "launcher.cores=0"], "launcher 'local': cores = 0: "),
        (["--launcher", "torchrun", "--set", "launcher.cores=2"], "launcher 'torchrun' takes no settings"),
        (["--set", "launcher.cores=2"], "--set launcher.cores=2: no launcher chosen"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_runs(cli: Call, runs: Path, words: list[str], said: str) -> None:
    for verb in (["sweep", "toys.toml"], ["run", "--adapter", "domain-bn", "--arch", "resnet38"]):
        answer = cli(*verb, *words)
        assert answer.code == 2 and said in answer.err and answer.err.count("error:") == 1, answer.err
    assert not Path("sweeps").exists() and not Path("runs").exists()


def test_a_sweep_side_by_side_labels_what_is_said_and_answers_with_its_table_alone(cli: Call, runs: Path) -> None:
    (runs / "domain-bn-0.py").write_text("sys.stderr.write('error: the loss is nan\\n'); sys.exit(1)")
    words = ["sweep", "toys.toml", "--seeds", "2", "--launcher", "local", "--set", "launcher.cores=2", "--json"]
    said = cli(*words)
    assert said.code == 1 and [run["state"] for run in said.json["runs"]] == ["done", "done", "failed", "done"]
    for line in (
        "toys: 4 runs in sweeps/toys, 0 done",
        "shared, seed 1: started",
        "shared, seed 1: this is universal-bn-1 with 1 threads",
        "shared, seed 1: done",
        "own, seed 0: failed: the loss is nan",
        "own, seed 1: done",
    ):
        assert line in said.err.splitlines(), said.err
    assert said.err.splitlines()[-1] == "failed: own, seed 0: the loss is nan"
    assert "this is the answer" not in said.out + said.err
    (runs / "domain-bn-0.py").unlink()
    again = cli(*words)
    assert again.code == 0 and "4 runs in sweeps/toys, 3 done" in again.err
    assert len(re.findall("started", again.err)) == 1 and list(Path("sweeps").rglob("*failed*")) == []


def test_a_run_that_is_made_meanwhile_or_is_in_work_is_not_started(cli: Call, runs: Path) -> None:
    (runs / "universal-bn-0.py").write_text(
        "for place in Path('sweeps/toys').glob('own-*/seed-1'):\n"
        "    place.joinpath('result.json').write_text(place.joinpath('was.json').read_text())\n"
        "time.sleep(0.3)"
    )
    words = ["sweep", "toys.toml", "--seeds", "2", "--launcher", "local", "--set", "launcher.cores=1", "--json"]
    words.append("--no-board")
    cli(*words, "--set", "rounds=4")
    (own,) = Path("sweeps/toys").glob("own-*/seed-1")
    (own / "result.json").rename(own / "was.json")
    (shared,) = Path("sweeps/toys").glob("shared-*/seed-0")
    (shared / "result.json").unlink()
    (busy,) = Path("sweeps/toys").glob("shared-*/seed-1")
    (busy / "result.json").unlink()
    with filelock.FileLock(busy / ".lock"):
        said = cli(*words)
    assert "own, seed 1: finished by another process" in said.err
    assert "shared, seed 1: skipped, since another process is running it" in said.err
    assert [run["state"] for run in said.json["runs"]] == ["done", "missing", "done", "done"] and said.code == 0


def test_a_row_that_cannot_be_fails_alone(cli: Call, runs: Path) -> None:
    Path("toys.toml").write_text(STUDY + '[[row]]\nlabel = "odd"\nadapter = "domain-bnn"\n')
    said = cli("sweep", "toys.toml", "--launcher", "local")
    assert said.code == 1 and said.err.splitlines()[-1].startswith("failed: odd, seed 0: no adapter 'domain-bnn'.")
    assert "own, seed 0: done" in said.err


def test_the_words_of_a_run_lose_what_says_where_it_is_started() -> None:
    words = "run --launcher=x --launcher y --set launcher.a=1 --set=launcher.b=2 --set lr=1 --set=lr=2 --processes 3"
    assert without_launching([*words.split(), "--processes=4", "--out", "o"]) == (
        "run", "--set", "lr=1", "--set=lr=2", "--out", "o"
    )  # fmt: skip


RUN = ["run", "--adapter", "domain-bn", "--arch", "resnet38", "--seed", "0"]


def test_a_run_by_a_launcher_that_waits_answers_as_the_run_does(cli: Call, runs: Path) -> None:
    said = cli(*RUN, "--launcher", "local", "--set", "launcher.threads=1", "--out", "o", "--json")
    assert said.code == 0 and said.out == "this is the answer\n" and Path("o/result.json").exists()
    assert said.err == "this is domain-bn-0 with 1 threads\n"
    (runs / "domain-bn-0.py").write_text("sys.stderr.write('error: no room\\n'); sys.exit(2)")
    said = cli(*RUN, "--launcher", "local", "--out", "p")
    assert said.code == 2 and said.err.count("no room") == 1, "told once"
    said = cli(
        *RUN, "--launcher", "local", "--out", "p", "--processes", "3", "--set", "launcher.cores=2", "--device", "cpu"
    )
    assert said.code == 2 and said.err.startswith("error: launcher 'local': 3 processes of 1 threads do not fit")
    said = cli(*RUN, "--launcher", "local", "--dry-run")
    assert said.code == 2 and "leave --launcher out" in said.err


class QueueSettings(BaseModel):
    model_config = {"extra": "forbid"}
    partition: str = "any"


class Queue:
    """A cluster's queue: what is handed over waits until the test says how it stands."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.states: dict[str, tuple[str, str]] = {}
        self.partitions: list[str] = []
        self.broken = False

    def start(self, tasks: Iterable[Task], folder: Path, settings: QueueSettings) -> Iterator[TaskStatus]:
        for task in list(tasks):
            self.tasks.append(task)
            self.partitions.append(settings.partition)
            self.states[job_id := str(40 + len(self.tasks))] = ("queued", "waits for nodes")
            yield TaskStatus(task=task.name, state="queued", job_id=job_id)

    def look(self, job_ids: Mapping[str, str], folder: Path) -> list[TaskStatus]:
        if self.broken:
            raise UdbenchError("the cluster does not answer")
        found = {name: self.states[job_id] for name, job_id in job_ids.items() if job_id in self.states}
        return [TaskStatus(task=name, state=state, reason=why) for name, (state, why) in found.items()]  # type: ignore


@pytest.fixture
def queue(with_plugins: Call, runs: Path) -> Queue:
    made = Queue()
    launcher = Launcher(name="later", start=made.start, poll=made.look, settings=QueueSettings)
    with_plugins(mine=SimpleNamespace(udbench_launchers=hookimpl(lambda: [launcher])))
    return made


def states(said: Any) -> list[str]:
    return [run["state"] for run in said.json["runs"]]


def test_what_was_handed_over_is_remembered_shown_and_not_handed_over_twice(
    cli: Call, queue: Queue, runs: Path
) -> None:
    words = ["sweep", "toys.toml", "--launcher", "later", "--set", "launcher.partition=gpu", "--json"]
    said = cli(*words)
    assert said.code == 0 and states(said) == ["queued", "queued"] and queue.partitions == ["gpu", "gpu"]
    assert "own, seed 0: queued as 42" in said.err and "2 runs are queued by launcher later" in said.err
    assert queue.tasks[1].args[-3:] == ("--out", str(queue.tasks[1].folder), "--resume")
    file = json.loads(Path("sweeps/toys/handed.json").read_text())
    assert file["schema"] == 1 and {each["job_id"] for each in file["runs"].values()} == {"41", "42"}

    for verb in (words, ["sweep", "toys.toml", "--json"], ["sweep", "toys.toml", "--launcher", "local", "--json"]):
        said = cli(*verb)
        assert states(said) == ["queued", "queued"] and len(queue.tasks) == 2, "not by whatever launcher"
        assert "2 runs are already queued or running; --status shows their state" in said.err
    queue.states["42"] = ("running", "on node 7")
    said = cli("sweep", "toys.toml", "--status")
    assert "own (1 running)" in said.out and "shared (1 queued)" in said.out
    assert said.err.splitlines() == ["queued: shared, seed 0: waits for nodes", "running: own, seed 0: on node 7"]

    queue.states["42"] = ("failed", "no memory\nlog: here")
    said = cli("sweep", "toys.toml", "--status", "--json")
    assert said.code == 1 and states(said) == ["queued", "failed"]
    assert said.err.splitlines()[-1] == "failed: own, seed 0: no memory"
    said = cli(*words)
    assert states(said) == ["queued", "queued"] and len(queue.tasks) == 3, "what failed is tried again"
    for task in queue.tasks[::2]:
        write_result(task.folder, task.args, ("handwriting", "walkers"), id=str(len(task.args)) + task.args[2])
    queue.states.clear()
    assert states(cli("sweep", "toys.toml", "--status", "--json")) == ["done", "done"]
    assert "2 done" in cli(*words).err and len(queue.tasks) == 3


def test_what_a_queue_lost_or_somebody_stopped_is_handed_over_again(cli: Call, queue: Queue) -> None:
    words = ["sweep", "toys.toml", "--launcher", "later", "--json"]
    cli(*words)
    del queue.states["41"]
    queue.states["42"] = ("stopped", "")
    assert states(cli("sweep", "toys.toml", "--status", "--json")) == ["missing", "missing"]
    assert states(cli(*words)) == ["queued", "queued"] and len(queue.tasks) == 4


def test_a_failure_in_the_queue_is_forgotten_where_the_run_is_made_here(cli: Call, queue: Queue, runs: Path) -> None:
    cli("sweep", "toys.toml", "--launcher", "later")
    queue.states.update({"41": ("failed", "no memory"), "42": ("failed", "no memory")})
    (runs / "domain-bn-0.py").write_text("sys.exit(130)")
    said = cli("sweep", "toys.toml", "--launcher", "local", "--json")
    assert said.code == 130 and states(said) == ["done", "missing"]
    assert "own, seed 0: stopped; the same command resumes it" in said.err
    assert states(cli("sweep", "toys.toml", "--status", "--json")) == ["done", "missing"]


def test_a_queue_that_does_not_answer_is_told_and_nothing_is_started_twice(cli: Call, queue: Queue) -> None:
    cli("sweep", "toys.toml", "--launcher", "later")
    queue.broken = True
    said = cli("sweep", "toys.toml", "--status", "--json")
    assert said.code == 0 and states(said) == ["missing", "missing"]
    assert said.err == ("warning: the state of 2 runs queued by 'later' is unknown: the cluster does not answer\n")
    said = cli("sweep", "toys.toml")
    assert said.code == 2 and said.err == "error: the cluster does not answer\n" and len(queue.tasks) == 2


def test_a_launcher_that_is_not_installed_any_more_is_told(cli: Call, queue: Queue) -> None:
    cli("sweep", "toys.toml", "--launcher", "later")
    said = cli("sweep", "toys.toml", "--status", "--no-plugin", "mine", "--json")
    assert said.code == 0 and "no launcher 'later'" in said.err
    assert cli("sweep", "toys.toml", "--no-plugin", "mine").code == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema": 2, "runs": {}}', '{"schema": 1, "runs": {"a": {"job_id": "4"}}}', "\udcff"]
)
def test_a_damaged_memory_is_told_and_nothing_is_started(cli: Call, queue: Queue, content: str) -> None:
    Path("sweeps/toys").mkdir(parents=True)
    Path("sweeps/toys/handed.json").write_bytes(content.encode(errors="surrogateescape"))
    for words in (["--status"], ["--launcher", "later"], []):
        said = cli("sweep", "toys.toml", *words)
        assert said.code == 2 and said.err.startswith("error: sweeps/toys/handed.json is damaged: "), said.err
        assert "Traceback" not in said.err and queue.tasks == []


def test_two_sweeps_do_not_hand_over_at_once(cli: Call, queue: Queue) -> None:
    Path("sweeps/toys").mkdir(parents=True)
    with filelock.FileLock("sweeps/toys/.handed.lock"):
        said = cli("sweep", "toys.toml", "--launcher", "later")
    assert said.code == 2 and "another sweep is queueing runs of sweeps/toys" in said.err and queue.tasks == []


def test_a_run_that_is_handed_over_says_where_its_result_will_be(cli: Call, queue: Queue) -> None:
    said = cli(*RUN, "--launcher", "later", "--processes", "2", "--set", "lr=0.2")
    (task,) = queue.tasks
    assert said.code == 0 and said.out == f"queued  41 of later; the result will be in {task.folder}\n"
    assert task.args == (*RUN, "--set", "lr=0.2", "--out", str(task.folder), "--resume") and task.processes == 2
    assert task.folder.parent == Path("runs")
    said = cli(*RUN, "--launcher", "later", "--out", "o", "--json")
    assert said.json == {"state": "queued", "launcher": "later", "job_id": "42", "folder": "o"}
    Path("full").mkdir()
    Path("full/notes.txt").touch()
    said = cli(*RUN, "--launcher", "later", "--out", "full")
    assert said.code == 2 and "full already exists" in said.err
    said = cli(*RUN, "--launcher", "later", "--resume")
    assert said.code == 2 and "give the folder of the run to resume" in said.err and len(queue.tasks) == 2


def _raises(tasks: Iterable[Task], folder: Path, settings: None) -> Iterable[TaskStatus]:
    for task in tasks:
        raise ZeroDivisionError(f"of {task.name}")
    return []


BROKEN = {
    "raises": (_raises, "launcher 'raises' (plugin mine): ZeroDivisionError: of "),
    "forgets": (lambda tasks, folder, settings: [list(tasks)][:0], "did not report how '"),
    "invents": (
        lambda tasks, folder, settings: [TaskStatus(task=next(tasks).name + "x", state="done")],
        "not the status of one of its tasks",
    ),
    "babbles": (
        lambda tasks, folder, settings: [next(tasks) and 3],
        "reported 3, which is not the status of one of its tasks",
    ),
    "queues": (
        lambda tasks, folder, settings: [TaskStatus(task=next(tasks).name, state="queued", job_id="1")],
        "defines no `poll`",
    ),
    "silent": (lambda tasks, folder, settings: None, "TypeError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_launcher_that_breaks_its_contract_is_named_in_one_sentence(
    cli: Call, runs: Path, with_plugins: Call, name: str
) -> None:
    start, says = BROKEN[name]
    launcher = Launcher(name=name, start=start)  # type: ignore[arg-type]
    with_plugins(mine=SimpleNamespace(udbench_launchers=hookimpl(lambda: [launcher])))
    for words in (["sweep", "toys.toml"], RUN):
        said = cli(*words, "--launcher", name)
        assert said.code == 2 and says in said.err and "(plugin mine)" in said.err, said.err
        assert said.err.splitlines()[-1].startswith("error: ") and "Traceback" not in said.err

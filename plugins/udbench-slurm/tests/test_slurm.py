"""Jobs of a cluster: what is asked of it, how jobs stand, and what is told when something is missing. Slurm is made up
of scripts that keep what they were given; a slow test has them start the jobs, too."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.pretend import pretend
from udbench.cli import main
from udbench.testing.trees import write_class_folders
from udbench_slurm.notes import Note, read_note, write_note
from udbench_slurm.standing import poll

Call = Callable[..., Any]

STUDY = """
domains = ["folder:cones", "folder:rings"]
recipe = "pocket"
set = { rounds = 4, image_size = 16, batch_size = 4 }
[[row]]
label = "shared"
adapter = "universal-bn"
[[row]]
label = "own"
adapter = "domain-bn"
"""

SBATCH = """#!/bin/sh
if [ -e "$FAKE_SLURM/full" ]; then echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; fi
id=$((41 + $(ls "$FAKE_SLURM" | grep -c submitted)))
cp "$1" "$FAKE_SLURM/submitted-$id.sh"
echo "Submitted batch job $id"
"""
SQUEUE = """#!/bin/sh
echo "$@" >> "$FAKE_SLURM/asked"
if [ -e "$FAKE_SLURM/down" ]; then echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; fi
if [ ! -e "$FAKE_SLURM/queue" ]; then echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1; fi
cat "$FAKE_SLURM/queue"
"""
SACCT = """#!/bin/sh
cat "$FAKE_SLURM/accounts" 2>/dev/null
"""
SRUN = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do
  case "$1" in --output|--error) shift;; esac
  shift
done
exec "$@"
"""
SCONTROL = """#!/bin/sh
echo "$@" >> "$FAKE_SLURM/control"
"""


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.chdir(tmp_path)
    for name in ("UDBENCH_DATA", "UDBENCH_DISABLE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"UDBENCH_CACHE": "cache", "COLUMNS": "200", "SUBMITIT_PREEMPT_SIGNAL": "USR1"}.items():
        monkeypatch.setenv(name, value)
    Path("toys.toml").write_text(STUDY)
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})

    def call(*words: str) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main(list(words))
        out, err = capsys.readouterr()
        return Said(int(left.value.code or 0), out, err)

    return call


@pytest.fixture
def runs(cli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return pretend(monkeypatch, tmp_path / "pretend", ("folder-cones", "folder-rings"))


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder where the made-up Slurm keeps what it was given, and finds what it is to answer."""
    commands, kept = tmp_path / "bin", tmp_path / "slurm"
    commands.mkdir()
    kept.mkdir()
    scripts = {"sbatch": SBATCH, "squeue": SQUEUE, "sacct": SACCT, "srun": SRUN, "scontrol": SCONTROL}
    for name, text in scripts.items():
        (commands / name).write_text(text)
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_SLURM", str(kept))
    return kept


SWEEP = ["sweep", "toys.toml", "--launcher", "slurm"]


def states(said: Said) -> list[str]:
    return [run["state"] for run in said.json["runs"]]


def reasons(said: Said) -> list[str]:
    return [run["reason"] for run in said.json["runs"]]


def place(root: str = "sweeps/toys") -> Path:
    """Where the jobs of the one submission keep what they have."""
    (found,) = [path for path in Path(root, "slurm").iterdir() if path.is_dir()]
    return found


def test_all_missing_runs_are_one_array_that_asks_for_what_was_said(cli: Call, runs: Path, slurm: Path) -> None:
    given = {
        "partition": "gpu", "account": "1234", "qos": "long", "time": "90", "gpus": "2", "cpus": "3", "memory": "32G",
        "array_parallelism": "3", "warning": "60", "sbatch.constraint": "a100", "sbatch.exclusive": "true",
    }  # fmt: skip
    words = [word for key, value in given.items() for word in ("--set", f"launcher.{key}={value}")]
    said = cli(*SWEEP, "--seeds", "2", "--processes", "2", *words, "--json")
    assert said.code == 0 and states(said) == ["queued"] * 4, said.err
    (script,) = slurm.glob("submitted-*.sh")
    text = script.read_text()
    asked = {line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")}
    assert asked >= {
        "--array=0-3%3", "--partition=gpu", "--account=1234", "--qos=long", "--time=90", "--gpus-per-node=4",
        "--cpus-per-task=6", "--mem=32G", "--signal=USR1@60", "--requeue", "--open-mode=append", "--nodes=1",
        "--ntasks-per-node=1", "--constraint=a100", "--exclusive", "--job-name=udbench",
    }  # fmt: skip
    assert "export SUBMITIT_PREEMPT_SIGNAL=USR1\n" in text and "\nsrun --unbuffered" in text
    assert "own, seed 1: queued as slurm:" in said.err and "4 runs are queued by launcher slurm" in said.err
    import submitit

    job = submitit.SlurmJob(folder=place(), job_id="41_3").submission().function
    assert job.command[3:6] == ["run", "--adapter", "domain-bn"] and job.cwd == str(Path.cwd())
    assert job.command[-3:] == ["--resume", "--processes", "2"] and "--out" in job.command


def test_a_cpu_cluster_is_asked_for_no_gpu(cli: Call, runs: Path, slurm: Path) -> None:
    assert cli(*SWEEP, "--set", "launcher.gpus=0").code == 0
    assert "gpus" not in (slurm / "submitted-41.sh").read_text()


def test_how_jobs_stand_is_shown_and_none_is_submitted_twice(cli: Call, runs: Path, slurm: Path) -> None:
    cli(*SWEEP)
    (slurm / "queue").write_text("41_0|PENDING|Priority\n41_1|RUNNING|None\n")
    write_note(place(), "41_1", Note(state="running", host="node7"))
    said = cli("sweep", "toys.toml", "--status", "--json")
    assert states(said) == ["queued", "running"]
    assert reasons(said) == ["Slurm's job 41_0, pending: Priority", "Slurm's job 41_1, running on node7"]
    assert "--jobs=41" in (slurm / "asked").read_text()
    again = cli(*SWEEP, "--json")
    assert states(again) == ["queued", "running"] and len(list(slurm.glob("submitted-*"))) == 1

    (slurm / "queue").unlink()
    write_note(place(), "41_0", Note(state="ended", code=1, reason="the loss is nan"))
    (place() / "41_0.log").touch()
    (slurm / "accounts").write_text("41_1|OUT_OF_MEMORY\n")
    (place() / "41_1_0_log.out").write_text("submitit\nslurmstepd: error: Detected 1 oom_kill event\n\n")
    said = cli("sweep", "toys.toml", "--status", "--json")
    assert states(said) == ["failed", "failed"] and said.code == 1
    one, two = reasons(said)
    assert one == f"the loss is nan\nlog: {place() / '41_0.log'}"
    assert two == "Slurm says OUT_OF_MEMORY (slurmstepd: error: Detected 1 oom_kill event)"
    again = cli(*SWEEP, "--json")
    assert states(again) == ["queued", "queued"] and len(list(slurm.glob("submitted-*"))) == 2


@pytest.mark.parametrize(
    ("note", "account", "state", "why"),
    [
        (Note(state="ended", code=0), "", "done", ""),
        (Note(state="ended", code=130), "", "stopped", ""),
        (Note(state="ended", code=-9, reason="it was killed"), "", "failed", "it was killed"),
        (Note(state="running"), "TIMEOUT", "failed", "Slurm says TIMEOUT"),
        (None, "CANCELLED by 1000", "failed", "Slurm says CANCELLED by 1000"),
        (Note(state="requeued"), "", "failed", "it left the queue without a note"),
        (None, "COMPLETED", "done", ""),
    ],
)
def test_a_job_that_has_left_the_queue(
    slurm: Path, tmp_path: Path, note: Note | None, account: str, state: str, why: str
) -> None:
    (tmp_path / "l" / "one").mkdir(parents=True)
    if note is not None:
        write_note(tmp_path / "l" / "one", "7_0", note)
    (slurm / "accounts").write_text(f"7_0|{account}\n" if account else "")
    (report,) = poll({"own": "slurm:one:7_0"}, tmp_path / "l")
    assert (report.task, report.state, report.reason) == ("own", state, why)


def test_a_slurm_that_does_not_answer_is_told(cli: Call, runs: Path, slurm: Path) -> None:
    cli(*SWEEP)
    (slurm / "down").touch()
    said = cli("sweep", "toys.toml", "--status")
    assert said.code == 0 and "squeue does not answer: slurm_load_jobs error: Unable to contact" in said.err
    said = cli(*SWEEP)
    assert said.code == 2 and said.err.startswith("error: launcher 'slurm': squeue does not answer")
    (slurm.parent / "bin" / "squeue").unlink()
    assert "squeue is not installed here; ask for the status" in cli("sweep", "toys.toml", "--status").err
    assert len(list(slurm.glob("submitted-*"))) == 1


@pytest.mark.parametrize("job_id", ["", "slurm:../..:7", "slurm:one:7;rm", "other:one:7", "slurm:one"])
def test_a_ticket_that_is_none_is_refused(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(Exception, match="is not one of its job ids"):
        list(poll({"own": job_id}, tmp_path))


def test_a_damaged_note_is_told(cli: Call, runs: Path, slurm: Path) -> None:
    cli(*SWEEP)
    (place() / "41_0.json").write_text('{"state": "asleep"}')
    said = cli(*SWEEP)
    assert said.code == 2 and "41_0.json is damaged" in said.err and "Traceback" not in said.err


def test_what_is_missing_or_refused_is_one_sentence(
    cli: Call, runs: Path, slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, says in (
        (["--set", "launcher.partiton=gpu"], "launcher 'slurm': no setting 'partiton'. Did you mean 'partition'?"),
        (["--set", "launcher.time=2", "--set", "launcher.warning=120"], "warning = 120 s is not before the end of 2"),
        (["--set", "launcher.memory=much"], "launcher 'slurm': memory = 'much'"),
        (["--set", "launcher.sbatch.array=1-9"], "'array' is set by the launcher itself"),
        (["--set", "launcher.cluster=lsf"], "launcher 'slurm': cluster = 'lsf'"),
    ):
        said = cli(*SWEEP, *words)
        assert said.code == 2 and says in said.err and said.err.count("error:") == 1, said.err
    (slurm / "full").touch()
    said = cli(*SWEEP)
    assert said.code == 2 and said.err.count("QOSMaxSubmitJobPerUserLimit") == 1
    assert "launcher 'slurm': the jobs cannot be submitted: sbatch: error: QOSMax" in said.err
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        said = cli(*SWEEP)
        assert said.code == 2 and "sbatch is not installed here" in said.err
    monkeypatch.setitem(sys.modules, "submitit", None)
    said = cli(*SWEEP)
    assert said.code == 2 and "needs submitit, which cannot be imported" in said.err
    assert not Path("sweeps/toys/handed.json").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # submitit leaves its log files open
def test_debug_runs_here_one_after_another(cli: Call, runs: Path) -> None:
    (runs / "domain-bn-0.py").write_text("sys.stderr.write('error: the loss is nan\\n'); sys.exit(1)")
    said = cli(*SWEEP, "--set", "launcher.cluster=debug", "--json")
    assert said.code == 1 and states(said) == ["done", "failed"]
    assert said.err.splitlines()[-1] == "failed: own, seed 0: the loss is nan"
    assert not Path("sweeps/toys/handed.json").exists(), "nothing waits"


def until(true: Callable[[], Any], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # its processes outlive what started them
def test_local_runs_in_the_background(cli: Call, runs: Path) -> None:
    waits = "while not (here / 'go').exists(): time.sleep(0.05)\n"
    (runs / "universal-bn-0.py").write_text(waits)
    (runs / "domain-bn-0.py").write_text(f"{waits}sys.stderr.write('error: the loss is nan\\n'); sys.exit(1)")
    said = cli(*SWEEP, "--set", "launcher.cluster=local", "--json")
    assert said.code == 0 and states(said) == ["queued", "queued"]
    until(lambda: states(cli("sweep", "toys.toml", "--status", "--json")) == ["running", "running"])
    again = cli(*SWEEP, "--set", "launcher.cluster=local", "--json")
    assert states(again) == ["running", "running"] and place()
    (runs / "go").touch()
    until(lambda: states(cli("sweep", "toys.toml", "--status", "--json")) == ["done", "failed"])
    said = cli("sweep", "toys.toml", "--status")
    assert said.code == 1 and said.err.splitlines()[-1] == "failed: own, seed 0: the loss is nan"


def test_a_background_process_that_is_gone_is_told(tmp_path: Path) -> None:
    (report,) = poll({"own": f"local:one:{2**22 + 1}"}, tmp_path)
    assert (report.state, report.reason) == ("failed", "its process ended without a note")
    (report,) = poll({"own": f"local:one:{os.getpid()}"}, tmp_path)
    assert report.state == "failed", "another process has got its number"


def test_loading_the_plugin_imports_neither_torch_nor_submitit() -> None:
    code = (
        "import sys, udbench_slurm; udbench_slurm.udbench_launchers(); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'submitit', 'cloudpickle')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def start_job(slurm: Path, script: Path, cwd: Path) -> subprocess.Popen[bytes]:
    """The job of a script, as Slurm starts it."""
    number = script.stem.split("-")[1]
    environment = {**os.environ, "SLURM_JOB_ID": number, "OMP_NUM_THREADS": "1"}
    exports, command = (subprocess.check_output(["grep", word, script], text=True) for word in ("^export", "^srun"))
    with (slurm / "out").open("ab") as out:
        return subprocess.Popen(
            ["bash", "-c", f"{exports}exec {command}"], cwd=cwd, env=environment, stdout=out, stderr=out
        )


@pytest.mark.slow
def test_a_job_that_is_warned_saves_and_goes_on_when_it_comes_again(cli: Call, slurm: Path, tmp_path: Path) -> None:
    """It is warned in the middle of its rounds and queued again, and ends with the bytes of an undisturbed one."""
    common = ["--set", "rounds=60", "--no-board", "--json"]
    device = ["--device", "cpu", "--precision", "fp32", "--workers", "1"]
    Path("toys.toml").write_text(STUDY.split("[[row]]")[0] + 'adapter = "domain-bn"\n')
    results: dict[str, bytes] = {}
    for root in ("preserve_state", "disturbed"):
        said = cli(*SWEEP, *common, *device, "--set", "launcher.gpus=0", "--out", root)
        assert said.code == 0, said.err
        script = max(slurm.glob("submitted-*.sh"))
        number = script.stem.split("-")[1]
        job = start_job(slurm, script, tmp_path)
        if root == "disturbed":
            until(lambda: any('"stepped"' in log.read_text() for log in Path("disturbed").rglob("log.jsonl")))
            job.send_signal(signal.SIGUSR1)
            assert job.wait(timeout=120) != 0 and not list(Path(root).rglob("result.json"))
            assert (slurm / "control").read_text() == f"requeue {number}\n"
            (slurm / "queue").write_text(f"{number}|PENDING|BeginTime\n")
            assert states(cli("sweep", "toys.toml", "--status", *common, "--out", root)) == ["queued"]
            job = start_job(slurm, script, tmp_path)
        assert job.wait(timeout=280) == 0, (slurm / "out").read_text()
        assert read_note(place(root), number) == Note(state="ended", host=os.uname().nodename, code=0)
        assert states(cli("sweep", "toys.toml", "--status", *common, "--out", root)) == ["done"]
        (weights,) = Path(root).rglob("weights.safetensors")
        results[root] = weights.read_bytes()
    assert "resuming after round" in next(place("disturbed").glob("*.log")).read_text()
    assert results["preserve_state"] == results["disturbed"]

"""Runs that are killed at drawn moments and resumed: what law 3 is shown on.

`python -m support.campaign --kills 100 --processes 2` is a longer campaign than the tests'.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import scipy.stats
import torch
import torch._dynamo
import torch.utils.flop_counter

from support.runs import Silent, bytes_of, job_of, stores_in
from udbench.data.store import Store
from udbench.errors import RunError
from udbench.files import atomic_write
from udbench.plugin.loader import load
from udbench.runs.execute import execute
from udbench.runs.record import predictions_file, record
from udbench.train.checkpoint import Checkpoints, save_weights
from udbench.train.evaluate import evaluate
from udbench.train.parallel.comm import join
from udbench.train.step import Step

# what a run imports by the way, seconds of it: here, once for all of them
BY_THE_WAY = (scipy.stats, torch._dynamo, torch.utils.flop_counter)
PHASES: Mapping[CodeType, str] = {
    Step.gradients.__code__: "training",
    Checkpoints.save.__code__: "checkpointing",
    evaluate.__code__: "evaluation",
    save_weights.__code__: "writing results",
    predictions_file.__code__: "writing results",
    record.__code__: "writing results",
    atomic_write.__code__: "writing results",
}
DRAWN = ("training", "checkpointing", "evaluation", "writing results")
PATIENCE = 120.0
ROUNDS = 12


@dataclass(kw_only=True)
class Campaign:
    """What came of some kills: how many in each phase, and the longest time in which the other processes of a run
    noticed."""

    kills: int = 0
    runs: int = 0
    by_phase: Counter[str] = field(default_factory=Counter)
    noticed: float = 0.0


def campaign(
    folder: Path, kills: int, *, processes: int = 1, each: int = 3, adapter: str = "domain-bn", seed: int = 0
) -> Campaign:
    """Kill runs in so many drawn moments, `each` of them `each` times before it is let go on to its end.

    Raises AssertionError when one does not end with the bytes of an undisturbed run, or when its other processes do
    not end by themselves.
    """
    drawn = random.Random(seed)
    stores = [str(store.path) for store in stores_in(folder)]
    start = _Starter(stores, processes, adapter)
    codes, _ = start(folder / "whole", None, None)
    assert codes == [0] * processes, f"an undisturbed run ended with {codes}"
    expected = bytes_of(folder / "whole")
    counts: list[dict[str, int]] = [
        json.loads((folder / f"whole-{rank}.json").read_text()) for rank in range(processes)
    ]
    found = Campaign()
    while found.kills < kills:
        run = folder / f"run-{found.runs}"
        for _ in range(min(each, kills - found.kills)):
            fewest = min(found.by_phase[name] for name in DRAWN)
            phase = drawn.choice([name for name in DRAWN if found.by_phase[name] == fewest])
            victim = drawn.choice([rank for rank in range(processes) if counts[rank].get(phase)])
            moment = drawn.randrange(counts[victim][phase])
            codes, seconds = start(run, victim, (phase, moment))
            if codes == [0] * processes:  # it went on behind that moment
                break
            assert codes[victim] == -signal.SIGKILL, f"process {victim} ended with {codes[victim]}"
            others = codes[:victim] + codes[victim + 1 :]
            assert all(code == RunError.exit_code for code in others), f"the others ended with {others}"
            found.kills += 1
            found.by_phase[phase] += 1
            found.noticed = max(found.noticed, seconds)
        codes, _ = start(run, None, None)
        assert codes == [0] * processes, f"a resumed run ended with {codes}"
        assert bytes_of(run) == expected, f"{run} ended with other bytes than an undisturbed run"
        assert not list(run.glob(".*")), f"{run} holds what a killed process began to write"
        found.runs += 1
    return found


def stopped(folder: Path, timeout: float) -> tuple[str, float]:
    """Stop one of two processes of a run as a hanging disk would, let collectives wait so many seconds at most; what
    the other says at its end, and the seconds until then.

    Raises AssertionError when it does not end.
    """
    stores = [str(store.path) for store in stores_in(folder)]
    start = _Starter(stores, 2, "domain-bn", rounds=10**6, timeout=timeout)
    run = folder / "run"
    processes = start.begin(run, None, None)
    try:
        _wait(lambda: (run / "checkpoint.pt").exists(), f"{run}: no checkpoint")
        os.kill(int(processes[1].pid or 0), signal.SIGSTOP)
        began = time.monotonic()
        _wait(lambda: not processes[0].is_alive(), f"{run}: process 0 still waits")
        assert processes[0].exitcode == RunError.exit_code, f"process 0 ended with {processes[0].exitcode}"
        return Path(f"{run}-0.txt").read_text(), time.monotonic() - began
    finally:
        for process in processes:
            process.kill()
            process.join()


def _wait(until: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, f"{otherwise} after {PATIENCE:.0f} s"
        time.sleep(0.01)


class _Starter:
    """Starts runs in processes that have torch imported already."""

    def __init__(
        self, stores: Sequence[str], processes: int, adapter: str, rounds: int = ROUNDS, timeout: float = 60.0
    ) -> None:
        self.stores, self.processes, self.adapter = stores, processes, adapter
        self.rounds, self.timeout = rounds, timeout
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([__name__])

    def __call__(self, run: Path, victim: int | None, kill: tuple[str, int] | None) -> tuple[list[int], float]:
        """The exit codes, and the seconds from the first end of a process to the last."""
        processes, ends = self.begin(run, victim, kill), list[float]()
        try:
            for number in range(1, self.processes + 1):
                _wait(
                    lambda: sum(not process.is_alive() for process in processes) >= number,  # noqa: B023
                    f"{run}: {number} of {self.processes} processes had not ended",
                )
                ends.append(time.monotonic())
        finally:
            for process in processes:
                process.kill()
                process.join()
        return [int(process.exitcode or 0) for process in processes], ends[-1] - ends[0]

    def begin(self, run: Path, victim: int | None, kill: tuple[str, int] | None) -> list[Any]:
        """The processes of a run, at work."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes: list[Any] = []
        for rank in range(self.processes):
            environment = {
                "RANK": str(rank),
                "WORLD_SIZE": str(self.processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "UDBENCH_TIMEOUT": str(self.timeout),
            }
            own = kill if rank == victim else None
            given = (str(run), self.stores, self.adapter, self.rounds, environment, own)
            processes.append(self.context.Process(target=_child, args=given, daemon=True))
            processes[-1].start()
        return processes


def _child(
    run: str,
    stores: Sequence[str],
    adapter: str,
    rounds: int,
    environment: Mapping[str, str],
    kill: tuple[str, int] | None,
) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    job = job_of(load(), adapter, rounds=rounds, checkpoint_rounds=3, eval_every=4, norm={"recalibrate": 1})
    comm = join(torch.device("cpu"))
    moments = _Moments(kill)
    sys.setprofile(moments)
    try:
        execute(job, [Store(Path(path)) for path in stores], Path(run), Silent(), resume=True, comm=comm)
    except RunError as error:
        sys.setprofile(None)
        Path(f"{run}-{comm.rank}.txt").write_text(str(error))
        os._exit(error.exit_code)  # as the command line does: the others must notice, not be told
    sys.setprofile(None)
    Path(f"{run}-{comm.rank}.json").write_text(json.dumps(moments.counts))
    comm.close()


class _Moments:
    """Counts the calls that are made in each phase of a run, and kills the process at one of them."""

    def __init__(self, kill: tuple[str, int] | None) -> None:
        self.kill, self.phases = kill, list[tuple[CodeType, str]]()
        self.counts: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, arg: Any) -> None:
        if event == "call" and (phase := PHASES.get(frame.f_code)):
            self.phases.append((frame.f_code, phase))
        if self.phases and event in ("call", "c_call"):
            phase = self.phases[0][1]
            if self.kill == (phase, self.counts[phase]):
                os.kill(os.getpid(), signal.SIGKILL)
            self.counts[phase] += 1
        if event == "return" and self.phases and self.phases[-1][0] is frame.f_code:
            self.phases.pop()

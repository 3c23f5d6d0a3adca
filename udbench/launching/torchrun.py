"""The launcher `torchrun`: a run in several processes of this machine."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from udbench.errors import SettingError, how_ended
from udbench.machine import usable_cores
from udbench.plugin.contracts_run import Task, TaskStatus


def start(tasks: Iterable[Task], folder: Path, settings: None) -> Iterator[TaskStatus]:
    """Run one task after another, each in its number of processes. Their output goes to this terminal."""
    for task in tasks:
        yield TaskStatus(task=task.name, state="running")
        code, reason = launch(task.args, task.processes)
        if code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            yield TaskStatus(task=task.name, state="stopped", code=code)
            return
        state = "failed" if code else "done"
        yield TaskStatus(task=task.name, state=state, code=code, reason=reason)


def launch(args: Sequence[str], processes: int) -> tuple[int, str]:
    """Run `udbench ARGS` in several processes that form one run.

    Returns the exit code of the first process that failed, or 0, and the reason if that process could not print it. The
    processes share the cores evenly. When one fails, the others are ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes print their own errors
    cores = usable_cores()
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    with _signal_handlers_restored(), _environment("OMP_NUM_THREADS", threads):
        try:
            elastic_launch(config, sys.executable)("-P", "-m", "udbench", *args)
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            if failure.exitcode < 0:
                return 1, f"process {failure.local_rank} {how_ended(failure.exitcode)}"
            return failure.exitcode, ""
        except SignalException as error:
            return 128 + int(error.sigval), ""
    return 0, ""


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]


@contextmanager
def _signal_handlers_restored() -> Iterator[None]:
    """Restore the signal handlers afterwards: torchrun leaves its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
    before = {each: signal.getsignal(each) for name in names if (each := getattr(signal, name, None)) is not None}
    try:
        yield
    finally:
        for each, handler in before.items():
            if handler is not None:
                signal.signal(each, handler)


def check_processes(processes: int, device: str) -> None:
    """Raise SettingError if this machine has fewer GPUs than processes."""
    import torch

    if device == "cuda" or (device == "auto" and torch.cuda.is_available()):
        there = torch.cuda.device_count()
        if processes > there:
            raise SettingError(
                f"--processes {processes}: this machine has {there} GPUs, and each process needs one; use --processes "
                f"{there}, --device cpu, or --device cuda:0 to run them all on one GPU, which is not faster"
            )

"""Several processes of one run on this machine, for tests of what they say to each other."""

from __future__ import annotations

import multiprocessing
import os
import queue
import socket
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from udbench.plugin.contracts_model import Adapter
from udbench.plugin.loader import load
from udbench.testing import toys
from udbench.train.checkpoint import Checkpoints, Progress
from udbench.train.evaluate import evaluate
from udbench.train.loop import forward_round
from udbench.train.model import UniversalModel, build_model
from udbench.train.norm.norms import recalibrate
from udbench.train.optim import make_optimizer
from udbench.train.parallel.comm import Comm, join
from udbench.train.schedule import assign, make_schedule
from udbench.train.step import Step

ROWS = {"reds": 4, "blues": 5, "greys": 4}
COSTS = {"reds": 3.0, "blues": 1.0, "greys": 1.0}
ROUNDS = 3


def in_world(size: int, work: Callable[..., Any], *args: Any, timeout: float = 240.0) -> list[Any]:
    """What `work(rank, *args)` returns in each of so many processes that can meet each other, in their order.

    Raises AssertionError with the tracebacks of those that failed.
    """
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    answers = context.Queue()
    started = [
        context.Process(target=_work, args=(rank, size, port, answers, work, args), daemon=True) for rank in range(size)
    ]
    for process in started:
        process.start()
    try:
        told = _collected(started, answers, timeout)
    finally:
        for process in started:
            process.join(10)
            process.kill()
    failed = [str(answer) for _, (ok, answer) in sorted(told.items()) if not ok]
    assert not failed, "\n".join(failed)
    return [told[rank][1] for rank in range(size)]


def _collected(started: Sequence[Any], answers: Any, timeout: float) -> dict[int, Any]:
    told: dict[int, Any] = {}
    end = time.monotonic() + timeout
    silent = 0
    while len(told) < len(started):
        try:
            told.update([answers.get(timeout=1)])
            silent = 0
        except queue.Empty:
            # The answer of a process that has ended may still be on its way.
            silent += any(process.exitcode is not None and i not in told for i, process in enumerate(started))
            codes = [process.exitcode for process in started]
            assert time.monotonic() < end and silent < 10, f"answers from {sorted(told)} only; exit codes {codes}"
    return told


def _work(rank: int, size: int, port: int, answers: Any, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    try:
        answers.put((rank, (True, work(rank, *args))))
    except BaseException:
        answers.put((rank, (False, traceback.format_exc())))


def trained(rank: int, world: int, cases: Sequence[tuple[str, str, bool]]) -> list[dict[str, Any]]:
    """What becomes of a toy network in this world for each case: an adapter, a sharing, and whether it is the toy with
    batch norms or the first that the adapter takes."""
    comm = join(torch.device("cpu")) if world > 1 else Comm()
    found = [_trained(comm, *case) for case in cases]
    comm.close()
    return found


def resumed(rank: int, world: int, adapter: str, folder: Path, group: int | None) -> dict[str, Any]:
    """What becomes of a toy network in this world that goes on where a checkpoint in a folder is, and begins where
    there is none: as `trained`, but a round at most, until there are three."""
    comm = join(torch.device("cpu")) if world > 1 else Comm()
    toy = _Toy(comm, adapter, "deep", True, group)
    checkpoints = Checkpoints(folder, adapter, {})
    begun = comm.broadcast_object(checkpoints.any)
    progress = comm.broadcast_object(
        checkpoints.load(toy.model, lambda round: toy.optimizer)[0] if begun and comm.first else Progress()
    )
    if begun:
        comm.broadcast_state(toy.model, toy.optimizer)
    losses = toy.round(progress.round)
    if progress.round < ROUNDS - 1:
        toy.optimizer.step()
        comm.gather_private_state(toy.model, toy.optimizer)
        if comm.first:
            checkpoints.save(toy.model, toy.optimizer, Progress(round=progress.round + 1))
    found = toy.found(losses)
    comm.close()
    return found


def _trained(comm: Comm, adapter: str, sharing: str, norms: bool) -> dict[str, Any]:
    """Three rounds: the last losses and gradients, the state, the optimizer's, and the predictions."""
    toy = _Toy(comm, adapter, sharing, norms, None)
    losses: dict[str, torch.Tensor] = {}
    for round in range(ROUNDS):
        losses = toy.round(round)
        if round < ROUNDS - 1:
            toy.optimizer.step()
    return toy.found(losses)


class _Toy:
    """A toy network in training on three domains, in float64."""

    def __init__(self, comm: Comm, adapter: str, sharing: str, norms: bool, group: int | None) -> None:
        self.data = [
            toys.toy_data("reds"),
            toys.toy_data("blues", classes=4),
            toys.toy_data("greys", classes=2, channels=1),
        ]
        self.comm, self.adapter = comm, load().get(Adapter, adapter)
        arch = toys.toy_architecture(dropout=0.3) if norms else toys.toy_for(self.adapter, dropout=0.3)
        self.model: UniversalModel = build_model(
            arch,
            self.adapter,
            toys.toy_inputs(self.data),
            adapter_settings=self.adapter.settings() if self.adapter.settings else None,
            sharing=sharing,
            seed=3,
        ).double()
        domain = {"blues": {"batch_size": 5, "weight": 2.0}}
        self.settings = toys.toy_settings(batch_size=4, domain=domain, eval_batch_size=4)
        assignment = assign(ROWS, COSTS, comm.size)
        comm.assign(assignment)
        self.schedule = make_schedule(self.model.inputs, self.settings, group, assignment.slices[comm.rank])
        self.optimizer = make_optimizer(self.model, self.settings)
        self.feed = toys.toy_feed(self.data)
        self.step = Step(self.model.train(), self.feed, self.settings, "fp64", comm=comm)

    def round(self, number: int) -> dict[str, torch.Tensor]:
        """The losses of a round, whose gradients are there."""
        self.optimizer.zero_grad(set_to_none=True)
        return self.step.gradients(number, self.schedule.groups)

    def found(self, losses: Mapping[str, torch.Tensor]) -> dict[str, Any]:
        """All that a law can compare."""
        self.comm.gather_private_state(self.model, self.optimizer)
        rows = {domain.name: np.asarray(domain.test_rows) for domain in self.data}
        by_batch = self.adapter.eval_stats == "batch"

        def predictions() -> dict[str, Any]:
            seen = evaluate(self.model, self.feed, rows, self.settings, "fp64", by_batch=by_batch, comm=self.comm)
            return {name: (each.predicted, each.log_probability) for name, each in seen.items()}

        def state() -> dict[str, Any]:
            return {name: value.numpy().copy() for name, value in self.model.state_dict().items()}

        found: dict[str, Any] = {
            "losses": {name: float(loss) for name, loss in losses.items()},
            "gradients": {n: None if p.grad is None else p.grad.numpy() for n, p in self.model.named_parameters()},
            "state": state(),
            "optimizer": {
                n: {k: v.numpy() for k, v in self.optimizer.state[p].items()}
                for n, p in self.model.named_parameters()
                if p in self.optimizer.state
            },
            "predictions": predictions(),
        }
        recalibrate(self.model, 2, lambda i: forward_round(self.step, self.schedule, ROUNDS + i))
        self.comm.gather_private_state(self.model)
        return found | {"state, recalibrated": state(), "predictions, recalibrated": predictions()}

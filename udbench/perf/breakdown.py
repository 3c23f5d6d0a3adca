"""Where a round's time goes: its parts, a trace of its kernels, and the least that the hardware allows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from udbench.files import atomic_write
from udbench.perf.contenders import TRAIN_IMAGES, UdbenchLoop, UpperBound, steady
from udbench.perf.timing import timed, wait
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.synthetic import made_data
from udbench.train.optim import set_learning_rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """What an operator took by itself, without what it called, and its part of all time in percent."""

    name: str
    calls: int
    milliseconds: float
    percent: float


def profile(
    job: Job, specs: Mapping[str, DomainSpec], path: Path, rounds: int = 3, dearest: int = 10
) -> list[Operator]:
    """Write a trace of so many rounds on made images to a file, and return the dearest operators."""
    job = steady(job)
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    ours = UdbenchLoop(job, inputs, made_data(job, specs, TRAIN_IMAGES), job.config.group)
    ours.rounds(2)
    on_gpu = ours.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=activities) as seen:
        ours.rounds(rounds)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        atomic_write(path, trace.read_bytes())
    took = [  # of a GPU's kernels, the operators that started them
        (e.key, e.count, (e.self_device_time_total if on_gpu else e.self_cpu_time_total))
        for e in seen.key_averages()
        if e.device_type.name == "CPU"
    ]
    whole = sum(micros for _, _, micros in took) or 1.0
    took.sort(key=lambda each: -each[2])
    return [
        Operator(name=name, calls=calls, milliseconds=micros / 1000, percent=100 * micros / whole)
        for name, calls, micros in took[:dearest]
    ]


PARTS: tuple[str, ...] = ("feed", "forward", "backward", "reduce", "step")


def parts_of(ours: UdbenchLoop, rounds: int) -> dict[str, tuple[float, ...]]:
    """The seconds of each part in so many rounds, the device being waited for behind every part.

    feed: making the batches. forward: up to the losses. backward. reduce: gradients to means, and the shared moments'
    update. step: the optimizer.
    """
    took: dict[str, list[float]] = {part: [] for part in PARTS}
    step, settings = ours.step, ours.job.config.settings
    ours.model.train()
    for round in range(ours.at, ours.at + rounds):
        spent: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        losses: dict[str, torch.Tensor] = {}
        set_learning_rate(ours.optimizer, settings, 0)
        for group in ours.schedule.groups:
            with _clocked(spent, "feed", ours.device):
                images, labels = ours.feed.next(round, group, step.batch)
            with _clocked(spent, "forward", ours.device):
                total, means = step.forward(images, labels, group, round)
            with _clocked(spent, "backward", ours.device):
                step.backward(total)
            losses.update(means)
        with _clocked(spent, "reduce", ours.device):
            step.finish(losses)
        with _clocked(spent, "step", ours.device):
            ours.optimizer.step()
            ours.optimizer.zero_grad(set_to_none=True)
        for part, seconds in spent.items():
            took[part].append(seconds)
    ours.at += rounds
    return {part: tuple(seconds) for part, seconds in took.items()}


@contextmanager
def _clocked(spent: dict[str, float], part: str, device: torch.device) -> Iterator[None]:
    began = time.perf_counter()
    yield
    wait(device)
    spent[part] += time.perf_counter() - began


BACKWARD = 2


SIZES = {"cpu": (2048, 64 << 20), "cuda": (8192, 1 << 30)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Roofline:
    """The least seconds a round can take.

    `operations`: of convolutions and linear layers, forward and backward. `bytes`: each layer's input read and output
    written once, and twice again backwards; parameters, gradients and optimizer state once each way. The rates are
    those of a large matrix product and a large copy (read and written bytes), measured here.
    """

    operations: float
    bytes: float
    operations_per_second: float
    bytes_per_second: float

    @property
    def compute_seconds(self) -> float:
        """What the operations take."""
        return self.operations / self.operations_per_second

    @property
    def memory_seconds(self) -> float:
        """What moving the bytes takes, no two layers sharing a pass."""
        return self.bytes / self.bytes_per_second


def floor_of(ceiling: UpperBound) -> Roofline:
    """Count a step of a network with ordinary norms, and measure the device's rates in the step's number format."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        ceiling.forward_backward()
    ceiling.optimizer.zero_grad(set_to_none=True)
    element = 2 if ceiling.precision == "bf16" else next(ceiling.whole.parameters()).element_size()
    moved = _layer_elements(ceiling) * element * (1 + BACKWARD)
    states = sum(p.numel() * p.element_size() for p in ceiling.whole.parameters())
    dtype = torch.bfloat16 if ceiling.precision == "bf16" else next(ceiling.whole.parameters()).dtype
    products, copies = measured_rates(ceiling.device, dtype)
    return Roofline(
        operations=float(counter.get_total_flops()),
        bytes=moved + 5.0 * states,
        operations_per_second=products,
        bytes_per_second=copies,
    )


def measured_rates(device: torch.device, dtype: torch.dtype) -> tuple[float, float]:
    """Operations a second of a large matrix product, and bytes a second, read and written, of a large copy."""
    side, size = SIZES.get(device.type, SIZES["cpu"])
    one = torch.rand(side, side, device=device).to(dtype)
    two = torch.rand(side, side, device=device).to(dtype)
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return (
        2 * side**3 / _best(lambda: one @ two, device),
        2 * size / _best(lambda: target.copy_(source), device),
    )


def _best(task: Callable[[], object], device: torch.device) -> float:
    task()
    return min(timed(task, device) for _ in range(5))


def _layer_elements(ceiling: UpperBound) -> int:
    """Elements that the layers of the network read and write in a forward."""
    total = 0

    def count(_module: nn.Module, given: tuple[object, ...], made: object) -> None:
        nonlocal total
        total += sum(each.numel() for each in (*given, made) if isinstance(each, Tensor))

    leaves = [module for module in ceiling.whole.modules() if not any(True for _ in module.children())]
    hooks = [module.register_forward_hook(count) for module in leaves]
    try:
        with torch.no_grad():
            ceiling.whole.eval()
            for images, _, group in ceiling.batches:
                for part, own in zip(group, ceiling.trunk(images).split([p.rows for p in group]), strict=True):
                    ceiling.heads[part.domain](own)
    finally:
        ceiling.whole.train()
        for hook in hooks:
            hook.remove()
    return total

"""Where a round's time goes: the parts of a round, a profile of its operators, and a roofline of the hardware."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity

from udbench.files import atomic_write
from udbench.perf.contenders import TRAIN_IMAGES, UdbenchLoop, UpperBound, steady
from udbench.perf.timing import PartClock, timed
from udbench.plugin.contracts_data import DomainSpec
from udbench.runs.job import Job, inputs_of
from udbench.runs.synthetic import synthetic_data
from udbench.train.step import PARTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """An operator's own time, without the operators that it called, and its share of all time in percent."""

    name: str
    calls: int
    milliseconds: float
    percent: float


def profile(job: Job, specs: Mapping[str, DomainSpec], path: Path, rounds: int = 3, top: int = 10) -> list[Operator]:
    """Profile so many rounds on synthetic images: write the trace to a file, return the most expensive operators."""
    job = steady(job)
    inputs = inputs_of(job, {name: spec.num_classes for name, spec in specs.items()})
    loop = UdbenchLoop(job, inputs, synthetic_data(job, specs, TRAIN_IMAGES), job.config.group)
    loop.rounds(2)
    on_gpu = loop.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=activities) as profiler:
        loop.rounds(rounds)
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        atomic_write(path, trace.read_bytes())
    operators = [  # of a GPU's kernels, the operators that launched them
        (e.key, e.count, (e.self_device_time_total if on_gpu else e.self_cpu_time_total))
        for e in profiler.key_averages()
        if e.device_type.name == "CPU"
    ]
    whole = sum(micros for _, _, micros in operators) or 1.0
    operators.sort(key=lambda operator: -operator[2])
    return [
        Operator(name=name, calls=calls, milliseconds=micros / 1000, percent=100 * micros / whole)
        for name, calls, micros in operators[:top]
    ]


def time_parts(loop: UdbenchLoop, rounds: int) -> dict[str, tuple[float, ...]]:
    """The seconds of each part (`train.step.PARTS`) in each of so many rounds, synchronized with the device."""
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    loop.model.train()
    for _ in range(rounds):
        clock = PartClock(loop.device)
        loop.timed_round(clock)
        for part, spent in clock.stop().items():
            seconds[part].append(spent)
    return {part: tuple(spent) for part, spent in seconds.items()}


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

    def count(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal total
        total += sum(value.numel() for value in (*inputs, output) if isinstance(value, Tensor))

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

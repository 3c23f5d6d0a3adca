"""A trace of some rounds, and what was dearest in them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity

from udbench.bench.contenders import Ours
from udbench.bench.step import TRAIN_IMAGES, steady
from udbench.domains import DomainSpec
from udbench.files import atomic_write
from udbench.runs.job import Job, inputs_of
from udbench.runs.made import made_data


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
    ours = Ours(job, inputs, made_data(job, specs, TRAIN_IMAGES), job.config.group)
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

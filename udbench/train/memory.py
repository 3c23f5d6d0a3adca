"""Checks before training that the forwards of a round fit into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from udbench.errors import RunError, SettingError
from udbench.machine import memory
from udbench.train.model import UniversalModel, dummy_batch, preserve_state
from udbench.train.precision import computing
from udbench.train.route import Slice
from udbench.train.schedule import Group, Schedule

ROWS = 2
GROUPS = "--group N (fewer domains in a forward)"
SMALLER = "--set batch_size=N or --set image_size=N"


def activation_bytes(model: UniversalModel, domain: str, precision: str) -> int:
    """The bytes per image that a forward of a domain keeps for its backward, counted on a batch of two images."""
    kept: dict[int, int] = {}
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = max(kept.get(storage.data_ptr(), 0), storage.nbytes())
        return tensor.detach()  # an output that its own node saves would never be freed

    device = next(model.parameters()).device
    with preserve_state(model), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model.train()
        with computing(precision, device, timed=False):
            held = model(dummy_batch(model, domain, ROWS), [Slice(domain, ROWS)])
        del held
    return sum(kept.values()) // ROWS


def available_bytes(device: torch.device) -> int | None:
    """The free memory of a GPU, or the memory that this process may use on a CPU, in bytes. None if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    there = memory()
    return None if there is None else there.free


def check_memory(model: UniversalModel, schedule: Schedule, precision: str) -> None:
    """Raise SettingError if a round's largest forward needs more memory than is free, with what would fit."""
    device = next(model.parameters()).device
    free = available_bytes(device)
    if free is None:
        return
    by_shape = _bytes_by_shape(model, precision)
    sizes = {name: by_shape[image.height, image.width] for name, image in model.inputs.items()}
    # The first step allocates gradients and the optimizer's state.
    copies = 3 * sum(parameter.nbytes for parameter in model.parameters() if parameter.requires_grad)
    needed = {group: copies + sum(sizes[part.domain] * part.rows for part in group) for group in schedule.groups}
    group, most = max(needed.items(), key=lambda item: item[1])
    if most <= free:
        return
    rows = sum(part.rows for part in group)
    raise SettingError(
        f"a forward of {len(group)} domains with {rows} images would need about {_gb(most)} of memory, and {_gb(free)} "
        f"is free on {device}; {_what_fits(group, sizes, free - copies)}"
    )


@contextmanager
def explain_out_of_memory(device: torch.device, what: str, instead: str) -> Iterator[None]:
    """Within, running out of memory raises RunError with what was running (`what`) and what to do (`instead`)."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise RunError(f"out of memory on {device}, {what}; {instead}") from error


def training(schedule: Schedule) -> tuple[str, str]:
    """The arguments of `explain_out_of_memory` for training."""
    rows = max(sum(part.rows for part in group) for group in schedule.groups)
    return f"with {rows} images in the largest forward", f"use {GROUPS}, or {SMALLER}"


def _bytes_by_shape(model: UniversalModel, precision: str) -> dict[tuple[int, int], int]:
    first = {(image.height, image.width): name for name, image in reversed(model.inputs.items())}
    return {shape: activation_bytes(model, name, precision) for shape, name in first.items()}


def _what_fits(group: Group, sizes: dict[str, int], room: int) -> str:
    fitting = next((n for n in range(len(group) - 1, 0, -1) if _largest(group, sizes, n) <= room), None)
    if fitting is not None:
        return f"--group {fitting} fits: it runs {fitting} of them at a time and changes no result"
    each = max(sizes[part.domain] for part in group)
    if each and (rows := room // each) > 1:
        return f"--set batch_size={rows} --group 1 fits, or smaller images (--set image_size=N)"
    return f"choose smaller images ({SMALLER}) or a smaller network (--arch)"


def _largest(group: Sequence[Slice], sizes: dict[str, int], number: int) -> int:
    """The bytes of the largest forward, with at most `number` slices in each."""
    bytes_of = [sizes[part.domain] * part.rows for part in group]
    return max(sum(bytes_of[start : start + number]) for start in range(0, len(group), number))


def _gb(number: int) -> str:
    return f"{number / 1e9:.1f} GB"

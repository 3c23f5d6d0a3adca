"""What the hardware allows: operations and bytes of a step, against the rates at which this device does them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from udbench.bench.contenders import Ceiling
from udbench.bench.timing import timed

BACKWARD = 2
SIZES = {"cpu": (2048, 64 << 20), "cuda": (8192, 1 << 30)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
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


def floor_of(ceiling: Ceiling) -> Floor:
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
    return Floor(
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


def _layer_elements(ceiling: Ceiling) -> int:
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

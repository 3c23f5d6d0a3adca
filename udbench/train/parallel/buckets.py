"""Buckets of gradients whose reduction over processes overlaps with the backward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PARTS, LEAST_BYTES, MOST_BYTES = 4, 1 << 20, 25 << 20
"""Buckets of one reduction: few, since each costs a latency; not one, which would wait for the first layer."""

Guard = Callable[[], AbstractContextManager[None]]


class GradBuckets:
    """Sum the gradients of some parameters over the processes of a group (None: all), bucket by bucket.

    Buckets go from the last parameter to the first, as a backward reaches them. All processes have the same parameters
    and send the buckets in the same order. A parameter without a gradient counts as zero. Collectives run under
    `guard`.
    """

    def __init__(self, parameters: Sequence[Tensor], group: Any, guard: Guard) -> None:
        trained = [parameter for parameter in reversed(parameters) if parameter.requires_grad]
        self._buckets = list(_buckets(trained, bucket_bytes(sum(parameter.nbytes for parameter in trained))))
        self._group, self._guard = group, guard
        self._missing = [len(bucket) for bucket in self._buckets]
        self._sent: list[tuple[Tensor, Any]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within, the last backward of a round sends each bucket once its gradients are complete.

        All buckets have been sent when the block ends.
        """
        hooks = [
            parameter.register_post_accumulate_grad_hook(lambda _, i=i: self._complete(i))
            for i, bucket in enumerate(self._buckets)
            for parameter in bucket
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
        self.send()

    def send(self, last: int | None = None) -> None:
        """Send the unsent buckets before index `last` (None: all)."""
        for bucket in self._buckets[len(self._sent) : last]:
            flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
            with self._guard():
                self._sent.append((flat, dist.all_reduce(flat, group=self._group, async_op=True)))

    def finish(self, used: Callable[[Tensor], bool]) -> None:
        """Wait for the sums, and write them to the gradients of the parameters for which `used` holds."""
        self.send()
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            with self._guard():
                work.wait()
            for parameter, value in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
                if used(parameter):
                    if parameter.grad is None:
                        parameter.grad = torch.empty_like(parameter)
                    parameter.grad.copy_(value.view(parameter.shape))

    def _complete(self, index: int) -> None:
        self._missing[index] -= 1
        ready = len(self._sent)
        while ready < len(self._buckets) and self._missing[ready] == 0:
            ready += 1
        self.send(ready)


def bucket_bytes(whole: int) -> int:
    """The maximum bytes of a bucket, where `whole` bytes are summed in all."""
    return max(LEAST_BYTES, min(MOST_BYTES, -(-whole // PARTS)))


def _buckets(parameters: Sequence[Tensor], most: int) -> Iterator[list[Tensor]]:
    """Split parameters into runs of neighbours of one dtype, of at most `most` bytes."""
    bucket: list[Tensor] = []
    size = 0
    for parameter in parameters:
        if bucket and (size + parameter.nbytes > most or parameter.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(parameter)
        size += parameter.nbytes
    if bucket:
        yield bucket


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad

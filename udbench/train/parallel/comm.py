"""Communication between the processes of a run: gradients, running statistics, losses and requests to stop.

The model has no wrapper. Gradients of shared parameters are summed over all processes, those of a domain's parameters
over the processes of that domain. torchrun starts the processes, and torch.distributed transports the bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from udbench.errors import RunError, SettingError
from udbench.machine import world
from udbench.processes.waiting import time_limit
from udbench.train.norm.norms import SliceNorm
from udbench.train.norm.synced import syncing
from udbench.train.ownership import owned_names, owned_parameters
from udbench.train.parallel.buckets import GradBuckets
from udbench.train.schedule import Assignment

REQUESTS = ("stop", "save")


class Comm:
    """One process of a run. With a single process, every method leaves its arguments as they are."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self.device = device or torch.device("cpu")
        self.assignment: Assignment | None = None
        self._requested: frozenset[str] = frozenset()
        self._agreed: frozenset[str] = frozenset()
        self._groups: dict[str, Any] = {}
        self._sums: list[GradBuckets] = []
        self._round = 0

    @property
    def first(self) -> bool:
        """Whether this is the process of rank 0, which writes files and prints."""
        return self.rank == 0

    def assign(self, assignment: Assignment) -> None:
        """Set the assignment of slices, and create a process group for each split domain. A collective call."""
        self.assignment, self._groups = assignment, {}
        for domain, ranks in assignment.ranks_of.items():
            if len(ranks) > 1:
                group = dist.new_group(list(ranks), timeout=timedelta(seconds=time_limit()))
                if self.rank in ranks:
                    self._groups[domain] = group

    def request(self, requests: Collection[str]) -> None:
        """Request actions of all processes after the next round. `requests` are among REQUESTS."""
        self._requested = frozenset(requests)

    @property
    def agreed(self) -> frozenset[str]:
        """The requests of any process before the last round. They are equal in all processes."""
        return self._agreed

    @contextmanager
    def norms(self) -> Iterator[None]:
        """Within, the batch norms of a split domain compute mean and variance over all of its processes."""
        if not self._groups:
            yield
            return
        (group,) = self._groups.values()  # a process of a split domain has no other domain
        with syncing(group):
            yield

    @contextmanager
    def overlapped_reduce(self, shared: Sequence[Tensor], private: Mapping[str, Sequence[Tensor]]) -> Iterator[None]:
        """Within, the last backward of a round starts to reduce each bucket as soon as its gradients are complete.

        `sum_gradients` waits for the reductions, or starts them where this context was not used.
        """
        if self.size == 1:
            yield
            return
        self._sums = self._sums_of(shared, private)
        with ExitStack() as watched:
            for sums in self._sums:
                watched.enter_context(sums.watching())
            yield

    def sum_gradients(
        self, shared: Sequence[Tensor], private: Mapping[str, Sequence[Tensor]], losses: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Sum each parameter's gradients over the processes that train it, and return every domain's loss.

        A parameter that no process used keeps the gradient None.
        """
        if self.size == 1:
            self._agreed = self._requested
            return dict(losses)
        assert self.assignment is not None
        names = list(self.assignment.ranks_of)
        sums, self._sums = self._sums or self._sums_of(shared, private), []
        for buckets in sums:
            buckets.send()
        flags = self._agree([parameter.grad is not None for parameter in shared])
        used = {id(parameter) for parameter, use in zip(shared, flags, strict=True) if use}
        totals = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        for i, name in enumerate(names):
            if name in losses:
                totals[i] = losses[name].double()
        with self._guarded():
            dist.all_reduce(totals)
        shared_buckets, *private_buckets = sums
        shared_buckets.finish(lambda parameter: id(parameter) in used)
        for buckets in private_buckets:
            buckets.finish(lambda parameter: parameter.grad is not None)
        self._round += 1
        return {name: totals[i] for i, name in enumerate(names)}

    def all_reduce_norm_stats(self, model: nn.Module) -> None:
        """Exchange the statistics of each domain's rows in this round, for norms with shared running statistics."""
        if self.size == 1:
            return
        assert self.assignment is not None
        norms = [m for m in model.modules() if isinstance(m, SliceNorm) and m.stats == "shared" and not m.mixed]
        if not norms:
            return
        mine = [name for name, ranks in self.assignment.ranks_of.items() if ranks[0] == self.rank]
        parts = [norm.round_stats(mine) for norm in norms]
        flat = torch.cat([part.flatten() for part in parts])
        with self._guarded():
            dist.all_reduce(flat)
        for norm, part, whole in zip(norms, parts, flat.split([part.numel() for part in parts]), strict=True):
            norm.set_round_stats(whole.view_as(part))

    def gather_private_state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Broadcast each domain's parameters and buffers from the process that trained them.

        The optimizer's state of them is sent to the first process.
        """
        if self.size == 1:
            return
        assert self.assignment is not None
        with self._guarded():
            for domain, ranks in self.assignment.ranks_of.items():
                owned = _owned_tensors(model, domain)
                for dtype in dict.fromkeys(tensor.dtype for tensor in owned):  # the same order in all processes
                    alike = [tensor for tensor in owned if tensor.dtype == dtype]
                    flat = torch.cat([tensor.detach().flatten() for tensor in alike])
                    dist.broadcast(flat, ranks[0])
                    with torch.no_grad():
                        for tensor, value in zip(alike, flat.split([t.numel() for t in alike]), strict=True):
                            tensor.copy_(value.view_as(tensor))
            if optimizer is not None:
                self._gather_optimizer_state(model, optimizer)

    def broadcast_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Broadcast the weights and the optimizer's state of the first process."""
        if self.size == 1:
            return
        with self._guarded():
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)
        state = self.broadcast_object(optimizer.state_dict() if self.first else None)
        if not self.first:
            optimizer.load_state_dict(state)

    def broadcast_object(self, value: object) -> Any:
        """Return the value of the first process, in all processes."""
        if self.size == 1:
            return value
        box = [value]
        with self._guarded():
            dist.broadcast_object_list(box, 0)
        return box[0]

    def gather(self, part: object) -> list[Any]:
        """Return the parts of all processes by rank, in all processes."""
        if self.size == 1:
            return [part]
        parts: list[Any] = [None] * self.size
        with self._guarded():
            dist.all_gather_object(parts, part)
        return parts

    def close(self) -> None:
        """Destroy the process group."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _agree(self, used: Sequence[bool]) -> list[bool]:
        """Return which shared parameters any process used, and set `agreed` to the requests of any process."""
        flags = torch.tensor([*map(float, used), *(float(request in self._requested) for request in REQUESTS)])
        with self._guarded():
            dist.all_reduce(flags)
        any_of: list[bool] = (flags > 0).tolist()
        self._agreed = frozenset(request for request, yes in zip(REQUESTS, any_of[len(used) :], strict=True) if yes)
        return any_of[: len(used)]

    def _sums_of(self, shared: Sequence[Tensor], private: Mapping[str, Sequence[Tensor]]) -> list[GradBuckets]:
        """The buckets of the shared parameters, then those of the parameters of each split domain of this process."""
        split = [GradBuckets(private[domain], group, self._guarded) for domain, group in self._groups.items()]
        return [GradBuckets(shared, None, self._guarded), *split]

    def _gather_optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        assert self.assignment is not None
        mine: dict[str, list[Any]] = {}
        for domain, ranks in self.assignment.ranks_of.items():
            if ranks[0] == self.rank and self.rank != 0:
                mine[domain] = [_on_cpu(optimizer.state.get(p, {})) for p in owned_parameters(model, domain)]
        parts: list[Any] | None = [None] * self.size if self.first else None
        dist.gather_object(mine, parts)
        for part in parts or ():
            for domain, states in part.items():
                for parameter, state in zip(owned_parameters(model, domain), states, strict=True):
                    if state:
                        optimizer.state[parameter] = {
                            name: value.to(parameter.device) if isinstance(value, Tensor) and value.dim() else value
                            for name, value in state.items()
                        }

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Within, a collective that fails raises RunError with the rank, the domains and the round."""
        try:
            yield
        except RuntimeError as error:
            slices = self.assignment.slices[self.rank] if self.assignment else ()
            mine = ", ".join(part.domain for part in slices) or "no domain yet"
            raise RunError(
                f"process {self.rank} of {self.size} ({mine}) lost the others in round {self._round + 1}: "
                f"{str(error).splitlines()[0]}. If another process printed an error, that is the cause. If none did, "
                "a process has stopped or is too slow (UDBENCH_TIMEOUT=SECONDS sets how long they wait)"
            ) from error


def join(device: torch.device, *, one_gpu: bool = False) -> Comm:
    """Join the process group of a torchrun job. Without torchrun, return a Comm of one process.

    `one_gpu` says that several processes share a GPU, which NCCL refuses; gloo is used instead. Raises RunError when
    the other processes do not join.
    """
    try:
        here = world()
    except ValueError as error:
        raise SettingError(str(error)) from None
    if here.size == 1:
        return Comm(device=device)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" and not one_gpu else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=time_limit()))
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"process {here.rank} of {here.size} could not join the others: {str(error).splitlines()[0]}. For a run of "
            "one process, unset RANK and WORLD_SIZE"
        ) from error
    return Comm(dist.get_rank(), here.size, device)


def _owned_tensors(model: nn.Module, domain: str) -> list[Tensor]:
    names = owned_names(model, domain)
    return [tensor for name, tensor in model.state_dict(keep_vars=True).items() if name in names]


def _on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}

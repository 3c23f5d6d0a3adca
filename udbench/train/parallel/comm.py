"""What the processes of a run say to each other: gradients, moments, losses, and when to stop.

No wrapper around the model: what is shared is summed over all processes, what is a domain's own over the processes of
that domain. torchrun starts the processes and torch.distributed moves the bytes.
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

WISHES = ("stop", "save")


class Comm:
    """One process among those of a run. With a world of one, nothing is sent and nothing changes."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size = rank, size
        self.device = device or torch.device("cpu")
        self.deal: Assignment | None = None
        self._asked: frozenset[str] = frozenset()
        self._granted: frozenset[str] = frozenset()
        self._groups: dict[str, Any] = {}
        self._sums: list[GradBuckets] = []
        self._round = 0

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and prints."""
        return self.rank == 0

    def assign(self, deal: Assignment) -> None:
        """Take note of who does which rows. Called by all processes alike."""
        self.deal, self._groups = deal, {}
        for domain, ranks in deal.members.items():
            if len(ranks) > 1:
                group = dist.new_group(list(ranks), timeout=timedelta(seconds=time_limit()))
                if self.rank in ranks:
                    self._groups[domain] = group

    def request(self, requests: Collection[str]) -> None:
        """Ask all processes to do something behind the round that begins: some of WISHES."""
        self._asked = frozenset(requests)

    @property
    def agreed(self) -> frozenset[str]:
        """What any process asked for before the last round, the same in all of them."""
        return self._granted

    @contextmanager
    def norms(self) -> Iterator[None]:
        """Within, a batch norm whose domain's rows lie in several processes takes its moments from all of them."""
        if not self._groups:
            yield
            return
        (group,) = self._groups.values()  # where a domain is split, each of its processes has that domain alone
        with syncing(group):
            yield

    @contextmanager
    def overlapped_reduce(self, shared: Sequence[Tensor], private: Mapping[str, Sequence[Tensor]]) -> Iterator[None]:
        """Within, the last backward of a round runs, and sums of gradients begin as they are whole.

        `sum_gradients` waits for them; without this it begins them itself.
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
        """Sum gradients over the processes that use a parameter, and return every domain's loss.

        A parameter that no process used keeps a gradient of None.
        """
        if self.size == 1:
            self._granted = self._asked
            return dict(losses)
        assert self.deal is not None
        names = list(self.deal.members)
        sums, self._sums = self._sums or self._sums_of(shared, private), []
        for each in sums:
            each.send()
        flags = self._agree([parameter.grad is not None for parameter in shared])
        used = {id(parameter) for parameter, use in zip(shared, flags, strict=True) if use}
        told = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        for i, name in enumerate(names):
            if name in losses:
                told[i] = losses[name].double()
        with self._guarded():
            dist.all_reduce(told)
        of_all, *own = sums
        of_all.finish(lambda parameter: id(parameter) in used)
        for each in own:
            each.finish(lambda parameter: parameter.grad is not None)
        self._round += 1
        return {name: told[i] for i, name in enumerate(names)}

    def all_reduce_norm_stats(self, model: nn.Module) -> None:
        """Let every process know what each domain's rows left with the norms whose running moments all share."""
        if self.size == 1:
            return
        assert self.deal is not None
        norms = [m for m in model.modules() if isinstance(m, SliceNorm) and m.moments == "shared" and not m.mixed]
        if not norms:
            return
        mine = [name for name, ranks in self.deal.members.items() if ranks[0] == self.rank]
        parts = [norm.report(mine) for norm in norms]
        flat = torch.cat([part.flatten() for part in parts])
        with self._guarded():
            dist.all_reduce(flat)
        for norm, part, whole in zip(norms, parts, flat.split([part.numel() for part in parts]), strict=True):
            norm.take_report(whole.view_as(part))

    def gather_private_state(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Bring what each domain owns, and for the first process the optimizer's state of it, from who trained it."""
        if self.size == 1:
            return
        assert self.deal is not None
        with self._guarded():
            for domain, ranks in self.deal.members.items():
                own = _owned_tensors(model, domain)
                for dtype in dict.fromkeys(tensor.dtype for tensor in own):  # in one order in all processes
                    alike = [tensor for tensor in own if tensor.dtype == dtype]
                    flat = torch.cat([tensor.detach().flatten() for tensor in alike])
                    dist.broadcast(flat, ranks[0])
                    with torch.no_grad():
                        for tensor, value in zip(alike, flat.split([t.numel() for t in alike]), strict=True):
                            tensor.copy_(value.view_as(tensor))
            if optimizer is not None:
                self._bring_states(model, optimizer)

    def broadcast_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Give all processes the first one's weights and optimizer state."""
        if self.size == 1:
            return
        with self._guarded():
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)
        state = self.broadcast_object(optimizer.state_dict() if self.first else None)
        if not self.first:
            optimizer.load_state_dict(state)

    def broadcast_object(self, value: object) -> Any:
        """The first process's value, in all of them."""
        if self.size == 1:
            return value
        box = [value]
        with self._guarded():
            dist.broadcast_object_list(box, 0)
        return box[0]

    def gather(self, part: object) -> list[Any]:
        """Every process's part, in the order of their ranks, in all of them."""
        if self.size == 1:
            return [part]
        parts: list[Any] = [None] * self.size
        with self._guarded():
            dist.all_gather_object(parts, part)
        return parts

    def close(self) -> None:
        """Leave the others in peace."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def _agree(self, used: Sequence[bool]) -> list[bool]:
        """Which of the shared parameters any process used; and what any asks for."""
        said = torch.tensor([*map(float, used), *(float(wish in self._asked) for wish in WISHES)])
        with self._guarded():
            dist.all_reduce(said)
        flags: list[bool] = (said > 0).tolist()
        self._granted = frozenset(wish for wish, yes in zip(WISHES, flags[len(used) :], strict=True) if yes)
        return flags[: len(used)]

    def _sums_of(self, shared: Sequence[Tensor], private: Mapping[str, Sequence[Tensor]]) -> list[GradBuckets]:
        """Those of what all share, and of what the processes of a split domain own together."""
        split = [GradBuckets(private[domain], group, self._guarded) for domain, group in self._groups.items()]
        return [GradBuckets(shared, None, self._guarded), *split]

    def _bring_states(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        assert self.deal is not None
        mine: dict[str, list[Any]] = {}
        for domain, ranks in self.deal.members.items():
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
        """Within, a collective that fails is told as what it is. Raises RunError."""
        try:
            yield
        except RuntimeError as error:
            mine = ", ".join(part.domain for part in self.deal.slices[self.rank]) if self.deal else "nothing yet"
            raise RunError(
                f"process {self.rank} of {self.size} ({mine}) lost the others in round {self._round + 1}: "
                f"{str(error).splitlines()[0]}. If another process told an error, that is the cause; if none did, one "
                "of them has stopped or is too slow (UDBENCH_TIMEOUT=SECONDS changes how long they wait)"
            ) from error


def join(device: torch.device, *, one_gpu: bool = False) -> Comm:
    """Meet the other processes that torchrun started; alone without it. Raises RunError when they do not come.

    `one_gpu` says that several processes share a GPU, which NCCL refuses: gloo then carries what they say.
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
            f"process {here.rank} of {here.size} did not meet the others: {str(error).splitlines()[0]}. If this is to "
            "be one process, unset RANK and WORLD_SIZE"
        ) from error
    return Comm(dist.get_rank(), here.size, device)


def _owned_tensors(model: nn.Module, domain: str) -> list[Tensor]:
    names = owned_names(model, domain)
    return [tensor for name, tensor in model.state_dict(keep_vars=True).items() if name in names]


def _on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}

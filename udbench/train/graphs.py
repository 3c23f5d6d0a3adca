"""Rounds as CUDA graphs: what follows the feed is recorded once, and then launched in one piece."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from udbench.errors import SettingError, UdbenchError
from udbench.train.counted_dropout import CountedDropout
from udbench.train.schedule import Group

WARM = 3  # eager rounds in front of a capture, in which libraries start and compilers compile

Groups = tuple[Group, ...]
Batch = tuple[Tensor, Sequence[Tensor]]
Gradients = Callable[[int, Groups, Iterable[Batch]], dict[str, Tensor]]
T = TypeVar("T")


def check_graphs(device: torch.device, option: str = "--cuda-graphs") -> None:
    """Raises SettingError where a device has no CUDA graphs, which this option asks for."""
    if device.type != "cuda":
        raise SettingError(f"{option}: needs a CUDA GPU, this is {device}; leave it out")


def drawn_by_round(model: nn.Module) -> str | None:
    """The path of a layer whose masks are drawn by the round's number, which a graph would repeat for ever."""
    drawing = (path for path, module in model.named_modules() if isinstance(module, CountedDropout) and module.p)
    return next(drawing, None)


class Recorder(Protocol):
    """What records work, and what work must have run in before it can be recorded."""

    def warm(self, work: Callable[[], T]) -> T:
        """Do the work as it will be recorded."""
        ...

    def capture(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Record the work without doing it; where its result will be, and what does it."""
        ...


class CudaRecorder:
    """Records on a GPU, as torch.cuda.graph asks for: warm rounds and capture are on one stream of their own, so that
    no node of autograd that outlives a round, and no library's workspace, belongs to another."""

    def __init__(self, device: torch.device) -> None:
        gc.collect()  # nodes of autograd in cycles, which belong to the stream that everything else runs on
        self._stream = torch.cuda.Stream(device)

    def warm(self, work: Callable[[], T]) -> T:
        outer = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(outer)
        with torch.cuda.stream(self._stream):
            done = work()
        outer.wait_stream(self._stream)
        return done

    def capture(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        gc.collect()
        graph = torch.cuda.CUDAGraph()
        # The outer context chooses the device, and puts the stream back where a capture that failed does not. Threads
        # that pin decoded images go on meanwhile: what they do is their own.
        with (
            torch.cuda.stream(self._stream),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            done = work()
        return done, graph.replay


@dataclass(frozen=True, slots=True)
class _Graph:
    """A recorded round: whose losses and gradients it writes to which memory, and what runs it."""

    domains: tuple[str, ...]
    losses: Tensor
    gradients: tuple[tuple[nn.Parameter, Tensor], ...]
    replay: Callable[[], None]

    def __call__(self) -> dict[str, Tensor]:
        self.replay()
        for parameter, gradient in self.gradients:  # dropped by who trains with them, behind each round
            parameter.grad = gradient
        return dict(zip(self.domains, self.losses.clone().unbind(), strict=True))


class Captured:
    """Rounds of one process, each kind of round a graph.

    `gradients` fills a model's gradients from a round's batches, and gives each domain's loss. The first WARM rounds of
    some groups are eager; the next is recorded, and from then on replayed. The round's number is part of what is
    recorded, so nothing may depend on it. Raises SettingError where dropout does, and UdbenchError, with the reason,
    when a network cannot be recorded.
    """

    def __init__(self, model: nn.Module, gradients: Gradients, recorder: Recorder) -> None:
        if (path := drawn_by_round(model)) is not None:
            raise SettingError(
                f"--cuda-graphs: the network's dropout '{path}' draws new masks each round, and a graph would repeat "
                "one round's; leave --cuda-graphs out"
            )
        self._parameters = list(model.parameters())
        self._gradients, self._recorder = gradients, recorder
        self._warm: Counter[Groups] = Counter()
        self._held: dict[Groups, tuple[Batch, ...]] = {}
        self._graphs: dict[Groups, _Graph] = {}

    def __call__(self, round: int, groups: Groups, batches: Sequence[Batch]) -> dict[str, Tensor]:
        """Each domain's mean loss, the parameters' gradients filled."""
        held = self._taken(groups, batches)
        if self._warm[groups] < WARM:
            self._warm[groups] += 1
            return self._recorder.warm(lambda: self._gradients(round, groups, held))
        if groups not in self._graphs:
            self._graphs[groups] = self._record(round, groups, held)
        return self._graphs[groups]()

    def _taken(self, groups: Groups, batches: Sequence[Batch]) -> tuple[Batch, ...]:
        """The batches in the memory that a graph reads them from, which warm rounds read as well."""
        held = self._held.get(groups)
        if held is None:
            held = tuple((images.clone(), [each.clone() for each in labels]) for images, labels in batches)
            self._held[groups] = held
            return held
        for (images, labels), (new_images, new_labels) in zip(held, batches, strict=True):
            for to, what in zip((images, *labels), (new_images, *new_labels), strict=True):
                to.copy_(what)
        return held

    def _record(self, round: int, groups: Groups, held: tuple[Batch, ...]) -> _Graph:
        def work() -> Tensor:
            for parameter in self._parameters:
                parameter.grad = None
            return torch.stack(list(self._gradients(round, groups, held).values()))

        try:
            losses, replay = self._recorder.capture(work)
        except RuntimeError as error:
            cause = _first(error)
            if isinstance(cause, torch.OutOfMemoryError | UdbenchError):
                raise cause from None
            reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
            raise UdbenchError(f"--cuda-graphs: this network cannot be captured ({reason}); leave it out") from error
        return _Graph(
            domains=tuple(part.domain for group in groups for part in group),
            losses=losses,
            gradients=tuple((each, each.grad) for each in self._parameters if each.grad is not None),
            replay=replay,
        )


def _first(error: BaseException) -> BaseException:
    """The error that the others followed: ending a capture that failed fails as well."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return error

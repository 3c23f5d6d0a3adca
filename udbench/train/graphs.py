"""Rounds as CUDA graphs: everything after the feed is captured once and then replayed."""

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

WARM = 3  # eager rounds before a capture, in which libraries initialise and compilers compile

Groups = tuple[Group, ...]
Batch = tuple[Tensor, Sequence[Tensor]]
Gradients = Callable[[int, Groups, Iterable[Batch]], dict[str, Tensor]]
T = TypeVar("T")


def check_graphs(device: torch.device, option: str = "--cuda-graphs") -> None:
    """Raise SettingError if a device has no CUDA graphs. `option` is the option that asks for them."""
    if device.type != "cuda":
        raise SettingError(f"{option}: needs a CUDA GPU, this is {device}; leave it out")


def drawn_by_round(model: nn.Module) -> str | None:
    """The path of a layer whose masks depend on the round, or None. A graph would repeat the masks of one round."""
    drawing = (path for path, module in model.named_modules() if isinstance(module, CountedDropout) and module.p)
    return next(drawing, None)


class Recorder(Protocol):
    """Captures work as a graph, and runs the warm-up before it."""

    def warm(self, work: Callable[[], T]) -> T:
        """Run the work eagerly, under the conditions of the capture."""
        ...

    def capture(self, work: Callable[[], Tensor]) -> tuple[Tensor, Callable[[], None]]:
        """Capture the work without running it. Returns the tensor of its result, and the function that replays it."""
        ...


class CudaRecorder:
    """Captures on a GPU as torch.cuda.graph requires.

    Warm-up rounds and captures run on one stream of their own, so that no autograd node that outlives a round, and no
    library workspace, belongs to another stream.
    """

    def __init__(self, device: torch.device) -> None:
        gc.collect()  # autograd nodes in reference cycles belong to the default stream
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
        # The outer context selects the device, and restores the stream when a capture fails. The threads that pin
        # decoded images run meanwhile and must not be captured.
        with (
            torch.cuda.stream(self._stream),
            torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
        ):
            done = work()
        return done, graph.replay


@dataclass(frozen=True, slots=True)
class _Graph:
    """A captured round: the memory of its losses and gradients, and the function that replays it."""

    domains: tuple[str, ...]
    losses: Tensor
    gradients: tuple[tuple[nn.Parameter, Tensor], ...]
    replay: Callable[[], None]

    def __call__(self) -> dict[str, Tensor]:
        self.replay()
        for parameter, gradient in self.gradients:  # the training loop sets them to None after each round
            parameter.grad = gradient
        return dict(zip(self.domains, self.losses.clone().unbind(), strict=True))


class Captured:
    """The rounds of one process as CUDA graphs, one for each combination of groups.

    `gradients` computes a model's gradients from a round's batches and returns each domain's loss. The first WARM
    rounds of a combination are eager; the next is captured, and replayed from then on. The number of the round is part
    of the capture, so nothing may depend on it. Raises SettingError if dropout does, and UdbenchError with the reason
    if a network cannot be captured.
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
        """Compute the parameters' gradients, and return each domain's mean loss."""
        held = self._static_batches(groups, batches)
        if self._warm[groups] < WARM:
            self._warm[groups] += 1
            return self._recorder.warm(lambda: self._gradients(round, groups, held))
        if groups not in self._graphs:
            self._graphs[groups] = self._record(round, groups, held)
        return self._graphs[groups]()

    def _static_batches(self, groups: Groups, batches: Sequence[Batch]) -> tuple[Batch, ...]:
        """Copy the batches to the memory that the graph reads. Warm-up rounds read it as well."""
        held = self._held.get(groups)
        if held is None:
            held = tuple((images.clone(), [part.clone() for part in labels]) for images, labels in batches)
            self._held[groups] = held
            return held
        for (images, labels), (new_images, new_labels) in zip(held, batches, strict=True):
            for target, source in zip((images, *labels), (new_images, *new_labels), strict=True):
                target.copy_(source)
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
            gradients=tuple((p, p.grad) for p in self._parameters if p.grad is not None),
            replay=replay,
        )


def _first(error: BaseException) -> BaseException:
    """The first of a chain of errors: ending a failed capture raises another one."""
    while isinstance(error.__context__, Exception):
        error = error.__context__
    return error

"""Gradients are on their way before a backward is over, in the same order in all processes."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from udbench.train.parallel import buckets
from udbench.train.parallel.buckets import GradBuckets, bucket_bytes


class Line:
    """Stands in for torch.distributed: two processes that have the same gradients. Keeps what was sent."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sent: list[Tensor] = []
        self.waited = 0
        patch.setattr(dist, "all_reduce", self._sum)

    def _sum(self, tensor: Tensor, group: Any = None, async_op: bool = False) -> SimpleNamespace:
        assert async_op
        self.sent.append(tensor.mul_(2))
        return SimpleNamespace(wait=self._wait)

    def _wait(self) -> None:
        self.waited += 1


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(buckets, "MOST_BYTES", 4 * 4 * 4)  # a layer's weight
    monkeypatch.setattr(buckets, "LEAST_BYTES", 1)
    return Line(monkeypatch)


def layers(number: int = 3) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(number)))


def test_a_bucket_is_sent_once_its_gradients_are_whole_and_the_last_layers_go_first(line: Line) -> None:
    model, at_first = layers(), []
    parameters = list(model.parameters())
    parameters[0].register_post_accumulate_grad_hook(lambda _: at_first.append(len(line.sent)))
    sums = GradBuckets(parameters, None, contextlib.nullcontext)
    with sums.watching():
        model(torch.ones(2, 4)).sum().backward()
    assert at_first == [2], "those of the later layers were on their way while the first one's was still computed"
    assert line.waited == 0 and len(line.sent) == 3
    own = [parameter.grad.clone() for parameter in parameters]  # pyright: ignore[reportOptionalMemberAccess]
    for sent, gradient in zip(line.sent, reversed(own), strict=True):
        assert torch.equal(sent, 2 * gradient.flatten())
    sums.finish(lambda parameter: True)
    assert line.waited == 3
    assert all(torch.equal(p.grad, 2 * g) for p, g in zip(parameters, own, strict=True))  # pyright: ignore[reportArgumentType]


def test_a_sum_is_a_few_buckets_neither_tiny_nor_huge() -> None:
    assert [bucket_bytes(mb << 20) >> 20 for mb in (0, 2, 22, 40, 300)] == [1, 1, 5, 10, 25]


def test_what_has_no_gradient_here_is_sent_as_zero_behind_the_backward_in_its_place(line: Line) -> None:
    model = layers()
    used, unused, *_ = parameters = list(model.parameters())
    sums = GradBuckets(parameters, None, contextlib.nullcontext)
    with sums.watching():
        model[2](model[0](torch.ones(2, 4))).sum().backward()
    assert [bool(sent.any()) for sent in line.sent] == [True, False, True]
    sums.finish(lambda parameter: parameter is not unused)
    assert unused.grad is None and used.grad is not None


def test_gradients_of_earlier_backwards_are_part_of_the_sum(line: Line) -> None:
    model = layers(1)
    (parameter,) = model.parameters()
    model(torch.ones(2, 4)).sum().backward()
    sums = GradBuckets([parameter], None, contextlib.nullcontext)
    with sums.watching():
        model(torch.ones(2, 4)).sum().backward()
    sums.finish(lambda _: True)
    assert torch.equal(parameter.grad, torch.full((4, 4), 2.0 * 2 * 2))  # pyright: ignore[reportArgumentType]


def test_what_is_frozen_is_not_sent(line: Line) -> None:
    model = layers(2)
    model[0].requires_grad_(False)
    GradBuckets(list(model.parameters()), None, contextlib.nullcontext).send()
    assert len(line.sent) == 1


def test_a_failure_inside_the_backward_is_told_as_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_given: object, **_named: object) -> None:
        raise RuntimeError("connection closed by peer")

    @contextlib.contextmanager
    def guard() -> Any:
        try:
            yield
        except RuntimeError as error:
            raise LookupError(f"lost the others: {error}") from error

    monkeypatch.setattr(dist, "all_reduce", broken)
    model = layers(1)
    sums = GradBuckets(list(model.parameters()), None, guard)
    with pytest.raises(LookupError, match="lost the others: connection closed"), sums.watching():
        model(torch.ones(2, 4)).sum().backward()

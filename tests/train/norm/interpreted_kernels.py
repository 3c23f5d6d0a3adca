"""The GPU's kernels, in Triton's interpreter: what they give is what torch gives, slice by slice and image by image.

Run by test_kernels.py, since Triton must be told before it is imported.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from udbench.train.input import feed as feeding
from udbench.train.input.feed import DomainData, Feed
from udbench.train.norm import fused, sliced
from udbench.train.norm.norms import SliceNorm
from udbench.train.route import Route, Slice
from udbench.train.surgery import PerDomain


def batch(rows: list[int], channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(sum(rows), channels, height, width, generator=torch.Generator().manual_seed(1))
    return (3 * drawn + 5).to(dtype).to(memory_format=torch.channels_last)


def apart(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("rows", "channels", "height", "width", "dtype", "shared"),
    [
        ([2, 2, 2], 16, 4, 4, torch.float32, False),
        ([1, 3, 2], 5, 3, 5, torch.float32, False),
        ([2, 3], 130, 3, 3, torch.float32, True),
        ([4, 1], 70, 5, 7, torch.bfloat16, False),
    ],
)
def test_slices_are_normalised_as_torch_does_it(
    rows: list[int], channels: int, height: int, width: int, dtype: torch.dtype, shared: bool
) -> None:
    x = batch(rows, channels, height, width, dtype)
    number = 1 if shared else len(rows)
    scales = [(torch.rand(channels) + 0.5, torch.randn(channels)) for _ in range(number)] * (len(rows) // number)
    slopes = torch.randn(x.shape).to(dtype)

    def gradients(dtype: torch.dtype | None) -> list[Tensor]:
        own = x.detach().to(dtype or x.dtype).requires_grad_()
        leaves = [[each.clone().to(dtype or each.dtype).requires_grad_() for each in pair] for pair in scales[:number]]
        weights, biases = zip(*(leaves * (len(rows) // number)), strict=True)
        if dtype is None:
            out, means, variances = fused.normalise(own, rows, weights, biases, 1e-5)
        else:
            parts = list(own.split(rows))
            out = torch.cat(
                [F.batch_norm(p, None, None, w, b, True) for p, w, b in zip(parts, weights, biases, strict=True)]
            )
            means = torch.stack([p.mean((0, 2, 3)) for p in parts])
            variances = torch.stack([p.var((0, 2, 3)) for p in parts])
        flat = [each for pair in leaves for each in pair]
        return [out, means, variances, *torch.autograd.grad(out, [own, *flat], slopes.to(out.dtype))]

    near = 1e-6 if dtype == torch.float32 else 6e-3
    for found, expected in zip(gradients(None), gradients(torch.float64), strict=True):
        assert apart(found, expected) < near


def test_the_sums_are_exact_far_from_zero() -> None:
    x = batch([8, 8], 4, 8, 8, torch.float32) + 4000
    ones, zeros = [torch.ones(4)] * 2, [torch.zeros(4)] * 2
    _, means, variances = fused.normalise(x, [8, 8], ones, zeros, 1e-5)
    assert apart(means, torch.stack([p.mean((0, 2, 3)) for p in x.double().split(8)])) < 1e-6
    assert apart(variances, torch.stack([p.var((0, 2, 3)) for p in x.double().split(8)])) < 1e-4


def test_a_slice_is_summed_over_many_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "MOST_PARTS", 1)
    monkeypatch.setattr(fused, "TILE", 256)
    fused._grid.cache_clear()
    x = batch([5, 3], 8, 6, 5, torch.float32)
    ones, zeros = [torch.ones(8)] * 2, [torch.zeros(8)] * 2
    own = x.detach().requires_grad_()
    out, means, _ = fused.normalise(own, [5, 3], ones, zeros, 1e-5)
    slopes = torch.randn(x.shape)
    (found,) = torch.autograd.grad(out, own, slopes)
    fused._grid.cache_clear()
    exact = x.double().requires_grad_()
    wanted = torch.cat([F.batch_norm(part, None, None, training=True) for part in exact.split([5, 3])])
    assert apart(out, wanted) < 1e-6
    assert apart(found, torch.autograd.grad(wanted, exact, slopes.double())[0]) < 1e-6
    assert apart(means, torch.stack([part.mean((0, 2, 3)) for part in exact.split([5, 3])])) < 1e-6


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the interpreter, that infinity was met
def test_what_is_no_number_stays_none() -> None:
    x = batch([2, 2], 4, 4, 4, torch.float32)
    x[0, 0, 0, 0] = torch.inf
    out, _, variances = fused.normalise(x, [2, 2], [torch.ones(4)] * 2, [torch.zeros(4)] * 2, 1e-5)
    assert out[:2, 0].isnan().all() and variances[0, 0].isnan()
    assert out[2:].isfinite().all() and out[:, 1:].isfinite().all()


@pytest.mark.parametrize("moments", ["own", "shared", "domain", "batch"])
def test_norms_move_their_moments_as_slice_by_slice(monkeypatch: pytest.MonkeyPatch, moments: str) -> None:
    slices = (Slice("a", 3), Slice("b", 2), Slice("c", 4))
    x = batch([3, 2, 4], 6, 4, 4, torch.float32)

    def trained(kernels: bool) -> dict[str, Tensor]:
        route, plain = Route(), torch.nn.BatchNorm2d(6)
        names = ("a", "b", "c")
        norm = PerDomain(plain, names, route) if moments == "own" else SliceNorm(plain, route, names, moments)  # type: ignore[arg-type]
        monkeypatch.setattr(sliced, "on_cpu", lambda x: not kernels)
        monkeypatch.setattr(sliced, "can_launch", lambda x: kernels)
        with route.using(slices):
            for _ in range(3):
                norm(x)
                if isinstance(norm, SliceNorm):
                    norm.end_round()
        return norm.state_dict()

    found, expected = trained(True), trained(False)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-5)


def domain(name: str, channels: int, pad: int, *, flip: bool) -> DomainData:
    drawn = np.random.default_rng(3)
    return DomainData(
        name=name,
        images=drawn.integers(0, 256, (40, 9, 7, channels), dtype=np.uint8),
        labels=drawn.integers(0, 5, 40),
        train_rows=range(3, 33),
        test_rows=range(33, 40),
        mean=(100.0, 90.0, 80.0)[:channels],
        std=(50.0, 60.0, 70.0)[:channels],
        flip=flip,
        pad=pad,
    )


def test_views_are_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    made = [domain("a", 3, 2, flip=True), domain("b", 1, 0, flip=True), domain("c", 3, 1, flip=False)]
    feed = Feed({each.name: each for each in made}, 0, torch.device("cpu"), torch.float32)
    group, rows = (Slice("a", 8), Slice("b", 4, 2), Slice("c", 5)), {"a": 8, "b": 8, "c": 5}
    tests = [[("a", np.array([1, 5])), ("b", np.array([39]))]]

    def views() -> list[Tensor]:
        rounds = [feed.next(round, group, rows) for round in range(4)]
        return [*(each for images, labels in rounds for each in (images, *labels)), *feed.eval_batches(tests)]

    expected = views()
    monkeypatch.setattr(feeding, "can_view", lambda device, dtype: True)
    for found, wanted in zip(views(), expected, strict=True):
        assert torch.equal(found, wanted)
        assert found.dim() < 4 or found.is_contiguous(memory_format=torch.channels_last)

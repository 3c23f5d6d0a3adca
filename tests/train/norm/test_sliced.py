"""Norms of several slices in one piece give what the norm modules give slice by slice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from udbench.train.norm.norms import SliceNorm
from udbench.train.norm.sliced import can_fuse
from udbench.train.route import Route, Slice
from udbench.train.surgery import PerDomain

DOMAINS = ("a", "b", "c")
SLICES = (Slice("c", 2), Slice("a", 5), Slice("b", 1))


def _norm(channels: int = 6, momentum: float | None = 0.1, kind: type[nn.Module] = nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(1)
    norm = kind(channels, momentum=momentum)
    nn.init.uniform_(norm.weight)  # pyright: ignore[reportArgumentType]
    nn.init.uniform_(norm.bias)  # pyright: ignore[reportArgumentType]
    return norm


KINDS: dict[str, Callable[[nn.Module, Route], nn.Module]] = {
    "each domain's own": lambda norm, route: PerDomain(norm, DOMAINS, route),
    "shared moments": lambda norm, route: SliceNorm(norm, route, DOMAINS, "shared"),  # pyright: ignore
    "domain moments": lambda norm, route: SliceNorm(norm, route, DOMAINS, "domain"),  # pyright: ignore
    "batch moments": lambda norm, route: SliceNorm(norm, route, DOMAINS, "batch"),  # pyright: ignore
}


def _passed(module: nn.Module, route: Route, x: Tensor, gradient: Tensor, *, hooked: bool) -> list[Tensor]:
    """Two rounds' output, input gradient, parameter gradients and buffers. A hook keeps norms from being fused."""
    if hooked:
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.register_forward_hook(lambda *_: None)
    x = x.clone(memory_format=torch.preserve_format).requires_grad_()
    with route.using(SLICES):
        module(x.detach())
        out = module(x)
    out.backward(gradient)
    if isinstance(module, SliceNorm):
        module.end_round()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert x.grad is not None
    return [out.detach(), x.grad, *gradients, *module.buffers()]


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", KINDS)
def test_one_piece_gives_the_same_bits(kind: str, layout: torch.memory_format, momentum: float | None) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 6, 5, 4).to(memory_format=layout)
    gradient = torch.randn(8, 6, 5, 4)
    found = []
    for hooked in (False, True):
        route = Route()
        module = KINDS[kind](_norm(momentum=momentum), route)
        found.append(_passed(module, route, x, gradient, hooked=hooked))
    one, each = found
    assert len(one) == len(each)
    shared = range(2, 4) if kind != "each domain's own" else ()  # gradients summed over slices in another order
    for i, (a, b) in enumerate(zip(one, each, strict=True)):
        if i in shared:
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
        else:
            assert torch.equal(a, b)


def test_bf16_activations_with_fp32_scales_give_the_same_bits() -> None:
    x, gradient = torch.randn(8, 6, 5, 4).bfloat16(), torch.randn(8, 6, 5, 4).bfloat16()
    found = []
    for hooked in (False, True):
        route = Route()
        module = PerDomain(_norm(), DOMAINS, route)
        found.append(_passed(module, route, x, gradient, hooked=hooked))
    assert found[0][0].dtype == torch.bfloat16 and len(found[0]) == len(found[1]) > 2
    assert all(torch.equal(one, each) for one, each in zip(*found, strict=True))


def test_a_frozen_scale_gets_no_gradient() -> None:
    route = Route()
    module = PerDomain(_norm(), DOMAINS, route)
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    x = torch.randn(8, 6, 5, 4, requires_grad=True)
    with route.using(SLICES):
        module(x).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in module.parameters())


def test_what_does_more_than_normalise_is_called_as_it_is() -> None:
    class Fused(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).relu()

    x = torch.randn(8, 6, 5, 4)
    assert can_fuse([_norm()], x)
    assert not can_fuse([_norm(kind=Fused)], x)
    assert not can_fuse([_norm().eval()], x)
    assert not can_fuse([_norm()], x.transpose(2, 3))
    route = Route()
    with route.using(SLICES):
        assert PerDomain(_norm(kind=Fused), DOMAINS, route)(x).min() == 0


def test_a_slice_of_one_value_is_refused_as_torch_refuses_it() -> None:
    route = Route()
    module = PerDomain(_norm(), DOMAINS, route)
    with route.using(SLICES), pytest.raises(ValueError, match="more than 1 value per channel"):
        module(torch.randn(8, 6, 1, 1))

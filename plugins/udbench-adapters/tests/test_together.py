"""What domains' own parts do in operations over all rows at once is what each does with its rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from udbench.train.route import Route, Slice
from udbench.train.surgery import PerDomain
from udbench_adapters.behind import Affine
from udbench_adapters.residual import Alignment, Centre, Pointwise

DOMAINS = ["reds", "blues", "greys"]
EQUAL, UNEQUAL = [3, 3, 3], [1, 4, 2]


PARTS: dict[str, Callable[[], nn.Module]] = {
    "scale": lambda: Affine(4, last=False),
    "scale of tokens": lambda: Affine(4, last=True),
    "1x1": lambda: Pointwise(4, 6),
    "1x1 of groups": lambda: Pointwise(4, 6, groups=2),
    "centre": lambda: Centre(nn.Conv2d(4, 6, 5, stride=2, padding=3)),
    "alignment": lambda: Alignment(4),
}
MAPS: dict[str, Callable[[int], Tensor]] = {
    "channels-last": lambda rows: torch.randn(rows, 4, 5, 7).contiguous(memory_format=torch.channels_last),
    "contiguous": lambda rows: torch.randn(rows, 4, 5, 7),
    "every other row": lambda rows: torch.randn(2 * rows, 4, 5, 7)[::2],
    "tokens": lambda rows: torch.randn(rows, 6, 4),
    "features": lambda rows: torch.randn(rows, 4),
}
FIT = {
    "scale": ["channels-last", "contiguous", "every other row", "features"],
    "scale of tokens": ["tokens", "features"],
    "1x1": ["channels-last", "contiguous", "every other row"],
    "1x1 of groups": ["channels-last"],
    "centre": ["channels-last", "contiguous"],
    "alignment": ["channels-last", "features"],
}


def parts(kind: str) -> list[nn.Module]:
    """Three copies with numbers of their own."""
    made: list[nn.Module] = []
    for _ in DOMAINS:
        made.append(PARTS[kind]().double())
        for parameter in made[-1].parameters():
            nn.init.normal_(parameter)
    return made


def run(forward: Callable[[Tensor], Tensor], x: Tensor, modules: Sequence[nn.Module], pull: Tensor) -> list[Tensor]:
    """The output, and for its gradient `pull` the gradients of the input and of all parameters."""
    given = x.detach().requires_grad_()
    out = forward(given)
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return [out, *torch.autograd.grad(out, [given, *parameters], pull)]


@pytest.mark.parametrize("rows", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
@pytest.mark.parametrize(("kind", "maps"), [(kind, maps) for kind, each in FIT.items() for maps in each])
def test_together_is_one_after_another(kind: str, maps: str, rows: list[int]) -> None:
    modules, x = parts(kind), MAPS[maps](sum(rows)).double()

    def apart(given: Tensor) -> Tensor:
        return torch.cat([module(part) for module, part in zip(modules, given.split(rows), strict=True)])

    muxed = PerDomain(nn.Identity(), DOMAINS, Route())
    muxed.own.update(dict(zip(DOMAINS, modules, strict=True)))
    slices = [Slice(name, number) for name, number in zip(DOMAINS, rows, strict=True)]

    def together(given: Tensor) -> Tensor:
        with muxed.route.using(slices):
            return muxed(given)

    pull = torch.randn_like(apart(x))
    for seen, expected in zip(run(together, x, modules, pull), run(apart, x, modules, pull), strict=True):
        torch.testing.assert_close(seen, expected, rtol=1e-12, atol=1e-12)


def test_a_1x1_of_equal_slices_is_one_product_and_a_scale_puts_nothing_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_given: object, **_named: object) -> Tensor:
        raise AssertionError("one after another")

    monkeypatch.setattr(torch, "cat", forbidden)
    monkeypatch.setattr(torch.nn.functional, "conv2d", forbidden)
    x = MAPS["channels-last"](sum(EQUAL)).double()
    for kind in ("1x1", "centre"):
        modules = parts(kind)
        assert type(modules[0]).forward_group(modules, x, EQUAL) is not None  # pyright: ignore[reportAttributeAccessIssue]
    scales = parts("scale")
    muxed = PerDomain(nn.Identity(), DOMAINS, Route())
    muxed.own.update(dict(zip(DOMAINS, scales, strict=True)))
    with muxed.route.using([Slice(name, number) for name, number in zip(DOMAINS, UNEQUAL, strict=True)]):
        muxed(MAPS["contiguous"](sum(UNEQUAL)).double())


def test_a_hook_of_a_part_is_called() -> None:
    modules, called = parts("scale"), []
    modules[1].register_forward_hook(lambda *_: called.append("blues"))
    muxed = PerDomain(nn.Identity(), DOMAINS, Route())
    muxed.own.update(dict(zip(DOMAINS, modules, strict=True)))
    with muxed.route.using([Slice(name, 2) for name in DOMAINS]):
        muxed(MAPS["contiguous"](6).double())
    assert called == ["blues"]

"""Convolutions that torch gets wrong on a CPU."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from udbench.plugin.contracts_model import Adapter, Architecture, Input, Network, Stage
from udbench.train.model import UniversalModel, build_model
from udbench.train.narrow import Meeting, PickingFirst
from udbench.train.route import Slice

NOTHING = Adapter(name="nothing", attach=lambda surgeon, settings: None)


class Calls(TorchFunctionMode):
    """Notes the strides that torch convolves images with."""

    def __init__(self) -> None:
        super().__init__()
        self.strides: list[Any] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (F.conv2d, torch.ops.aten.conv2d.default):
            self.strides.append((kwargs or {}).get("stride", args[3] if len(args) > 3 else 1))
        return func(*args, **(kwargs or {}))


def _images(channels: int, size: int = 8, dtype: torch.dtype = torch.float32) -> Tensor:
    made = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return made.to(dtype, memory_format=torch.channels_last)


WRONG: dict[str, Callable[[], Tensor]] = {
    "a layer": lambda: nn.Conv2d(4, 8, 1, stride=2)(_images(4)),
    "one channel": lambda: nn.Conv2d(1, 8, 1, stride=2)(_images(1)),
    "fifteen channels": lambda: nn.Conv2d(15, 8, 1, stride=2)(_images(15)),
    "an odd size": lambda: nn.Conv2d(4, 8, 1, stride=(3, 2))(_images(4, 11)),
    "one image": lambda: nn.Conv2d(4, 8, 1, stride=(1, 2))(_images(4)[0]),
    "valid": lambda: nn.Conv2d(4, 8, 1, stride=2, padding="valid")(_images(4)),
    "a function": lambda: F.conv2d(_images(4), torch.ones(8, 4, 1, 1), stride=2),
    "a function of words": lambda: F.conv2d(weight=torch.ones(8, 4, 1, 1), input=_images(4), stride=[2]),
    "a graph's operator": lambda: torch.ops.aten.conv2d.default(_images(4), torch.ones(8, 4, 1, 1), None, [2, 2]),
}
RIGHT: dict[str, Callable[[], Tensor]] = {
    "sixteen channels": lambda: nn.Conv2d(16, 8, 1, stride=2)(_images(16)),
    "no stride": lambda: nn.Conv2d(4, 8, 1)(_images(4)),
    "3x3": lambda: nn.Conv2d(4, 8, 3, stride=2)(_images(4)),
    "1x3": lambda: nn.Conv2d(4, 8, (1, 3), stride=2)(_images(4)),
    "padded": lambda: nn.Conv2d(4, 8, 1, stride=2, padding=1)(_images(4)),
    "grouped": lambda: nn.Conv2d(4, 8, 1, stride=2, groups=2)(_images(4)),
    "float64": lambda: nn.Conv2d(4, 8, 1, stride=2).double()(_images(4, dtype=torch.float64)),
}


@pytest.mark.parametrize("how", [*WRONG, *RIGHT])
def test_narrow_strided_1x1s_alone_are_convolved_without_their_stride(how: str) -> None:
    call = {**WRONG, **RIGHT}[how]
    with torch.no_grad():
        torch.manual_seed(0)
        with Meeting() as meeting:
            plain = call()
        torch.manual_seed(0)
        with Calls() as calls, PickingFirst():
            picked = call()
    assert meeting.met == (how in WRONG)
    assert (calls.strides == [1]) == (how in WRONG or how == "no stride") or calls.strides == [(1, 1)]
    assert torch.equal(plain, picked) if how in RIGHT else torch.allclose(plain, picked, atol=1e-6)


LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[torch.dtype], Tensor]]] = {
    "images": (lambda: nn.Conv2d(4, 8, 1, stride=2), lambda dtype: _images(4, 9, dtype)),
    "sequences": (lambda: nn.Conv1d(1, 8, 1, stride=3), lambda dtype: _images(1, 8, dtype).flatten(2).mT.mT),
    "transposed": (lambda: nn.ConvTranspose2d(8, 4, 1, stride=2), lambda dtype: _images(8, 5, dtype)),
    "transposed, padded": (
        lambda: nn.ConvTranspose2d(8, 4, 1, stride=(2, 3), output_padding=1, bias=False),
        lambda dtype: _images(8, 5, dtype),
    ),
}


@pytest.mark.parametrize("layout", LAYERS)
def test_its_gradients_are_those_of_float64(layout: str) -> None:
    build, given = LAYERS[layout]
    found: list[list[Tensor]] = []
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        layer = build().to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        images = given(dtype).detach().requires_grad_()
        with PickingFirst(), Meeting() as meeting:
            layer(images).sin().sum().backward()
        assert meeting.met == (dtype == torch.float32)
        found.append([each.grad.double() for each in (images, *layer.parameters()) if each.grad is not None])
    assert len(found[0]) == 1 + len(list(layer.parameters()))
    for single, double in zip(*found, strict=True):
        assert torch.allclose(single, double, atol=1e-5)


class Bare(nn.Module):
    """A trunk with such a convolution between two others."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, 8, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


class NarrowHead(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        self.layer = nn.Conv2d(8, classes, 1, stride=2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.layer(maps).mean((2, 3))


def _model(channels: int, head: Callable[[int], nn.Module] | None = None) -> UniversalModel:
    def build(inputs: Any, settings: Any) -> Network:
        def plain(given: Input, shape: tuple[int, ...]) -> nn.Module:
            if head is not None and given.num_classes == 4:
                return head(given.num_classes)
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes))

        return Network(trunk=Bare(channels), head=plain, stages=(Stage(name="all", modules=("first", "second")),))

    inputs = {f"d{i}": Input(height=8, width=8, channels=3, num_classes=3 + i) for i in range(2)}
    made = build_model(Architecture(name="bare", build=build), NOTHING, inputs)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


SLICES = (Slice("d0", 2), Slice("d1", 2))


def _losses(model: UniversalModel, images: Tensor) -> Tensor:
    return torch.stack([logits.square().mean() for logits in model(images, SLICES)]).sum()


@pytest.fixture(scope="module")
def images() -> Iterator[Tensor]:
    yield torch.cat([_images(3), _images(3) + 1]).contiguous(memory_format=torch.channels_last)


def test_a_wide_network_runs_without_any_mode(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udbench.train.narrow.PickingFirst", None)
    model = _model(16)
    assert not model.narrow and model(images, SLICES)[0].shape == (2, 3)


def test_a_narrow_trunk_or_head_is_found_and_copies_know_it(images: Tensor) -> None:
    for model, wide in ((_model(4), 0), (copy.deepcopy(_model(4)), 0), (_model(16, NarrowHead), 1)):
        assert model.narrow
        with Calls() as calls:
            _losses(model, images).backward()
        assert calls.strides.count((2, 2)) == wide
        assert all(p.grad is not None for p in model.parameters())


def test_compiled_it_is_the_same(images: Tensor) -> None:
    model = _model(4)
    compiled = torch.compile(_losses, backend="aot_eager", fullgraph=True, dynamic=False)
    graphs: list[str] = []

    def noting(graph: Any, _given: Any) -> Any:
        graphs.append(graph.code)
        return graph.forward

    torch.compile(_losses, backend=noting, fullgraph=True, dynamic=False)(model, images)
    assert "avg_pool2d" in graphs[0]
    found: list[list[Tensor]] = []
    for losses in (_losses, compiled):
        model.zero_grad()
        losses(model, images).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found, strict=True))


def test_an_exported_network_stays_as_it_was_written() -> None:
    from udbench.export.extract import single
    from udbench.export.fold_batchnorm import capture

    network = single(_model(4), "d1", [127.0] * 3, [64.0] * 3)
    operators = [str(node.target) for node in capture(network, torch.zeros(2, 3, 8, 8)).graph.nodes]
    assert not any("pool2d" in each and "adaptive" not in each for each in operators)

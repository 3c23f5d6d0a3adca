"""Dropout with counter-based masks, which do not depend on the other domains of a forward."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from udbench.errors import UdbenchError
from udbench.seeds import DROPOUT
from udbench.train.rng import seed_of
from udbench.train.route import Route, Slice


class CountedDropout(nn.Module):
    """Dropout whose mask is a function of (seed, layer, domain, round).

    `keeps` is the unit that is dropped: "element" (nn.Dropout), "channel" (nn.Dropout2d) or "image" (DropPath).
    """

    def __init__(self, p: float, keeps: str, route: Route, seed: int, path: str, scale: bool = True) -> None:
        super().__init__()
        self.p, self.keeps, self.route, self.seed, self.path, self.scale = p, keeps, route, seed, path, scale

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return self.route.muxed(x, self._dropped)

    def _dropped(self, part: Slice, rows: Tensor) -> Tensor:
        times = rows.shape[0] // part.rows
        skipped = part.first * times
        varying = {"element": rows.dim(), "channel": 2, "image": 1}[self.keeps]
        shape = (*rows.shape[1:varying], *(1 for _ in rows.shape[varying:]))
        generator = torch.Generator(device=rows.device)
        generator.manual_seed(seed_of(self.seed, DROPOUT, self.path, part.domain, self.route.round))
        drawn = torch.rand((skipped + rows.shape[0], *shape), generator=generator, device=rows.device)[skipped:]
        mask = (drawn >= self.p).to(rows.dtype)
        return rows * (mask / (1 - self.p) if self.scale and self.p < 1 else mask)

    def extra_repr(self) -> str:
        return f"p={self.p}, keeps={self.keeps}"


def count_dropout(model: nn.Module, route: Route, seed: int) -> None:
    """Replace every dropout module of a network by a CountedDropout. Modules are found by type."""
    for path, parent in list(model.named_modules()):
        for name, child in list(parent.named_children()):
            full = f"{path}.{name}" if path else name
            if (counted := _counted(child, route, seed, full)) is not None:
                setattr(parent, name, counted)


def _counted(module: nn.Module, route: Route, seed: int, path: str) -> CountedDropout | None:
    scale = True
    match module:
        case nn.Dropout():
            p, keeps = module.p, "element"
        case nn.Dropout1d() | nn.Dropout2d() | nn.Dropout3d():
            p, keeps = module.p, "channel"
        case nn.AlphaDropout() | nn.FeatureAlphaDropout():
            raise UdbenchError(f"'{path}' is a {type(module).__name__}, which is not supported; use nn.Dropout")
        case _ if isinstance(module, _loaded("timm.layers.drop", "DropPath")):
            found: Any = module
            p, keeps, scale = found.drop_prob or 0.0, "image", found.scale_by_keep
        case _ if isinstance(module, _loaded("torchvision.ops.stochastic_depth", "StochasticDepth")):
            found = module
            p, keeps = found.p, "image" if found.mode == "row" else "batch"
            if keeps == "batch":
                raise UdbenchError(f"'{path}' drops whole batches (StochasticDepth mode 'batch'); use mode 'row'")
        case _:
            return None
    return CountedDropout(float(p), keeps, route, seed, path, scale)


def _loaded(module: str, name: str) -> tuple[type, ...]:
    """A class of a library, if the library is loaded. A network with such a module has loaded it."""
    found = getattr(sys.modules.get(module), name, None)
    return (found,) if isinstance(found, type) else ()


@contextmanager
def refusing_random_functions(model: nn.Module) -> Iterator[None]:
    """Within, a forward with random draws outside a CountedDropout raises UdbenchError with the module's path."""
    stack: list[str] = []
    hooks = []
    for path, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda _m, _i, path=path: stack.append(path)))
        hooks.append(module.register_forward_hook(lambda _m, _i, _o: stack.pop() and None, always_call=True))
    counted = {path for path, module in model.named_modules() if isinstance(module, CountedDropout)}
    try:
        with _Watch(stack, counted):
            yield
    finally:
        for hook in hooks:
            hook.remove()


class _Watch(TorchFunctionMode):
    def __init__(self, stack: list[str], counted: set[str]) -> None:
        super().__init__()
        self.stack, self.counted = stack, counted

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        here = self.stack[-1] if self.stack else ""
        if here in self.counted:
            return func(*args, **kwargs)
        before = torch.get_rng_state()
        value = func(*args, **kwargs)
        if _drops(name, args, kwargs) or not torch.equal(before, torch.get_rng_state()):
            raise UdbenchError(
                f"the network's module '{here}' draws random numbers in its forward ({name}), so its results would "
                "depend on the other domains of a batch; use nn.Dropout or DropPath modules, which udbench replaces, "
                "or set it to 0"
            )
        return value


def _drops(name: str, args: Any, kwargs: Any) -> bool:
    """Whether a call of a torch function drops at random. Some functions draw nothing in this forward."""
    if "attention" in name or "dropout" in name:
        p, training = _ARGUMENTS.get(name, (("p", 1), ("training", 2)))
        return bool(_argument(p, args, kwargs, 0.5 if "dropout" in name else 0.0)) and bool(
            _argument(training, args, kwargs, True)
        )
    return False


def _argument(argument: tuple[str, int], args: Any, kwargs: Any, default: Any) -> Any:
    name, position = argument
    return kwargs.get(name, args[position] if len(args) > position else default)


# The arguments for the probability and the "training" flag, of functions that differ from F.dropout.
_ARGUMENTS = {
    "scaled_dot_product_attention": (("dropout_p", 4), ("training", 99)),
    "multi_head_attention_forward": (("dropout_p", 10), ("training", 13)),
}

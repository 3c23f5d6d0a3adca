"""The contracts of a method: an architecture, and an adapter that makes parts of it each domain's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """What one domain feeds to a network: the image's size, its channels after preparation (3), its classes.

    `head` is what the domain asks of its head: an instance of the architecture's `head_settings`, or None for
    its defaults.
    """

    height: int
    width: int
    channels: int
    num_classes: int
    head: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One block of the trunk that is shared or private as a whole.

    `modules` are paths of submodules of the trunk. Every trunk module with parameters or buffers belongs to
    exactly one stage: the stem to the first, the last norm to the last.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network in parts.

    `trunk` maps images (N, C, H, W) to a map of any shape (N, ...). `head(input, shape)` builds everything
    from the first layer that is a domain's own, for a map of `shape` (without N), to logits (N, classes).
    `init_weights()` loads weights that are not drawn, such as pretrained ones; it is called only where a new training
    begins, so that a trained network is used without them.
    """

    trunk: nn.Module
    stages: tuple[Stage, ...]
    head: Callable[[Input, tuple[int, ...]], nn.Module]
    init_weights: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A network under one name, or a family of networks under one prefix.

    `build(inputs, settings)` makes the network for the named domains' inputs. `settings` is a pydantic model
    whose fields are `--set arch.KEY=VALUE`, or None; `head_settings` likewise one for the head of each domain,
    `--set domain.NAME.head.KEY=VALUE`.

    A name that ends in "/*" is a family's. Its `names()` says what can stand in the star's place, `member(rest)` makes
    the architecture of one of them, under its full name and with the family's settings: "timm/*" makes "timm/resnet18"
    of "resnet18". Both are called only when something below the prefix is asked for, so they may import what is slow.
    `example` is one of the names, of a small network: messages name it and `udbench check` tries it. A family's
    own `build` is never called.
    """

    name: str
    build: Callable[[Mapping[str, Input], Any], Network]
    settings: type[BaseModel] | None = None
    head_settings: type[BaseModel] | None = None
    summary: str = ""
    citation: str = ""
    member: Callable[[str], Architecture] | None = None
    names: Callable[[], Iterable[str]] | None = None
    example: str = ""


class Surgeon(Protocol):
    """What an adapter sees of a network: the shared part of its trunk, and the ways to change it.

    `domains` are the names in order, `stages` the shared stages. Paths are those of the trunk. Modules are
    copied, never rebuilt. What one domain owns already is out of reach: there everything is its own.
    """

    domains: tuple[str, ...]
    stages: tuple[Stage, ...]

    def find(self, *types: type[nn.Module]) -> list[str]:
        """The paths of the shared modules of these types, in the order in which a forward calls them."""
        ...

    def called(self, path: str) -> bool:
        """Whether a forward calls the module at a path; a network may use a layer's weight and never call it."""
        ...

    def batch_norms(self) -> list[str]:
        """The paths of the shared batch norms. Raises UdbenchError when the shared stages have none."""
        ...

    def module(self, path: str) -> nn.Module:
        """The module at a path."""
        ...

    def per_domain(self, path: str) -> None:
        """Give each domain a copy of its own of the module at a path.

        In a forward of several domains the copies are called one after another, each with its domain's rows, and what
        they give is put together. Where a class has a faster way, it says so by a static method
        `forward_group(modules, x, rows)`: for a list of such copies and x, of which consecutive `rows` are each one's,
        it gives what calling them would, or None where it has no better way. Hooks inside a copy are not called by it.
        """
        ...

    def moments(self, path: str, moments: Literal["shared", "domain", "batch"]) -> None:
        """Let a batch norm share its scale and use, at test, "shared" moments, each "domain"'s or the "batch"'s own."""
        ...

    def instance_norm(self, path: str) -> None:
        """Turn a batch norm into an instance norm that keeps its scale, its bias and whatever it does besides."""
        ...

    def replace(self, path: str, module: nn.Module) -> None:
        """Put a module in the place of the one at a path, wherever the trunk holds that one."""
        ...

    def wrap(self, path: str, factory: Callable[[nn.Module], nn.Module]) -> None:
        """Put `factory(module)` in a module's place. What the factory draws depends on the seed and the path alone."""
        ...

    def reparametrize(self, path: str, factory: Callable[[Tensor], nn.Module], name: str = "weight") -> None:
        """Let each domain make its own of a shared layer's weight: `factory(weight)` is a module from that weight to
        the domain's, in the same shape. What the factory draws depends on the seed and the path alone."""
        ...

    def freeze(self, path: str = "") -> None:
        """Train nothing of the shared module at a path ("" for all of the trunk), its running moments included; what
        domains own, now or once the adapter is attached, goes on."""
        ...

    def remove_norm(self, path: str) -> None:
        """Leave a batch norm out of the network. Raises UdbenchError for one that does more than normalise."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ParamOptions:
    """How a parameter is trained and stored, where that is not as all others are.

    A module of an adapter says so for its own parameters: `param_options = {"scores": ParamOptions(lr=10, bits=1)}`.
    `lr` is a factor of the recipe's rate, `weight_decay` stands instead of the recipe's, and `bits` is what one number
    takes once trained: 1 for a mask that is trained by real numbers. A buffer that must be stored can be named too.
    """

    lr: float = 1.0
    weight_decay: float | None = None
    bits: float = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """A method: surgery on a network's shared stages.

    `attach(surgeon, settings)` changes the trunk through the Surgeon. `settings` is a pydantic model whose
    fields are `--set adapter.KEY=VALUE`, or None. `eval_stats` is "batch" where test images are normalised
    with the moments of their test batch, so that the recipe's `eval_batch_size` is part of the method.
    `regularizer(trunk, domain, settings)`, a number, is added to a domain's loss in training: of what the domain owns,
    nothing else, since it moves by its own loss alone.
    """

    name: str
    attach: Callable[[Surgeon, Any], None]
    settings: type[BaseModel] | None = None
    eval_stats: Literal["running", "batch"] = "running"
    regularizer: Callable[[nn.Module, str, Any], Tensor] | None = None
    summary: str = ""
    citation: str = ""

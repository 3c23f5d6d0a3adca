"""The contracts for a method: an architecture, and an adapter that gives each domain parts of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from pydantic import BaseModel
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """The input of a network from one domain: image size, channels after preparation (3), number of classes.

    `head` holds the settings of the domain's head: an instance of the architecture's `head_settings`, or None for the
    defaults.
    """

    height: int
    width: int
    channels: int
    num_classes: int
    head: Any = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of the trunk that is either shared or private as a whole.

    `modules` are paths of submodules of the trunk. Every trunk module with parameters or buffers must belong to exactly
    one stage: the stem to the first, the last norm to the last.
    """

    name: str
    modules: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """A network as a trunk, its stages, and a function that builds heads.

    `trunk` maps images (N, C, H, W) to features of any shape (N, ...). `head(input, shape)` builds a domain's head: a
    module from features of `shape` (without N) to logits (N, classes). `init_weights()` loads initial weights that are
    not random, such as pretrained ones. It is called only at the start of a training, so that a trained network can be
    used without them.
    """

    trunk: nn.Module
    stages: tuple[Stage, ...]
    head: Callable[[Input, tuple[int, ...]], nn.Module]
    init_weights: Callable[[], None] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """A network under a name, or a family of networks under a prefix.

    `build(inputs, settings)` builds the network for the inputs of the named domains. `settings` is a pydantic model
    whose fields are `--set arch.KEY=VALUE`, or None. `head_settings` is such a model for the head of each domain,
    `--set domain.NAME.head.KEY=VALUE`.

    A name that ends in "/*" is a family. `names()` lists the names that can replace the star. `member(rest)` returns
    the Architecture of one of them, under its full name and with the family's settings: "timm/*" makes "timm/resnet18"
    of "resnet18". Both are called only when a name below the prefix is used, so they may import slow modules. `example`
    is one of the names, of a small network, for messages and `udbench check`. A family's `build` is never called.
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
    """An adapter's view of a network: the shared part of its trunk, and the methods that change it.

    `domains` are the names in order, `stages` the shared stages. Paths are relative to the trunk. Modules are copied,
    never rebuilt. Modules that belong to a domain already are not visible.
    """

    domains: tuple[str, ...]
    stages: tuple[Stage, ...]

    def find(self, *types: type[nn.Module]) -> list[str]:
        """The paths of the shared modules of these types, in the order in which a forward calls them."""
        ...

    def called(self, path: str) -> bool:
        """Whether a forward calls the module at a path. A network may use a layer's weight without calling it."""
        ...

    def batch_norms(self) -> list[str]:
        """The paths of the shared batch norms. Raises UdbenchError when the shared stages have none."""
        ...

    def module(self, path: str) -> nn.Module:
        """The module at a path."""
        ...

    def per_domain(self, path: str) -> None:
        """Give each domain its own copy of the module at a path.

        A forward of several domains calls the copies one after another, each with its domain's rows, and concatenates
        the results. A class can define a faster way in a static method `forward_group(modules, x, rows)`. It gets the
        copies and x, whose consecutive `rows` belong to one copy each, and returns what calling them would, or None to
        decline. It does not call hooks inside a copy.
        """
        ...

    def norm_stats(self, path: str, stats: Literal["shared", "domain", "batch"]) -> None:
        """Share a batch norm's scale, and choose the statistics that it uses at test: `stats`.

        "shared": one running mean and variance for all domains. "domain": those of each domain. "batch": the mean and
        variance of the test batch.
        """
        ...

    def instance_norm(self, path: str) -> None:
        """Turn a batch norm into an instance norm. Its scale, its bias and everything else that it does stay."""
        ...

    def replace(self, path: str, module: nn.Module) -> None:
        """Replace the module at a path, everywhere in the trunk where it is used."""
        ...

    def wrap(self, path: str, factory: Callable[[nn.Module], nn.Module]) -> None:
        """Replace a module by `factory(module)`. Random draws in the factory depend on the seed and the path only."""
        ...

    def reparametrize(self, path: str, factory: Callable[[Tensor], nn.Module], name: str = "weight") -> None:
        """Let each domain transform a shared layer's weight.

        `factory(weight)` returns a module that maps the shared weight to the domain's, in the same shape. Random draws
        in the factory depend on the seed and the path only.
        """
        ...

    def freeze(self, path: str = "") -> None:
        """Freeze the shared module at a path ("" for the whole trunk), including its running statistics.

        Modules that belong to domains, now or after the adapter is attached, are still trained.
        """
        ...

    def remove_norm(self, path: str) -> None:
        """Remove a batch norm. Raises UdbenchError for one that does more than normalise."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ParamOptions:
    """How a parameter is trained and stored, where it differs from the recipe.

    An adapter's module declares it for its parameters: `param_options = {"scores": ParamOptions(lr=10, bits=1)}`. `lr`
    multiplies the recipe's learning rate, and `weight_decay` replaces the recipe's. `bits` is the storage of one number
    after training: 1 for a binary mask that is trained with real-valued scores. A buffer that must be stored can be
    named, too.
    """

    lr: float = 1.0
    weight_decay: float | None = None
    bits: float = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapter:
    """A method: changes the shared stages of a network.

    `attach(surgeon, settings)` changes the trunk through the Surgeon. `settings` is a pydantic model whose fields are
    `--set adapter.KEY=VALUE`, or None. `eval_stats` is "batch" if test images are normalised with the mean and variance
    of their test batch; the recipe's `eval_batch_size` is then part of the method. `regularizer(trunk, domain,
    settings)` returns a scalar that is added to a domain's training loss. It may depend on the domain's own parameters
    only, since these are trained by that domain's loss alone.
    """

    name: str
    attach: Callable[[Surgeon, Any], None]
    settings: type[BaseModel] | None = None
    eval_stats: Literal["running", "batch"] = "running"
    regularizer: Callable[[nn.Module, str, Any], Tensor] | None = None
    summary: str = ""
    citation: str = ""

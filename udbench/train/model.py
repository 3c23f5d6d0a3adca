"""The network of a run: a trunk, a head for each domain, and the route of each domain's rows through them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from udbench.errors import PluginError, SettingError, UdbenchError, plugin_code
from udbench.plugin.contracts_model import Adapter, Architecture, Input, Network, ParamOptions, Stage
from udbench.seeds import HEAD, LABELS, TRUNK
from udbench.train.counted_dropout import count_dropout, refusing_random_functions
from udbench.train.freezing import eval_frozen
from udbench.train.narrow import Meeting, avoiding
from udbench.train.norm.norms import end_round, forget_round, mix_batches
from udbench.train.ownership import PerDomainModules, owned_parameters
from udbench.train.rng import draws, seeded
from udbench.train.route import Route, Slice
from udbench.train.surgery import TrunkSurgeon, check_stages, make_private, mux_remaining, private_stages


class UniversalModel(nn.Module):
    """A network that classifies images of several domains.

    `heads` holds a head for each domain. With full sharing, `shared_head` is used by all domains, and `label_maps` maps
    the classes of each domain to its outputs. Call the model with images and the slices that they consist of.
    """

    def __init__(
        self,
        trunk: nn.Module,
        heads: Mapping[str, nn.Module] | nn.Module,
        inputs: Mapping[str, Input],
        route: Route,
        label_maps: Mapping[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.inputs = dict(inputs)
        self.stages: tuple[Stage, ...] = ()
        self.route = route
        self.shared_head = heads if isinstance(heads, nn.Module) else None
        self.heads = PerDomainModules() if isinstance(heads, nn.Module) else PerDomainModules(dict(heads))
        self.frozen = False
        self.narrow = False  # whether it has a convolution that torch computes wrong on a CPU
        self.regularize: Callable[[nn.Module, str], Tensor] | None = None
        self.label_maps: dict[str, Tensor] = {}
        for name, order in (label_maps or {}).items():
            self.register_buffer(f"label_map_{name}", order)

    def train(self, mode: bool = True) -> UniversalModel:
        """Set training mode. A `frozen` trunk stays in evaluation mode."""
        super().train(mode)
        if mode:
            eval_frozen(self)
        if self.frozen:
            self.trunk.eval()
        return self

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains' names, in order."""
        return tuple(self.inputs)

    def forward(self, images: Tensor, slices: Sequence[Slice], round: int = 0) -> list[Tensor]:
        """Return the logits of each slice, (rows, classes), for images (N, C, H, W) of these slices in order."""
        with self.route.using(slices, round):
            return self.routed(images)

    def routed(self, images: Tensor) -> list[Tensor]:
        """Like `forward`, for the slices that the route is set to."""
        with avoiding(self.narrow, images.device):
            return self._routed(images)

    def _routed(self, images: Tensor) -> list[Tensor]:
        maps = self.trunk(images)
        bounds = self.route.bounds(maps.shape[0])
        maps_of_slices = maps.split([stop - start for _, start, stop in bounds])
        return [self._classify(part, rows) for (part, _, _), rows in zip(bounds, maps_of_slices, strict=True)]

    def _classify(self, part: Slice, maps: Tensor) -> Tensor:
        with self.route.narrowed((part,)):
            if self.shared_head is None:
                return self.heads[part.domain](maps)
            return self.shared_head(maps)[:, self.get_buffer(f"label_map_{part.domain}")]

    def end_round(self) -> None:
        """End a round: update the shared running statistics once."""
        end_round(self)

    def regularizer(self, domain: str) -> Tensor | float:
        """The scalar that the adapter adds to a domain's training loss."""
        return 0.0 if self.regularize is None else self.regularize(self.trunk, domain)

    def shared(self) -> list[Tensor]:
        """The parameters that all domains share."""
        return owned_parameters(self, None)

    def private(self, domain: str) -> list[Tensor]:
        """The parameters of one domain."""
        return owned_parameters(self, domain)


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterCount:
    """The numbers of shared parameters and of each domain's private parameters."""

    shared: int
    private: Mapping[str, int]

    @property
    def ratio(self) -> float:
        """All parameters, divided by the mean over domains of the parameters of a network for that domain alone."""
        single = [self.shared + private for private in self.private.values()]
        return (self.shared + sum(self.private.values())) / (sum(single) / len(single))


def count_parameters(model: UniversalModel) -> ParameterCount:
    """Count the shared parameters and each domain's private parameters."""
    return ParameterCount(
        shared=sum(p.numel() for p in model.shared()),
        private={name: sum(p.numel() for p in model.private(name)) for name in model.domains},
    )


def stored_bits(model: UniversalModel) -> int:
    """The bits to store a network: 32 for each parameter, unless its module's `param_options` say otherwise."""
    total, seen = 0.0, set[int]()
    for module in model.modules():
        param_options: Mapping[str, ParamOptions] = getattr(module, "param_options", {})
        tensors = dict(module.named_parameters(recurse=False))
        tensors |= {name: tensor for name, tensor in module.named_buffers(recurse=False) if name in param_options}
        for name, tensor in tensors.items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                total += tensor.numel() * param_options.get(name, ParamOptions()).bits
    return math.ceil(total)


def count_flops(model: UniversalModel) -> float:
    """The floating-point operations of one image's forward, averaged over the domains, as torch counts them."""
    flops = flops_by_domain(model)
    return sum(flops.values()) / len(flops)


def flops_by_domain(model: UniversalModel) -> dict[str, float]:
    """The floating-point operations of one image's forward for each domain, as torch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    training = model.training
    model.eval()
    flops: dict[str, float] = {}
    try:
        for name in model.domains:
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                model(dummy_batch(model, name, 2), [Slice(name, 2)])
            flops[name] = counter.get_total_flops() / 2
    finally:
        model.train(training)
    return flops


def build_model(
    architecture: Architecture,
    adapter: Adapter,
    inputs: Mapping[str, Input],
    *,
    arch_settings: Any = None,
    adapter_settings: Any = None,
    sharing: str = "deep",
    mixed: bool = False,
    seed: int = 0,
    trunk: Mapping[str, Tensor] | None = None,
    initialize: bool = True,
) -> UniversalModel:
    """Build a network for these domains: apply the sharing, then the adapter to what is shared.

    Initial weights depend on the seed and, for a head, on its domain's name only: not on the other domains or their
    number. With `mixed`, shared norms compute mean and variance over all rows of a forward. `trunk` is an initial state
    of the architecture's trunk. Without it, and with `initialize`, the architecture's own initial weights are loaded,
    such as pretrained ones. Raises UdbenchError when sharing, adapter and network do not fit together.
    """
    with seeded(seed, TRUNK), plugin_code(f"architecture '{architecture.name}', built"):
        network = architecture.build(inputs, arch_settings)
    if trunk is not None:
        _load_trunk(network.trunk, trunk, architecture.name)
    elif initialize and network.init_weights is not None:
        with plugin_code(f"architecture '{architecture.name}', loading its initial weights"):
            network.init_weights()
    check_stages(network.trunk, network.stages, architecture.name)
    shapes, order = _dry_forward(network, inputs, architecture.name)
    with plugin_code(f"architecture '{architecture.name}', its heads made"):
        heads, label_maps = _heads(network, inputs, shapes, sharing, seed)
    route, domains = Route(), tuple(inputs)
    model = UniversalModel(network.trunk, heads, inputs, route, label_maps)
    model.stages = network.stages
    count_dropout(model, route, seed)
    private = private_stages(sharing, network.stages)
    make_private(model.trunk, [stage for i, stage in enumerate(network.stages) if i in private], domains, route)
    shared = [stage for i, stage in enumerate(network.stages) if i not in private]
    if shared:
        surgeon = TrunkSurgeon(model.trunk, shared, domains, route, seed=seed, order=order)
        with plugin_code(f"adapter '{adapter.name}', attached to '{architecture.name}'"):
            adapter.attach(surgeon, adapter_settings)
        surgeon.finish()
        if (regularizer := adapter.regularizer) is not None:
            model.regularize = lambda trunk, domain: regularizer(trunk, domain, adapter_settings)
    mux_remaining(model, route, domains)
    if mixed:
        mix_batches(model)
    model.narrow = _dry_run(model)
    return model


def _load_trunk(trunk: nn.Module, state: Mapping[str, Tensor], arch: str) -> None:
    current = trunk.state_dict()
    running_stats = ("running_mean", "running_var", "num_batches_tracked")  # some adapters drop them
    unknown = [name for name in state if name not in current or current[name].shape != state[name].shape]
    missing = [name for name in current if name not in state and not name.endswith(running_stats)]
    if unknown or missing:
        what = f"has '{unknown[0]}', which is not" if unknown else f"lacks '{missing[0]}', which is"
        raise SettingError(
            f"the initial trunk {what} in '{arch}' as it is built; it must be a trunk of that architecture without "
            "layers of an adapter (use a run with an adapter on norms, such as domain-bn)"
        )
    trunk.load_state_dict({**current, **state})


def _dry_forward(
    network: Network, inputs: Mapping[str, Input], arch: str
) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Run a forward of blank images. Returns each domain's feature shape, and the modules in call order."""
    order: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _m, _i, path=path: order.append(path))
        for path, module in network.trunk.named_modules()
    ]
    shapes: dict[tuple[int, int, int], tuple[int, ...]] = {}
    network.trunk.eval()
    try:
        for name, given in inputs.items():
            key = (given.channels, given.height, given.width)
            if key in shapes:
                continue
            try:
                with torch.no_grad():
                    maps = network.trunk(torch.zeros(2, *key))
            except RuntimeError as error:
                raise UdbenchError(
                    f"architecture '{arch}' does not accept images of {given.height}x{given.width} ('{name}'): "
                    f"{error}; set another size with --set image_size=…"
                ) from None
            if not isinstance(maps, Tensor) or maps.shape[0] != 2:
                raise PluginError(f"architecture '{arch}': its trunk must map (N, C, H, W) to (N, …)")
            shapes[key] = tuple(maps.shape[1:])
    finally:
        network.trunk.train()
        for hook in hooks:
            hook.remove()
    return {name: shapes[i.channels, i.height, i.width] for name, i in inputs.items()}, list(dict.fromkeys(order))


def _heads(
    network: Network, inputs: Mapping[str, Input], shapes: Mapping[str, tuple[int, ...]], sharing: str, seed: int
) -> tuple[Mapping[str, nn.Module] | nn.Module, Mapping[str, Tensor] | None]:
    if sharing != "full":
        heads: dict[str, nn.Module] = {}
        for name, given in inputs.items():
            with seeded(seed, HEAD, name):
                heads[name] = network.head(given, shapes[name])
        return heads, None
    classes = {name: given.num_classes for name, given in inputs.items()}
    if len(set(classes.values())) > 1:
        listed = ", ".join(f"{name} {number}" for name, number in classes.items())
        raise SettingError(
            f"--sharing full shares the classifier, so all domains must have the same number of classes; "
            f"here they have: {listed}. Choose such domains with --domains, or use --sharing deep"
        )
    if len(set(shapes.values())) > 1:
        raise SettingError("--sharing full shares the classifier, so all domains must have the same image size")
    if any(given.head != inputs[next(iter(inputs))].head for given in inputs.values()):
        raise SettingError(
            "--sharing full shares the head, so no domain can have settings of its own for it (domain.NAME.head)"
        )
    first = next(iter(inputs))
    with seeded(seed, HEAD):
        head = network.head(inputs[first], shapes[first])
    maps = {name: torch.from_numpy(draws(seed, LABELS, name).permutation(number)) for name, number in classes.items()}
    return head, maps


def _dry_run(model: UniversalModel) -> bool:
    """Run a training forward of blank images through the trunk and every head, to find errors before training.

    Returns whether it has a convolution that torch computes wrong on a CPU.
    """
    shapes: dict[tuple[int, int], list[str]] = {}
    for name, given in model.inputs.items():
        shapes.setdefault((given.height, given.width), []).append(name)
    with preserve_state(model), refusing_random_functions(model), torch.no_grad(), Meeting() as meeting:
        model.train()
        for (height, width), names in shapes.items():
            try:
                with model.route.using([Slice(names[0], 2)]):
                    maps = model.trunk(dummy_batch(model, names[0], 2))
                    for name in names:
                        model._classify(Slice(name, 2), maps)
            except ValueError as error:
                raise UdbenchError(
                    f"the network cannot normalise images of {height}x{width}: {error}; set a larger size with "
                    "--set image_size=…"
                ) from None
    return meeting.met


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Within, forwards may change buffers, the statistics of the round and the mode; all are restored afterwards."""
    saved, training = {name: buffer.clone() for name, buffer in model.named_buffers()}, model.training
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(saved[name])
        forget_round(model)
        model.train(training)


def dummy_batch(model: UniversalModel, domain: str, rows: int) -> Tensor:
    """A batch of `rows` zero images of a domain, (rows, C, H, W)."""
    given, like = model.inputs[domain], next(model.parameters())
    return torch.zeros(rows, given.channels, given.height, given.width, dtype=like.dtype, device=like.device)

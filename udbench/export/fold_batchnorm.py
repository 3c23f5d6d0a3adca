"""Folds batch norms, scales and biases into the weights of the convolution or linear layer before them.

Works on the graph of torch.export. So it does not depend on the classes of a network's modules, and the activation of a
norm is a separate node.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule, Node
from torch.fx.node import map_arg

from udbench.errors import UdbenchError

_CONVOLUTIONS = {"aten::conv1d": 1, "aten::conv2d": 2, "aten::conv3d": 3}
_LINEAR, _BATCH_NORM, _INSTANCE_NORM = "aten::linear", "aten::batch_norm", "aten::instance_norm"
_LAYERS = {*_CONVOLUTIONS, _LINEAR, _INSTANCE_NORM}
_SCALES = {"aten::addcmul", "aten::mul", "aten::add", "aten::sub", "aten::div"}
_NORMS = {_BATCH_NORM, _INSTANCE_NORM, "aten::group_norm", "aten::layer_norm", "aten::rms_norm"}

BEHIND_NO_LAYER = "its input is not the output of a single layer"
OF_THE_IMAGE = "its mean and variance are those of each image"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A norm that is not folded: its path, and why."""

    path: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Folded:
    """A network after folding: the numbers of folded norms and other scales, and the norms that stay."""

    network: GraphModule
    norms: int
    scales: int
    kept: tuple[Kept, ...]


def capture(network: nn.Module, images: Tensor) -> ExportedProgram:
    """Capture a network with torch.export, for images (N, C, H, W) of the size of these and any N.

    Raises UdbenchError for a network whose forward cannot be captured.
    """
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about torch's own internals
            return torch.export.export(network, (images,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except UdbenchError:
        raise
    except Exception as error:  # the exceptions of torch.export have no common base class
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise UdbenchError(f"torch.export cannot capture this network's forward: {reason}") from error


def fold(program: ExportedProgram) -> Folded:
    """Fold norms, scales and biases that are the same for every image into the layer before them.

    Computed in float64 and stored in the weights' dtype. Raises UdbenchError for a norm that uses the mean and variance
    of the batch: its result for an image depends on the other images.
    """
    network = program.module(check_guards=False)
    graph = network.graph
    _compute_constants(network)
    norms = scales = 0
    for node in list(graph.nodes):
        if _op(node) == _BATCH_NORM and node.args[5]:
            raise UdbenchError(
                f"the norm '{_path(node)}' uses the mean and variance of the batch, so its result for an image depends "
                "on the other images, and no network for single images can give the same"
            )
        if (layer := _layer(node)) is None or (affine := _affine(network, node, layer)) is None:
            continue
        _absorb(network, layer, *affine)
        node.replace_all_uses_with(layer)
        graph.erase_node(node)
        if _op(layer) != _INSTANCE_NORM:  # an instance norm stays, so only an operation is saved
            norms += _op(node) == _BATCH_NORM
            scales += _op(node) != _BATCH_NORM
    _drop_unused(network)
    kept = tuple(
        Kept(path=_path(node), why=BEHIND_NO_LAYER if _op(node) == _BATCH_NORM else OF_THE_IMAGE)
        for node in graph.nodes
        if _op(node) in _NORMS
    )
    return Folded(network=network, norms=norms, scales=scales, kept=kept)


@torch.no_grad()
def _compute_constants(network: GraphModule) -> None:
    """Compute what does not depend on the images, such as weights derived from other tensors, once."""
    graph = network.graph
    graph.eliminate_dead_code()
    for node in list(graph.nodes):
        inputs = node.all_input_nodes
        if not _op(node) or not inputs or any(before.op != "get_attr" for before in inputs):
            continue
        values = {before: _attribute(network, str(before.target)) for before in inputs}
        value = node.target(
            *map_arg(node.args, values.__getitem__),
            **map_arg(node.kwargs, values.__getitem__),
        )
        if isinstance(value, Tensor):
            with graph.inserting_before(node):
                computed = graph.get_attr(_put(network, f"constants.{node.name}", value.contiguous()))
            node.replace_all_uses_with(computed)
    graph.eliminate_dead_code()


def _layer(node: Node) -> Node | None:
    """The layer whose output this node, its only user, scales or shifts by constants; None otherwise."""
    if _op(node) not in {_BATCH_NORM, *_SCALES} or node.kwargs:
        return None
    inputs = [arg for arg in node.args if isinstance(arg, Node) and arg.op != "get_attr"]
    if len(inputs) != 1 or _op(inputs[0]) not in _LAYERS:
        return None
    layer = inputs[0]
    weights = [arg for arg in layer.args[1:3] if isinstance(arg, Node)]
    if len(layer.users) > 1 or layer.kwargs or any(arg.op != "get_attr" for arg in weights):
        return None
    rank = layer.meta["val"].dim()
    if _op(layer) in _CONVOLUTIONS and rank != _CONVOLUTIONS[_op(layer)] + 2:
        return None
    if _op(layer) == _LINEAR and _op(node) == _BATCH_NORM and rank != 2:
        return None
    return layer


def _affine(network: GraphModule, node: Node, layer: Node) -> tuple[Tensor, Tensor] | None:
    """The node as scale * x + shift, each (channels,) float64; None if it is not of this form."""
    axis = -1 if _op(layer) == _LINEAR else 1
    channels = layer.meta["val"].shape[axis]
    one, zero = torch.ones(channels, dtype=torch.float64), torch.zeros(channels, dtype=torch.float64)
    if _op(node) == _BATCH_NORM:
        weight, bias, mean, var = (_constant(network, arg) for arg in node.args[1:5])
        assert mean is not None and var is not None
        scale = (one if weight is None else weight) / (var + _number(node.args[7])).sqrt()
        return scale, (zero if bias is None else bias) - mean * scale
    at = node.args.index(layer)
    constants = [_constant(network, arg) for i, arg in enumerate(node.args) if i != at]
    flat = [_per_channel(value, layer.meta["val"].dim(), axis) for value in constants if value is not None]
    match _op(node), at, [value for value in flat if value is not None]:
        case "aten::addcmul", 1 | 2, [bias, factor]:
            return one * factor, zero + bias
        case "aten::mul", _, [factor]:
            return one * factor, zero
        case "aten::add", _, [bias]:
            return one, zero + bias
        case "aten::sub", 0, [bias]:
            return one, zero - bias
        case "aten::div", 0, [divisor]:
            return one / divisor, zero
        case _:
            return None


def _absorb(network: GraphModule, layer: Node, scale: Tensor, shift: Tensor) -> None:
    """Multiply a layer's weight and bias by scale, and add shift to the bias."""
    source, kernel, offset, *rest = [*layer.args, None, None][: max(3, len(layer.args))]
    weight, bias = _constant(network, kernel), _constant(network, offset)
    weight = torch.ones_like(scale) if weight is None else weight
    new = {
        "weight": weight * scale.reshape(-1, *[1] * (weight.dim() - 1)),
        "bias": shift if bias is None else bias * scale + shift,
    }
    home = str(kernel.target).rpartition(".")[0] if isinstance(kernel, Node) else _path(layer)
    others = {str(n.target) for n in network.graph.nodes if n.op == "get_attr" and set(n.users) - {layer}}
    if others & {_join(home, name) for name in new}:
        home = _join(home, layer.name)  # a layer that is called twice needs separate weights for each call
    with network.graph.inserting_before(layer):
        nodes = [
            network.graph.get_attr(_put(network, _join(home, name), value.to(layer.meta["val"].dtype)))
            for name, value in new.items()
        ]
    layer.args = (source, *nodes, *rest)


def _drop_unused(network: GraphModule) -> None:
    """Remove tensors and modules that no node uses any more."""
    network.graph.eliminate_dead_code()
    used = {str(node.target) for node in network.graph.nodes if node.op == "get_attr"}
    for path, _ in [*network.named_parameters(remove_duplicate=False), *network.named_buffers(remove_duplicate=False)]:
        if path not in used:
            holder, name = _holder(network, path)
            delattr(holder, name)
    network.delete_all_unused_submodules()
    network.recompile()


def _op(node: Node) -> str:
    """The name of the operator that a node calls, without overload; empty if it calls none."""
    return node.target.name().partition(".")[0] if isinstance(node.target, torch._ops.OpOverload) else ""


def _path(node: Node) -> str:
    """The path of the module whose forward contains a node."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else node.name


def _constant(network: GraphModule, arg: Any) -> Tensor | None:
    """A stored tensor or a number as float64; None for None."""
    if arg is None:
        return None
    value = _attribute(network, str(arg.target)) if isinstance(arg, Node) else torch.tensor(arg)
    return value.detach().double()


def _number(arg: Any) -> float:
    return float(arg)


def _per_channel(value: Tensor, rank: int, axis: int) -> Tensor | None:
    """A constant as (channels,) or (1,); None if it varies along another dimension than channels."""
    if value.dim() > rank:
        return None
    shape = [1] * (rank - value.dim()) + list(value.shape)
    length = shape.pop(axis)
    return value.reshape(length) if all(size == 1 for size in shape) else None


def _attribute(network: GraphModule, path: str) -> Tensor:
    holder, name = _holder(network, path)
    return getattr(holder, name)


def _holder(network: GraphModule, path: str) -> tuple[nn.Module, str]:
    parent, _, name = path.rpartition(".")
    return network.get_submodule(parent), name


def _put(network: GraphModule, path: str, value: Tensor) -> str:
    """Store a tensor at a path, replacing one that exists."""
    parent, _, name = path.rpartition(".")
    if parent and parent not in dict(network.named_modules()):
        network.add_submodule(parent, nn.Module())
    holder = network.get_submodule(parent)
    if hasattr(holder, name):
        delattr(holder, name)
    setattr(holder, name, nn.Parameter(value, requires_grad=False))
    return path


def _join(home: str, name: str) -> str:
    return f"{home}.{name}" if home else name

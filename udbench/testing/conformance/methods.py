"""Checks of an adapter: that it attaches to a small network, and the laws that apply."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udbench.plugin.contracts_model import Adapter, Architecture
from udbench.plugin.registry import Item, Registry
from udbench.testing import toys
from udbench.testing.conformance.findings import Broken, Skipped, escaped, said
from udbench.testing.conformance.toy_training import CLOSE, Bench, bench, compare_groupings, made
from udbench.train.model import build_model, count_parameters
from udbench.train.optim import make_optimizer, set_learning_rate
from udbench.train.route import Slice
from udbench.train.schedule import Schedule, make_schedule
from udbench.train.step import Step

THREE = ("reds", "blues", "greys")
KINDS = ("three convolutions with batch norms", "three convolutions without norms", "a small transformer")


def attaches(item: Item, everything: Registry, scratch: Path) -> None:
    """It attaches to three convolutions, with or without batch norms, or to a transformer, and can be trained."""
    one = _bench(item, THREE)
    before = [parameter.detach().clone() for parameter in one.model.parameters()]
    one.train(range(2), one.schedule())
    if all(torch.equal(old, new) for old, new in zip(before, one.model.parameters(), strict=True)):
        raise Broken("two rounds of training change parameters", "all stay as they were", "freeze less")
    if strange := [name for name, value in one.model.state_dict().items() if not torch.isfinite(value.double()).all()]:
        raise Broken("after two rounds all is finite", f"'{strange[0]}' is not", "see its initial values and scale")


def groups(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 1."""
    compare_groupings(_network(item), _adapter(item), made(THREE))


def owns(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 2."""
    one = _bench(item, THREE)
    one.train(range(2), one.schedule())
    before = _owned(one, THREE[1:])
    one.train(range(2, 4), Schedule(((Slice(THREE[0], 2),),)))
    after = _owned(one, THREE[1:])
    for name, value in before.items():
        if not torch.equal(value, after[name]):
            raise Broken(
                "what one domain owns stays bitwise as it was while another trains",
                f"'{name}' changed",
                "give domains their parts by surgeon.per_domain, which also keeps their buffers apart",
            )


def normalises(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 4."""
    one = _bench(item, THREE)
    one.model.train()
    slices = [Slice(THREE[0], 4), Slice(THREE[1], 4)]
    images = torch.randn(8, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    other = images.clone()
    other[4:] *= 100
    with torch.no_grad():
        mine, same = one.model(images, slices)[0], one.model(other, slices)[0]
    if not torch.equal(mine, same):
        raise Broken(
            f"in training, what becomes of one domain's rows does not depend on another's ('{THREE[1]}')",
            f"it changes by {float((mine - same).abs().max()):.3g}",
            "use surgeon.norm_stats, surgeon.per_domain or surgeon.instance_norm for batch norms, and mix no rows",
        )


def is_plain(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 5: where its network of one domain has the plain network's tensors and no more, it trains as that does."""
    arch, adapter = _network(item), _adapter(item)
    data = made(THREE[:1])
    inputs = toys.toy_inputs(data)
    name = THREE[0]
    settings = adapter.settings() if adapter.settings else None
    muxed = build_model(arch, adapter, inputs, adapter_settings=settings, seed=3)
    network = arch.build(inputs, None)
    plain = nn.Sequential(network.trunk, network.head(inputs[name], _shape(network.trunk)))
    places = {
        key: key.replace("trunk.", "0.", 1).replace(f"heads.{name}.", "1.", 1).replace(f"own.{name}.", "")
        for key in muxed.state_dict()
    }
    if set(places.values()) != set(plain.state_dict()) or not any(f"own.{name}." in key for key in places):
        raise Skipped("with one domain it is another network than the plain one, so there is nothing to be equal to")
    if any(not parameter.requires_grad for parameter in muxed.parameters()):
        raise Skipped("it freezes a part of the network, which a plain one trains")
    plain.load_state_dict({places[key]: value for key, value in muxed.state_dict().items()})
    recipe = toys.toy_settings(rounds=3, batch_size=4)
    feed = toys.toy_feed(data, dtype=torch.float32)
    step = Step(muxed.train(), feed, recipe, "fp32")
    optimizers = make_optimizer(muxed, recipe), make_optimizer(plain.train(), recipe)
    group = make_schedule(inputs, recipe).groups[0]
    for round in range(3):
        for optimizer in optimizers:
            set_learning_rate(optimizer, recipe, round)
        losses = step.gradients(round, (group,))
        images, (labels,) = feed.next(round, group, step.batch)
        loss = F.cross_entropy(plain(images), labels)
        loss.backward()
        if not torch.equal(loss.detach(), losses[name]):
            raise Broken(
                "with one domain it trains as the plain network does, bit for bit",
                f"in round {round} the losses are {float(losses[name])!r} and {float(loss.detach())!r}",
                "copy modules by surgeon.per_domain and change nothing else of them",
            )
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def counts(item: Item, everything: Registry, scratch: Path) -> None:
    """Law 6, as far as it can be asked without the method's formula."""
    two, three = (count_parameters(_bench(item, names).model) for names in (THREE[:2], THREE))
    if two.shared != three.shared or any(two.private[name] != three.private[name] for name in THREE[:2]):
        raise Broken(
            "a third domain leaves the number of shared parameters and of the others' as it was",
            f"shared {two.shared:,} become {three.shared:,}, private {dict(two.private)} become {dict(three.private)}",
            "let what is shared not depend on the number of domains",
        )
    whole = [sum(p.numel() for p in _bench(item, names).model.parameters()) for names in (THREE[:2], THREE)]
    if whole[1] - whole[0] != three.private[THREE[2]]:
        raise Broken(
            f"a third domain adds its own {three.private[THREE[2]]:,} parameters",
            f"it adds {whole[1] - whole[0]:,}",
            "give what grows with the domains to each of them by surgeon.per_domain",
        )
    one = _bench(item, THREE)
    one.gradients(None)
    alone = Step(one.model.train(), one.feed, one.settings, "fp64")
    one.optimizer.zero_grad(set_to_none=True)
    alone.gradients(1, ((Slice(THREE[0], 2),),))
    for name in THREE[1:]:
        if any(p.grad is not None and bool(p.grad.any()) for p in one.model.private(name)):
            raise Broken(
                "a domain's rows give gradients to its own and to shared parameters only",
                f"rows of '{THREE[0]}' reach what '{name}' owns",
                "route rows by surgeon.per_domain",
            )


def evaluates(item: Item, everything: Registry, scratch: Path) -> None:
    """With eval_stats="running", the output for a test image does not depend on the others of its batch."""
    one = _bench(item, THREE)
    one.train(range(2), one.schedule())
    one.model.eval()
    images = torch.randn(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = one.model(images, [Slice(THREE[0], 4)])[0]
        apart = one.model(images[:2], [Slice(THREE[0], 2)])[0]
    alike = torch.allclose(together[:2], apart, rtol=CLOSE, atol=CLOSE)
    if _adapter(item).eval_stats not in ("running", "batch"):
        raise Broken('evaluation is "running" or "batch"', f"it is {_adapter(item).eval_stats!r:.80}", "choose one")
    if not alike and _adapter(item).eval_stats == "running":
        raise Broken(
            'with eval_stats="running", the output for a test image does not depend on its neighbours',
            f"it changes by {float((together[:2] - apart).abs().max()):.3g}",
            'say eval_stats="batch", or use running moments at test (surgeon.norm_stats(path, "shared" or "domain"))',
        )


def _adapter(item: Item) -> Adapter:
    assert isinstance(item.value, Adapter)
    return item.value


def _network(item: Item) -> Architecture:
    """The small network that it attaches to, the first that it takes. Raises Broken when it takes none."""
    refused: list[str] = []
    for arch, words in zip(toys.toy_networks(), KINDS, strict=True):
        try:
            bench(arch, _adapter(item), made(THREE))
        except Exception as error:
            if (own := escaped(error)) is None:
                refused.append(str(error))
                continue
            raise Broken(
                f"attach works on {words}, or refuses them with a udbench.UdbenchError",
                said(own),
                "find modules by surgeon.find and change them by the surgeon's own ways",
            ) from error
        else:
            return arch
    raise Broken(
        f"it attaches to {KINDS[0]}, to {KINDS[1]}, or to {KINDS[2]}",
        f"it refuses all of them: {'; '.join(refused)}",
        "let it take plain nn.Conv2d and nn.BatchNorm2d, or nn.Linear and nn.LayerNorm",
    )


def _bench(item: Item, names: Sequence[str]) -> Bench:
    return bench(_network(item), _adapter(item), made(names))


def _owned(one: Bench, domains: Sequence[str]) -> dict[str, Tensor]:
    """All parameters, buffers and optimizer state that lie below these domains' keys."""
    parameters = dict(one.model.named_parameters())
    state: dict[str, Tensor] = {}
    for path, tensor in one.model.state_dict().items():
        if any(f".{domain}." in f".{path}." for domain in domains):
            state[path] = tensor.detach().clone()
            held = one.optimizer.state.get(parameters[path], {}) if path in parameters else {}
            state |= {f"{path}:{key}": value.clone() for key, value in held.items() if isinstance(value, Tensor)}
    return state


def _shape(trunk: nn.Module) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(trunk.eval()(torch.zeros(2, 3, 8, 8)).shape[1:])

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from udbench.plugin.contracts_model import Adapter
from udbench.plugin.registry import Registry
from udbench.testing import toys
from udbench.train.evaluate import evaluate
from udbench.train.model import UniversalModel, build_model
from udbench.train.rng import draws
from udbench.train.route import Route, Slice


class Recorder(nn.Module):
    """Answers with an image's mean, and keeps the batches that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((1, 2, 3))
        self.seen.append(means)
        return means[:, None]


class Head(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, -x], 1)


def recorded(images: int, by_batch: bool, **settings: object) -> tuple[Recorder, np.ndarray, np.ndarray]:
    """The batches that were seen, each image's mean, and the labels."""
    data = toys.toy_data("reds", classes=2, images=3 * images)
    trunk = Recorder()
    model = UniversalModel(trunk, {"reds": Head()}, toys.toy_inputs([data]), Route())
    feed = toys.toy_feed([data])
    recipe = toys.toy_settings(**settings)
    found = evaluate(model, feed, {"reds": data.test_rows}, recipe, "fp64", by_batch=by_batch)["reds"]
    first = next(feed.eval_views("reds", [data.test_rows])).mean((1, 2, 3))
    assert ((first > 0).numpy() == (found.predicted == 0)).all(), "each prediction is its own image's"
    assert (found.label == data.labels[data.test_rows]).all()
    return trunk, first.numpy(), found.label


@pytest.mark.parametrize("by_batch", [False, True])
@pytest.mark.parametrize("images", [3, 8, 11])
def test_each_image_is_counted_once_and_a_batchs_moments_never_come_from_fewer_images(
    images: int, by_batch: bool
) -> None:
    trunk, first, _ = recorded(images, by_batch, eval_batch_size=4)
    sizes = [len(batch) for batch in trunk.seen]
    if by_batch:
        assert set(sizes) == {min(4, images)}
    else:
        assert sum(sizes) == images
    assert set(torch.cat(trunk.seen).tolist()) == set(first.tolist())


def test_the_order_is_shuffled_unless_class_by_class_is_asked_for() -> None:
    trunk, first, labels = recorded(12, False, eval_batch_size=4, eval_order="class")
    label_of = dict(zip(first.tolist(), labels.tolist(), strict=True))
    seen = [label_of[x] for x in torch.cat(trunk.seen).tolist()]
    assert seen == sorted(seen)
    trunk, first, _ = recorded(12, False, eval_batch_size=4)
    again, _, _ = recorded(12, False, eval_batch_size=6)
    assert torch.equal(torch.cat(trunk.seen), torch.cat(again.seen)), "the order does not depend on the batches"
    assert torch.cat(trunk.seen).tolist() != first.tolist()


def test_only_batch_moments_make_a_prediction_depend_on_its_batch(registry: Registry) -> None:
    data = toys.toy_data("reds", images=60)
    for name, depends in (("domain-bn", False), ("bn-plus", True)):
        adapter = registry.get(Adapter, name)
        model = build_model(toys.toy_architecture(), adapter, toys.toy_inputs([data])).double()
        outputs = [
            evaluate(
                model,
                toys.toy_feed([data]),
                {"reds": data.test_rows},
                toys.toy_settings(eval_batch_size=size),
                "fp64",
                by_batch=adapter.eval_stats == "batch",
            )["reds"].log_probability
            for size in (4, 20)
        ]
        assert bool(abs(outputs[0] - outputs[1]).max() > 1e-4) is depends


@pytest.mark.parametrize("adapter", ["domain-bn", "bn-plus"])
def test_what_is_kept_of_a_test_batch_is_top_1_and_the_softmax_and_batch_moments_see_pure_ones(
    registry: Registry, adapter: str
) -> None:
    data = [toys.toy_data("reds", images=33), toys.toy_data("blues", classes=4)]
    chosen = registry.get(Adapter, adapter)
    model = build_model(toys.toy_architecture(), chosen, toys.toy_inputs(data)).double()
    seen: list[tuple[str, torch.Tensor]] = []

    def keep(_module: nn.Module, given: tuple[torch.Tensor, list[Slice]], logits: list[torch.Tensor]) -> None:
        assert adapter == "domain-bn" or len(given[1]) == 1, "all rows of a test batch are of one domain"
        seen.extend((part.domain, own) for part, own in zip(given[1], logits, strict=True))

    model.register_forward_hook(keep)
    rows = {domain.name: domain.test_rows for domain in data}
    recipe = toys.toy_settings(eval_batch_size=64)
    by_batch = chosen.eval_stats == "batch"
    found = evaluate(model, toys.toy_feed(data), rows, recipe, "fp64", by_batch=by_batch)
    assert [name for name, _ in seen] == ["reds", "blues"]
    for domain, (name, logits) in zip(data, seen, strict=True):
        order = draws("evaluation", name).permutation(len(domain.test_rows))
        softmax = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
        label = torch.from_numpy(domain.labels[domain.test_rows][order])
        kept = found[name]
        assert (kept.predicted[order] == softmax.argmax(1).numpy()).all() and (kept.label[order] == label.numpy()).all()
        assert np.allclose(np.exp(kept.log_probability[order]), softmax.gather(1, label[:, None])[:, 0], atol=1e-6)
        wrong = int((softmax.argmax(1) != label).sum())
        assert kept.error == pytest.approx(100 * wrong / len(label)), "in percent"


@pytest.mark.parametrize("adapter", ["domain-bn", "domain-moments", "universal-bn", "domain-in"])
def test_batches_run_on_from_domain_to_domain_and_change_no_result(registry: Registry, adapter: str) -> None:
    data = [toys.toy_data("reds", images=33), toys.toy_data("blues", classes=4), toys.toy_data("large", size=16)]
    chosen = registry.get(Adapter, adapter)
    settings = chosen.settings() if chosen.settings else None
    model = build_model(toys.toy_architecture(), chosen, toys.toy_inputs(data), adapter_settings=settings).double()
    sizes: list[int] = []
    model.register_forward_hook(lambda _m, given, _o: sizes.append(len(given[0])))
    rows = {domain.name: domain.test_rows for domain in data}
    feed = toys.toy_feed(data)
    found = evaluate(model, feed, rows, toys.toy_settings(eval_batch_size=9), "fp64")
    assert sizes == [9, 9, 1, 8], "19 of one shape, 8 of the other"
    for domain in data:
        images = next(feed.eval_views(domain.name, [domain.test_rows]))
        (logits,) = model.eval()(images, [Slice(domain.name, len(images))])
        logp = torch.log_softmax(logits, 1)
        label = torch.from_numpy(domain.labels[domain.test_rows])
        assert (found[domain.name].predicted == logp.argmax(1).numpy()).all()
        own = logp.gather(1, label[:, None])[:, 0].detach().numpy()
        assert np.allclose(found[domain.name].log_probability, own, atol=1e-6)

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from udbench.adapters import Adapter
from udbench.registry import Registry
from udbench.testing import toys
from udbench.train.evaluate import evaluate
from udbench.train.model import UniversalModel, build_model
from udbench.train.route import Route


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
    first = next(feed.centres("reds", [data.test_rows])).mean((1, 2, 3))
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
                by_batch=adapter.evaluation == "batch",
            )["reds"].log_probability
            for size in (4, 20)
        ]
        assert bool(abs(outputs[0] - outputs[1]).max() > 1e-4) is depends

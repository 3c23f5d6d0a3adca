"""Scoring: every image once, in its centre view, by the domain's own path through the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from udbench.train.draws import draws
from udbench.train.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing
from udbench.train.route import Slice

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


CUDA_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Images of one domain in a test batch: `order`, places in its list of scored images, the first `counted` of which
    count."""

    name: str
    order: NDArray[np.int64]
    counted: int


Batch = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What the network said of each scored image, in the store's order: (N,) each.

    `log_probability` is that of the image's own label.
    """

    label: NDArray[np.int32]
    predicted: NDArray[np.int32]
    log_probability: NDArray[np.float32]

    @property
    def error(self) -> float:
        """Top-1 error in percent."""
        return 100 * float(np.mean(self.label != self.predicted))


def evaluate(
    model: UniversalModel,
    feed: Feed,
    rows: Mapping[str, NDArray[np.int64]],
    settings: RecipeSettings,
    precision: str,
    *,
    by_batch: bool = False,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Predictions]:
    """Predictions for the images at these positions of each domain.

    `by_batch` says that test images are normalised with the moments of their batch. Batches then hold one domain's
    images, `eval_batch_size` of them in a fixed order, and the last one is filled up with images from the start of
    the order, which are not counted again; a domain with fewer images is one batch. Otherwise an image's result does
    not depend on its neighbours, and batches run on from one domain to the next of the same image shape.
    """
    training = model.training
    model.eval()
    labels = {name: feed.labels(name, positions) for name, positions in rows.items()}
    orders = {name: _order(name, labels[name], settings.eval_order) for name in rows}
    if by_batch:
        batches = [batch for name in rows for batch in _pure(name, orders[name], settings.eval_batch_size)]
    else:
        batches = list(_running_on(model, orders, rows_at_once(settings.eval_batch_size, feed.device)))
    try:
        said = _said(model, feed, rows, labels, batches, precision, progress)
    finally:
        model.train(training)
    return {name: _predictions(labels[name], orders[name], *said[name]) for name in rows}


def rows_at_once(asked: int, device: torch.device) -> int:
    """Test images in a forward where their number changes no result: what was asked for, and more on a GPU."""
    return max(asked, CUDA_ROWS) if device.type == "cuda" else asked


@torch.inference_mode()
def _said(
    model: UniversalModel,
    feed: Feed,
    rows: Mapping[str, NDArray[np.int64]],
    labels: Mapping[str, NDArray[np.int64]],
    batches: Sequence[Batch],
    precision: str,
    progress: Callable[[str], None] | None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """The predicted class of each image and the log-probability of its label, in the order of the batches. They stay
    on the device until all are there."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in rows}
    views = feed.scored([(part.name, rows[part.name][part.order]) for part in batch] for batch in batches)
    for batch, images in zip(batches, views, strict=True):
        for part in batch:
            if progress is not None and not found[part.name]:
                progress(part.name)
        with computing(precision, feed.device):
            logits = model(images, [Slice(part.name, len(part.order)) for part in batch])
        for part, own in zip(batch, logits, strict=True):
            logp = F.log_softmax(own[: part.counted].double(), dim=1)
            label = torch.from_numpy(labels[part.name][part.order[: part.counted]]).to(feed.device)
            found[part.name].append((logp.argmax(1), logp.gather(1, label[:, None])[:, 0]))
    return {
        name: (torch.cat([said for said, _ in parts]).cpu(), torch.cat([logp for _, logp in parts]).cpu())
        for name, parts in found.items()
    }


def _predictions(
    labels: NDArray[np.int64], order: NDArray[np.int64], said: Tensor, log_probability: Tensor
) -> Predictions:
    predicted, own = np.empty(len(labels), dtype=np.int32), np.empty(len(labels), dtype=np.float32)
    predicted[order], own[order] = said.numpy(), log_probability.numpy()
    return Predictions(labels.astype(np.int32), predicted, own)


def _order(name: str, labels: NDArray[np.int64], how: str) -> NDArray[np.int64]:
    """The order in which images are put into batches: a fixed permutation, or class by class as files often lie."""
    if how == "class":
        return np.argsort(labels, kind="stable")
    return draws("evaluation", name).permutation(len(labels))


def _pure(name: str, order: NDArray[np.int64], size: int) -> Iterator[Batch]:
    """Batches of one domain, all of one size."""
    size = min(size, len(order))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        filled = np.concatenate([batch, order[: size - len(batch)]])
        yield (Part(name, filled, len(batch)),)


def _running_on(model: UniversalModel, orders: Mapping[str, NDArray[np.int64]], size: int) -> Iterator[Batch]:
    """Batches of one size that run on from one domain to the next of its image shape; the last may be smaller."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for name in orders:
        shapes.setdefault((model.inputs[name].height, model.inputs[name].width), []).append(name)
    for names in shapes.values():
        batch: list[Part] = []
        room = size
        for name in names:
            order = orders[name]
            while len(order):
                now, order = order[:room], order[room:]
                batch.append(Part(name, now, len(now)))
                room -= len(now)
                if not room:
                    yield tuple(batch)
                    batch, room = [], size
        if batch:
            yield tuple(batch)

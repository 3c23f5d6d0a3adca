"""Scoring: every image once, in its centre view, by the domain's own path through the network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from udbench.train.draws import draws
from udbench.train.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing
from udbench.train.route import Slice

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


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

    `by_batch` says that test images are normalised with the moments of their batch. Batches then have
    `eval_batch_size` rows in a fixed order, and the last one is filled up with images from the start of the
    order, which are not counted again; a domain with fewer images is one batch.
    """
    training = model.training
    model.eval()
    try:
        results: dict[str, Predictions] = {}
        for name, positions in rows.items():
            if progress is not None:
                progress(name)
            results[name] = _domain(model, feed, name, positions, settings, precision, by_batch)
        return results
    finally:
        model.train(training)


@torch.inference_mode()
def _domain(
    model: UniversalModel,
    feed: Feed,
    name: str,
    positions: NDArray[np.int64],
    settings: RecipeSettings,
    precision: str,
    by_batch: bool,
) -> Predictions:
    labels = feed.labels(name, positions)
    predicted = np.empty(len(positions), dtype=np.int32)
    log_probability = np.empty(len(positions), dtype=np.float32)
    order = _order(name, labels, settings.eval_order)
    batches = list(_batches(order, settings.eval_batch_size, fill=by_batch))
    views = feed.centres(name, (positions[batch] for batch, _ in batches))
    for (batch, counted), images in zip(batches, views, strict=True):
        with computing(precision, feed.device):
            (logits,) = model(images, [Slice(name, len(batch))])
        logp = F.log_softmax(logits.double(), dim=1).cpu()
        own = logp.gather(1, torch.from_numpy(labels[batch])[:, None])[:, 0]
        predicted[batch[:counted]] = logp.argmax(1)[:counted].numpy()
        log_probability[batch[:counted]] = own[:counted].numpy()
    return Predictions(labels.astype(np.int32), predicted, log_probability)


def _order(name: str, labels: NDArray[np.int64], how: str) -> NDArray[np.int64]:
    """The order in which images are put into batches: a fixed permutation, or class by class as files often lie."""
    if how == "class":
        return np.argsort(labels, kind="stable")
    return draws("evaluation", name).permutation(len(labels))


def _batches(order: NDArray[np.int64], size: int, *, fill: bool) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Batches with how many of their rows count."""
    size = min(size, len(order))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        counted = len(batch)
        if fill and counted < size:
            batch = np.concatenate([batch, order[: size - counted]])
        yield batch, counted

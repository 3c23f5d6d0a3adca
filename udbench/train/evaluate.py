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

from udbench.errors import RunError
from udbench.seeds import EVALUATION
from udbench.train.finite import REMEDY
from udbench.train.input.feed import Feed, sent
from udbench.train.model import UniversalModel
from udbench.train.parallel.comm import Comm
from udbench.train.precision import computing
from udbench.train.rng import draws
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
class Said:
    """What the network said of a domain's images at these places of its list: a class, and its label's probability.

    `finite` says of which images all logits are: of the others the class means nothing.
    """

    places: NDArray[np.int64]
    predicted: NDArray[np.int64]
    log_probability: NDArray[np.float64]
    finite: NDArray[np.bool_]


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
    comm: Comm | None = None,
) -> dict[str, Predictions]:
    """Predictions for the images at these positions of each domain.

    `by_batch` says that test images are normalised with the moments of their batch. Batches then hold one domain's
    images, `eval_batch_size` of them in a fixed order, and the last one is filled up with images from the start of
    the order, which are not counted again; a domain with fewer images is one batch. Otherwise an image's result does
    not depend on its neighbours, and batches run on from one domain to the next of the same image shape. Several
    processes share the batches, and all get all predictions. Raises RunError where a logit is not finite.
    """
    comm = comm or Comm()
    training = model.training
    model.eval()
    labels = {name: feed.labels(name, positions) for name, positions in rows.items()}
    orders = {name: _order(name, labels[name], settings.eval_order) for name in rows}
    if by_batch:
        batches = [batch for name in rows for batch in _pure(name, orders[name], settings.eval_batch_size)]
    else:
        batches = list(_running_on(model, orders, rows_at_once(settings.eval_batch_size, feed.device)))
    mine = batches[comm.rank :: comm.size]
    try:
        said = comm.gather(_said(model, feed, rows, labels, mine, precision, progress))
    finally:
        model.train(training)
    return {name: _predictions(name, labels[name], [each[name] for each in said if name in each]) for name in rows}


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
) -> dict[str, Said]:
    """What the network says of the images of some batches. It stays on the device until all is there."""
    found: dict[str, list[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]] = {}
    views = feed.scored([(part.name, rows[part.name][part.order]) for part in batch] for batch in batches)
    for batch, images in zip(batches, views, strict=True):
        for part in batch:
            if progress is not None and part.name not in found:
                progress(part.name)
        with computing(precision, feed.device):
            logits = model(images, [Slice(part.name, len(part.order)) for part in batch])
        for part, own in zip(batch, logits, strict=True):
            counted = part.order[: part.counted]
            own = own[: part.counted].double()
            logp = F.log_softmax(own, dim=1)
            label = sent(labels[part.name][counted], feed.device)
            found.setdefault(part.name, []).append(
                (counted, logp.argmax(1), logp.gather(1, label[:, None])[:, 0], own.isfinite().all(1))
            )
    return {
        name: Said(
            np.concatenate([places for places, *_ in parts]),
            torch.cat([predicted for _, predicted, _, _ in parts]).cpu().numpy(),
            torch.cat([own for _, _, own, _ in parts]).cpu().numpy(),
            torch.cat([finite for *_, finite in parts]).cpu().numpy(),
        )
        for name, parts in found.items()
    }


def _predictions(name: str, labels: NDArray[np.int64], said: Sequence[Said]) -> Predictions:
    if ruined := sum(int((~each.finite).sum()) for each in said):
        raise RunError(
            f"the logits of {ruined} of {len(labels)} images of '{name}' are not finite, so they name no class and "
            f"cannot be scored. {REMEDY}"
        )
    predicted, own = np.full(len(labels), -1, dtype=np.int32), np.empty(len(labels), dtype=np.float32)
    for each in said:
        predicted[each.places], own[each.places] = each.predicted, each.log_probability
    assert sum(len(each.places) for each in said) == len(labels) and (predicted >= 0).all(), "each image once"
    return Predictions(labels.astype(np.int32), predicted, own)


def _order(name: str, labels: NDArray[np.int64], how: str) -> NDArray[np.int64]:
    """The order in which images are put into batches: a fixed permutation, or class by class as files often lie."""
    if how == "class":
        return np.argsort(labels, kind="stable")
    return draws(EVALUATION, name).permutation(len(labels))


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

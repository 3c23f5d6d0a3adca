"""Evaluation: every image is predicted once, in its evaluation view, by its domain's path through the network."""

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
from udbench.train.input.feed import Feed, to_device
from udbench.train.model import UniversalModel
from udbench.train.parallel.comm import Comm
from udbench.train.precision import computing
from udbench.train.rng import draws
from udbench.train.route import Slice

if TYPE_CHECKING:
    from udbench.config import RecipeSettings


CUDA_ROWS = 1024


@dataclass(frozen=True, slots=True)
class BatchSlice:
    """Images of one domain in a test batch.

    `positions` are indices into the domain's list of scored images. Only the first `num_scored` of them are scored; the
    others pad the batch.
    """

    domain: str
    positions: NDArray[np.int64]
    num_scored: int


Batch = tuple[BatchSlice, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The network's outputs for images of one domain: the predicted class, and the log-probability of the label.

    `positions` are indices into the domain's list of scored images. `finite` is False for images with a logit that is
    not finite; their class is meaningless.
    """

    positions: NDArray[np.int64]
    predicted: NDArray[np.int64]
    log_probability: NDArray[np.float64]
    finite: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Predictions:
    """The predictions for a domain's scored images, in the store's order: (N,) each.

    `log_probability` is that of the image's label.
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
    """Predict the images at the positions `rows` of each domain.

    `by_batch` says that test images are normalised with the mean and variance of their batch. Each batch then has
    `eval_batch_size` images of one domain, in a fixed permutation. The last batch is padded with images from the start
    of the permutation; padding is not scored. A domain with fewer images is one batch. Without `by_batch`, an image's
    result does not depend on its neighbours, and a batch may hold images of several domains of one image shape.
    Several processes share the batches, and all of them return all predictions. Raises RunError where a logit is not
    finite.
    """
    comm = comm or Comm()
    training = model.training
    model.eval()
    labels = {name: feed.labels(name, positions) for name, positions in rows.items()}
    orders = {name: _order(name, labels[name], settings.eval_order) for name in rows}
    if by_batch:
        batches = [batch for name in rows for batch in _pure(name, orders[name], settings.eval_batch_size)]
    else:
        batches = list(_across_domains(model, orders, eval_batch_rows(settings.eval_batch_size, feed.device)))
    mine = batches[comm.rank :: comm.size]
    try:
        outputs = comm.gather(_outputs(model, feed, rows, labels, mine, precision, progress))
    finally:
        model.train(training)
    return {name: _predictions(name, labels[name], [part[name] for part in outputs if name in part]) for name in rows}


def eval_batch_rows(requested: int, device: torch.device) -> int:
    """The test images of a forward where their number changes no result: as requested, at least 1024 on a GPU."""
    return max(requested, CUDA_ROWS) if device.type == "cuda" else requested


@torch.inference_mode()
def _outputs(
    model: UniversalModel,
    feed: Feed,
    rows: Mapping[str, NDArray[np.int64]],
    labels: Mapping[str, NDArray[np.int64]],
    batches: Sequence[Batch],
    precision: str,
    progress: Callable[[str], None] | None,
) -> dict[str, Outputs]:
    """The network's outputs for some batches. They stay on the device until the last batch."""
    collected: dict[str, list[tuple[NDArray[np.int64], Tensor, Tensor, Tensor]]] = {}
    views = feed.eval_batches([(part.domain, rows[part.domain][part.positions]) for part in batch] for batch in batches)
    for batch, images in zip(batches, views, strict=True):
        for part in batch:
            if progress is not None and part.domain not in collected:
                progress(part.domain)
        with computing(precision, feed.device):
            logits = model(images, [Slice(part.domain, len(part.positions)) for part in batch])
        for part, part_logits in zip(batch, logits, strict=True):
            scored = part.positions[: part.num_scored]
            scored_logits = part_logits[: part.num_scored].double()
            logp = F.log_softmax(scored_logits, dim=1)
            label = to_device(labels[part.domain][scored], feed.device)
            collected.setdefault(part.domain, []).append(
                (scored, logp.argmax(1), logp.gather(1, label[:, None])[:, 0], scored_logits.isfinite().all(1))
            )
    return {
        name: Outputs(
            np.concatenate([positions for positions, *_ in parts]),
            torch.cat([predicted for _, predicted, _, _ in parts]).cpu().numpy(),
            torch.cat([label_logp for _, _, label_logp, _ in parts]).cpu().numpy(),
            torch.cat([finite for *_, finite in parts]).cpu().numpy(),
        )
        for name, parts in collected.items()
    }


def _predictions(name: str, labels: NDArray[np.int64], outputs: Sequence[Outputs]) -> Predictions:
    if ruined := sum(int((~part.finite).sum()) for part in outputs):
        raise RunError(
            f"the logits of {ruined} of {len(labels)} images of '{name}' are not finite, so they predict no class and "
            f"cannot be scored. {REMEDY}"
        )
    predicted, label_logp = np.full(len(labels), -1, dtype=np.int32), np.empty(len(labels), dtype=np.float32)
    for part in outputs:
        predicted[part.positions], label_logp[part.positions] = part.predicted, part.log_probability
    assert sum(len(part.positions) for part in outputs) == len(labels) and (predicted >= 0).all(), "each image once"
    return Predictions(labels.astype(np.int32), predicted, label_logp)


def _order(name: str, labels: NDArray[np.int64], how: str) -> NDArray[np.int64]:
    """The order of the images in the batches: a fixed permutation, or sorted by class as files often are."""
    if how == "class":
        return np.argsort(labels, kind="stable")
    return draws(EVALUATION, name).permutation(len(labels))


def _pure(name: str, order: NDArray[np.int64], size: int) -> Iterator[Batch]:
    """Batches of one domain, all of the same size."""
    size = min(size, len(order))
    for start in range(0, len(order), size):
        batch = order[start : start + size]
        padded = np.concatenate([batch, order[: size - len(batch)]])
        yield (BatchSlice(name, padded, len(batch)),)


def _across_domains(model: UniversalModel, orders: Mapping[str, NDArray[np.int64]], size: int) -> Iterator[Batch]:
    """Batches of one size that may hold several domains of one image shape; the last may be smaller."""
    shapes: dict[tuple[int, int], list[str]] = {}
    for name in orders:
        shapes.setdefault((model.inputs[name].height, model.inputs[name].width), []).append(name)
    for names in shapes.values():
        batch: list[BatchSlice] = []
        room = size
        for name in names:
            order = orders[name]
            while len(order):
                now, order = order[:room], order[room:]
                batch.append(BatchSlice(name, now, len(now)))
                room -= len(now)
                if not room:
                    yield tuple(batch)
                    batch, room = [], size
        if batch:
            yield tuple(batch)

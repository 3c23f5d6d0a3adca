"""Classify a new domain by a trained network's features: nearest class means."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from udbench.config import RecipeSettings, RunConfig
from udbench.data.store import Store
from udbench.errors import RunError
from udbench.seeds import SHOTS
from udbench.train.evaluate import Predictions
from udbench.train.input.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.precision import computing
from udbench.train.rng import draws
from udbench.train.route import Slice

BATCH = 128


@torch.inference_mode()
def nearest_means(
    model: UniversalModel, feed: Feed, store: Store, config: RunConfig, settings: RecipeSettings
) -> Predictions:
    """Predict each test image's class by the nearest class mean, of `shots` training images a class, for every draw.

    Features are the trunk's maps, averaged over positions and normalized to length 1; similarity is the cosine. The
    predictions of all draws are concatenated; log-probabilities are those of a softmax over the cosines. Raises
    RunError where a feature is not finite.
    """
    assert config.transfer is not None
    (domain,) = config.domains
    model.eval()
    data = feed.data[domain]
    train = np.asarray(data.train_rows, dtype=np.int64)
    test = np.asarray(data.test_rows, dtype=np.int64)
    picked = [_shots(data.labels, train, config, draw) for draw in range(config.transfer.draws)]
    needed = np.unique(np.concatenate(picked))
    known = _features(model, feed, domain, needed, config.precision)
    seen = _features(model, feed, domain, test, config.precision)
    labels = data.labels[test]
    parts: list[Predictions] = []
    for rows in picked:
        features = known[torch.from_numpy(np.searchsorted(needed, rows))]
        classes, which = np.unique(data.labels[rows], return_inverse=True)
        means = torch.zeros(len(classes), features.shape[1], dtype=features.dtype)
        means.index_add_(0, torch.from_numpy(which), features)
        cosines = seen @ F.normalize(means, dim=1).T
        logp = torch.full((len(test), store.spec.num_classes), -torch.inf, dtype=torch.float64)
        logp[:, torch.from_numpy(classes)] = F.log_softmax(cosines.double(), dim=1)
        own = logp.gather(1, torch.from_numpy(labels)[:, None])[:, 0]
        parts.append(
            Predictions(
                labels.astype(np.int32),
                logp.argmax(1).numpy().astype(np.int32),
                own.numpy().astype(np.float32),
            )
        )
    return Predictions(
        np.concatenate([part.label for part in parts]),
        np.concatenate([part.predicted for part in parts]),
        np.concatenate([part.log_probability for part in parts]),
    )


def _shots(labels: NDArray[np.int64], train: NDArray[np.int64], config: RunConfig, draw: int) -> NDArray[np.int64]:
    """`shots` training rows of each class for one draw; all rows of a class that has fewer."""
    assert config.transfer is not None
    order = train[draws(config.seed, SHOTS, config.domains[0], draw).permutation(len(train))]
    of = labels[order]
    by_class = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[by_class], prepend=of[by_class][0] - 1))
    place = np.arange(len(of)) - np.repeat(starts, np.diff(starts, append=len(of)))
    return order[by_class[place < config.transfer.shots]]


def _features(model: UniversalModel, feed: Feed, domain: str, rows: NDArray[np.int64], precision: str) -> Tensor:
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    parts: list[Tensor] = []
    for batch, images in zip(batches, feed.eval_views(domain, batches), strict=True):
        with computing(precision, feed.device), model.route.using([Slice(domain, len(batch))]):
            maps = model.trunk(images)
        parts.append(F.normalize(maps.float().flatten(2).mean(2) if maps.dim() > 2 else maps.float(), dim=1).cpu())
    features = torch.cat(parts)
    if ruined := int((~features.isfinite().all(1)).sum()):
        raise RunError(
            f"the features of {ruined} of {len(rows)} images of '{domain}' are not finite, so they are near no class; "
            "take another run's network"
        )
    return features

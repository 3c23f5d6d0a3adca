"""A trained network on a domain that it never saw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from udbench.config import RecipeSettings, RunConfig, Transfer
from udbench.data.store import Store, hash_file
from udbench.errors import BadData, BadSetting
from udbench.train.draws import draws
from udbench.train.evaluate import Predictions
from udbench.train.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.norms import recalibrate
from udbench.train.owned import Owned
from udbench.train.precision import computing
from udbench.train.route import Slice
from udbench.train.schedule import Group

SETTLING_ROUNDS = 20
BATCH = 128


def check_weights(source: Path, sha256: str) -> None:
    """Raises BadData where a run's weights are gone, or are not those that its record names by their sha256."""
    weights = _weights(source)
    if hash_file(weights) != sha256:
        raise BadData(f"{weights} was changed: its sha256 is not the one that the run's result.json records")


def begin_transfer(model: UniversalModel, config: RunConfig, source: Path) -> None:
    """Bring a trained network's weights to a new domain's network, and freeze what is not to be trained.

    What all domains shared is taken as it is. What each owned of the trunk begins as the mean over the domains
    that were trained; the head begins anew. Raises BadData: weights that are missing, damaged or another network's;
    BadSetting where nothing is left to train.
    """
    assert config.transfer is not None
    (domain,) = config.domains
    _bring_over(model, _weights(source), domain, config.transfer)
    check_weights(source, config.transfer.weights_sha256)
    mode = config.transfer.train
    private = [p for module in model.trunk.modules() if isinstance(module, Owned) for p in module.parameters()]
    if mode == "head+private" and not private:
        raise BadSetting(
            f"--train head+private: adapter '{config.adapter}' gives a domain nothing of its own in the trunk; "
            "use --train head or --train all"
        )
    if mode == "all":
        return
    model.trunk.requires_grad_(False)
    if mode == "head+private":
        for parameter in private:
            parameter.requires_grad_(True)
    else:
        model.frozen = True


def settle_moments(model: UniversalModel, feed: Feed, group: Group, batch: Mapping[str, int], precision: str) -> None:
    """Take the running moments that the new domain owns from its own training images; it needs no label for that.

    Moments that all domains share stay as they were trained.
    """
    owned = {
        name
        for path, module in model.trunk.named_modules()
        if isinstance(module, Owned)
        for name, _ in module.named_buffers(prefix=path)
    }
    if not owned:
        return
    kept = {name: buffer.clone() for name, buffer in model.trunk.named_buffers() if name not in owned}
    frozen, model.frozen = model.frozen, False
    feed.plan([group], range(SETTLING_ROUNDS), batch)

    def forward(round: int) -> None:
        images, _ = feed.next(round, group, batch)
        with computing(precision, feed.device):
            model(images, group, round)

    recalibrate(model, SETTLING_ROUNDS, forward)
    model.frozen = frozen
    for name, buffer in model.trunk.named_buffers():
        if name in kept:
            buffer.copy_(kept[name])


@torch.inference_mode()
def nearest_means(
    model: UniversalModel, feed: Feed, store: Store, config: RunConfig, settings: RecipeSettings
) -> Predictions:
    """Each test image's class by the nearest of the classes' means, of `shots` training images each, in so many draws.

    Features are the trunk's maps, averaged over positions and of length 1; nearest is by angle. The predictions of
    all draws stand one after another; the log-probability is that of a softmax over the cosines.
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


def _weights(source: Path) -> Path:
    weights = source / "weights.safetensors"
    if not weights.is_file():
        raise BadData(f"{weights}: no such weights; transfer needs a run that was finished")
    return weights


def _bring_over(model: UniversalModel, weights: Path, domain: str, transfer: Transfer) -> None:
    try:
        found = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise BadData(f"{weights} is damaged: {error}") from None
    names = {
        f"{path}.{domain}.{name}": [f"{path}.{each}.{name}" for each in transfer.domains]
        for path, module in model.trunk.named_modules(prefix="trunk")
        if isinstance(module, Owned) and domain in module
        for name in module[domain].state_dict()
    }
    state = model.state_dict()
    for name, tensor in state.items():
        if not name.startswith("trunk."):
            continue
        of = names.get(name, [name])
        if missing := [each for each in of if each not in found or found[each].shape != tensor.shape]:
            raise BadData(
                f"{weights} holds another network's weights: '{missing[0]}' is not there, or of another shape"
            )
        state[name] = found[of[0]] if len(of) == 1 or not tensor.is_floating_point() else _mean([found[o] for o in of])
    model.load_state_dict(state)


def _mean(tensors: list[Tensor]) -> Tensor:
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)


def _shots(labels: NDArray[np.int64], train: NDArray[np.int64], config: RunConfig, draw: int) -> NDArray[np.int64]:
    """Some training images of each class, drawn by number; all of a class that has fewer."""
    assert config.transfer is not None
    order = train[draws(config.seed, "shots", config.domains[0], draw).permutation(len(train))]
    of = labels[order]
    by_class = np.argsort(of, kind="stable")
    starts = np.flatnonzero(np.diff(of[by_class], prepend=of[by_class][0] - 1))
    place = np.arange(len(of)) - np.repeat(starts, np.diff(starts, append=len(of)))
    return order[by_class[place < config.transfer.shots]]


def _features(model: UniversalModel, feed: Feed, domain: str, rows: NDArray[np.int64], precision: str) -> Tensor:
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    found: list[Tensor] = []
    for batch, images in zip(batches, feed.centres(domain, batches), strict=True):
        with computing(precision, feed.device), model.route.using([Slice(domain, len(batch))]):
            maps = model.trunk(images)
        found.append(F.normalize(maps.float().flatten(2).mean(2) if maps.dim() > 2 else maps.float(), dim=1).cpu())
    return torch.cat(found)

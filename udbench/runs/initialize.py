"""Initialize a network from the weights of another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from udbench.config import RunConfig
from udbench.data.store import hash_file
from udbench.errors import DataError, SettingError
from udbench.export.extract import plain_trunk
from udbench.results import read_result
from udbench.runs.inference import load, read_domains
from udbench.runs.job import Job
from udbench.train.checkpoint import check_loaded
from udbench.train.input.feed import Feed
from udbench.train.model import UniversalModel
from udbench.train.norm.norms import recalibrate
from udbench.train.ownership import PerDomainModules, owned_names
from udbench.train.precision import computing
from udbench.train.route import Slice

CALIBRATION_ROUNDS = 20


def initial_trunk(job: Job) -> Mapping[str, Tensor] | None:
    """The initial state of a job's trunk where another run provides it. Raises DataError and SettingError."""
    if job.source_job is None:
        return None
    assert job.source is not None and job.config.origin is not None
    check_weights(job.source, job.config.origin.weights_sha256)
    return trunk_of(job.source_job, job.source)


def initialize(job: Job, model: UniversalModel, feed: Feed) -> None:
    """Load the weights of the run that a job continues or transfers, and calibrate the norms of new domains.

    Does nothing for a job that starts from scratch. Raises DataError for weights that are missing, damaged, changed or
    of another network; SettingError where a transfer has nothing to train.
    """
    config = job.config
    if config.transfer is None and config.origin is None:
        return
    assert job.source is not None
    new = [name for name in config.domains if name not in config.old_domains]
    if config.transfer is not None:
        load_pretrained(model, job.source, config.transfer.weights_sha256, config.transfer.domains, new)
        _check_transfer(model, config)
    elif config.origin is not None and config.origin.kept:
        load_pretrained(model, job.source, config.origin.weights_sha256, config.origin.domains, new)
    batch = {name: config.settings.batch_of(name) for name in model.domains}
    for name in new:
        calibrate_norms(model, feed, name, batch, config.precision)


def check_weights(source: Path, sha256: str) -> None:
    """Raises DataError where a run's weights are missing, or their sha256 is not the recorded one."""
    weights = _weights(source)
    if hash_file(weights) != sha256:
        raise DataError(f"{weights} was changed: its sha256 is not the one that the run's result.json records")


def load_pretrained(model: UniversalModel, source: Path, sha256: str, old: Sequence[str], new: Sequence[str]) -> None:
    """Load a run's weights into a network of the same method.

    Shared parameters, and those that the `old` domains own in this network, are loaded as they are. What a `new` domain
    owns of the trunk becomes the mean over the old domains; its head keeps its initial values. Raises DataError for
    weights that are missing, damaged, changed or of another network.
    """
    weights = _weights(source)
    try:
        loaded = load_file(weights)
    except (SafetensorError, OSError) as error:
        raise DataError(f"{weights} is damaged: {error}") from None
    means = {
        f"{path}.{domain}.{name}": [f"{path}.{other}.{name}" for other in old]
        for path, module in model.trunk.named_modules(prefix="trunk")
        if isinstance(module, PerDomainModules)
        for domain in new
        if domain in module
        for name in module[domain].state_dict()
    }
    kept = (*(f"heads.{domain}." for domain in new), "label_map_")
    state = model.state_dict()
    for name, tensor in state.items():
        if name.startswith(kept):
            continue
        if name in means and not tensor.is_floating_point():
            continue  # counters and random masks are the domain's own
        sources = means.get(name, [name])
        if missing := [key for key in sources if key not in loaded or loaded[key].shape != tensor.shape]:
            raise DataError(
                f"{weights} holds another network's weights: '{missing[0]}' is not there, or of another shape"
            )
        state[name] = loaded[sources[0]] if len(sources) == 1 else _mean([loaded[key] for key in sources])
    model.load_state_dict(state)
    check_loaded(weights, model)
    check_weights(source, sha256)


def trunk_of(job: Job, source: Path) -> dict[str, Tensor]:
    """The state of a run's trunk as its architecture builds it, with the mean over domains of what they own.

    Raises SettingError where most of the trunk is private to each domain.
    """
    facts = read_domains(source)
    model = load(job, source, facts, read_result(source / "result.json"))
    owned = {name for domain in model.domains for name in owned_names(model, domain) if name.startswith("trunk.")}
    shared = sum(p.numel() for p in model.trunk.parameters()) - sum(
        p.numel() for name, p in model.named_parameters() if name in owned
    )
    states = [plain_trunk(model, domain).state_dict() for domain in model.domains]
    alone = sum(tensor.numel() for tensor in states[0].values())
    if len(states) > 1 and 2 * shared < alone:
        raise SettingError(
            f"run {source}: most of its trunk is each domain's own, so there is no one trunk to begin with; give a run "
            "of one domain, or one whose domains share a trunk"
        )
    return {
        name: _mean([state[name] for state in states]).cpu() if tensor.is_floating_point() else tensor.cpu()
        for name, tensor in states[0].items()
    }


def calibrate_norms(model: UniversalModel, feed: Feed, domain: str, batch: Mapping[str, int], precision: str) -> None:
    """Estimate the running statistics that a new domain owns from its training images, without labels.

    All other running statistics stay.
    """
    owned = {
        name
        for path, module in model.trunk.named_modules()
        if isinstance(module, PerDomainModules) and domain in module
        for name, _ in module[domain].named_buffers(prefix=f"{path}.{domain}")
    }
    if not owned:
        return
    kept = {name: buffer.clone() for name, buffer in model.trunk.named_buffers() if name not in owned}
    frozen, model.frozen = model.frozen, False
    group = (Slice(domain, batch[domain]),)
    feed.plan([group], range(CALIBRATION_ROUNDS), batch)

    def forward(round: int) -> None:
        images, _ = feed.next(round, group, batch)
        with computing(precision, feed.device):
            model(images, group, round)

    recalibrate(model, CALIBRATION_ROUNDS, forward)
    model.frozen = frozen
    for name, buffer in model.trunk.named_buffers():
        if name in kept:
            buffer.copy_(kept[name])


def _check_transfer(model: UniversalModel, config: RunConfig) -> None:
    """Raises SettingError where a transfer has nothing to train."""
    assert config.transfer is not None
    if config.transfer.train == "head+private" and not any(
        True for module in model.trunk.modules() if isinstance(module, PerDomainModules) for _ in module.parameters()
    ):
        raise SettingError(
            f"--train head+private: adapter '{config.adapter}' gives a domain nothing of its own in the trunk; "
            "use --train head or --train all"
        )


def _weights(source: Path) -> Path:
    weights = source / "weights.safetensors"
    if not weights.is_file():
        raise DataError(f"{weights}: no such weights; a network is taken from a run that was finished")
    return weights


def _mean(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.double() for tensor in tensors]).mean(0).to(tensors[0].dtype)

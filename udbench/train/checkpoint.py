"""A run's state on disk: model, optimizer and round number; nothing random needs keeping."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from udbench.errors import BadData
from udbench.files import writing
from udbench.train.model import UniversalModel
from udbench.train.owned import owned_names


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is: rounds done, seconds spent training, images seen."""

    round: int = 0
    seconds: float = 0.0
    images: int = 0


def save_checkpoint(
    path: Path, identity: str, model: UniversalModel, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write a run's state so that the file is whole or the old one stays. `identity` is the configuration's."""
    state = {
        "identity": identity,
        "round": progress.round,
        "seconds": progress.seconds,
        "images": progress.images,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    memory = io.BytesIO()
    torch.save(state, memory)  # not into the file: on a full disk torch's own writer fails with an error of its own
    with writing(path) as temporary:
        temporary.write_bytes(memory.getbuffer())


def load_checkpoint(path: Path, identity: str, model: UniversalModel, optimizer: torch.optim.Optimizer) -> Progress:
    """Bring model and optimizer to the state in a file. Raises BadData: another configuration's, or damaged."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["identity"] != identity:
            raise BadData(
                f"{path} belongs to a run with another configuration; give the same options to go on with it, "
                "or another folder with --out"
            )
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadData(f"{path} is damaged ({reason}); delete it to begin anew") from None
    return Progress(round=state["round"], seconds=state["seconds"], images=state["images"])


def save_weights(path: Path, model: UniversalModel) -> None:
    """Write all parameters and buffers as safetensors."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with writing(path) as temporary:
        temporary.write_bytes(save(tensors))


def load_weights_of(path: Path, model: UniversalModel, domain: str) -> None:
    """Bring what one domain owns to the weights of a network that was trained for it alone. Raises BadData."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise BadData(f"{path} is missing or damaged: {error}") from None
    if set(found) != owned_names(model, domain):
        raise BadData(f"{path} holds another network's weights than that of '{domain}'")
    try:
        model.load_state_dict(found, strict=False)
    except RuntimeError as error:
        raise BadData(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None


def load_weights(path: Path, model: UniversalModel) -> None:
    """Bring a model to the weights in a file. Raises BadData: missing, damaged, or another network's."""
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise BadData(f"{path}: no such weights") from None
    except SafetensorError as error:
        raise BadData(f"{path} is damaged: {error}") from None
    except RuntimeError as error:
        raise BadData(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None

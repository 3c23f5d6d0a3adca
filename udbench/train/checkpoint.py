"""A run's state on disk: model, optimizer and round number; nothing random needs keeping."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from udbench.errors import DataError
from udbench.files import writing
from udbench.train.finite import not_finite
from udbench.train.model import UniversalModel
from udbench.train.ownership import owned_names

HEADER = b"udbench checkpoint 1 sha256="


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a run is: rounds done, seconds spent training, images seen. `starts`: what each of its starts was made
    with, and the `first` round that it did."""

    round: int = 0
    seconds: float = 0.0
    images: int = 0
    starts: tuple[Mapping[str, Any], ...] = ()


class Checkpoints:
    """The last two states of a run, in its folder: a damaged newest one costs the rounds behind the one before.

    A file is one line with the sha256 of the rest, and torch's archive. `identity` is the configuration's, `images`
    the hash of each domain's images: a state of others is refused.
    """

    def __init__(self, folder: Path, identity: str, images: Mapping[str, str]) -> None:
        self.path, self.before = folder / "checkpoint.pt", folder / "checkpoint-before.pt"
        self._identity, self._images = identity, dict(images)

    @property
    def any(self) -> bool:
        """Whether there is a state to go on from, whole or not."""
        return self.path.exists() or self.before.exists()

    def save(self, model: UniversalModel, optimizer: torch.optim.Optimizer | None, progress: Progress) -> None:
        """Write a state, without an optimizer where the next round begins with a new one. At each moment there is a
        whole one."""
        state = {
            "identity": self._identity,
            "images": self._images,
            "round": progress.round,
            "seconds": progress.seconds,
            "images_seen": progress.images,
            "starts": [dict(start) for start in progress.starts],
            "model": model.state_dict(),
            "optimizer": None if optimizer is None else optimizer.state_dict(),
        }
        memory = io.BytesIO()
        torch.save(state, memory)  # not into the file: on a full disk torch's own writer fails with an error of its own
        content = memory.getbuffer()
        with writing(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(HEADER + hashlib.sha256(content).hexdigest().encode() + b"\n")
                file.write(content)
            if self.path.exists():
                self.path.replace(self.before)

    def load(
        self, model: UniversalModel, optimizer_at: Callable[[int], torch.optim.Optimizer]
    ) -> tuple[Progress, torch.optim.Optimizer, str]:
        """Bring a model to the newest whole state, and the optimizer that `optimizer_at` gives for its round. How far
        that is, that optimizer, and what was wrong with a newer state.

        Raises DataError: no whole one, or one of another configuration or of other images.
        """
        trouble = ""
        for path in (self.path, self.before):
            if not path.exists():
                continue
            try:
                return *self._load(path, model, optimizer_at), trouble
            except _Damaged as error:
                trouble = f"{trouble}, and {error}" if trouble else str(error)
        raise DataError(f"{trouble}; delete it to begin anew")

    def drop_before(self) -> None:
        """Leave the newest alone, when the run is done."""
        self.before.unlink(missing_ok=True)

    def _load(
        self, path: Path, model: UniversalModel, optimizer_at: Callable[[int], torch.optim.Optimizer]
    ) -> tuple[Progress, torch.optim.Optimizer]:
        state = _read(path)
        if state.get("identity") != self._identity:
            raise DataError(
                f"{path} belongs to a run with another configuration; give the same options to go on with it, "
                "or another folder with --out"
            )
        others = [name for name, sha256 in self._images.items() if state.get("images", {}).get(name) != sha256]
        if others:
            raise DataError(
                f"{path} is of a run that began with other images of '{others[0]}' than those that are there now; "
                "bring those back, or begin anew in another folder with --out"
            )
        try:
            model.load_state_dict(state["model"])
            if ruined := not_finite(model):
                raise _Damaged(path, ruined)
            progress = Progress(
                round=state["round"],
                seconds=state["seconds"],
                images=state["images_seen"],
                starts=tuple(state.get("starts", ())),
            )
            optimizer = optimizer_at(progress.round)
            if state["optimizer"] is not None:
                optimizer.load_state_dict(state["optimizer"])
            return progress, optimizer
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            raise _Damaged(path, error) from None


class _Damaged(Exception):
    def __init__(self, path: Path, why: Exception | str) -> None:
        said = str(why).splitlines()[0] if str(why) else type(why).__name__
        super().__init__(f"{path} is damaged ({said})")


def _read(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, once its sum is right. Raises _Damaged."""
    try:
        content = path.read_bytes()
        line, _, rest = content.partition(b"\n")
        if not line.startswith(HEADER):
            raise _Damaged(path, "it is no checkpoint")
        if line.removeprefix(HEADER) != hashlib.sha256(rest).hexdigest().encode():
            raise _Damaged(path, "its sha256 is not the one it was written with")
        state = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError, OSError) as error:
        raise _Damaged(path, error) from None
    if not isinstance(state, dict):
        raise _Damaged(path, "it is no checkpoint")
    return state


def save_weights(path: Path, model: UniversalModel) -> None:
    """Write all parameters and buffers as safetensors."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with writing(path) as temporary:
        temporary.write_bytes(save(tensors))


def load_weights_of(path: Path, model: UniversalModel, domain: str) -> None:
    """Bring what one domain owns to the weights of a network that was trained for it alone. Raises DataError."""
    try:
        found = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is missing or damaged: {error}") from None
    if set(found) != owned_names(model, domain):
        raise DataError(f"{path} holds another network's weights than that of '{domain}'")
    try:
        model.load_state_dict(found, strict=False)
    except RuntimeError as error:
        raise DataError(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None
    check_loaded(path, model)


def load_weights(path: Path, model: UniversalModel) -> None:
    """Bring a model to the weights in a file. Raises DataError: missing, damaged, not finite, or another network's."""
    read_weights(path, model)
    check_loaded(path, model)


def read_weights(path: Path, model: UniversalModel) -> None:
    """The same, whatever numbers they are: for who asks first whether the file is the one that a record names."""
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such weights") from None
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    except RuntimeError as error:
        raise DataError(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None


def check_loaded(path: Path, model: UniversalModel) -> None:
    """Raises DataError where a file brought a model weights that are not finite."""
    if ruined := not_finite(model):
        raise DataError(
            f"{path} holds a network that its training ruined: {ruined}. Nothing can be made of it; run it again with "
            "a lower learning rate (--set lr=…)"
        )

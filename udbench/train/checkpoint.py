"""Checkpoints: the state of the model, the optimizer and the round. No generator state is needed (see `rng`)."""

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
    """The progress of a run: rounds done, seconds of training, images seen.

    `starts` describes each start of the run: its environment, and its `first` round.
    """

    round: int = 0
    seconds: float = 0.0
    images: int = 0
    starts: tuple[Mapping[str, Any], ...] = ()


class Checkpoints:
    """The last two checkpoints in a run's folder. If the newest is damaged, the run resumes from the one before.

    A file is a line with the sha256 of the rest, and torch's archive. `identity` is that of the configuration, and
    `images` the hash of each domain's images. A checkpoint with other values is refused.
    """

    def __init__(self, folder: Path, identity: str, images: Mapping[str, str]) -> None:
        self.path, self.before = folder / "checkpoint.pt", folder / "checkpoint-before.pt"
        self._identity, self._images = identity, dict(images)

    @property
    def any(self) -> bool:
        """Whether there is a checkpoint, intact or damaged."""
        return self.path.exists() or self.before.exists()

    def save(self, model: UniversalModel, optimizer: torch.optim.Optimizer | None, progress: Progress) -> None:
        """Write a checkpoint; without an optimizer if the next round starts with a new one.

        At every moment, the folder has an intact checkpoint.
        """
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
        torch.save(state, memory)  # not to the file: on a full disk, torch's writer raises an unclear error
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
        """Load the newest intact checkpoint into the model, and into the optimizer of `optimizer_at(round)`.

        Returns the progress, that optimizer, and what was wrong with a newer checkpoint. Raises DataError if none is
        intact, or if one belongs to another configuration or other images.
        """
        trouble = ""
        for path in (self.path, self.before):
            if not path.exists():
                continue
            try:
                return *self._load(path, model, optimizer_at), trouble
            except _Damaged as error:
                trouble = f"{trouble}, and {error}" if trouble else str(error)
        raise DataError(f"{trouble}; delete it to start again")

    def drop_before(self) -> None:
        """Delete the older checkpoint, at the end of the run."""
        self.before.unlink(missing_ok=True)

    def _load(
        self, path: Path, model: UniversalModel, optimizer_at: Callable[[int], torch.optim.Optimizer]
    ) -> tuple[Progress, torch.optim.Optimizer]:
        state = _read(path)
        if state.get("identity") != self._identity:
            raise DataError(
                f"{path} belongs to a run with another configuration; give the same options to resume it, "
                "or another folder with --out"
            )
        others = [name for name, sha256 in self._images.items() if state.get("images", {}).get(name) != sha256]
        if others:
            raise DataError(
                f"{path} belongs to a run that started with other images of '{others[0]}' than are there now; "
                "restore them, or start again in another folder with --out"
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
        reason = str(why).splitlines()[0] if str(why) else type(why).__name__
        super().__init__(f"{path} is damaged ({reason})")


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint, and verify its sha256. Raises _Damaged."""
    try:
        content = path.read_bytes()
        line, _, rest = content.partition(b"\n")
        if not line.startswith(HEADER):
            raise _Damaged(path, "it is not a checkpoint")
        if line.removeprefix(HEADER) != hashlib.sha256(rest).hexdigest().encode():
            raise _Damaged(path, "its sha256 differs from the one that it was written with")
        state = torch.load(io.BytesIO(rest), map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError, OSError) as error:
        raise _Damaged(path, error) from None
    if not isinstance(state, dict):
        raise _Damaged(path, "it is not a checkpoint")
    return state


def save_weights(path: Path, model: UniversalModel) -> None:
    """Write all parameters and buffers as safetensors."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with writing(path) as temporary:
        temporary.write_bytes(save(tensors))


def load_weights_of(path: Path, model: UniversalModel, domain: str) -> None:
    """Load one domain's parameters and buffers from a network that was trained for it alone. Raises DataError."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is missing or damaged: {error}") from None
    if set(tensors) != owned_names(model, domain):
        raise DataError(f"{path} does not hold the weights of the network of '{domain}'")
    try:
        model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise DataError(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None
    check_loaded(path, model)


def load_weights(path: Path, model: UniversalModel) -> None:
    """Load a file of weights into a model. Raises DataError: missing, damaged, not finite, or of another network."""
    read_weights(path, model)
    check_loaded(path, model)


def read_weights(path: Path, model: UniversalModel) -> None:
    """Like `load_weights`, without the check for finite values: for callers that verify the file's sha256 first."""
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such weights") from None
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}") from None
    except RuntimeError as error:
        raise DataError(f"{path} holds another network's weights: {str(error).splitlines()[-1].strip()}") from None


def check_loaded(path: Path, model: UniversalModel) -> None:
    """Raise DataError if the weights that a file brought into a model are not finite."""
    if ruined := not_finite(model):
        raise DataError(
            f"{path} holds a network whose training diverged: {ruined}. It cannot be used; run it again with a lower "
            "learning rate (--set lr=…)"
        )

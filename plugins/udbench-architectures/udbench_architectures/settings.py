"""What `--set arch.KEY=VALUE` can change."""

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

WIDEST = 64.0


class ResNetSettings(BaseModel):
    """Settings of the residual networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, le=WIDEST, description="factor on the number of channels of every stage")


class TowerSettings(BaseModel):
    """Settings of AlexNet and VGG-M-128."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(
        1.0, gt=0, le=WIDEST, description="factor on the channels of every convolution and on fc6 and fc7"
    )
    norm: Literal["bn", "none"] = Field(
        "bn", description="a batch norm after each convolution, fc6 and fc7; or none, and dropout behind fc6 and fc7"
    )


class ThirdTowerSettings(TowerSettings):
    """Settings of the thirds of Table 5: widths of 1/sqrt(3)."""

    width: float = Field(
        3**-0.5, gt=0, le=WIDEST, description="factor on the channels of every convolution and on fc6 and fc7"
    )


class TowerHeadSettings(BaseModel):
    """What a domain can ask of its head in AlexNet and VGG-M-128."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool5: bool | None = Field(
        None, description="pool before fc6; if not set, all do whose last map has more than one row and column"
    )


TENSOR_FILES = (".safetensors", ".pt", ".pth", ".bin")


class TimmSettings(BaseModel):
    """Settings of timm's networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrained: bool = Field(
        False, description="begin with timm's pretrained weights, from the network or from the Hub's cache"
    )
    weights: str = Field(
        "",
        description="begin with the weights in this file, its classifier left out: .safetensors, or .pt, .pth, .bin "
        "that hold tensors and nothing else",
    )
    weights_sha256: str = Field(
        "", validate_default=True, description="of that file: filled in, and checked where it is given"
    )
    drop_rate: float = Field(0.0, ge=0, lt=1, description="dropout in front of each domain's classifier")
    drop_path_rate: float = Field(
        0.0, ge=0, lt=1, description="stochastic depth: how often a residual branch is left out, the last one's rate"
    )

    @field_validator("weights")
    @classmethod
    def _is_a_file(cls, weights: str, info: ValidationInfo) -> str:
        if weights and info.data.get("pretrained"):
            raise ValueError("pretrained=true asks for timm's weights already; leave one of the two out")
        if weights and Path(weights).suffix.lower() not in TENSOR_FILES:
            raise ValueError(f"a file of weights ends in one of {', '.join(TENSOR_FILES)}")
        return weights

    @field_validator("weights_sha256")
    @classmethod
    def _is_of_the_file(cls, given: str, info: ValidationInfo) -> str:
        weights: str = info.data.get("weights", "")
        if not weights:
            if given:
                raise ValueError("it is of the file that `weights` names, and none is named")
            return given
        path = Path(weights).expanduser()
        if not path.is_file():
            if given:  # of a run that began with it, which is used without
                return given
            raise ValueError(f"weights = {weights!r}: there is no such file")
        try:
            now = path.stat()
            found = _sha256(path, (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_dev, now.st_ino))
        except OSError as error:
            raise ValueError(f"{weights} cannot be read: {error.strerror or error}") from None
        if given not in ("", found):
            raise ValueError(f"{weights} is another file: its sha256 is {found}")
        return found


@lru_cache
def _sha256(path: Path, state: tuple[int, ...]) -> str:
    """Of a file, computed once while its state stays."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

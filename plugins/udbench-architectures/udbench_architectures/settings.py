"""The settings of the architectures: `--set arch.KEY=VALUE`."""

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
        "bn", description="a batch norm after each convolution, fc6 and fc7; or none, with dropout after fc6 and fc7"
    )


class ThirdTowerSettings(TowerSettings):
    """Settings of the reduced networks of Table 5, with widths times 1/sqrt(3)."""

    width: float = Field(
        3**-0.5, gt=0, le=WIDEST, description="factor on the channels of every convolution and on fc6 and fc7"
    )


class TowerHeadSettings(BaseModel):
    """Settings of a domain's head in AlexNet and VGG-M-128."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool5: bool | None = Field(
        None, description="pool before fc6; if not set, pool if the last map has more than one row and column"
    )


TENSOR_FILES = (".safetensors", ".pt", ".pth", ".bin")


class TimmSettings(BaseModel):
    """Settings of timm's networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pretrained: bool = Field(
        False, description="start from timm's pretrained weights, downloaded or from the Hub's cache"
    )
    weights: str = Field(
        "",
        description="start from the weights in this file, without its classifier: .safetensors, or .pt, .pth, .bin "
        "that hold only tensors",
    )
    weights_sha256: str = Field(
        "", validate_default=True, description="sha256 of that file: filled in, and verified if given"
    )
    drop_rate: float = Field(0.0, ge=0, lt=1, description="dropout before each domain's classifier")
    drop_path_rate: float = Field(
        0.0, ge=0, lt=1, description="stochastic depth: the rate at which the last residual branch is dropped"
    )

    @field_validator("weights")
    @classmethod
    def _is_a_file(cls, weights: str, info: ValidationInfo) -> str:
        if weights and info.data.get("pretrained"):
            raise ValueError("pretrained=true uses timm's weights already; leave one of the two out")
        if weights and Path(weights).suffix.lower() not in TENSOR_FILES:
            raise ValueError(f"a weights file must end in one of {', '.join(TENSOR_FILES)}")
        return weights

    @field_validator("weights_sha256")
    @classmethod
    def _is_of_the_file(cls, given: str, info: ValidationInfo) -> str:
        weights: str = info.data.get("weights", "")
        if not weights:
            if given:
                raise ValueError("it belongs to the file of `weights`, which is not set")
            return given
        path = Path(weights).expanduser()
        if not path.is_file():
            if given:  # a trained run that started from it, and no longer needs the file
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
    """The sha256 of a file, computed once as long as its state does not change."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

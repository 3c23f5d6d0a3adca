"""What `--set arch.KEY=VALUE` can change."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class ResNetSettings(BaseModel):
    """Settings of the residual networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, description="factor on the number of channels of every stage")


class TowerSettings(BaseModel):
    """Settings of AlexNet and VGG-M-128."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, description="factor on the channels of every convolution and on fc6 and fc7")
    norm: Literal["bn", "none"] = Field(
        "bn", description="a batch norm after each convolution, fc6 and fc7; or none, and dropout behind fc6 and fc7"
    )


class ThirdTowerSettings(TowerSettings):
    """Settings of the thirds of Table 5: widths of 1/sqrt(3)."""

    width: float = Field(3**-0.5, gt=0, description="factor on the channels of every convolution and on fc6 and fc7")


class TowerHeadSettings(BaseModel):
    """What a domain can ask of its head in AlexNet and VGG-M-128."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pool5: bool | None = Field(
        None, description="pool before fc6; if not set, all do whose last map has more than one row and column"
    )

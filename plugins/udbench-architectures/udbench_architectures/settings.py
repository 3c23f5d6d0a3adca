"""What `--set arch.KEY=VALUE` can change."""

from pydantic import BaseModel, ConfigDict, Field


class ResNetSettings(BaseModel):
    """Settings of the residual networks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float = Field(1.0, gt=0, description="factor on the number of channels of every stage")

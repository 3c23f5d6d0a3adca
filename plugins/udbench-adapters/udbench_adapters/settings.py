"""What `--set adapter.KEY=VALUE` can change."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class InstanceNormSettings(BaseModel):
    """Settings of the instance norms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last_norm: Literal["keep", "none", "bn"] = Field(
        "keep",
        description="the last norm before the head: an instance norm as the others, left out, or a batch norm",
    )

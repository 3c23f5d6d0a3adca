"""The settings of the adapters: `--set adapter.KEY=VALUE`."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Norms = Literal["domain", "moments", "shared"]

_NORMS = (
    "the network's batch norms: separate for each domain (domain), a shared scale with running statistics of each "
    "domain (moments), or shared by all (shared)"
)


class InstanceNormSettings(BaseModel):
    """Settings of the instance norms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    last_norm: Literal["keep", "none", "bn"] = Field(
        "keep",
        description="the last norm before the head: keep as an instance norm, remove (none), or leave as a batch norm",
    )


class _WithNorms(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    norms: Norms = Field("domain", description=_NORMS)


class MaskSettings(_WithNorms):
    """Settings of the binary masks."""

    lr: float = Field(1.0, gt=0, description="learning rate of the masks' scores, as a factor of the recipe's")


class TapsSettings(_WithNorms):
    """Settings of task adaptive parameter sharing."""

    strength: float = Field(1.0, ge=0, description="weight of the mean |score| of a domain's layers in its loss")


class TsaSettings(_WithNorms):
    """Settings of the task-specific adapters."""

    align: bool = Field(True, description="add the alignment B of the trunk's last channels before the head")


class RoutingSettings(_WithNorms):
    """Settings of task routing."""

    dropped: float = Field(0.5, ge=0, lt=1, description="fraction of each layer's channels that is masked for a domain")


class SsfSettings(_WithNorms):
    """Settings of scaling and shifting features."""

    norms: Norms = Field("moments", description=_NORMS)


class LoraSettings(BaseModel):
    """Settings of low-rank differences of linear layers."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rank: int = Field(4, ge=1, description="rank of each layer's difference")
    alpha: float | None = Field(
        None, gt=0, description="the difference is scaled by alpha / rank; alpha = rank if not set"
    )

    @property
    def scale(self) -> float:
        """The factor of the difference."""
        return 1.0 if self.alpha is None else self.alpha / self.rank


class LoraConvSettings(LoraSettings):
    """Settings of low-rank differences of convolutions."""

    norms: Norms = Field("domain", description=_NORMS)
    grouped: Literal["refuse", "share"] = Field(
        "refuse", description="grouped convolutions, including depthwise ones: raise an error, or leave them shared"
    )

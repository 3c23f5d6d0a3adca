"""What a job asks of the cluster: `--set launcher.KEY=VALUE`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

OURS = {"array", "error", "job-name", "nodes", "ntasks-per-node", "open-mode", "output", "requeue", "signal"}


class SlurmSettings(BaseModel):
    """Settings of the launcher `slurm`. A job is one run, on one node."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    cluster: Literal["slurm", "auto", "local", "debug"] = Field(
        "slurm",
        description="submitit's way of starting: slurm; local, in the background of this machine, all at once; debug, "
        "here, one after another; auto, slurm where it is and local elsewhere",
    )
    partition: str | None = Field(None, min_length=1, description="the cluster's own if not set")
    account: str | None = Field(None, min_length=1)
    qos: str | None = Field(None, min_length=1, description="quality of service")
    time: int = Field(240, ge=1, description="minutes of a job; a run that needs more is saved and queued again")
    gpus: int = Field(1, ge=0, description="GPUs for each process of a run")
    cpus: int = Field(4, ge=1, description="cores for each process of a run")
    memory: str | None = Field(None, pattern=r"^[1-9]\d*[KMGT]$", description="of a job, as 32G; Slurm's if not set")
    array_parallelism: int = Field(32, ge=1, description="most runs of an array at once")
    warning: int = Field(120, ge=1, description="seconds before the time is up that a run is told to save and stop")
    requeues: int = Field(20, ge=0, description="how often a run whose time is up is queued again")
    sbatch: dict[str, str | int | bool] = Field(
        default_factory=dict, description="more options of sbatch, as launcher.sbatch.constraint=a100"
    )

    @field_validator("sbatch")
    @classmethod
    def _others(cls, given: dict[str, Any]) -> dict[str, Any]:
        for name in given:
            if name.replace("_", "-") in OURS:
                raise ValueError(f"'{name}' is set by the launcher itself")
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"'{name}' is no option of sbatch")
        if strange := [name for name, value in given.items() if isinstance(value, str) and not value.isprintable()]:
            raise ValueError(f"'{strange[0]}' has characters that are no text")
        return given

    @model_validator(mode="after")
    def _in_time(self) -> SlurmSettings:
        if self.warning >= 60 * self.time:
            raise ValueError(f"warning = {self.warning} s is not before the end of {self.time} minutes")
        return self

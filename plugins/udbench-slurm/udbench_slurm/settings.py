"""The settings of a job: `--set launcher.KEY=VALUE`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

OURS = {"array", "error", "job-name", "nodes", "ntasks-per-node", "open-mode", "output", "requeue", "signal"}


class SlurmSettings(BaseModel):
    """Settings of the launcher `slurm`. A job is one run, on one node."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    cluster: Literal["slurm", "auto", "local", "debug"] = Field(
        "slurm",
        description="how submitit starts jobs: slurm; local, all at once in the background of this machine; debug, one "
        "after another in this process; auto, slurm if it is installed, else local",
    )
    partition: str | None = Field(None, min_length=1, description="the cluster's default if not set")
    account: str | None = Field(None, min_length=1)
    qos: str | None = Field(None, min_length=1, description="quality of service")
    time: int = Field(
        240, ge=1, description="time limit of a job in minutes; a longer run saves its state and is queued again"
    )
    gpus: int = Field(1, ge=0, description="GPUs for each process of a run")
    cpus: int = Field(4, ge=1, description="cores for each process of a run")
    memory: str | None = Field(
        None, pattern=r"^[1-9]\d*[KMGT]$", description="memory of a job, such as 32G; Slurm's default if not set"
    )
    array_parallelism: int = Field(32, ge=1, description="maximum number of jobs of an array that run at once")
    warning: int = Field(
        120, ge=1, description="seconds before the time limit at which a run saves its state and stops"
    )
    requeues: int = Field(
        20, ge=0, description="maximum number of times that a run is queued again after its time limit"
    )
    sbatch: dict[str, str | int | bool] = Field(
        default_factory=dict, description="further options of sbatch, such as launcher.sbatch.constraint=a100"
    )

    @field_validator("sbatch")
    @classmethod
    def _check_sbatch(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            if name.replace("_", "-") in OURS:
                raise ValueError(f"'{name}' is set by the launcher itself")
            if not name.replace("_", "").replace("-", "").isalnum():
                raise ValueError(f"'{name}' is not an option of sbatch")
        if strange := [name for name, value in options.items() if isinstance(value, str) and not value.isprintable()]:
            raise ValueError(f"'{strange[0]}' has characters that are not printable")
        return options

    @model_validator(mode="after")
    def _in_time(self) -> SlurmSettings:
        if self.warning >= 60 * self.time:
            raise ValueError(f"warning = {self.warning} s is not before the end of {self.time} minutes")
        return self

"""Reporters for udbench: how a run goes, in TensorBoard, Weights & Biases and trackio."""

from __future__ import annotations

from udbench import Reporter, hookimpl


@hookimpl
def udbench_reporters() -> list[Reporter]:
    from udbench_reporters.to_tensorboard import TensorBoard
    from udbench_reporters.to_trackio import Trackio
    from udbench_reporters.to_wandb import Wandb

    return [
        Reporter(name="tensorboard", open=TensorBoard, summary="TensorBoard's event files, in the run's folder"),
        Reporter(name="wandb", open=Wandb, summary="Weights & Biases, online or offline; project udbench"),
        Reporter(name="trackio", open=Trackio, summary="trackio, in its own place; project udbench"),
    ]

"""Callbacks for udbench that log runs to TensorBoard, Weights & Biases and trackio."""

from __future__ import annotations

from udbench import CallbackFactory, hookimpl


@hookimpl
def udbench_callbacks() -> list[CallbackFactory]:
    from udbench_callbacks.to_tensorboard import TensorBoard
    from udbench_callbacks.to_trackio import Trackio
    from udbench_callbacks.to_wandb import Wandb

    return [
        CallbackFactory(name="tensorboard", open=TensorBoard, summary="TensorBoard event files in the run's folder"),
        CallbackFactory(name="wandb", open=Wandb, summary="Weights & Biases, online or offline; project udbench"),
        CallbackFactory(name="trackio", open=Trackio, summary="trackio, in its own folder; project udbench"),
    ]

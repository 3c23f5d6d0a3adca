"""TensorBoard's event files, read back by TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from udbench.testing.trees import write_class_folders
from udbench_callbacks.to_tensorboard import TensorBoard

pytestmark = pytest.mark.skipif(
    find_spec("tensorboard") is None, reason="needs TensorBoard: pip install 'udbench-callbacks[tensorboard]'"
)
Told = Mapping[str, dict[int, float]]


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    return read


def scalars(folder: Path) -> dict[str, dict[int, float]]:
    """{tag: {step: number}}; no step is there twice."""
    found = read(folder)
    curves: dict[str, dict[int, float]] = {}
    for tag in found.Tags()["scalars"]:
        events = found.Scalars(tag)
        curves[tag] = {event.step: event.value for event in events}
        assert len(curves[tag]) == len(events), tag
    return curves


def near(expected: Told) -> dict[str, Any]:
    return {tag: pytest.approx(curve) for tag, curve in expected.items()}


def test_all_that_is_told_is_read_back(made_up: Any, told: Told, totals: Mapping[str, float]) -> None:
    callback = TensorBoard(made_up.folder)
    assert not made_up.folder.exists()
    made_up.starts(callback)
    made_up.goes(callback, (1, 2, 3, 4))
    made_up.ends(callback)
    assert scalars(made_up.folder) == near({**told, **{tag: {4: number} for tag, number in totals.items()}})


def test_the_configuration_is_there_as_hyperparameters(made_up: Any, hyperparameters: Mapping[str, Any]) -> None:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    made_up.starts(TensorBoard(made_up.folder))
    found = read(made_up.folder).SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = HParamsPluginData.FromString(found).session_start_info.hparams
    plain = {name: getattr(value, value.WhichOneof("kind")) for name, value in values.items()}
    assert plain == hyperparameters


def test_what_was_told_is_on_disk_though_nothing_ends_the_run(made_up: Any) -> None:
    callback = TensorBoard(made_up.folder)
    made_up.starts(callback)
    for round in (1, 2):
        made_up.goes(callback, (round,))
        assert scalars(made_up.folder)["loss/cones"] == {each: each for each in range(1, round + 1)}


def test_a_run_that_goes_on_replaces_what_it_repeats(made_up: Any) -> None:
    first = TensorBoard(made_up.folder)
    made_up.starts(first)
    made_up.goes(first, (1, 2, 3))
    again = TensorBoard(made_up.folder)
    made_up.starts(again, start=1)
    made_up.goes(again, (2, 3, 4), shift=0.5)
    made_up.ends(again)
    found = scalars(made_up.folder)
    assert found["loss/cones"] == {1: 1, 2: 2.5, 3: 3.5, 4: 4.5} and found["error/val/mean"] == {2: 37.5}
    assert found["images_per_second"] == {1: 10, 3: 10, 4: 10}  # how long round 2 took since its start is not told
    assert found["error/test/mean"] == {4: 15}


def test_networks_that_share_nothing_have_files_of_their_own(made_up: Any) -> None:
    callback = TensorBoard(made_up.folder)
    for number, name in enumerate(made_up.domains, 1):
        part = type(made_up)(made_up.folder, (name,))
        part.starts(callback, folder=str(made_up.folder / "domains" / name), network=number, networks=2)
        part.goes(callback, (1, 2, 3, 4))
    made_up.starts(TensorBoard(made_up.folder / "other"), folder=made_up.folder)  # the configuration of all
    made_up.ends(callback)
    rings = scalars(made_up.folder / "domains" / "rings")
    assert set(rings) == {"loss/rings", "lr/rings", "images_per_second/rings", "error/val/rings"}
    assert scalars(made_up.folder)["error/test/mean"] == {4: 15}


@pytest.mark.slow
def test_a_run_of_the_command_line_is_read_back(cli: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    said = cli(
        "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
        "--set", "rounds=2", "--set", "batch_size=2",
        "--set", "image_size=16", "--set", "eval_every=1", "--device", "cpu", "--workers", "1", "--out", "mine",
        "--no-board", "--json", "--callback", "tensorboard",
    )  # fmt: skip
    assert said.code == 0 and said.out.startswith("{"), said.err
    found = scalars(Path("mine"))
    assert set(found["error/test/mean"]) == {1, 2} and 2 in found["loss/folder-cones"] and 2 in found["score"]

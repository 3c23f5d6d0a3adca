"""A network whose numbers are not finite is not scored, kept, exported or used: it would name a class all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from support.runs import Silent, job_of
from udbench import Score
from udbench.config import Transfer
from udbench.data.store import Store, hash_file
from udbench.errors import DataError, PluginError, RunError, UdbenchError
from udbench.export import export as exporting
from udbench.export.export import export
from udbench.files import json_text
from udbench.plugin.registry import Registry
from udbench.results import RunResult
from udbench.runs.execute import execute
from udbench.runs.inference import facts_of, load, predict, rescore
from udbench.runs.initialize import load_pretrained
from udbench.runs.job import Job, build, inputs_of
from udbench.train.checkpoint import Checkpoints
from udbench.train.finite import not_finite
from udbench.train.model import UniversalModel


@pytest.mark.parametrize(
    ("adapter", "sharing", "lr", "said"),
    [
        ("domain-bn", "deep", 1e30, r"the logits of \d+ of 6 images of 'left' are not finite"),
        ("domain-bn", "deep", 1e42, r"the weight '.*' .*not finite after round 1,"),
        ("universal-bn", "deep", 1e30, r"not finite"),
        (
            "domain-bn",
            "none",
            1e42,
            r"the weight '.*' of domain 'left' and \d+ other tensors are not finite after round 1,",
        ),
    ],
)
def test_a_last_update_that_ruins_the_network_fails_the_run_and_leaves_nothing_to_rank(
    registry: Registry, stores: list[Store], tmp_path: Path, adapter: str, sharing: str, lr: float, said: str
) -> None:
    """Its only loss is finite: it was taken before the update."""
    job = job_of(registry, adapter, rounds=1, lr=lr)
    job = replace(job, config=job.config.model_copy(update={"sharing": sharing}))
    with pytest.raises(RunError, match=said + ".*--set lr=") as caught:
        execute(job, stores, tmp_path / "run", Silent())
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    left = {path.name for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert left <= {"config.toml", "domains.json", "checkpoint.pt"}


def test_a_ruined_network_is_not_scored_in_the_middle_either_and_the_checkpoint_before_stays(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry, rounds=6, checkpoint_rounds=2, eval_every=3)

    class Ruins(Silent):
        def on_scores(self, round: int, split: str, scores: Any) -> None:
            raise AssertionError("a ruined network was scored")

    model: list[UniversalModel] = []

    def ruin(round: int) -> None:
        if round == 2:
            next(model[0].trunk.parameters()).data.fill_(torch.nan)

    with pytest.MonkeyPatch.context() as patch:
        from udbench.runs import run as module
        from udbench.train.step import Step

        made, gradients = module.build, Step.gradients
        patch.setattr(module, "build", lambda *a, **k: model.append(made(*a, **k)) or model[-1])
        patch.setattr(Step, "gradients", lambda self, round, *a: (gradients(self, round, *a), ruin(round))[0])
        with pytest.raises(RunError, match=r"(is|are) not finite after round 3"):
            execute(job, stores, tmp_path / "run", Ruins())
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    last = Silent()
    execute(job, stores, tmp_path / "run", last, resume=True)
    assert last.start == 2


def ruined(folder: Path, name: str = "", value: float = torch.nan) -> str:
    """Put a number into a run's weights, as an older version may have left it, and return their new sha256."""
    path = folder / "weights.safetensors"
    tensors = load_file(path)
    chosen = name or next(key for key, tensor in tensors.items() if tensor.dim() == 4)
    tensors[chosen].view(-1)[0] = value
    save_file(tensors, path)
    return hash_file(path)


@pytest.fixture
def run(registry: Registry, stores: list[Store], tmp_path: Path) -> tuple[Job, Path, RunResult]:
    job = job_of(registry, rounds=1)
    return job, tmp_path / "run", execute(job, stores, tmp_path / "run", Silent())


def test_weights_that_are_not_finite_are_refused_at_every_door(
    run: tuple[Job, Path, RunResult], stores: list[Store]
) -> None:
    job, folder, result = run
    facts = facts_of(stores)
    inputs = inputs_of(job, {store.name: store.spec.num_classes for store in stores})
    sha256 = ruined(folder)
    result = result.model_copy(update={"weights_sha256": sha256})
    doors: dict[str, Callable[[], object]] = {
        "predict, export": lambda: load(job, folder, facts, result),
        "eval, board verify": lambda: rescore(job, stores, folder),
        "--from, transfer": lambda: load_pretrained(build(job, inputs), folder, sha256, job.config.domains, ()),
    }
    for door, opened in doors.items():
        with pytest.raises(
            DataError, match=r"weights\.safetensors holds a network whose training diverged: the w"
        ) as e:
            opened()
        assert "\n" not in str(e.value), door


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_running_statistics_count_too_though_an_infinite_variance_makes_finite_logits(
    run: tuple[Job, Path, RunResult], stores: list[Store], value: float
) -> None:
    job, folder, _ = run
    name = next(key for key in load_file(folder / "weights.safetensors") if key.endswith("running_var"))
    ruined(folder, name, value)
    with pytest.raises(
        DataError, match=r"the running statistic '.*running_var' of domain '(left|right)' is not finite"
    ):
        rescore(job, stores, folder)


def test_a_mask_of_attention_may_hold_minus_infinity() -> None:
    module = torch.nn.Linear(2, 2)
    module.register_buffer("mask", torch.full((2, 2), -torch.inf))
    assert not_finite(module) == ""
    module.weight.data[0, 0] = -torch.inf
    assert "the weight 'weight' is not finite" in not_finite(module)


def test_a_checkpoint_that_is_not_finite_is_damaged_and_the_one_before_is_taken(
    registry: Registry, stores: list[Store], tmp_path: Path
) -> None:
    job = job_of(registry)
    model = build(job, inputs_of(job, {store.name: store.spec.num_classes for store in stores}), initialize=True)
    from udbench.train.checkpoint import Progress
    from udbench.train.optim import make_optimizer

    optimizer = make_optimizer(model, job.config.settings)
    checkpoints = Checkpoints(tmp_path, "identity", {})
    checkpoints.save(model, optimizer, Progress(round=1))
    whole = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    next(model.trunk.parameters()).data.fill_(torch.inf)
    checkpoints.save(model, optimizer, Progress(round=2))
    progress, _, trouble = checkpoints.load(model, lambda round: make_optimizer(model, job.config.settings))
    assert progress.round == 1 and "checkpoint.pt is damaged (the weight" in trouble
    assert all(torch.equal(tensor, whole[name]) for name, tensor in model.state_dict().items())


def overflowing(model: UniversalModel, domain: str) -> UniversalModel:
    """A network of finite weights whose logits overflow."""
    for parameter in model.heads[domain].parameters():
        parameter.data.fill_(3e38)
    return model


def test_logits_that_overflow_name_no_class_in_predict_export_or_a_transfer(
    run: tuple[Job, Path, RunResult], stores: list[Store], tmp_path: Path
) -> None:
    job, folder, result = run
    facts = facts_of(stores)
    model = overflowing(load(job, folder, facts, result), "left")
    images = np.full((3, 8, 8, 3), 200, np.uint8)
    with pytest.raises(RunError, match="logits for images of 'left' are not finite"):
        predict(job, model, "left", facts["left"], images)
    out = tmp_path / "export"
    with pytest.raises(UdbenchError, match="the run's network returns logits that are not finite for noise"):
        export(job, model, result, "left", facts["left"], out)
    assert not out.exists()


def test_an_export_that_answers_nan_does_not_pass_its_check(
    run: tuple[Job, Path, RunResult], stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """max(0.0, nan) is 0.0."""
    job, folder, result = run
    facts = facts_of(stores)

    class Ruined(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.full((len(images), 2), torch.nan)

    monkeypatch.setattr(exporting, "_loaded", lambda path: Ruined())
    with pytest.raises(UdbenchError, match="the exported network returns logits that are not finite for noise"):
        export(job, load(job, folder, facts, result), result, "left", facts["left"], tmp_path / "export")
    assert not (tmp_path / "export").exists()


def test_features_that_are_not_finite_are_near_no_class(
    run: tuple[Job, Path, RunResult], stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, folder, result = run
    moved = Transfer(run="r", weights_sha256=result.weights_sha256, domains=("left",), train="none", shots=2, draws=2)
    config = job.config.model_copy(update={"domains": ("right",), "transfer": moved})
    from udbench.runs import run as module

    def overflow(job: Job, model: UniversalModel, feed: object) -> None:
        for parameter in model.trunk.parameters():
            parameter.data.fill_(3e38)

    monkeypatch.setattr(module, "initialize", overflow)
    with pytest.raises(RunError, match="the features of 12 of 12 images of 'right' are not finite"):
        execute(replace(job, config=config, source=folder), stores[1:], tmp_path / "moved", Silent())


@pytest.mark.parametrize("figure", [float("nan"), float("inf")])
def test_a_score_that_makes_no_figure_is_told_before_training(
    registry: Registry, stores: list[Store], tmp_path: Path, figure: float
) -> None:
    job = replace(job_of(registry), score=Score(name="odd", compute=lambda errors: figure, definition="odd"))
    heard = Silent()
    with pytest.raises(PluginError, match=r"score 'odd', of the errors of ad_hoc: it makes (nan|inf) of"):
        execute(job, stores, tmp_path / "run", heard)
    assert heard.rounds == []


def test_json_names_the_number_that_is_none() -> None:
    assert json_text({"a": [1.5, None], "b": {"c": "x"}}, "the answer") == '{"a": [1.5, null], "b": {"c": "x"}}'
    with pytest.raises(RunError, match=r"the answer cannot be written: a\.b\[1\] = nan is not finite"):
        json_text({"a": {"b": (1.0, float("nan"))}}, "the answer")


@pytest.mark.parametrize("what", ["gradient", "buffer", "log_probability"])
def test_a_plugins_network_that_is_nan_one_domain_at_a_time_differs(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """No comparison with NaN is true, `nan > limit` no more than `nan <= limit`."""
    from types import SimpleNamespace

    from udbench.testing.conformance import toy_training
    from udbench.testing.conformance.findings import Broken

    def one(value: float) -> SimpleNamespace:
        of = {name: value if name == what else 1.0 for name in ("gradient", "buffer", "log_probability")}
        model = SimpleNamespace(named_buffers=lambda: [("b", torch.tensor([of["buffer"]]))])
        said = SimpleNamespace(log_probability=np.array([of["log_probability"]]))
        return SimpleNamespace(
            model=model, gradients=lambda group: {"w": torch.tensor([of["gradient"]])}, predictions=lambda: {"d": said}
        )

    both = iter([one(1.0), one(float("nan"))])
    monkeypatch.setattr(toy_training, "bench", lambda *_, **__: next(both))
    with pytest.raises(Broken, match="one by one leave the same"):
        toy_training.compare_groupings(None, None, [SimpleNamespace(name="d")])  # type: ignore[arg-type]

"""What the kit asks: what keeps the contract passes, and each way of breaking it is told with what to mend."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from torch import nn

from support.conformance import found, said
from udbench import (
    Adapter,
    Architecture,
    CallbackFactory,
    Domain,
    DomainSpec,
    Index,
    Input,
    Network,
    Stage,
    Surgeon,
    UdbenchError,
)
from udbench.testing.conformance.kit import CHECKS
from udbench.testing.toys import ToyTrunk, private_parameters, toy_head


class Dots:
    """Ten images a class, of a brightness of their own."""

    class_names = ("dark", "light")

    def __init__(self, **changed: Any) -> None:
        self.changed = changed
        label = np.arange(40) % 2
        split = np.where(np.arange(40) < 20, "train", "test")
        columns = {"name": np.array([f"{i:02d}" for i in range(40)]), "label": label, "split": split}
        self.index = Index(**{**columns, **changed})

    def read(self, i: int) -> Any:
        return np.full((8, 8), 50 + 150 * int(self.index.label[i]), dtype=np.uint8)


class Restless(Dots):
    def read(self, i: int) -> Any:
        return np.random.default_rng().integers(0, 255, (8, 8)).astype(np.uint8)


class Floats(Dots):
    def read(self, i: int) -> Any:
        return np.zeros((8, 8))


class Locked(Dots):
    def __init__(self) -> None:
        super().__init__()
        self.keep = lambda: None


SPEC = DomainSpec(
    name="dots", num_classes=2, num_train=20, num_test=20, channels=1, flip=True, content="dots", licence="own",
    homepage="", citation="me",
)  # fmt: skip


def domain(source: Callable[[], Any] = Dots, **changed: Any) -> Domain:
    spec = replace(SPEC, **{key: value for key, value in changed.items() if hasattr(SPEC, key)})
    apart = {key: value for key, value in changed.items() if not hasattr(SPEC, key)}
    return replace(Domain(spec=spec, open=lambda root: source(), embedded=True), **apart)


def test_a_domain_that_keeps_the_contract_passes_all(tmp_path: Path) -> None:
    findings = found(domain(), tmp_path)
    assert [each.outcome for each in findings.values()] == ["passed"] * len(CHECKS["domains"]), said(findings)


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (domain(licence=" "), "facts", "DomainSpec.licence says something | it is empty"),
        (domain(citation=""), "facts", "DomainSpec.citation"),
        (domain(channels=4), "facts", "channels is 1 (grey) or 3 | it is 4"),
        (domain(embedded=False), "listed", "gives an example to read"),
        (domain(num_classes=3), "listed", "num_classes = 3 different names | they are 2"),
        (domain(num_test=21), "listed", "num_test = 21 images | it lists 20 and 20"),
        (domain(lambda: Dots(label=np.arange(40))), "listed", "from 0 to 1 | they are int64 from 0 to 39"),
        (domain(lambda: Dots(name=np.array(["a"] * 40))), "listed", "each of its own name"),
        (domain(lambda: Dots(split=np.array(["train", "val"] * 20))), "listed", "it has train, val"),
        (domain(lambda: Dots(label=np.zeros(3, int))), "listed", "its shape is (3,)"),
        (domain(Restless), "listed", "the same each time it is read | '00' differs"),
        (domain(Floats), "listed", "float64 of shape (8, 8) | round and clip"),
        (domain(Locked), "process", "pickle takes the source"),
        (domain(lambda: 1 / 0), "listed", "ZeroDivisionError"),
        (domain(lambda: "no source"), "listed", "it returns a str"),
    ],
)
def test_a_domain_that_breaks_it_is_told_how(broken: Domain, check: str, words: str, tmp_path: Path) -> None:
    assert words in said(found(broken, tmp_path, check))


def toy_build(trunk: Callable[[], nn.Module], head: Any = toy_head, stages: int = 3) -> Architecture:
    def build(inputs: Mapping[str, Input], settings: object) -> Network:
        parts = tuple(Stage(name=str(i), modules=(f"conv{i}", f"norm{i}")) for i in range(1, stages + 1))
        return Network(trunk=trunk(), stages=parts, head=head)

    return Architecture(name="mine", build=build, citation="me")


class Mixing(ToyTrunk):
    """Subtracts the mean over all rows of a forward."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = super().forward(x)
        return maps - maps.mean(0, keepdim=True)


def plain() -> ToyTrunk:
    return ToyTrunk(4, 0.1, True)


def drawn_elsewhere() -> ToyTrunk:
    trunk = plain()
    noise = np.random.default_rng().normal(size=trunk.conv1.weight.shape)
    trunk.conv1.weight.data += torch.from_numpy(noise).float()
    return trunk


def always_the_same() -> ToyTrunk:
    torch.manual_seed(0)
    return plain()


def flat_head(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(8 * 8 * 8, given.num_classes))


def one_too_many(given: Input, shape: tuple[int, ...]) -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(shape[0], given.num_classes + 1))


def test_an_architecture_that_keeps_the_contract_passes_all(tmp_path: Path) -> None:
    findings = found(toy_build(plain), tmp_path)
    assert {each.outcome for each in findings.values()} == {"passed"}, said(findings)


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (toy_build(plain, stages=2), "builds", "module 'conv3' is in no stage"),
        (toy_build(plain, flat_head), "builds", "for images of 64x64, or refuses them with a udbench.UdbenchError"),
        (toy_build(plain, one_too_many), "builds", "(2, 3) for 'reds' | at 32 px it gives (2, 4)"),
        (toy_build(drawn_elsewhere), "seed", "'trunk.conv1.weight' differs when it is built again"),
        (toy_build(always_the_same), "seed", "do not seed torch"),
        (toy_build(lambda: Mixing(4, 0.0, True)), "together", "no layer mix the rows"),
        (replace(toy_build(plain), citation=""), "cites", "its citation is empty"),
    ],
)
def test_an_architecture_that_breaks_it_is_told_how(
    broken: Architecture, check: str, words: str, tmp_path: Path
) -> None:
    assert words in said(found(broken, tmp_path, check))


def own_norms(surgeon: Surgeon, settings: object) -> None:
    for path in surgeon.batch_norms():
        surgeon.per_domain(path)


def adapter(attach: Callable[[Surgeon, Any], None], **changed: Any) -> Adapter:
    return Adapter(name="mine", attach=attach, citation="me", **changed)


def explode(surgeon: Surgeon, settings: object) -> None:
    raise RuntimeError("boom")


def refuse(surgeon: Surgeon, settings: object) -> None:
    raise UdbenchError("attention only")


def batch_moments(surgeon: Surgeon, settings: object) -> None:
    for path in surgeon.batch_norms():
        surgeon.norm_stats(path, "batch")


def frozen(surgeon: Surgeon, settings: object) -> None:
    own_norms(surgeon, settings)
    surgeon.freeze()


class Growing(nn.Module):
    """Has a number for each domain, shared by all: what grows with the domains belongs to none."""

    def __init__(self, layer: nn.Module, domains: int) -> None:
        super().__init__()
        self.layer = layer
        self.extra = nn.Parameter(torch.zeros(domains))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x) + self.extra.sum()


def growing(surgeon: Surgeon, settings: object) -> None:
    surgeon.wrap("conv1", lambda layer: Growing(layer, len(surgeon.domains)))


class Centred(nn.Module):
    """A layer whose output is centred over all rows, whosever they are."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.layer(x)
        return out - out.mean(0, keepdim=True)


def centred(surgeon: Surgeon, settings: object) -> None:
    surgeon.wrap("conv3", Centred)


class Loose(BaseModel):
    rank: int = 1


class Needy(BaseModel):
    rank: int


def family(names: list[str]) -> Architecture:
    def member(rest: str) -> Architecture:
        return replace(toy_build(plain), name=f"mine/{rest}")

    return replace(toy_build(plain), name="mine/*", names=lambda: names, member=member, example="small")


def test_of_a_family_of_networks_the_example_is_checked(tmp_path: Path) -> None:
    findings = found(family(["small", "huge"]), tmp_path)
    assert {finding.outcome for finding in findings.values()} == {"passed"}, said(findings)


def test_a_family_whose_example_is_not_its_own_is_told(tmp_path: Path) -> None:
    findings = found(family(["huge"]), tmp_path, "it builds")
    assert "no architecture 'mine/small'" in said(findings) and "let `names` list 'small'" in said(findings)


def test_an_adapter_that_keeps_the_contract_passes_all_laws(tmp_path: Path) -> None:
    findings = found(adapter(own_norms), tmp_path)
    assert {each.outcome for each in findings.values()} == {"passed"}, said(findings)
    assert private_parameters(adapter(own_norms), width=4) == 2 * (4 + 4 + 8)


@pytest.mark.parametrize(
    ("broken", "check", "words"),
    [
        (adapter(explode), "attaches", "or refuses them with a udbench.UdbenchError | RuntimeError: boom"),
        (adapter(refuse), "attaches", "it refuses all of them: attention only"),
        (adapter(centred), "law 1", "no layer mix the rows"),
        (adapter(centred), "law 4", "does not depend on another's"),
        (adapter(growing), "law 6", "shared"),
        (adapter(batch_moments), "evaluation", 'say eval_stats="batch"'),
        (adapter(own_norms, eval_stats="never"), "evaluation", "it is 'never'"),
        (adapter(own_norms, settings=Loose), "settings", 'extra="forbid"'),
        (adapter(own_norms, settings=Needy), "settings", "each field of Needy has a default"),
        (adapter(own_norms, settings=dict), "settings", "a pydantic model's class"),
    ],
)
def test_an_adapter_that_breaks_it_is_told_how(broken: Adapter, check: str, words: str, tmp_path: Path) -> None:
    assert words in said(found(broken, tmp_path, check))


def test_a_law_that_does_not_apply_is_skipped_and_says_why(tmp_path: Path) -> None:
    (finding,) = found(adapter(batch_moments, eval_stats="batch"), tmp_path, "law 5").values()
    assert finding.outcome == "skipped" and "another network than the plain one" in finding.came
    (frozen_all,) = found(adapter(frozen), tmp_path / "..", "law 2").values()
    assert frozen_all.outcome == "passed"


class Listening:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_start(self, about: Mapping[str, Any]) -> None: ...
    def on_round(self, step: Any) -> None: ...
    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None: ...
    def on_finish(self, result: Mapping[str, Any]) -> None: ...


class Loud(Listening):
    def on_scores(self, round: int, split: str, scores: Mapping[str, float]) -> None:
        raise ValueError("too loud")


class Early(Listening):
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "mine.txt").write_text("early")


def test_a_callback_hears_a_run(tmp_path: Path) -> None:
    assert not said(found(CallbackFactory(name="mine", open=Listening), tmp_path))


@pytest.mark.parametrize(
    ("opened", "words"),
    [
        (Loud, "`on_scores` takes what it is told and returns | ValueError: too loud"),
        (Early, "exists already"),
        (lambda folder: object(), "has no on_start"),
    ],
)
def test_a_callback_in_the_way_of_a_run_is_told_how(opened: Any, words: str, tmp_path: Path) -> None:
    assert words in said(found(CallbackFactory(name="mine", open=opened), tmp_path))


def test_the_kit_itself_imports_no_torch_until_it_asks_of_networks() -> None:
    code = (
        "import sys, udbench.testing.conformance.kit, udbench.testing.conformance.target, udbench.scaffold\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"

"""`--cuda-graphs` on the command line: refused in one sentence where it cannot be, before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import udbench
from udbench.plugin.session import Session
from udbench.resolve.job import job_of_config, make_config
from udbench.resolve.request import RunRequest, resolve
from udbench.testing import toys
from udbench.testing.trees import write_class_folders

Call = Callable[..., Any]
RUN = ["run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "handwriting", "--device", "cpu"]
BENCH = ["bench", "--domains", "handwriting", "--set", "image_size=16", "--device", "cpu", "--variants", "graphs"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*RUN, "--cuda-graphs", "--dry-run"], "--cuda-graphs: needs a CUDA GPU, this is cpu; leave it out"),
        (
            [*RUN, "--cuda-graphs", "--processes", "2"],
            "--cuda-graphs with 2 processes: CUDA graphs capture the round of a single process",
        ),
        (BENCH, "--variants graphs: needs a CUDA GPU, this is cpu; leave it out"),
    ],
)
def test_it_is_refused_where_it_cannot_be(cli: Call, words: list[str], says: str) -> None:
    said = cli(*words)
    assert said.code == 2 and says in said.err and "Traceback" not in said.err
    assert not list(Path().glob("runs*"))


def test_a_network_that_drops_out_is_refused_before_it_is_trained(
    cli: Call, with_plugins: Callable[..., None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from udbench.train import graphs, step

    drops = udbench.hookimpl(lambda: [toys.toy_architecture(dropout=0.3)])
    with_plugins(toy=SimpleNamespace(udbench_architectures=drops))
    monkeypatch.setattr(graphs, "check_graphs", lambda device: None)
    monkeypatch.setattr(step, "CudaRecorder", lambda device: None)
    write_class_folders(tmp_path / "cones", {"small": 10, "large": 10})
    words = ["run", "--adapter", "domain-bn", "--arch", "toy", "--domains", "folder:cones", "--device", "cpu",
             "--set", "image_size=16", "--set", "rounds=2", "--workers", "1", "--cuda-graphs"]  # fmt: skip
    said = cli(*words)
    assert said.code == 2 and "the network's dropout 'trunk.dropout' draws new masks each round" in said.err
    assert said.err.rstrip().endswith("leave --cuda-graphs out") and "Traceback" not in said.err
    assert not list(Path().rglob("result.json"))


def test_whether_rounds_are_graphs_is_asked_anew_and_shapes_no_number() -> None:
    session = Session()
    run = resolve(
        session,
        RunRequest(choices={"adapter": "domain-bn", "arch": "resnet38"}, domains="handwriting", cuda_graphs=True),
    )
    config = make_config(run, "cuda:0", "fp32")
    assert config.cuda_graphs and not job_of_config(session, config).config.cuda_graphs
    assert job_of_config(session, config, cuda_graphs=True).config == config
    assert job_of_config(session, config).config.identity() == config.identity()

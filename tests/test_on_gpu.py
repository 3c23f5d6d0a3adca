"""tools/on-gpu: the rows of Table 4 that one training makes are those of trainings of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from udbench import run
from udbench.results import read_result

ROOT = Path(__file__).parents[1]
TOOL = ROOT / "tools" / "on-gpu"
ROUNDS, BATCH = 10, 4
WORDS = ("image_size=16", "arch.width=0.5", "lr=0.02", "warmup_lr=0.01")
SETTINGS = {"image_size": 16, "arch": {"width": 0.5}, "lr": 0.02, "warmup_lr": 0.01}
ROWS = {
    # its folder: the adapter and the order of test images of a run of its own
    "universal-bn": ("universal-bn", "shuffled"),
    "domain-moments": ("domain-moments", "shuffled"),
    "bn-plus": ("bn-plus", "shuffled"),
    "bn-plus-class": ("bn-plus", "class"),
}
TRAINED_ALONE = ("domain-bn", "universal-in", "domain-in")


def started(*words: str, **environment: str) -> subprocess.Popen[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.Popen(
        [TOOL, *words],
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "expected DATA and OUT"),
        (("table4", "DATA"), "expected DATA and OUT"),
        (("table4", "no/such/folder", "OUT"), "DATA is 'no/such/folder'"),
        (("table4", ".", "OUT", "many"), "ROUNDS is 'many'"),
        (("table4", ".", "OUT", "10", "cpu", "more"), "expected DATA and OUT"),
    ],
)
def test_wrong_words_are_answered_with_the_usage(words: tuple[str, ...], why: str) -> None:
    said = started(*words)
    out, err = said.communicate()
    assert (said.returncode, out) == (2, "")
    assert why in err and "tools/on-gpu table4 DATA OUT [ROUNDS [DEVICE]]" in err


@pytest.mark.slow
@pytest.mark.real
def test_table4_trains_once_what_is_trained_alike_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    data, out = os.environ["UDBENCH_DATA"], tmp_path / "out"
    domains = ("sketches", "caltech101")
    settings = " ".join(f"--set {word}" for word in WORDS)
    words = ("table4", data, str(out), str(ROUNDS), "cpu")
    given = {"DOMAINS": ",".join(domains), "BATCH": str(BATCH), "SETTINGS": settings}

    first = started(*words, **given)
    while not (out / "rows" / "universal-bn" / "result.json").exists() and first.poll() is None:
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = {path: path.read_bytes() for path in out.glob("rows/*/result.json")}
    assert 1 <= len(before) < len(ROWS) + len(TRAINED_ALONE)
    weights = (out / "training-shared-scale" / "weights.safetensors").stat().st_mtime_ns

    second = started(*words, **given)
    table, err = second.communicate()
    assert second.returncode == 0, err
    assert {path.name for path in (out / "rows").iterdir()} == {*ROWS, *TRAINED_ALONE}
    assert {path: path.read_bytes() for path in before} == before, "finished rows stay as they are"
    assert (out / "training-shared-scale" / "weights.safetensors").stat().st_mtime_ns == weights, "trained once"
    assert table == (out / "table4.md").read_text()
    assert table.count("\n| BN") + table.count("\n| IN") == len(ROWS) + len(TRAINED_ALONE)
    entries = list((out / "boards").rglob("*.json"))
    assert len(entries) == len(ROWS) + len(TRAINED_ALONE) and (out / "boards.tar").exists()

    for name, (adapter, order) in ROWS.items():
        folder, alone = out / "rows" / name, tmp_path / name
        theirs = run(
            adapter=adapter, arch="resnet38", domains=domains, recipe="paper-small", data=data, out=alone, device="cpu",
            settings={**SETTINGS, "rounds": ROUNDS, "batch_size": BATCH, "eval_order": order},
        )  # fmt: skip
        ours = read_result(folder / "result.json")
        assert (ours.scores, ours.params, ours.flops) == (theirs.scores, theirs.params, theirs.flops), name
        assert ours.config.identity() == theirs.config.identity()
        for file in ("predictions.npz", "weights.safetensors"):
            read = load_file if file.endswith("safetensors") else np.load
            mine, its = read(folder / file), read(alone / file)
            assert sorted(mine) == sorted(its)
            assert all(np.array_equal(mine[key], its[key]) for key in its), f"{name}, {file}"

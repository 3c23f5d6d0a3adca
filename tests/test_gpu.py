"""On a GPU, one process and two give what the CPU gives, within float32's rounding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from udbench.testing.trees import write_class_folders
from udbench.train.norm.fused import why_not

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA GPU here; these compare one with the CPU"
)

RUN = [
    "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
    "--set", "rounds=6", "--set", "batch_size=4", "--set", "image_size=16", "--set", "lr=0.001",
    "--set", "warmup_rounds=0", "--precision", "fp32", "--workers", "1", "--no-board", "--json",
]  # fmt: skip
WAYS = {
    "one process": ["--device", "cuda:0"],
    "one process, domain by domain": ["--device", "cuda:0", "--group", "1"],
    "two processes on one card": ["--device", "cuda:0", "--processes", "2"],
    "compiled": ["--device", "cuda:0", "--compile"],
    "captured": ["--device", "cuda:0", "--cuda-graphs"],
    "compiled and captured": ["--device", "cuda:0", "--compile", "--cuda-graphs"],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("gpu")
    for name in ("cones", "rings"):
        write_class_folders(folder / name, {"small": 10, "large": 10})
    environment = {**os.environ, "UDBENCH_CACHE": str(folder / "cache")}

    def run(out: str, *words: str) -> tuple[dict[str, Any], Path]:
        done = subprocess.run(
            [sys.executable, "-m", "udbench", *RUN, *words, "--out", out],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), folder / out

    return run


@pytest.fixture(scope="module")
def on_cpu(ran: Any) -> Path:
    return ran("cpu", "--device", "cpu")[1]


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_gpu_gives_what_the_cpu_gives(ran: Any, on_cpu: Path, way: str) -> None:
    from safetensors.numpy import load_file

    assert why_not(torch.device("cuda", 0)) is None
    result, folder = ran(way.replace(" ", "-"), *WAYS[way])
    assert result["environment"]["device"].startswith("cuda")
    expected, found = (load_file(each / "weights.safetensors") for each in (on_cpu, folder))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-3, atol=2e-4, err_msg=f"{way}: {name}")


@pytest.fixture(scope="module")
def begun(ran: Any) -> Path:
    """Weights as they begin: at a rate that moves none."""
    return ran("begun", "--device", "cpu", "--set", "lr=1e-9", "--set", "warmup_lr=1e-9")[1]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["one process", "captured"])
def test_bf16_on_a_gpu_learns_what_fp32_learns_on_a_cpu(ran: Any, on_cpu: Path, begun: Path, way: str) -> None:
    from safetensors.numpy import load_file

    result, folder = ran(f"bf16-{way.replace(' ', '-')}", *WAYS[way], "--precision", "bf16")
    assert result["config"]["precision"] == "bf16"
    start, expected, found = (load_file(each / "weights.safetensors") for each in (begun, on_cpu, folder))
    for name, value in expected.items():
        if value.ndim == 4:
            one, other = (value - start[name]).ravel(), (found[name] - start[name]).ravel()
            # a CPU's bf16 has 0.51 and more
            assert one @ other > 0.25 * np.linalg.norm(one) * np.linalg.norm(other) > 0, name

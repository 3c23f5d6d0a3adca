"""One run on two hosts, which are two network namespaces of this machine: one of them dies in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from udbench.testing.trees import write_class_folders

ADDRESSES = {"a": "10.77.41.1", "b": "10.77.41.2"}
RUN = [
    "-m", "udbench", "run", "--adapter", "domain-bn", "--arch", "resnet38", "--domains", "folder:cones,folder:rings",
    "--set", "rounds=60", "--set", "checkpoint_rounds=2", "--set", "batch_size=4", "--set", "image_size=16",
    "--device", "cpu", "--precision", "fp32", "--workers", "1", "--no-board", "--resume",
]  # fmt: skip


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """The names of two network namespaces that can reach each other and nothing else."""
    if shutil.which("ip") is None:
        pytest.skip("no `ip` here (Debian: iproute2), which makes the two hosts")
    names = {host: f"udbench-{host}-{os.getpid()}" for host in ADDRESSES}
    wires = {host: f"ud{host}{os.getpid()}" for host in ADDRESSES}
    try:
        for name in names.values():
            _ip("netns", "add", name)
        _ip("link", "add", wires["a"], "type", "veth", "peer", "name", wires["b"])
        for host, name in names.items():
            _ip("link", "set", wires[host], "netns", name, "name", "wire")
            _ip("-n", name, "addr", "add", f"{ADDRESSES[host]}/24", "dev", "wire")
            _ip("-n", name, "link", "set", "wire", "up")
            _ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        _remove(names)
        pytest.skip(f"network namespaces need a privilege that is missing here: {error.stderr.strip()}")
    yield names
    _remove(names)


def _remove(names: dict[str, str]) -> None:
    for name in names.values():
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def _kill(name: str) -> None:
    """End all processes of a host at once, as a loss of power does."""
    listed = subprocess.run(["ip", "netns", "pids", name], check=True, capture_output=True, text=True)
    for pid in listed.stdout.split():
        os.kill(int(pid), signal.SIGKILL)


def _start(hosts: dict[str, str], host: str, folder: Path, out: str) -> subprocess.Popen[bytes]:
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES['a']}:29417", "--rdzv-id", out,
        "--rdzv-conf", f"is_host={host == 'a'}", "--local-addr", ADDRESSES[host], "--max-restarts", "3",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "UDBENCH_CACHE": str(folder / f"cache-{host}"),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "wire",
        "UDBENCH_TIMEOUT": "60",
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # else torchrun tells a host that joins later no address
    }
    with (folder / f"{out}-{host}.log").open("ab") as log:
        return subprocess.Popen(
            ["ip", "netns", "exec", hosts[host], *torchrun, *RUN, "--out", out],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip


@pytest.mark.slow
def test_a_host_that_dies_and_comes_back_costs_no_byte(hosts: dict[str, str], tmp_path: Path) -> None:
    for name in ("cones", "rings"):
        write_class_folders(tmp_path / name, {"small": 10, "large": 10})
    for out in ("preserve_state", "disturbed"):
        running = {host: _start(hosts, host, tmp_path, out) for host in hosts}
        try:
            if out == "disturbed":
                _until(lambda: (tmp_path / "disturbed" / "checkpoint-before.pt").exists(), tmp_path)
                _kill(hosts["b"])
                running["b"].wait()
                assert not (tmp_path / "disturbed" / "result.json").exists()
                running["b"] = _start(hosts, "b", tmp_path, out)
            _until(lambda: all(process.poll() is not None for process in running.values()), tmp_path)  # noqa: B023
        finally:
            for host, process in running.items():
                _kill(hosts[host])
                process.wait()
        logs = {host: (tmp_path / f"{out}-{host}.log").read_text() for host in hosts}
        assert running["a"].returncode == 0, logs["a"]
        assert (tmp_path / out / "result.json").exists(), logs
    weights = [(tmp_path / out / "weights.safetensors").read_bytes() for out in ("preserve_state", "disturbed")]
    assert weights[0] == weights[1]
    assert "resuming after round" in (tmp_path / "disturbed-a.log").read_text()


def _until(there: object, folder: Path) -> None:
    end = time.monotonic() + 240
    while not there():  # type: ignore[operator]
        if time.monotonic() > end:
            pytest.fail("\n".join(f"{log.name}: {log.read_text()}" for log in folder.glob("*.log")))
        time.sleep(0.05)

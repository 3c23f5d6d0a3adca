"""One run on several processes of this machine: torchrun starts them, and this process waits."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from udbench.errors import BadSetting


def launch(words: Sequence[str], processes: int) -> int:
    """Run `udbench WORDS` in so many processes that form one run; return the exit code of the first that failed, or 0.

    Each gets its share of the cores. When one ends with an error, the others are ended too.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # the processes tell their own errors
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.1,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "udbench", *words)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 1
    except SignalException as error:
        return 128 + int(error.sigval)
    return 0


def check_processes(processes: int, device: str) -> None:
    """Raises BadSetting where so many processes cannot share the GPUs of this machine."""
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        there = torch.cuda.device_count()
        if processes > there:
            raise BadSetting(
                f"--processes {processes}: this machine has {there} GPUs, and each process needs one; use --processes "
                f"{there}, or --device cpu"
            )

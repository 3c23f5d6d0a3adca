"""A group of processes on this machine with a torch.distributed group, for benchmarks."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable
from multiprocessing import connection
from types import TracebackType
from typing import Any, Self

import torch
import torch.distributed as dist

from udbench.errors import RunError, UdbenchError, how_ended
from udbench.processes.parent import end_with_the_parent
from udbench.processes.spawning import Spawning
from udbench.processes.waiting import LOOK_SECONDS, TIMEOUT, Idle, time_limit
from udbench.train.parallel.comm import Comm, join
from udbench.train.precision import choose_device

HOST = "127.0.0.1"


class World:
    """Starts processes, each with an object made by `make(comm, *args)`.

    `make` and `args` are pickled. `ask` calls a method of the object in all processes. The processes end with the
    block, and by themselves if this process is killed. Raises RunError if a process dies, and if all have been idle for
    $UDBENCH_TIMEOUT seconds.
    """

    def __init__(self, processes: int, threads: int, device: str, make: Callable[..., object], *args: Any) -> None:
        context = Spawning()
        port = _free_port()
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        for rank in range(processes):
            ours, theirs = context.Pipe()
            arguments = (rank, processes, threads, port, device, theirs, make, args)
            self._pipes.append(ours)
            self._processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            # A started process drops its arguments. So this process must not keep the other end of the pipe, or the
            # pipe of a dead process would never reach its end.
            del theirs, arguments
        try:
            for process in self._processes:
                process.start()
            self._answers()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, *args: Any) -> list[Any]:
        """Call a method in all processes. Returns the results by rank, or raises the first error of a process."""
        for pipe in self._pipes:
            pipe.send((method, args))
        return self._answers()

    def close(self) -> None:
        """Kill the processes."""
        for process in self._processes:
            if process.pid is not None:
                process.kill()
                process.join()
        for pipe in self._pipes:
            pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _answers(self) -> list[Any]:
        answers: dict[int, Any] = {}
        limit = time_limit()
        idle = Idle(lambda: [process.pid for process in self._processes])
        while len(answers) < len(self._pipes):
            missing = [pipe for rank, pipe in enumerate(self._pipes) if rank not in answers]
            ready = connection.wait(missing, timeout=min(LOOK_SECONDS, limit / 4))
            if not ready and idle.seconds > limit:
                silent = ", ".join(str(rank) for rank in range(len(self._pipes)) if rank not in answers)
                raise RunError(
                    f"process {silent} of {len(self._pipes)} has done nothing for {limit:g} s; the measurements are "
                    f"lost ({TIMEOUT}=SECONDS sets the limit)"
                )
            for rank in [rank for rank, pipe in enumerate(self._pipes) if pipe in ready]:
                try:
                    answers[rank] = _unpacked(self._pipes[rank].recv())
                except (EOFError, ConnectionResetError):
                    raise RunError(
                        f"process {rank} of {len(self._pipes)} {self._end_of(rank)}; the measurements are lost"
                    ) from None
        return [answers[rank] for rank in range(len(self._pipes))]

    def _end_of(self, rank: int) -> str:
        """How a process ended that closed its pipe."""
        self._processes[rank].join(5)
        code = self._processes[rank].exitcode
        return "closed its pipe and still runs" if code is None else how_ended(code)


def meet(comm: Comm) -> None:
    """Wait until all processes have called this (a barrier)."""
    if comm.size > 1:
        dist.barrier()


def _unpacked(answer: tuple[str, Any]) -> Any:
    kind, value = answer
    if kind == "done":
        return value
    if kind == "refused":
        raise UdbenchError(value)
    if kind == "failed":
        raise RunError(value)
    raise RuntimeError(f"in another process:\n{value}")


def _serve(
    rank: int, size: int, threads: int, port: int, device: str, pipe: Any, make: Callable[..., object], args: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too
    end_with_the_parent()
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_ADDR=HOST, MASTER_PORT=str(port)
    )
    os.environ.pop("TORCHELASTIC_USE_AGENT_STORE", None)
    try:
        torch.set_num_threads(threads)
        local_device = choose_device(device)
        if local_device.type == "cuda":
            torch.cuda.set_device(local_device)
        served = make(join(local_device), *args)
        pipe.send(("done", None))
        while True:
            method, arguments = pipe.recv()
            pipe.send(("done", getattr(served, method)(*arguments)))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        return
    except UdbenchError as error:
        pipe.send(("failed" if isinstance(error, RunError) else "refused", str(error)))
    except BaseException:
        pipe.send(("broken", traceback.format_exc()))


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return free.getsockname()[1]

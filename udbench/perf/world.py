"""Real processes on this machine that can meet each other, kept until they are no longer asked."""

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
    """So many processes of so many threads, each with an object that `make(comm, *args)` has made there.

    `make` and `args` are pickled. `ask` calls a method of that object in all of them. Processes have ended when the
    block has; should this process be killed, they end by themselves. Raises RunError for one that dies, and where
    all have done nothing for $UDBENCH_TIMEOUT seconds.
    """

    def __init__(self, processes: int, threads: int, device: str, make: Callable[..., object], *args: Any) -> None:
        context = Spawning()
        port = _free_port()
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        for rank in range(processes):
            ours, theirs = context.Pipe()
            given = (rank, processes, threads, port, device, theirs, make, args)
            self._pipes.append(ours)
            self._processes.append(context.Process(target=_serve, args=given, daemon=True))
            # A started process lets go of what it was given, so that nobody here holds its end of the pipe, and a pipe
            # whose process is gone is at its end.
            del theirs, given
        try:
            for process in self._processes:
                process.start()
            self._answers()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, *args: Any) -> list[Any]:
        """What a method returns in each process, in their order. Raises the first error that one of them tells."""
        for pipe in self._pipes:
            pipe.send((method, args))
        return self._answers()

    def close(self) -> None:
        """End the processes, whatever they do."""
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
        told: dict[int, Any] = {}
        limit = time_limit()
        idle = Idle(lambda: [process.pid for process in self._processes])
        while len(told) < len(self._pipes):
            missing = [pipe for rank, pipe in enumerate(self._pipes) if rank not in told]
            ready = connection.wait(missing, timeout=min(LOOK_SECONDS, limit / 4))
            if not ready and idle.seconds > limit:
                silent = ", ".join(str(rank) for rank in range(len(self._pipes)) if rank not in told)
                raise RunError(
                    f"process {silent} of {len(self._pipes)} has done nothing for {limit:g} s; the figures are lost "
                    f"({TIMEOUT}=SECONDS has it waited for longer)"
                )
            for rank in [rank for rank, pipe in enumerate(self._pipes) if pipe in ready]:
                try:
                    told[rank] = _unpacked(self._pipes[rank].recv())
                except (EOFError, ConnectionResetError):
                    raise RunError(
                        f"process {rank} of {len(self._pipes)} {self._end_of(rank)}; the figures are lost"
                    ) from None
        return [told[rank] for rank in range(len(self._pipes))]

    def _end_of(self, rank: int) -> str:
        """How a process ended whose pipe is at its end."""
        self._processes[rank].join(5)
        code = self._processes[rank].exitcode
        return "closed its pipe and goes on" if code is None else how_ended(code)


def meet(comm: Comm) -> None:
    """Wait until all processes of a world are here."""
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
        own = choose_device(device)
        if own.type == "cuda":
            torch.cuda.set_device(own)
        served = make(join(own), *args)
        pipe.send(("done", None))
        while True:
            method, given = pipe.recv()
            pipe.send(("done", getattr(served, method)(*given)))
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

"""Processes that run a function on one task after another, and end with the process that started them.

`concurrent.futures` waits for every queued task when it is interrupted, leaves its workers behind after `kill -9`, and
gives up all tasks when one worker is killed. These workers are killed when the `with` block is left, end by themselves
when their parent is gone, and one that is killed costs its own task only.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from tqdm import tqdm

from mgips.errors import MGIPSError


class Outcome(NamedTuple):
    """What became of a task."""

    task: tuple[Any, ...]
    value: Any
    """What the function returned; None where it failed."""
    error: str
    """Why it failed, or empty."""


class Workers:
    """Up to `count` processes, each with one task at a time.

    with Workers(function, 2) as workers:
        workers.start(task)                       # while workers.free
        for outcome in workers.finished(1.0): …   # while workers.busy

    Args:
        function: runs in the workers, as function(*task); both are pickled.
        method: how a process is started, as `multiprocessing` names it. "spawn" is safe with CUDA and threads.
    """

    def __init__(self, function: Callable[..., Any], count: int, method: str = "spawn") -> None:
        # Pickled here: the worker guards itself before it imports what the function needs.
        self._function, self._count = pickle.dumps(function), count
        self._context: Any = multiprocessing.get_context(method)
        self._processes: dict[Connection, BaseProcess] = {}
        self._tasks: dict[Connection, tuple[Any, ...]] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes.values():
            process.kill()
        for connection, process in self._processes.items():
            process.join()
            connection.close()
        self._processes, self._tasks = {}, {}

    @property
    def busy(self) -> bool:
        """Whether any task is running."""
        return bool(self._tasks)

    @property
    def free(self) -> bool:
        """Whether another task can be started."""
        return len(self._tasks) < self._count

    def start(self, task: tuple[Any, ...]) -> None:
        """Run a task; only while there is a free worker."""
        while True:
            idle = next((connection for connection in self._processes if connection not in self._tasks), None)
            connection = idle or self._new()
            try:
                connection.send(task)
            except OSError:  # an idle worker was killed
                self._buried(connection)
                if idle is None:
                    raise
            else:
                self._tasks[connection] = task
                return

    def finished(self, seconds: float) -> list[Outcome]:
        """The tasks that have ended since the last call; waits up to so many seconds for the first of them."""
        outcomes = []
        ready: list[Any] = wait(list(self._tasks), seconds)
        for connection in ready:
            task = self._tasks.pop(connection)
            try:
                value, error = connection.recv()
            except (EOFError, OSError):
                code = self._buried(connection)
                cause = f"was killed by signal {-code}, as when memory runs out" if code < 0 else f"ended with {code}"
                value, error = None, f"its process {cause}"
            outcomes.append(Outcome(task, value, error))
        return outcomes

    def _new(self) -> Connection:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there, self._function))
        with _without_interrupt():
            process.start()
        there.close()  # or the end of the worker would not end the pipe
        self._processes[here] = process
        return here

    def _buried(self, connection: Connection) -> int:
        """Forget a worker that is dead, or as good as dead; its exit code."""
        process = self._processes.pop(connection)
        connection.close()
        process.join(5)
        process.kill()
        process.join()
        return process.exitcode or 0


@contextlib.contextmanager
def _without_interrupt() -> Iterator[None]:
    """A process started here never hears Ctrl-C, which a terminal sends to every process: its parent decides."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # where it starts within `Process.start`, it lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, pickled: bytes) -> None:
    """What a worker does until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    tqdm.set_lock(threading.RLock())  # its own lock is a semaphore of the system, which a kill would leave behind
    function: Callable[..., Any] = pickle.loads(pickled)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        while True:
            task = connection.recv()
            try:
                answer = function(*task), ""
            except MGIPSError as error:
                answer = None, str(error)
            except Exception as error:
                answer = None, f"{type(error).__name__}: {error}"
            connection.send(answer)


def _end_with_parent() -> None:
    """End this process, in the middle of whatever it does, when the one that started it is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

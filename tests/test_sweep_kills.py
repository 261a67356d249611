"""Sweeps that are stopped or killed at any moment: nothing lost, nothing half-written, no process left, the same results."""

import functools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import mgips.lab.sweep as experiments
from mgips.lab.grids import GRIDS, Grid, Row
from mgips.lab.results import grid_folder, load_results, missing
from mgips.lab.sweep import sweep
from mgips.lab.workers import Workers

SOAK = float(os.environ.get("MGIPS_SOAK_SECONDS", "0"))
"""How long the long test goes on (`make soak`)."""
CHANGES = {"epochs": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2}
POSTS = {"sizes": (64, 32, 32)}
NAME = "killed"
PATIENCE = 20
"""Seconds that a busy machine may take for what is done at once."""


def declare() -> None:
    rows = (Row("full", "full", drawn=POSTS), Row("text", "text only", "text", drawn=POSTS))
    GRIDS[NAME] = Grid(NAME, "for the tests", rows, (0, 1))


def run(folder: Path) -> None:
    """In a process of its own: the sweep, with workers that are forked instead of imported anew; and how it ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    declare()
    experiments.Workers = functools.partial(Workers, method="fork")  # pyright: ignore
    try:
        end = f"{sweep(NAME, changes=CHANGES, jobs=2, folder=folder, progress=False)} runs"
    except KeyboardInterrupt as stop:
        end = str(stop)
    (folder / "end.txt").write_text(end)


@pytest.fixture
def forked():
    """Starts `run` in a process that has everything imported already."""
    declare()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_sweep_kills", "mgips.lab.sweep"])
    started = []

    def start(folder: Path):
        (folder / "end.txt").unlink(missing_ok=True)
        process = context.Process(target=run, args=(folder,))
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()
    del GRIDS[NAME]


def family(pid: int) -> list[psutil.Process]:
    """The processes that a process has started, while it stands still."""
    parent = psutil.Process(pid)
    parent.suspend()
    try:
        return parent.children(recursive=True)
    finally:
        parent.resume()


def gone(processes: list[psutil.Process]) -> bool:
    """Whether they all end by themselves."""
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in grid_folder(folder, NAME).glob("*.json")}


def measured(folder: Path) -> dict[str, dict]:
    """What the runs measured, without when and how fast."""
    records = {name: json.loads(content) for name, content in kept(folder).items()}
    return {name: {k: v for k, v in r.items() if k not in ("started", "seconds")} for name, r in records.items()}


def kill_again_and_again(forked, folder: Path, whole: dict[str, dict], enough, draw: np.random.RandomState) -> int:
    """Kill, stop, and go on, until it is enough; returns how often a running sweep was hit."""
    hits, before = 0, kept(folder)
    while not enough(hits):
        process = forked(folder)
        process.join(draw.uniform(0.0, 1.2))
        if process.is_alive():
            how = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)[draw.randint(3)]
            children = family(process.pid)
            os.kill(process.pid, how)
            process.join(PATIENCE)
            assert process.exitcode is not None and gone(children), f"still running after signal {how}"
            hits += 1
        else:
            assert process.exitcode == 0
        now = kept(folder)
        assert {name: now.get(name) for name in before} == before, "a finished run was lost or changed"
        load_results(NAME, folder=folder)  # each file is whole and true
        end = folder / "end.txt"
        if end.exists() and "of 4 runs are kept" in end.read_text():
            assert end.read_text() == f"{len(now)} of 4 runs are kept"
        before = now
        if len(now) == 4:
            assert measured(folder) == whole
            for path in grid_folder(folder, NAME).iterdir():
                path.unlink()
            before = {}
    process = forked(folder)
    process.join(5 * PATIENCE)
    assert process.exitcode == 0 and missing(NAME, folder=folder) == []
    assert measured(folder) == whole
    assert sorted(path.suffix for path in grid_folder(folder, NAME).iterdir()) == [".json"] * 4, "litter"
    return hits


def uninterrupted(forked, folder: Path) -> dict[str, dict]:
    folder.mkdir()
    process = forked(folder)
    process.join(5 * PATIENCE)
    assert process.exitcode == 0 and (folder / "end.txt").read_text() == "4 runs"
    return measured(folder)


def test_a_sweep_killed_at_any_moment_loses_no_finished_run_and_leaves_no_process(forked, tmp_path):
    whole = uninterrupted(forked, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    draw = np.random.RandomState(0)
    assert kill_again_and_again(forked, tmp_path / "killed", whole, lambda hits: hits >= 12, draw) >= 12


@pytest.mark.slow
@pytest.mark.skipif(not SOAK, reason="set MGIPS_SOAK_SECONDS to the seconds that it may take")
def test_the_same_for_a_long_time(forked, tmp_path):
    whole = uninterrupted(forked, tmp_path / "whole")
    (tmp_path / "killed").mkdir()
    end, draw = time.monotonic() + SOAK, np.random.RandomState()
    hits = kill_again_and_again(forked, tmp_path / "killed", whole, lambda hits: time.monotonic() > end, draw)
    print(f"\n{hits} running sweeps were hit")
    assert hits


def test_one_killed_worker_costs_its_own_task_only():
    with Workers(eval, 2, method="fork") as workers:
        tasks = ["1 + 1", "__import__('os').kill(__import__('os').getpid(), 9)", "1 / 0", "2 + 2", "exit(3)", "3 + 3"]
        queue, outcomes = tasks[:], {}
        while queue or workers.busy:
            while queue and workers.free:
                workers.start((queue.pop(0),))
            outcomes.update({task: (value, error) for (task,), value, error in workers.finished(PATIENCE)})
        processes = [psutil.Process(process.pid) for process in multiprocessing.active_children()]
    values = [outcomes[task][0] for task in tasks]
    assert values == [2, None, None, 4, None, 6] and processes and gone(processes)
    assert "killed by signal 9" in outcomes[tasks[1]][1] and "ended with 3" in outcomes[tasks[4]][1]
    assert outcomes[tasks[2]][1] == "ZeroDivisionError: division by zero"


def test_an_idle_worker_that_was_killed_is_replaced():
    with Workers(eval, 1, method="fork") as workers:
        workers.start(("__import__('os').getpid()",))
        (first,), children = workers.finished(PATIENCE), multiprocessing.active_children()
        os.kill(first.value, signal.SIGKILL)
        for process in children:
            process.join()
        workers.start(("__import__('os').getpid()",))
        (second,) = workers.finished(PATIENCE)
        assert second.value not in (None, first.value)


SCRIPT = """
import sys
if __name__ == "__main__":
    from test_sweep_kills import CHANGES, NAME, declare, sweep
    declare()
    try:
        sweep(NAME, changes=CHANGES, jobs=2, folder=sys.argv[1], progress=False)
    except KeyboardInterrupt as stop:
        sys.exit(str(stop))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_spawned_workers_end_with_their_sweep(tmp_path, listening, how):
    """As a terminal does it: Ctrl-C goes to every process of the group, also while the workers still import."""
    declare()
    (tmp_path / "sweep_of_the_test.py").write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]), "OMP_NUM_THREADS": "1"}
    for late in (False, True):  # while the workers import, and after the first run
        with subprocess.Popen(
            [sys.executable, tmp_path / "sweep_of_the_test.py", tmp_path],
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            start_new_session=True,
        ) as process:
            end = time.monotonic() + 10 * PATIENCE
            while len(children := family(process.pid)) < 3 or late and not kept(tmp_path):  # two workers, the tracker
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.05)
            os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
            _, said = process.communicate(timeout=2 * PATIENCE)
        assert gone(children)
        if how != signal.SIGKILL:
            assert said == f"{len(kept(tmp_path))} of 4 runs are kept\n" and process.returncode == 1
        assert how == signal.SIGKILL or not [*grid_folder(tmp_path, NAME).glob(".*")]
        load_results(NAME, folder=tmp_path)
    del GRIDS[NAME]

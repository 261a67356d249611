"""Training in several processes, as a user starts it: torchrun, accelerate launch, and what goes wrong with either."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from builders import corpus
from torch.distributed.run import get_args_parser

from mgips.cli import main
from mgips.config import ModelConfig, TrainConfig
from mgips.data.twitter import save_corpus
from mgips.errors import ConfigError, RunError
from mgips.files import read_tensors
from mgips.launch import launched
from mgips.run import RunFolder

OPTIONS = ["--preset", "tiny", "--max-length", "24", "--epochs", "6", "--dropout", "0", "--seed", "3"]
LAUNCHERS = {
    "torchrun": ["-m", "torch.distributed.run", "--nproc-per-node", "2"],
    "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"],
}
CLEAN = {
    name: value for name, value in os.environ.items() if not name.startswith(("ACCELERATE", "MASTER", "RANK", "WORLD"))
}


@pytest.fixture(scope="module")
def posts(tmp_path_factory) -> Path:
    """An invented corpus on disk."""
    save_corpus(corpus(), tmp_path_factory.mktemp("posts") / "invented")
    return next(tmp_path_factory.getbasetemp().glob("posts*/invented"))


def free_port() -> str:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def command(posts: Path, run: Path, *more: str, launcher: str = "") -> list[str]:
    """Train on a corpus, in two processes of a launcher or in one."""
    port = {"torchrun": ["--master-port", free_port()], "accelerate": ["--main_process_port", free_port()]}
    launch = [*LAUNCHERS[launcher], *port[launcher]] if launcher else []
    return [sys.executable, *launch, "-m", "mgips", "train", str(run), "--corpus", str(posts), *OPTIONS, *more]


def start(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**CLEAN, "OMP_NUM_THREADS": "1"},
    )


def ended(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=240)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(posts, tmp_path_factory) -> Path:
    """A run of two processes with batches of 4, a checkpoint after every step."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    code, out, err = ended(start(command(posts, run, "--batch-size", "4", launcher="torchrun")))
    assert code == 0, err
    assert out.count("has the best dev F1") == out.count("Run folder:") == 1, out
    return run


def history(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_processes_learn_what_one_with_twice_the_batch_learns(posts, whole, tmp_path):
    """Its batches, its losses, its dev scores and its weights, but for the rounding of sums in another order."""
    assert ended(start(command(posts, tmp_path / "one", "--batch-size", "8")))[0] == 0
    for two, one in zip(history(whole), history(tmp_path / "one"), strict=True):
        assert two["step"] == one["step"] and two["dev_f1"] == pytest.approx(one["dev_f1"], abs=1e-6)
    ours, theirs = (read_tensors(run / "model.safetensors")[0] for run in (whole, tmp_path / "one"))
    assert max((ours[name] - theirs[name]).abs().max() for name in ours) < 1e-4
    assert json.loads((whole / "run.json").read_text())["device"]["processes"] == 2


@pytest.mark.slow
def test_accelerate_launch_does_what_torchrun_does(posts, whole, tmp_path):
    code, out, err = ended(start(command(posts, tmp_path / "run", "--batch-size", "4", launcher="accelerate")))
    assert code == 0 and out.count("Run folder:") == 1, err
    ours, theirs = (read_tensors(run / "model.safetensors")[0] for run in (whole, tmp_path / "run"))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.slow
@pytest.mark.parametrize("more", [[], ["--accumulate", "2", "--precision", "bf16"]])
def test_a_killed_process_ends_all_and_they_resume_to_the_same_bits(posts, whole, tmp_path, more):
    more = ["--batch-size", "4", *more]
    if len(more) > 2:
        whole = tmp_path / "whole"
        assert ended(start(command(posts, whole, *more, launcher="torchrun")))[0] == 0
    run = tmp_path / "cut"
    for moment in (1, 3):
        resume = ["--resume"] if run.exists() else []
        process = start(command(posts, run, *more, *resume, "--checkpoint-every", "1", launcher="torchrun"))
        deadline = time.monotonic() + 120
        while saved_steps(run) < moment:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.005)
        ranks = children(process.pid)
        os.kill(ranks[moment % 2], signal.SIGKILL)
        killed = time.monotonic()
        assert ended(process)[0] != 0
        assert time.monotonic() - killed < 60
        assert not [pid for pid in ranks if Path(f"/proc/{pid}").exists()], "a process goes on alone"
    code, _, err = ended(start(command(posts, run, *more, "--resume", launcher="torchrun")))
    assert code == 0, err
    ours, theirs = (read_tensors(folder / "model.safetensors")[0] for folder in (whole, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not [*run.glob(".*.part")]


@pytest.mark.slow
def test_a_node_that_dies_takes_the_others_with_it(posts, whole, tmp_path):
    """Two launchers that find each other, as on two machines; one is killed with all that it started."""
    run, port = tmp_path / "run", free_port()
    rendezvous = ["--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "1"]
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "1",
        *rendezvous,
        "-m",
        "mgips",
        "train",
    ]
    options = [str(run), "--corpus", str(posts), *OPTIONS, "--batch-size", "4", "--checkpoint-every", "1", "--resume"]
    nodes = [start([*launch, *options]) for _ in range(2)]
    deadline = time.monotonic() + 120
    while saved_steps(run) < 2:
        assert time.monotonic() < deadline and all(node.poll() is None for node in nodes)
        time.sleep(0.005)
    for pid in (nodes[1].pid, *children(nodes[1].pid)):
        os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    assert ended(nodes[0])[0] != 0 and time.monotonic() - killed < 60
    assert all(code == 0 for code, _, _ in map(ended, [start([*launch, *options]) for _ in range(2)]))
    ours, theirs = (read_tensors(folder / "model.safetensors")[0] for folder in (whole, run))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def saved_steps(run: Path) -> int:
    try:
        return torch.load(run / "checkpoint.pt", weights_only=True)["step"]
    except (OSError, RuntimeError):
        return 0


def children(pid: int) -> list[int]:
    """The processes that a process has started and that train."""
    found = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [one for one in found if b"mgips" in Path(f"/proc/{one}/cmdline").read_bytes()]


@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1), (4, 2)])
def test_a_folder_is_opened_with_as_many_processes_only(tmp_path, before, now):
    settings = {"model": vars(ModelConfig()), "train": vars(TrainConfig()), "corpus": {"sha256": "0"}}
    RunFolder(tmp_path / "run").open({**settings, "device": {"processes": before}}, resume=False)
    record = (tmp_path / "run" / "run.json").read_bytes()
    with pytest.raises(RunError, match=f"started with {before} process.*, and not with {now}; resume it with as many"):
        RunFolder(tmp_path / "run").open({**settings, "device": {"processes": now}}, resume=True)
    assert RunFolder(tmp_path / "run").open({**settings, "device": {"processes": before}}, resume=True) is None
    assert (tmp_path / "run" / "run.json").read_bytes() == record


def test_another_number_of_processes_is_refused(posts, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(run), "--corpus", str(posts), *OPTIONS, "--epochs", "1"]) == 0
    record = json.loads((run / "run.json").read_text())
    record["device"]["processes"] = 2
    (run / "run.json").write_text(json.dumps(record))
    (run / "results.json").unlink()
    assert main(["train", str(run), "--corpus", str(posts), *OPTIONS, "--epochs", "1", "--resume"]) == 2
    assert "was started with 2 processes, and not with 1; resume it with as many" in capsys.readouterr().err


@pytest.mark.slow
def test_a_launch_that_starts_one_process_for_two_is_refused(posts, tmp_path):
    """What `accelerate launch` does on a machine without GPUs."""
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "mgips"]
    code, out, err = ended(
        start([sys.executable, *launch, "train", str(tmp_path / "run"), "--corpus", str(posts), *OPTIONS])
    )
    assert code != 0 and "asked for several processes and started one" in err and "--multi_gpu" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "LOCAL_RANK does not say"),
        ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_RANK does not say"),
        ({"ACCELERATE_MIXED_PRECISION": "no", "MASTER_PORT": "29500"}, "--multi_gpu"),
        ({"SLURM_STEP_NUM_TASKS": "4"}, "one torchrun a node"),
    ],
)
def test_a_process_that_would_be_alone_says_so(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=message):
        launched()


def test_a_process_alone_is_one(monkeypatch):
    assert launched() == 1
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    assert launched() == 1
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert launched() == 2


def test_every_option_passes_through_torchrun():
    """Its parser takes what begins like two of its own options for a mistake, wherever it stands."""
    ours = [f.name for config in (ModelConfig, TrainConfig) for f in dataclasses.fields(config)]
    for name in (*ours, "corpus", "root", "preset", "variant", "resume"):
        option = f"--{name.replace('_', '-')}"
        parsed = get_args_parser().parse_args(["-m", "mgips", "train", "run", option, "1"])
        assert parsed.training_script_args == ["train", "run", option, "1"], option

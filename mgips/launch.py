"""How many processes a launch has: what a launcher says to each of them, and what goes wrong with one that is alone."""

from __future__ import annotations

import os

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from mgips.config import TrainConfig
from mgips.errors import ConfigError

LAUNCHERS = {
    "WORLD_SIZE": "LOCAL_RANK",
    "PMI_SIZE": "PMI_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_SIZE": "MV2_COMM_WORLD_RANK",
}
"""What torchrun, and MPI's launchers, say to each process: how many there are, and which it is."""


def fresh_accelerator(config: TrainConfig) -> Accelerator:
    """An accelerator for this run. Accelerate keeps one state per process; a second run in the same notebook must not
    inherit the first one's precision or device.

    Raises:
        ConfigError: a launch of several processes in which this one is alone.
    """
    if PartialState._shared_state and PartialState().num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
    asked = launched()
    # Accelerate alone lets several processes without a GPU run as if each were the only one.
    accelerator = Accelerator(
        mixed_precision=config.precision, cpu=config.cpu or (asked > 1 and not torch.cuda.is_available())
    )
    if accelerator.num_processes != asked:
        raise ConfigError(
            f"{several(asked)} were launched, but this one does not find the others, and would train alone into the "
            "same folder; start them with torchrun --nproc-per-node N -m mgips train …"
        )
    return accelerator


def launched() -> int:
    """How many processes this launch has, by what the launcher left in the environment.

    Raises:
        ConfigError: several were asked for, and they cannot find each other or are not there.
    """
    for size, rank in LAUNCHERS.items():
        count = os.environ.get(size, "")
        if count.isdigit():
            if int(count) > 1 and rank not in os.environ:
                raise ConfigError(
                    f"{size} is {count}, but {rank} does not say which of them this process is; "
                    f"start all with torchrun --nproc-per-node N -m mgips train …, or unset {size}."
                )
            return int(count)
    if "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ:
        raise ConfigError(
            "accelerate launch was asked for several processes and started one, as it does without GPUs; "
            "give it --multi_gpu too (it starts them on CPUs as well), or use torchrun --nproc-per-node N -m mgips train …"
        )
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks.isdigit() and int(tasks) > 1:
        raise ConfigError(
            f"srun started {tasks} tasks that do not know of each other; let it start one torchrun a node "
            "(srun --ntasks-per-node 1 torchrun …)."
        )
    return 1


def several(count: int) -> str:
    """A number of processes in words."""
    return f"{count} process{'es' if count > 1 else ''}"

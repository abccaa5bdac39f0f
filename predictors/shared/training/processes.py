"""The processes that train together: joining them, and waiting for the first one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob

HUNG: Final = timedelta(
    minutes=30
)  # writing checkpoints takes less; a GPU that hangs fails the run
PATIENCE: Final = timedelta(
    hours=12
)  # for work of the first process alone, such as encoding prompts


def join_processes(job: FoldJob) -> Accelerator:
    """Join the processes that a launcher has started; without a launcher, run alone.

    Args:
        job: its device, precision, batch and number of processes count.

    Raises:
        InputError: another number of processes runs than was asked for or announced, the batch
            cannot be divided among them, or float16 is asked of the CPU.
    """
    on_cpu = job.device == "cpu" or not torch.cuda.is_available()
    limit = InitProcessGroupKwargs(timeout=HUNG)
    # Autocast sets the precision of each step: set here, it would hold for all later trainings of
    # this process.
    accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[limit])
    running = accelerator.num_processes
    announced = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = announced if job.processes is None else job.processes
    if running != wanted or running != announced:
        raise InputError(
            f"{running} processes run, not {max(wanted, announced)}; start them with torchrun"
            f" --nproc_per_node {wanted} (on CPUs, `accelerate launch` starts one only)"
        )
    share, remainder = divmod(job.recipe.batch, running * job.recipe.accumulate)
    if remainder or not share:
        raise InputError(
            f"batch = {job.recipe.batch} cannot be divided equally among {running} processes with"
            f" {job.recipe.accumulate} parts each; set a multiple of"
            f" {running * job.recipe.accumulate}"
        )
    if accelerator.device.type == "cpu" and job.recipe.precision == "float16":
        raise InputError("float16 needs a GPU; set --precision float32 or bfloat16")
    return accelerator


@contextmanager
def awaiting_first() -> Iterator[None]:
    """Run a block in which the first process works alone; the others wait at its end.

    They wait in a process group of its own, since the timeout of the default group is short.
    """
    together = torch.distributed.is_initialized()
    group = torch.distributed.new_group(timeout=PATIENCE, backend="gloo") if together else None
    yield
    if group is not None:
        torch.distributed.barrier(group)
        torch.distributed.destroy_process_group(group)

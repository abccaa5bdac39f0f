"""The processes that train together, and how many of them really run."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Final

import torch
from accelerate import Accelerator, InitProcessGroupKwargs

from ensembler.errors import InputError
from ensembler.training.contract import FoldJob

PATIENCE: Final = timedelta(hours=12)  # for the first process, which encodes the prompts


def join_processes(job: FoldJob) -> Accelerator:
    """This process's place among those that a launcher has started; alone where none has.

    Args:
        job: whose device, precision, batch and processes count.

    Raises:
        InputError: another number runs than was asked for or announced, the batch cannot be shared
            out, or the CPU is asked for float16.
    """
    on_cpu = job.device == "cpu" or not torch.cuda.is_available()
    patient = InitProcessGroupKwargs(timeout=PATIENCE)
    # Precision is settled by autocast around each step: here it would be frozen into the process,
    # for whatever it trains next.
    accelerator = Accelerator(cpu=on_cpu, kwargs_handlers=[patient])
    running = accelerator.num_processes
    announced = int(os.environ.get("WORLD_SIZE", "1"))
    wanted = announced if job.processes is None else job.processes
    if running != wanted or running != announced:
        raise InputError(
            f"{running} processes run, not {max(wanted, announced)}; start them with torchrun"
            f" --nproc_per_node {wanted} (on CPUs, `accelerate launch` starts one only)"
        )
    share, left = divmod(job.recipe.batch, running * job.recipe.accumulate)
    if left or not share:
        raise InputError(
            f"batch = {job.recipe.batch} cannot be shared out equally: {running} processes take"
            f" {job.recipe.accumulate} parts each"
        )
    if accelerator.device.type == "cpu" and job.recipe.precision == "float16":
        raise InputError("float16 is trained on GPUs only; say --precision float32, or bfloat16")
    return accelerator

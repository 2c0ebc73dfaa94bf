"""Processes of a run: a single one, or several under ``torchrun`` that average their gradients."""

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.engine.recipe import RecipeError


@dataclass(frozen=True)
class World:
    """This process's ``rank`` of ``size`` processes, and its device."""

    rank: int
    size: int
    device: torch.device
    control: dist.ProcessGroup | None = None
    """CPU group for decisions, so that they never wait for the GPU's queue; None: the default group."""

    @property
    def leads(self) -> bool:
        """Whether this process logs, measures and writes checkpoints."""
        return self.rank == 0

    def from_leader(self, values: Sequence[float]) -> list[float]:
        """Return rank 0's values on every process."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(list(values), dtype=torch.float64)
        dist.broadcast(shared, src=0, group=self.control)
        return shared.tolist()

    def broadcast_weights(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite tensors by those of rank 0."""
        if self.size > 1:
            for tensor in tensors:
                dense = tensor.detach().contiguous()
                dist.broadcast(dense, src=0)
                tensor.detach().copy_(dense)

    def average_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes; a weight without a gradient in all of them keeps
        ``None``."""
        if self.size == 1:
            return
        used = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        used = used.to(self.device)
        dist.all_reduce(used, op=dist.ReduceOp.MAX)
        live = [parameter for parameter, flag in zip(parameters, used.tolist(), strict=True) if flag]
        if not live:
            return
        for parameter in live:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.reshape(-1) for parameter in live])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for parameter in live:
            count = parameter.numel()
            parameter.grad.copy_(flat[start : start + count].view(parameter.shape))
            start += count

    def mean(self, values: Tensor) -> Tensor:
        """Average a small float tensor over the processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier(group=self.control)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the named device. ``auto`` is CUDA if available, else the CPU; other names are torch's.

    Raises ``RecipeError`` for a device that is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise RecipeError(f"There is no device {name!r}.", "Use auto, cpu or cuda.") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RecipeError("This machine has no CUDA device that torch can use.", "Use --device cpu.")
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    return device


@contextmanager
def world(device_name: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started (NCCL on CUDA, gloo on CPUs), or run alone.

    At the end the group's threads must be gone: a thread that is still alive when the interpreter shuts down may abort
    the process, which torchrun takes for a failure. The threads end with the last reference to the group.
    ``torch.distributed.nn.functional`` keeps a reference as a default argument if it is imported while a group exists,
    which torch does by itself (for ``use_deterministic_algorithms``). So it is imported before.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    device = choose_device(device_name, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size == 1:
        yield World(0, 1, device)
        return
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        control = dist.new_group(backend="gloo") if device.type == "cuda" else None
        yield World(dist.get_rank(), size, device, control)
    finally:
        dist.destroy_process_group()

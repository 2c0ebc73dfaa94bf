"""Checkpoints: the complete state for an exact resume, one safetensors file each, without pickle.

Tensors are named ``model/…``, ``average/…`` and ``optimizer/…``; the run's progress is JSON in the file's metadata.
A file is renamed to its name once it is on the disk, so a kill at any moment leaves the previous one intact. States of
random generators are not needed: every batch seeds them from (seed, stage, its number), see ``trainer.engine.trainee``.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from backend.models.checkpoints import FILE_SUFFIX, read_tensors, without_steps, write_tensors
from backend.system.files import BrokenTensorFileError, read_metadata
from trainer.engine.recipe import RecipeError

FORMAT = 1
_FILE_NAME = re.compile(r"stage(?P<stage>\d{2})_step(?P<step>\d{9})\.safetensors")


@dataclass(frozen=True)
class RunState:
    """Progress of a run.

    Attributes
    ----------
    stage, step : ``step`` steps of stage number ``stage`` are done.
    samples : samples seen in this stage.
    seconds : training time of this stage, over all sessions.
    run_steps, run_seconds : steps and training time of all stages so far.
    skipped : skipped steps of this stage, whose loss or gradient was not finite.
    best : value of the stage's ``select`` metric for the best weights; None before the first measurement.
    finished : True when all stages are done.
    """

    stage: int = 0
    step: int = 0
    samples: int = 0
    seconds: float = 0.0
    run_steps: int = 0
    run_seconds: float = 0.0
    skipped: int = 0
    best: float | None = None
    finished: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory; tensor names without their prefixes."""

    state: RunState
    model: Mapping[str, Tensor]
    average: Mapping[str, Tensor]
    optimizer: Mapping[str, Tensor]

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """The averaged weights if there are any, else the plain ones; buffers included."""
        return {**self.model, **self.average}


class CheckpointFolder:
    """The checkpoints of one run, oldest first by stage and step, and the best weights of each stage."""

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder = folder
        self.keep = keep

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, then delete all but the latest ``keep``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        state = checkpoint.state
        path = self.folder / f"stage{state.stage:02d}_step{state.step:09d}.safetensors"
        write_checkpoint(path, checkpoint)
        for old in self.files()[: -self.keep]:
            old.unlink()
        return path

    def save_best(self, checkpoint: Checkpoint) -> Path:
        """Write the best weights of their stage so far (no optimiser state)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.best_path(checkpoint.state.stage)
        write_checkpoint(path, replace(checkpoint, optimizer={}))
        return path

    def best_path(self, stage: int) -> Path:
        """Path of the best weights of a stage, if any."""
        return self.folder / f"stage{stage:02d}_best.safetensors"

    def files(self) -> list[Path]:
        """Checkpoint files, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _FILE_NAME.fullmatch(path.name))

    def latest(self) -> Checkpoint | None:
        """Read the latest readable checkpoint; None when there is none."""
        for path in reversed(self.files()):
            try:
                return read_checkpoint(path)
            except (BrokenTensorFileError, KeyError, ValueError) as error:
                print(f"{path.name} cannot be used ({error}); the one before it is tried.")
        return None

    def remove_leftovers(self) -> None:
        """Delete half-written files after a kill. Only for the process that will write here: a file may be another
        run's."""
        for leftover in self.folder.glob(".*.part") if self.folder.is_dir() else ():
            leftover.unlink(missing_ok=True)


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write one file, atomically."""
    tensors = {f"model/{name}": value for name, value in checkpoint.model.items()}
    tensors |= {f"average/{name}": value for name, value in checkpoint.average.items()}
    tensors |= {f"optimizer/{name}": value for name, value in checkpoint.optimizer.items()}
    state = json.dumps(asdict(checkpoint.state))
    metadata = {"format": str(FORMAT), "state": state, "torch": torch.__version__}
    write_tensors(path, tensors, metadata)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read one file; raises ``BrokenTensorFileError``, ``KeyError`` or ``ValueError`` when it is not a checkpoint."""
    file = read_tensors(path)
    if file.metadata.get("format") != str(FORMAT):
        raise BrokenTensorFileError(f"{path}: not a checkpoint of this trainer")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimizer": {}}
    for name, value in file.tensors.items():
        prefix, _, rest = name.partition("/")
        parts[prefix][rest] = value
    state = RunState(**json.loads(file.metadata["state"]))
    return Checkpoint(state, parts["model"], parts["average"], parts["optimizer"])


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Read initial weights: a checkpoint's (averaged ones if any), or those of a folder or file of an exported model.

    Raises ``RecipeError`` when the file is neither or cannot be read.
    """
    try:
        if path.is_dir():
            exported = next(path.glob(f"*{FILE_SUFFIX}"), None)
            if exported is None:
                raise BrokenTensorFileError(f"there is no exported model in {path}")
            return without_steps(read_tensors(exported).tensors)
        metadata = read_metadata(path)
        if "state" in metadata:
            return read_checkpoint(path).weights
        return without_steps(read_tensors(path).tensors)
    except (OSError, BrokenTensorFileError, KeyError, ValueError) as error:
        raise RecipeError(f"No weights can be read from {os.fspath(path)} ({error}).") from error


@torch.no_grad()
def copy_matching(modules: nn.Module, weights: Mapping[str, Tensor]) -> tuple[list[str], list[str]]:
    """Copy every tensor whose name and shape match into ``modules``; returns the names that were copied, and those that
    kept their fresh values.

    Names in an exported model lack the module's prefix (``encoder.weight`` for ``net.encoder.weight``). When no full
    name matches, the part after the first dot is compared.
    """
    state = modules.state_dict()
    wanted = {name: name for name in state}
    if not any(name in weights for name in state):
        wanted = {name: name.partition(".")[2] for name in state}
    taken = []
    for name, source in wanted.items():
        if source in weights and weights[source].shape == state[name].shape:
            state[name].copy_(weights[source])
            taken.append(name)
    return taken, [name for name in state if name not in taken]

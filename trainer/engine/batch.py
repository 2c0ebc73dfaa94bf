"""Batches that a training step reads: frozen dataclasses of tensors, one per training method
(``trainer/methods/*/data.py``), concatenated, moved, cut and stored on disk field by field.

A sample of three photos of one person and another of two are a batch of five rows: ``rows`` fields hold five values,
the ``number`` field holds 0 0 0 1 1, and a ``shared`` one, a template for example, is held once.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar, get_args, get_type_hints

import numpy as np
import torch
from torch import Tensor

from trainer.engine.contracts import Source
from trainer.engine.disk_cache import mapped, missing_runs

Role = Literal["rows", "number", "shared", "leading"]
"""``rows``: a tensor or a nested ``Batch``, with rows of its own; None in all batches or in none. ``number``: the
number of each row's sample, ascending from 0 in every batch. ``shared``: the same for all rows. ``leading``: as
``rows``, but the last batches, and so the last rows, may lack it."""


@dataclasses.dataclass(frozen=True)
class Coding:
    """How values are stored: as integers ``round((value - offset) * levels / step)``, within the type's range."""

    dtype: type[np.integer]
    levels: float = 1.0
    """Integers per unit; or set ``step``."""
    step: float = 1.0
    """Units per integer; or set ``levels``."""
    offset: Callable[[], np.ndarray] | None = None
    """Returns origins (P or more, 3), subtracted from values (..., P, 3)."""
    once: bool = False
    """A sample's rows are equal; one is stored. Declare after row-wise fields."""

    def encode(self, values: Tensor) -> np.ndarray:
        """Round values to integers."""
        if self.offset is not None:
            values = values - self._origin(values)
        limits = np.iinfo(self.dtype)
        values = (values * self.levels / self.step).round().clamp(limits.min, limits.max)
        return values.cpu().numpy().astype(self.dtype)

    def decode(self, stored: Tensor) -> Tensor:
        """Return float32 values."""
        values = stored.float() * self.step / self.levels
        return values if self.offset is None else values + self._origin(values)

    def _origin(self, values: Tensor) -> Tensor:
        return torch.from_numpy(self.offset()[: values.shape[-2]]).to(values.device)


BYTES = Coding(np.uint8, levels=255)
"""Of values in [0, 1]."""


def batch_field(role: Role = "rows", coding: Coding | None = None, **options: Any) -> Any:
    """A field of a ``Batch`` with a role, and with a coding for the disk (None: stored as it is)."""
    return dataclasses.field(metadata={"role": role, "coding": coding}, **options)


class Batch:
    """Base of frozen dataclasses of tensors; fields are described by ``batch_field``."""

    @classmethod
    def concatenate(cls, batches: Sequence[Self], device: torch.device | None = None) -> Self:
        """Concatenate batches in order, on ``device`` (None: where they are).

        Raises ``ValueError`` where only some batches have a field.
        """
        values = {
            field.name: _concatenated(field.name, _role(field), [getattr(batch, field.name) for batch in batches])
            for field in dataclasses.fields(cls)
        }
        whole = cls(**values)
        return whole if device is None else whole.to(device)

    def to(self, device: torch.device) -> Self:
        """Return the batch on ``device``."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return type(self)(
            **{
                name: value.to(device) if isinstance(value, (Batch, Tensor)) else value
                for name, value in values.items()
            }
        )


def _role(field: dataclasses.Field) -> str:
    return field.metadata.get("role", "rows")


def _concatenated(name: str, role: str, values: list[Any]) -> Any:
    known = [value for value in values if value is not None]
    if role == "shared" or not known:
        return values[0]
    if len(known) < len(values) and role != "leading":
        raise ValueError(f"only some of the batches have {name}")
    if any(value is None for value in values[: len(known)]):
        raise ValueError(f"batches with {name} come first")
    if isinstance(known[0], Batch):
        return type(known[0]).concatenate(known)
    if role == "number":
        starts = np.cumsum([0, *(int(value[-1]) + 1 for value in known[:-1])]).tolist()
        known = [value + start for value, start in zip(known, starts, strict=True)]
    return torch.cat(known)


Kind = TypeVar("Kind", bound=Batch)


class StoredBatches(Generic[Kind]):
    """The first ``count`` samples of a source, made on demand and stored on disk; they repeat in the same order.

    A sample may have several rows, the same number in each. Every field is a memory-mapped file of ``folder``, so the
    folder's name must identify the source and its code.
    """

    def __init__(
        self, kind: type[Kind], source: Source, count: int, folder: Path, at_once: int = 0, on_device: bool = False
    ) -> None:
        """``kind`` may have fewer fields than the source's batches. ``at_once`` samples are made together; 0: all that
        are missing. ``on_device``: samples read, and all lower numbers, stay in the device's memory."""
        self._kind, self._source, self._count, self._folder, self._at_once = kind, source, count, folder, at_once
        self._arrays: dict[str, np.ndarray] = {}
        self._resident: dict[str, tuple[Tensor, int]] | None = {} if on_device else None

    def batch(self, indices: range, device: torch.device) -> Kind:
        """Return samples ``indices``, modulo the count."""
        samples = np.array([index % self._count for index in indices])
        self.make(samples, device)
        return self.read(samples, device)

    def make(self, samples: np.ndarray, device: torch.device) -> None:
        """Make and store those of ``samples`` (N,) that are missing."""
        for run in missing_runs(self.written, samples, self._at_once or len(samples)):
            self._write(self._kind, self._source.batch(range(int(run[0]), int(run[-1]) + 1), device), "", run)
            self.written[run] = 1  # only now are all of its files complete

    def read(self, samples: np.ndarray, device: torch.device) -> Kind:
        """Return the stored ``samples`` (N,)."""
        return self._read(self._kind, "", samples, device, 1)

    @functools.cached_property
    def written(self) -> np.ndarray:
        """(count,) uint8, 1 where a sample is stored."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return mapped(self._folder / "written.npy", (self._count,))

    def _write(self, kind: type[Batch], batch: Any, prefix: str, run: np.ndarray) -> None:
        for field in dataclasses.fields(kind):
            value, name, role = getattr(batch, field.name), prefix + field.name, _role(field)
            if isinstance(value, Batch):
                self._write(type(value), value, f"{name}.", run)
            elif role == "shared":
                self._array(name, value.cpu().numpy())[:] = value.cpu().numpy()
            elif value is not None and role != "number":
                coding = field.metadata.get("coding")
                value = value.reshape(len(run), -1, *value.shape[1:])
                value = value[:, :1] if coding and coding.once else value
                stored = coding.encode(value) if coding else value.cpu().numpy()
                self._array(name, stored, self._count)[run] = stored

    def _array(self, name: str, like: np.ndarray, count: int = 0) -> np.ndarray:
        """Map a field's file, which is made where it is missing, sparse."""
        if name not in self._arrays:
            shape = (count, *like.shape[1:]) if count else like.shape
            self._arrays[name] = mapped(self._folder / f"{name}.npy", shape, like.dtype)
        return self._arrays[name]

    def _read(self, kind: type[Batch], prefix: str, samples: np.ndarray, device: torch.device, each: int) -> Any:
        """Read a batch. ``each``: rows per sample; taken from the last field not stored ``once``."""
        values: dict[str, Any] = {}
        for field in dataclasses.fields(kind):
            name, role, coding = prefix + field.name, _role(field), field.metadata.get("coding")
            if (nested := _nested_kind(kind, field.name)) is not None:
                values[field.name] = self._read(nested, f"{name}.", samples, device, each)
            elif role == "number":
                values[field.name] = torch.arange(len(samples), device=device).repeat_interleave(each)
            elif (array := self._stored(name)) is None:
                values[field.name] = None
            elif role == "shared":
                values[field.name] = torch.from_numpy(array[:]).to(device)
            else:
                stored = self._read_field(name, array, samples, device).flatten(0, 1)
                value = coding.decode(stored) if coding else stored
                if coding and coding.once:
                    value = value.repeat_interleave(each, 0)
                else:
                    each = array.shape[1]
                values[field.name] = value
        return kind(**values) if any(value is not None for value in values.values()) else None

    def _read_field(self, name: str, array: np.ndarray, samples: np.ndarray, device: torch.device) -> Tensor:
        """(N, rows per sample, ...) values of a field as ``array`` (count, rows per sample, ...) stores them."""
        if self._resident is None:
            return torch.from_numpy(array[samples]).to(device)
        new = torch.from_numpy(array[:0]).new_empty
        kept, copied = self._resident.get(name) or (new(array.shape, device=device), 0)
        count = max(copied, int(samples.max()) + 1)
        for chunk in np.array_split(np.arange(copied, count), -(-(count - copied) // 1024) or 1):
            kept[torch.from_numpy(chunk).to(device)] = torch.from_numpy(array[chunk]).to(device)
        self._resident[name] = kept, count
        return kept[torch.from_numpy(samples).to(device)]

    def _stored(self, name: str) -> np.ndarray | None:
        """A field's file, which another process may have made; None where samples are without it."""
        path = self._folder / f"{name}.npy"
        if name not in self._arrays and path.is_file():
            self._arrays[name] = np.load(path, mmap_mode="r+", allow_pickle=False)
        return self._arrays.get(name)


@functools.cache
def _nested_kind(kind: type[Batch], name: str) -> type[Batch] | None:
    """The class of a field that is a batch itself, or None."""
    hint = get_type_hints(kind)[name]
    kinds = [one for one in (hint, *get_args(hint)) if isinstance(one, type) and issubclass(one, Batch)]
    return kinds[0] if kinds else None

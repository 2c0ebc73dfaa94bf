"""Common interface of all learned models: name, purpose, how a model is loaded, and why it is not used.

A model is a package of ``backend.models`` whose ``__init__`` describes it with a ``LearnedModel``, and a line of
``backend.models.registry``. Needs the standard library only: the network's module is imported on loading.

Result of a face model's encoder for one person's photos, in the product's own frames and units.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np

from backend.errors import DamagedFileError, LikenessError
from backend.photos.faces import Window

NOT_TRAINED, NOT_USED = "not trained", "not used"


class ReadyModel(Protocol):
    """A model in memory: the version of its weights, and the names of the models on which it depends."""

    @property
    def version(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...


Ready = TypeVar("Ready", bound=ReadyModel)


@dataclass(frozen=True)
class LearnedModel:
    """Description of a model, available before it is loaded.

    Attributes
    ----------
    name : also of its folder in ``assets``. purpose : what it provides. without : what happens when it is not trained.
    loader : ``module:function``; the function takes a folder (None: ``assets/<name>``) and a device, ``cpu`` or
        ``cuda``, and returns a ``ReadyModel`` or raises ``LikenessError`` ("missing_part").
    switch : name of the option that leaves it out; empty if the user cannot.
    on_gpu : whether it can run on the GPU; else it runs on the CPU.
    by_default : whether it is used unless left out. instead_of : names of models that are not used when it is.
    """

    name: str
    purpose: str
    without: str
    loader: str
    switch: str = ""
    on_gpu: bool = False
    by_default: bool = True
    instead_of: tuple[str, ...] = ()

    @property
    def folder_variable(self) -> str:
        """Environment variable with another folder of weights, to try a training before it is shipped."""
        return f"LIKENESS_{self.name.upper()}"

    def open(self, device: str = "cpu") -> OpenedModel:
        """The model, or the reason why there is none; loaded once per process. Raises ``DamagedFileError``."""
        named = os.environ.get(self.folder_variable, "")
        with _LOCKS.setdefault(self.name, Lock()):
            return _opened(self, Path(named) if named else None, device if self.on_gpu else "cpu")

    def load(self, device: str = "cpu") -> Any:
        """The ``ReadyModel``. Raises ``LikenessError`` ("missing_part") when it is not trained, or damaged."""
        opened = self.open(device)
        if opened.error is not None:
            raise opened.error.with_traceback(None)
        return opened.ready

    def find(self, device: str = "cpu") -> Any | None:
        """The ``ReadyModel``, or None without usable weights. Raises ``DamagedFileError``."""
        return self.open(device).ready

    def trained(self, assets: Path) -> bool:
        """Whether a folder of assets has weights of this model."""
        return any((assets / self.name).glob(f"{self.name}-*.safetensors"))


@dataclass(frozen=True)
class OpenedModel:
    """A loaded model, or the reason why it is not used.

    Attributes
    ----------
    ready : None if it is not used. reason : why not, for ``report.json``. error : raised by loading it.
    """

    model: LearnedModel
    ready: Any | None = None
    reason: str = ""
    error: LikenessError | None = None

    @property
    def said(self) -> str:
        """Its version, or why it was not used."""
        return self.reason if self.ready is None else self.ready.version


@dataclass(frozen=True)
class Models:
    """All models of one reconstruction, and the device of those that can run on a GPU."""

    opened: tuple[OpenedModel, ...]
    device: str

    def of(self, model: LearnedModel, kind: type[Ready]) -> Ready | None:
        """The loaded model, which must be of type ``kind``; None if it is not used."""
        ready = self._opened(model).ready
        assert ready is None or isinstance(ready, kind)
        return ready

    def said(self, model: LearnedModel) -> str:
        """Its version, or why it was not used."""
        return self._opened(model).said

    def changed(self, model: LearnedModel, ready: ReadyModel) -> Models:
        """The same models with one replaced by ``ready``."""
        opened = tuple(replace(one, ready=ready) if one.model == model else one for one in self.opened)
        return replace(self, opened=opened)

    def to_report(self) -> dict[str, str]:
        """Name of each model -> its version, or why it was not used."""
        return {one.model.name: one.said for one in self.opened}

    def _opened(self, model: LearnedModel) -> OpenedModel:
        return next(one for one in self.opened if one.model == model)


def forget_models() -> None:
    """Clear the cache, so that every model is loaded again when it is next used."""
    _opened.cache_clear()


_LOCKS: dict[str, Lock] = {}
"""A lock per model, so that one thread loads it while others wait."""


@lru_cache(maxsize=32)
def _opened(model: LearnedModel, folder: Path | None, device: str) -> OpenedModel:
    module, _, function = model.loader.partition(":")
    try:
        return OpenedModel(model, attrgetter(function)(import_module(module))(folder, device))
    except DamagedFileError:
        raise
    except LikenessError as error:
        return OpenedModel(model, None, error.sentence if _has_weights(model, folder) else NOT_TRAINED, error)


def _has_weights(model: LearnedModel, folder: Path | None) -> bool:
    from backend.system.assets import ASSETS

    return model.trained(ASSETS) if folder is None else any(folder.glob(f"{model.name}-*.safetensors"))


@dataclass(frozen=True)
class EncodedPhoto:
    """The encoder's result for one photo.

    Attributes
    ----------
    name : the photo's name. window : the encoder's input, a square of the photo's crop turned so that the head is
        upright.
    expression : (V_head, 3) offsets in metres of the cage's head vertices from the neutral face.
    rotation : (3, 3) camera_from_head for the window, OpenCV axes. distance : metres to the head's middle.
    light : (9, 3) SH coefficients, head frame, as ``FittedPhoto.light``.
    """

    name: str
    window: Window
    expression: np.ndarray
    rotation: np.ndarray
    distance: float
    light: np.ndarray

    def rotation_in_photo(self) -> np.ndarray:
        """(3, 3) camera_from_head for the crop, with the window's turn undone."""
        cos, sin = np.cos(self.window.angle), np.sin(self.window.angle)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ self.rotation


@dataclass(frozen=True)
class EncodedFace:
    """The encoder's result for one person.

    Attributes
    ----------
    identity : (V_head, 3) offsets in metres of the neutral cage's head vertices from the template's.
    reflectance : (V_head, 3) linear. photos : in the order of the input faces.
    version : fingerprint of the model's weights.
    code : (K,) identity coefficients, if the fit uses the model's own modes; None: project ``identity`` onto the modes.
    """

    identity: np.ndarray
    reflectance: np.ndarray
    photos: tuple[EncodedPhoto, ...]
    version: str
    code: np.ndarray | None = None

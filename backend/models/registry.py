"""All learned models in loading order: a model comes after those that it needs, and before those that it replaces.

To add a model, add its package and a line here.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import import_module, metadata
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

from backend.errors import DamagedFileError, LikenessError
from backend.system import ASSETS

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
    by_default : whether it is used unless left out. instead_of : names of models that are not used when it is.
    """

    name: str
    purpose: str
    without: str
    loader: str
    switch: str = ""
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
            return _opened(self, Path(named) if named else None, device)

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
    return model.trained(ASSETS) if folder is None else any(folder.glob(f"{model.name}-*.safetensors"))


LAP = LearnedModel(
    "lap",
    purpose="canonical depth and albedo",
    without="the fit starts from landmarks",
    loader="backend.models.lap.apply:LapModel.load",
    switch="lap",
)


LEARNED_BASIS = LearnedModel(
    "learned_basis",
    purpose="an encoder that starts the fit; its identity is principal components of synthetic people",
    without="the fit starts cold, from landmarks",
    loader="backend.models.learned_basis.apply:BasisModel.load",
    switch="learned_basis",
)


GRAPH_FACE = LearnedModel(
    "graph_face",
    purpose="a non-linear face model",
    without="the linear prior is used",
    loader="backend.models.graph_face:GraphModel.load",
    by_default=False,
    instead_of=("learned_basis",),
)


GRAPH_ALBEDO = LearnedModel(
    "graph_albedo",
    purpose="the colours of skin that no photo shows",
    without="rules and the mirrored side alone give them",
    loader="backend.models.graph_face:GraphAlbedoModel.load",
    by_default=False,
)


DETAIL = LearnedModel(
    "detail",
    purpose="wrinkles that follow the expression",
    without="the mesh has no fine wrinkles",
    loader="backend.models.detail:DetailModel.load",
    switch="detail",
)


LANDMARK_NET = LearnedModel(
    "landmarks",
    purpose="points of the face's surface",
    without="the fit takes the detector's landmarks",
    loader="backend.models.landmarks:SurfaceLandmarker.load",
    switch="landmark_net",
)


PARSING = LearnedModel(
    "parsing",
    purpose="masks of skin, hair, glasses and so on",
    without="no head can be made",
    loader="backend.models.parsing.network:FaceParser.load",
)
PARSING_OPINION = LearnedModel(
    "parsing_opinion",
    purpose="a second opinion on hair and what is behind it",
    without="the first net decides alone",
    loader="backend.models.parsing.network:SecondParser.load",
)
"""A second net, on frozen ImageNet features; its shipped file holds only the weights trained here."""


MODELS: tuple[LearnedModel, ...] = (
    PARSING,
    PARSING_OPINION,
    LANDMARK_NET,
    LAP,
    GRAPH_FACE,
    LEARNED_BASIS,
    GRAPH_ALBEDO,
    DETAIL,
)


def open_models(without: Collection[str] = (), device: str = "cpu", also: Collection[str] = ()) -> Models:
    """Load all models except those named in ``without``; those that are off by default only if named in ``also``.

    Raises ``DamagedFileError``.
    """
    outcomes: dict[str, OpenedModel] = {}
    for model in MODELS:
        wanted = model.name not in without and (model.by_default or model.name in also)
        replaced = any(model.name in one.model.instead_of and one.ready is not None for one in outcomes.values())
        opened = model.open(device) if wanted and not replaced else OpenedModel(model, reason=NOT_USED)
        missing = [] if opened.ready is None else [name for name in opened.ready.needs if outcomes[name].ready is None]
        outcomes[model.name] = OpenedModel(model, reason=f"{NOT_USED} without {missing[0]}") if missing else opened
    used = any(one.ready is not None for one in outcomes.values())
    return Models(tuple(outcomes.values()), device if used else "cpu")


SOURCE = Path(__file__).resolve().parents[2]
_PACKAGES = ("ai-edge-litert", "numba", "numpy", "opencv-python-headless", "pillow", "pillow-heif", "scipy", "torch")
"""Packages that affect numbers, pixels or weights of a head."""
_NOT_IN_HEADS = ("batch", "command_line", "service")
"""Folders of code that do not."""


@dataclass(frozen=True)
class Stamp:
    """Version of everything that a head was made with, besides photos and options.

    Attributes
    ----------
    code, models : hashes of twelve hexadecimal digits, of the code that makes heads, and of all weights and templates.
    packages : name and version of each package that affects results, the name alone where it is not installed.
    """

    code: str
    models: str
    packages: tuple[str, ...]


def current_stamp() -> Stamp:
    """The stamp of this process' Likeness; reads some 50 MB. Raises ``OSError``."""
    every = (path for package in ("backend", "protocol") for path in (SOURCE / package).rglob("*.py"))
    code = (path for path in every if path.parent.name not in _NOT_IN_HEADS)
    folders = (os.environ.get(model.folder_variable) for model in MODELS)
    models = (
        path
        for folder in (ASSETS, *(Path(folder) for folder in folders if folder))
        for pattern in ("**/*.safetensors", "**/*.npz", "**/*.json", "**/*.tflite", "**/*.png")
        for path in folder.glob(pattern)
    )
    return Stamp(_digest(SOURCE, code), _digest(ASSETS, models), tuple(map(_installed, _PACKAGES)))


def _installed(package: str) -> str:
    """Name and version without its local part, because torch for a GPU and for the CPU count as the same."""
    try:
        return f"{package} {metadata.version(package).split('+')[0]}"
    except metadata.PackageNotFoundError:
        return package


def _digest(root: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sorted(paths):
        name = path.relative_to(root) if path.is_relative_to(root) else path
        content = path.read_bytes()
        if path.suffix in (".py", ".json"):
            content = content.replace(b"\r\n", b"\n")  # a checkout on Windows may have CRLF
        digest.update(f"{name.as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:12]

"""Read and write weights: a model is a safetensors file in a folder of its name, with its name, its configuration and a
fingerprint of all weights in the metadata. Weights are float16; large ones may be int8: the tensor ``NAME`` (C, ...)
times ``NAME.int8_step`` (C,) float32, with an error of at most half a step.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
import safetensors.torch
import torch
from safetensors import TensorSpec
from torch import Tensor

from backend.errors import DamagedFileError, LikenessError
from backend.models.registry import LANDMARK_NET, LearnedModel
from backend.system.files import ASSETS, BrokenTensorFileError, read_with, tensor_spec, write_specs

log = logging.getLogger(__name__)


def computing_device(wanted: str) -> str:
    """``cpu`` or ``cuda`` for ``auto``, ``cpu`` or ``cuda``: the GPU if there is one, unless ``wanted`` is "cpu"."""
    return "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"


STEP_SUFFIX = ".int8_step"
LEAST_WEIGHTS = 4096
"""Smaller tensors stay in float16; in LAP all of them together are 1 % of the bytes."""
_LARGEST = 127


def large_weights(tensors: Mapping[str, Tensor], sensitive: Sequence[str] = ()) -> frozenset[str]:
    """Names of the large floating-point tensors with at least two axes that match no pattern (``fnmatch``) of
    ``sensitive``."""
    return frozenset(
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point()
        and tensor.ndim >= 2
        and tensor.numel() >= LEAST_WEIGHTS
        and not any(fnmatchcase(name, pattern) for pattern in sensitive)
    )


def in_eight_bits(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Quantise a weight (C, …) to int8 numbers (C, …) and float32 steps (C,), on the CPU; raises ``ValueError`` unless
    all are finite."""
    value = tensor.detach().cpu().float()
    if not torch.isfinite(value).all():
        raise ValueError("weights that are not finite have no step")
    channels = value.flatten(1)
    steps = channels.abs().amax(1) / _LARGEST
    numbers = (channels / steps.clamp_min(torch.finfo(torch.float32).tiny)[:, None]).round().clamp(-_LARGEST, _LARGEST)
    return numbers.to(torch.int8).reshape(value.shape), steps


def without_steps(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the int8 weights of a file and their steps to float32; other tensors are kept.

    Raises
    ------
    ValueError : steps are missing, of another shape or dtype, not finite or negative, or have no int8 weights.
    """
    weights = {}
    for name, tensor in tensors.items():
        if name.endswith(STEP_SUFFIX):
            owner = tensors.get(name.removesuffix(STEP_SUFFIX))
            if owner is None or owner.dtype != torch.int8:
                raise ValueError(f"{name!r} has no int8 weights beside it")
        elif tensor.dtype == torch.int8:
            steps = _checked_steps(name, tensor, tensors.get(name + STEP_SUFFIX))
            weights[name] = tensor.float() * steps.reshape(-1, *[1] * (tensor.ndim - 1))
        else:
            weights[name] = tensor
    return weights


def _checked_steps(name: str, numbers: Tensor, steps: Tensor | None) -> Tensor:
    """The steps of ``numbers``; raises ``ValueError``."""
    if steps is None:
        raise ValueError(f"the int8 weights {name!r} have no steps beside them")
    if steps.dtype != torch.float32 or numbers.ndim < 2 or steps.shape != numbers.shape[:1]:
        raise ValueError(
            f"the int8 weights {name!r} of shape {tuple(numbers.shape)} have steps of shape {tuple(steps.shape)} "
            f"and dtype {steps.dtype}"
        )
    if not torch.isfinite(steps).all() or (steps < 0).any():
        raise ValueError(f"the int8 weights {name!r} have steps that are not finite or negative")
    return steps


FILE_SUFFIX = "-00001-of-00001.safetensors"
"""A model's file is called like the model, with this behind."""


@dataclass(frozen=True)
class TensorFile:
    """Tensors of a file by name, and the strings of its metadata."""

    tensors: Mapping[str, torch.Tensor]
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class ModelWeights:
    """The weights of a trained model.

    Attributes
    ----------
    model : name (``"parsing"``), also of its folder under ``assets``.
    config : everything that is needed to build the network, JSON types only.
    tensors : state dict; float16 (large weights: int8 with steps) in the files, float32 after loading.
    version : fingerprint of the weights, twelve hexadecimal digits; reported in ``report.json``.
    research_only : data sets in their training, with their licences, because of which they are for research alone.
    """

    model: str
    config: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    version: str
    research_only: tuple[str, ...] = ()


def read_tensors(path: Path | str) -> TensorFile:
    """Read a safetensors file as CPU tensors; raises ``BrokenTensorFileError`` or ``OSError``."""
    tensors, metadata, _ = read_with(safetensors.torch.load, path)
    return TensorFile(tensors, metadata)


def write_tensors(
    path: Path | str, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors of any device and memory format, atomically; raises ``TypeError`` for a dtype that the format
    lacks."""
    data = {name: _bytes(tensor) for name, tensor in tensors.items()}
    write_specs(path, {name: _spec(name, tensor, data[name]) for name, tensor in tensors.items()}, metadata)


def save_model(weights: ModelWeights, folder: Path) -> Path:
    """Write a model into ``folder``, with the fingerprint of all tensors as stored, which ``load_model`` checks."""
    folder.mkdir(parents=True, exist_ok=True)
    version, path = fingerprint(weights.tensors), folder / f"{weights.model}{FILE_SUFFIX}"
    metadata = {"format": "pt", "model": weights.model, "config": json.dumps(weights.config), "version": version}
    if weights.research_only:
        metadata["research_only"] = json.dumps(weights.research_only)
    write_tensors(path, weights.tensors, metadata)
    return path


def load_model(model: str, folder: Path | None = None) -> ModelWeights:
    """Load a model from ``assets/<model>`` (or ``folder``); float16 and int8 are converted to float32.

    Raises
    ------
    LikenessError : ``missing_part`` when the model is not trained; its subclass ``DamagedFileError`` when its file is
        damaged.
    """
    folder = ASSETS / model if folder is None else folder
    path = folder / f"{model}{FILE_SUFFIX}"
    if not path.is_file():
        sentence = f"The {model} model is not trained: there are no weights in {_shown(folder)}."
        advice = f"Train it and run: python -m trainer export RUN --out {_shown(folder)}."
        raise LikenessError("missing_part", sentence, advice)
    try:
        tensors, metadata, _ = read_with(safetensors.torch.load, path)
    except (OSError, BrokenTensorFileError) as error:
        raise DamagedFileError(path, str(error).removeprefix(f"{path}: ")) from error
    if "config" not in metadata:
        raise DamagedFileError(path, "it is not an exported model")
    version = metadata.get("version", "")
    if version != fingerprint(tensors):
        raise DamagedFileError(path, "its weights are not those that were exported")
    try:
        config = json.loads(metadata["config"])
        limits = tuple(str(one) for one in json.loads(metadata.get("research_only", "[]")))
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(path, "its configuration cannot be read") from error
    try:
        tensors = without_steps(tensors)
    except ValueError as error:
        raise DamagedFileError(path, str(error)) from error
    tensors = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
    if limits:
        log.warning("The weights of the %s model are for research alone: trained on %s.", model, "; ".join(limits))
    return ModelWeights(model, config, tensors, version, limits)


def load_weights_into(network: torch.nn.Module, weights: ModelWeights) -> None:
    """Copy weights into a network built from ``weights.config``.

    Raises
    ------
    LikenessError : ``missing_part`` when names or shapes differ, that is, when code and weights do not match.
    """
    try:
        network.load_state_dict(dict(weights.tensors))
    except RuntimeError as error:
        sentence = f"The weights of the {weights.model} model do not fit this version of the program ({error})."
        advice = "Export the model again with this version, or install the version that made it."
        raise LikenessError("missing_part", sentence, advice) from error


def half_precision(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert floating-point tensors to float16 on the CPU, keep others; raises ``ValueError`` on overflow."""
    halves = {}
    for name, tensor in tensors.items():
        value = tensor.detach().cpu()
        if value.is_floating_point():
            value = value.to(torch.float16)
            if not torch.isfinite(value).all():
                raise ValueError(f"tensor {name!r} does not fit into float16 (largest value {tensor.abs().max():.3g})")
        halves[name] = value
    return halves


def eight_bit_precision(tensors: Mapping[str, torch.Tensor], sensitive: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """Convert large weights to int8 with their steps, and others, and those that match a pattern of ``sensitive``, by
    ``half_precision``; raises ``ValueError`` on overflow."""
    large = large_weights(tensors, sensitive)
    stored = half_precision({name: tensor for name, tensor in tensors.items() if name not in large})
    for name in sorted(large):
        try:
            stored[name], stored[name + STEP_SUFFIX] = in_eight_bits(tensors[name])
        except ValueError as error:
            raise ValueError(f"tensor {name!r}: {error}") from error
    return stored


def fingerprint(tensors: Mapping[str, torch.Tensor]) -> str:
    """Twelve hexadecimal digits that depend on every name, shape, dtype and bit of the tensors."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        data = _bytes(tensor)
        digest.update(f"{name} {_spec(name, tensor, data).dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:12]


def _bytes(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's bytes in C order, (bytes,) uint8."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def _spec(name: str, tensor: torch.Tensor, data: np.ndarray) -> TensorSpec:
    return tensor_spec(name, str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape), data)


def _shown(path: Path) -> str:
    """A path for messages, relative to the working directory if it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def float64_array(values: torch.Tensor) -> np.ndarray:
    """A network's output on the CPU in float64."""
    return values.double().cpu().numpy()


Network = TypeVar("Network", bound=torch.nn.Module)


class NetworkConfig:
    """Base of networks' configurations, frozen dataclasses of JSON types and tuples: to and from exported models."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From the configuration in an exported model; other keys are ignored. Raises ``TypeError`` or ``ValueError``
        for an invalid one."""
        known = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in known.items()})

    def to_json(self) -> dict[str, Any]:
        """JSON types that ``from_json`` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class LoadedNetwork(Generic[Network]):
    """The trained network in eval mode, its device, and the version of its weights with their limits, as reported.

    A subclass says which ``model`` it is, and the types of its network and of the network's configuration.
    """

    model: ClassVar[LearnedModel]
    network_type: ClassVar[type[torch.nn.Module]]
    config_type: ClassVar[type[Any]]
    network: Network
    device: torch.device
    version: str

    @classmethod
    def build(cls, weights: ModelWeights) -> Any:
        """The network in eval mode. Raises ``LikenessError`` ("missing_part") where the weights do not match it."""
        network = cls.network_type(cls.config_type.from_json(weights.config))
        load_weights_into(network, weights)
        return network.eval()

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "cpu") -> Self:
        """The model of ``assets/<name>`` or ``folder``. Raises ``LikenessError`` ("missing_part") where it is not."""
        weights = load_model(cls.model.name, folder)
        limits = f" (research only: {'; '.join(weights.research_only)})" if weights.research_only else ""
        return cls(cls.build(weights).to(device), torch.device(device), weights.version + limits)

    @property
    def wants_surface(self) -> bool:
        """Whether it needs faces with the landmark net's points (``PhotoFace.surface``)."""
        return False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the models on which it depends."""
        return (LANDMARK_NET.name,) if self.wants_surface else ()

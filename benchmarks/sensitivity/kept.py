"""Results of functions that are used again while their arguments and the settings that they read are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any

import numpy as np


class Kept:
    """Keeps results while ``recording``; later calls with other arguments or settings run the function."""

    def __init__(self, by_identity: tuple[type, ...]) -> None:
        """``by_identity`` : types whose objects are never changed and made once, so that two are alike only if they
        are one."""
        self.recording = True
        self._by_identity = by_identity
        self._results: dict[tuple[str, bytes], tuple[Any, Any]] = {}

    def keep(self, module: ModuleType, functions: Mapping[str, Sequence[Any]]) -> None:
        """Replace functions of ``module`` by ones that keep results; ``functions`` : name -> settings that it reads."""
        for name, settings in functions.items():
            setattr(module, name, self._keeping(f"{module.__name__}.{name}", getattr(module, name), settings))

    def _keeping(self, name: str, function: Callable[..., Any], settings: Sequence[Any]) -> Callable[..., Any]:
        def kept(*arguments: Any, **named: Any) -> Any:
            digest = hashlib.blake2b(digest_size=16)
            self._update(digest, (arguments, named, tuple(settings)))
            key = (name, digest.digest())
            if key in self._results:
                return self._results[key][0]
            result = function(*arguments, **named)
            if self.recording:
                self._results[key] = (result, arguments)  # arguments stay alive, so that identities stay unique
            return result

        return kept

    def _update(self, digest: hashlib.blake2b, value: Any) -> None:
        digest.update(type(value).__name__.encode())
        if isinstance(value, self._by_identity) or callable(value):
            digest.update(str(id(value)).encode())
        elif isinstance(value, np.ndarray):
            digest.update(f"{value.shape}{value.dtype}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        elif is_dataclass(value):
            for field in fields(value):
                self._update(digest, getattr(value, field.name))
        elif isinstance(value, Mapping):
            for name, held in value.items():
                digest.update(str(name).encode())
                self._update(digest, held)
        elif isinstance(value, (tuple, list)):
            for held in value:
                self._update(digest, held)
        else:
            digest.update(repr(value).encode())

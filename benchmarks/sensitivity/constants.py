"""Constants that can be changed for a while: fields of frozen settings and numbers of modules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from types import ModuleType
from typing import Any

Value = float | int | tuple[float, ...]


@dataclass(frozen=True)
class Constant:
    """The attribute ``name`` of its ``holders``: one settings object, or the module that defines it and those that
    import it."""

    holders: tuple[Any, ...]
    name: str

    @property
    def value(self) -> Value:
        """The present value."""
        return getattr(self.holders[0], self.name)

    @contextmanager
    def changed(self, value: Value) -> Iterator[None]:
        """Context in which the constant has another value. Compiled functions keep the old one."""
        before = self.value
        try:
            self._set(value)
            yield
        finally:
            self._set(before)

    def _set(self, value: Value) -> None:
        for holder in self.holders:
            object.__setattr__(holder, self.name, value)  # settings are frozen for all other code


def settings_constants(settings: Any, above: str) -> dict[str, Constant]:
    """``above.field`` (or ``above.field.field``) -> constant, of a settings dataclass."""
    found: dict[str, Constant] = {}
    for field in fields(settings):
        value, name = getattr(settings, field.name), f"{above}.{field.name}"
        is_nested = is_dataclass(value)
        found |= settings_constants(value, name) if is_nested else {name: Constant((settings,), field.name)}
    return found


def constants_of_rooms(rooms: Mapping[str, Any]) -> dict[str, Constant]:
    """``settings_constants`` of several settings dataclasses by the name of their room."""
    return {name: one for room, held in rooms.items() for name, one in settings_constants(held, room).items()}


def module_constants(modules: Mapping[str, ModuleType], names: Sequence[str]) -> dict[str, Constant]:
    """``module.NAME`` -> constant, of the modules called ``names``; public ones change in every module of ``modules``
    that imports them."""
    found: dict[str, Constant] = {}
    for module in names:
        for name, value in _numbers(modules[module]).items():
            importing = [other for other in modules.values() if _numbers(other).get(name) == value]
            holders = [modules[module]] if name.startswith("_") else importing
            found[f"{module}.{name}"] = Constant(tuple(holders), name)
    return found


def _numbers(module: ModuleType) -> dict[str, float | int]:
    held = vars(module).items()
    return {name: value for name, value in held if name.isupper() and type(value) in (int, float)}


def scaled(value: Value, factor: float, most: float) -> Value:
    """The number, or each of several, times ``factor``, at most ``most``; integers stay integers of at least 1."""
    if isinstance(value, tuple):
        return tuple(min(factor * one, most) for one in value)
    return max(1, round(factor * value)) if isinstance(value, int) else min(factor * value, most)

"""Recipes: all settings of a training run, as typed frozen dataclasses read strictly from TOML.

Map each ``kind`` in a recipe to its class. Modules are imported only when a recipe uses them.
"""

import copy
import dataclasses
import difflib
import functools
import importlib
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import tomli_w

from backend.errors import LikenessError
from trainer.engine.contracts import StageConfig

KINDS: dict[str, dict[str, str]] = {
    "stage": {
        "parsing": "trainer.methods.parsing.stage:ParsingStageConfig",
        "lap": "trainer.methods.lap.stage:LapStageConfig",
        "landmarks": "trainer.methods.landmarks.stage:LandmarkStageConfig",
        "detail": "trainer.methods.detail.stage:DetailStageConfig",
        "graph_face": "trainer.methods.graph_face.stage:GraphFaceStageConfig",
        "graph_albedo": "trainer.methods.graph_face.albedo:GraphAlbedoStageConfig",
        "learned_basis": "trainer.methods.learned_basis.stage:LearnedBasisStageConfig",
    },
    "source": {
        "people": "trainer.people.source:PeopleConfig",
        "stored": "trainer.people.mixtures:StoredConfig",
        "mixed": "trainer.people.mixtures:MixedConfig",
        "portraits": "trainer.portraits.collection:PortraitsConfig",
        "landmark_people": "trainer.methods.landmarks.data:LandmarkPeopleConfig",
        "detail_people": "trainer.methods.detail.data:DetailPeopleConfig",
        "detail_portraits": "trainer.methods.detail.data:DetailPortraitsConfig",
        "graph_shapes": "trainer.methods.graph_face.data:GraphShapesConfig",
        "graph_people": "trainer.methods.graph_face.data:GraphPeopleConfig",
        "graph_300w_lp": "trainer.methods.graph_face.data:GraphFittedConfig",
        "graph_portraits": "trainer.methods.graph_face.data:GraphPortraitsConfig",
        "completed_skins": "trainer.methods.graph_face.albedo:CompletedSkinsConfig",
        "lap_people": "trainer.methods.lap.data:LapPeopleConfig",
        "face_people": "trainer.methods.learned_basis.data:FacePeopleConfig",
        "face_portraits": "trainer.methods.learned_basis.data:FacePortraitsConfig",
    },
}
"""Family -> kind -> ``module:class``. One line per stage and data source."""


def find_class(family: str, kind: str) -> type:
    """Return the class for a kind: one of ``KINDS[family]``, or ``module:class`` for code outside this repository.

    Raises
    ------
    ValueError : unknown kind, or its module cannot be imported here (a package is missing).
    """
    known = KINDS[family]
    target = known.get(kind, kind)
    module_name, colon, class_name = target.partition(":")
    if not colon:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(known))}, or 'module:class'")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise ValueError(f"kind {kind!r} cannot be used here: {error}") from error
    except AttributeError as error:
        raise ValueError(f"kind {kind!r}: there is no {class_name} in {module_name}") from error


def kind_of(config: Any) -> str:
    """Return the shortest ``kind`` for the class of ``config``, the inverse of ``find_class``."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    for kind, known_target in KINDS[config.family].items():
        if known_target == target:
            return kind
    return target


RECIPES = Path(__file__).resolve().parents[1] / "recipes"
INHERITS = "inherits"
"""Key of the recipe, by name or as a file beside this one, over which a recipe is merged."""
EVERY_STAGE = "every_stage"
"""Table of settings that all stages share; a stage is merged over it."""
SHARED = "network"
"""Table of the network that all stages share; a stage's own table of that name is merged over it."""
WHOLE = "whole"
"""Name of the unchanged recipe among its ablations."""


class RecipeError(LikenessError):
    """A recipe that cannot be used; the message names the file, the key and the error."""

    def __init__(self, sentence: str, advice: str = "") -> None:
        super().__init__("usage", sentence, advice)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run: stages in sequence, each initialised with the previous one's weights where names match."""

    name: str
    """Name of the run; its folder is ``runs/<name>`` unless another is given."""
    about: str = ""
    """One sentence for readers: what it trains and for which machine."""
    seed: int = 0
    """Seed of the initial weights and of every step's random numbers."""
    precision: Literal["float32", "bf16"] = "float32"
    """Forward passes in float32, or in bfloat16 where torch's autocast allows; weights stay float32."""
    checkpoint_minutes: float = 5.0
    """Time between checkpoints."""
    checkpoint_steps: int = 0
    """Steps between checkpoints, counted from the start of a stage; 0: by time only."""
    keep: int = 2
    """Number of latest checkpoints kept on disk."""
    log_steps: int = 20
    """Steps between two entries of loss terms in the log."""
    validate_steps: int = 500
    """Steps between two measurements on held-out data."""
    max_skipped: int = 20
    """More consecutive steps than this with a non-finite loss or gradient end the run; fewer are skipped and
    counted."""
    stages: tuple[StageConfig, ...]
    """Stages, trained in this order."""
    ablations: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Changes in the form of ``--set`` arguments, by name, for ``--ablation``."""

    def __post_init__(self) -> None:
        if WHOLE in self.ablations:
            raise ValueError(f"the recipe itself is called {WHOLE!r}; an ablation needs another name")
        if not self.stages:
            raise ValueError("a recipe needs at least one stage")
        if min(self.log_steps, self.validate_steps, self.keep) < 1 or self.checkpoint_minutes <= 0:
            raise ValueError("log_steps, validate_steps and keep must be at least 1, checkpoint_minutes above 0")
        names = [stage_name(stage) for stage in self.stages]
        if len(set(names)) != len(names):
            raise ValueError(f"the stages' names {names} are not unique; give each a name")


def stage_name(stage: StageConfig) -> str:
    """The stage's name, or its kind where it has none."""
    return stage.name or kind_of(stage).rpartition(":")[2]


def find_recipe(name: str) -> Path:
    """Find the file of a recipe: a path that ends in ``.toml``, or a name under ``trainer/recipes`` (``paper/lap``)."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if path.is_file():
        return path
    advice = f"Known recipes: {', '.join(known_recipes())}; or give a .toml file."
    raise RecipeError(f"There is no recipe {name!r}.", advice)


def known_recipes() -> list[str]:
    """List the names of the trainer's own recipes, those of papers last."""
    names = (str(file.relative_to(RECIPES).with_suffix("")) for file in RECIPES.rglob("*.toml"))
    return sorted(names, key=lambda name: ("/" in name, name))


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply ``key=value`` overrides (``stages.0.steps=10``, ``stages.parsing.batch=4``).

    The recipe that it ``inherits`` is read first and this one merged over it: tables by key, items of lists by
    the same names and numbers as in overrides (``[stages.refine]``, ``source.sources.0.size``; the number after the
    last appends). A list ``[[stages]]`` names all stages that are trained, each merged over the base's of that name.
    A table of another ``kind`` and every other value replace the base's.

    Raises
    ------
    RecipeError : the file is not TOML, it inherits an unknown recipe or itself, a key is unknown or missing, a value
        has the wrong type or is out of range.
    """
    table = _read(path)
    shared = [one for one in overrides if re.split("[.=]", one)[0] in (SHARED, EVERY_STAGE)]
    for assignment in shared:
        table = _override(table, assignment)
    table = _with_shared(table, str(path))
    for assignment in overrides:
        if assignment not in shared:
            table = _override(table, assignment)
    return decode(Recipe, table, "", str(path))


def _read(path: Path, heirs: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Read a recipe's table, merged over that of the recipe it inherits. ``heirs`` are the files that led here."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not a TOML file: {error}.") from error
    name = table.pop(INHERITS, None)
    if name is None:
        return table
    _require(isinstance(name, str), "the name of a recipe", name, INHERITS, str(path))
    file, heirs = path.parent / name if name.endswith(".toml") else RECIPES / f"{name}.toml", (*heirs, path.resolve())
    if not file.is_file():
        raise RecipeError(f"{path} inherits {name!r}, which is no recipe.", f"Known: {', '.join(known_recipes())}.")
    if file.resolve() in heirs:
        raise RecipeError(f"{path} inherits {name!r}, which inherits from it: one of them must stand alone.")
    base = _read(file, heirs)
    if isinstance(base.get("stages"), list) and isinstance(table.get("stages"), list):
        stages = {_label(stage): stage for stage in base["stages"]}
        merged = [_merged(copy.deepcopy(stages.get(_label(one))), one, str(path)) for one in table["stages"]]
        table["stages"] = merged
    return _merged(base, table, str(path))


def _merged(base: Any, table: Any, where: str) -> Any:
    """Merge a table over its base (``load_recipe``); what is no table replaces the base."""
    if isinstance(base, list) and isinstance(table, dict):
        items = list(base)
        for key, value in table.items():
            if key == str(len(items)):
                items.append(None)
            at = _position(items, key, where)
            items[at] = _merged(items[at], value, where)
        return items
    if not (isinstance(base, dict) and isinstance(table, dict)):
        return table
    if "kind" in base and table.get("kind", base["kind"]) != base["kind"]:
        return table
    return base | {key: _merged(base.get(key), value, where) for key, value in table.items()}


def _label(stage: Any) -> str:
    """The name, else the kind, of a list's item; empty for what is not a table."""
    return str(stage.get("name") or stage.get("kind")) if isinstance(stage, dict) else ""


def recipe_to_toml(recipe: Recipe) -> str:
    """Write the whole recipe, defaults included; a network shared by all stages appears once. ``load_recipe`` reads
    it."""
    table = encode(recipe)
    networks = [stage.get(SHARED) for stage in table["stages"]]
    if len(networks) > 1 and networks[0] is not None and all(one == networks[0] for one in networks):
        stages = [{key: value for key, value in stage.items() if key != SHARED} for stage in table.pop("stages")]
        table |= {SHARED: networks[0], "stages": stages}
    return tomli_w.dumps(table)


def _with_shared(table: dict[str, Any], where: str) -> dict[str, Any]:
    """Merge every stage over the tables that all stages share."""
    every, network = table.pop(EVERY_STAGE, {}), table.pop(SHARED, {})
    _require(isinstance(every, dict), "a table", every, EVERY_STAGE, where)
    _require(isinstance(network, dict), "a table", network, SHARED, where)
    shared = _merged({SHARED: network} if network else {}, every, where)
    if isinstance(stages := table.get("stages"), list):
        table["stages"] = [_merged(copy.deepcopy(shared), stage, where) for stage in stages]
    return table


def encode(value: Any) -> Any:
    """Convert dataclasses, tuples and maps to TOML types, without ``None``; configurations with a ``family`` get their
    ``kind``."""
    if dataclasses.is_dataclass(value):
        table = {"kind": kind_of(value)} if hasattr(value, "family") else {}
        value = table | {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items() if item is not None}
    return value


def decode(expected: Any, value: Any, key: str, where: str) -> Any:
    """Convert ``value`` from TOML to type ``expected``: a dataclass, ``X | None`` or a tuple of such, or what
    ``msgspec`` converts.

    ``key`` is the path of the value for error messages, ``where`` the file. Integers are accepted as floats, nothing
    else is converted. Raises ``RecipeError``.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    config = next((argument for argument in (expected, *arguments) if dataclasses.is_dataclass(argument)), None)
    if config is not None and origin is tuple:
        _require(isinstance(value, list), "a list", value, key, where)
        return tuple(_decode_dataclass(config, item, f"{key}.{index}", where) for index, item in enumerate(value))
    if config is not None:
        return _decode_dataclass(config, value, key, where)
    try:
        return msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        advice = f"It must be one of {', '.join(map(repr, arguments))}." if origin is Literal else ""
        raise RecipeError(f"{where}: {key} is {value!r}: {error}.", advice) from error


def _decode_dataclass(expected: type, value: Any, key: str, where: str) -> Any:
    label = key or "the recipe"
    _require(isinstance(value, dict), "a table", value, key, where)
    table = dict(value)
    if hasattr(expected, "family"):
        if "kind" not in table:
            raise RecipeError(f"{where}: {label} has no key 'kind'.")
        try:
            cls = find_class(expected.family, table.pop("kind"))
        except ValueError as error:
            raise RecipeError(f"{where}: {label}: {error}.") from error
        if not issubclass(cls, expected):
            raise RecipeError(f"{where}: {label}: {cls.__name__} is not a {expected.__name__}.")
        expected = cls
    hints = _type_hints(expected)
    fields = {field.name: field for field in dataclasses.fields(expected)}
    for name in table:
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            advice = f"Did you mean {close[0]!r}?" if close else f"Known keys: {', '.join(fields)}."
            raise RecipeError(f"{where}: unknown key {_join(key, name)!r}.", advice)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise RecipeError(f"{where}: {_join(key, name)!r} is missing.")
    arguments = {name: decode(hints[name], item, _join(key, name), where) for name, item in table.items()}
    try:
        return expected(**arguments)
    except ValueError as error:
        raise RecipeError(f"{where}: {label}: {error}.") from error


@functools.cache
def _type_hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _require(condition: bool, wanted: str, value: Any, key: str, where: str) -> None:
    if not condition:
        raise RecipeError(f"{where}: {key or 'the recipe'} must be {wanted}, not {value!r}.")


def _override(table: dict[str, Any], assignment: str) -> dict[str, Any]:
    """Merge one ``key=value`` over the raw table; list items are addressed by number, or by their ``name`` or
    ``kind``."""
    path, equals, text = assignment.partition("=")
    if not equals or not path:
        raise RecipeError(f"--set {assignment!r} has no value.", "Write --set key=value.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text  # a bare word is a string
    for key in reversed(path.split(".")):
        value = {key: value}
    return _merged(table, value, f"--set {path}")


def _position(items: list[Any], key: str, where: str) -> int:
    names = [_label(item) for item in items]
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    if key in names:
        return names.index(key)
    raise RecipeError(f"{where}: there is no item {key!r}.", f"Known: 0 to {len(items) - 1}, {', '.join(names)}.")

"""Descriptions of grooms: files of ``assets/grooms``, each what differs from ``base.json``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np

from backend.models.hair_kind import MIRRORED
from backend.system.files import ASSETS

FOLDER = ASSETS / "grooms"
BASE = "base"
KIND = ("flow", "parting", "fringe", "length", "tied", "curl", "sides", "density")
"""What a groom says about its kind of hair, in the words of the report's ``hair_kind``."""


@dataclass(frozen=True)
class Groom:
    """One groom. Angles in degrees, lengths in millimetres where a name ends in ``_mm``, else in metres.

    Attributes
    ----------
    name : its file's name. label : its name for people.
    kind : the words of ``KIND`` -> the groom's own.
    hairline : (28, 2) angle about the crown (0 at the forehead, positive to the person's left) and angle from the
        crown, in order round the head from the middle of the forehead to the left.
    shape : section -> number by name: where hair grows, how long and which way (``grow``).
    chain : number by name: inputs of the nodes that grow hairs between the guides.
    """

    name: str
    label: str
    kind: Mapping[str, str]
    hairline: np.ndarray
    shape: Mapping[str, Mapping[str, float]]
    chain: Mapping[str, float]


def mirrored_line(half: np.ndarray) -> np.ndarray:
    """(2 N - 2, 2) a closed hairline from its left half (N, 2), whose first and last points lie in the middle."""
    return np.concatenate([half, half[-2:0:-1] * [-1.0, 1.0]])


_TURNS = ("angle", "part_mm", "part_slope", "swirl", "fringe_angle")
"""Numbers of the flow that change sign in a mirror."""


def mirrored(groom: Groom) -> Groom:
    """The groom combed and parted to the other side."""
    flow = {key: value * (-1 if key in _TURNS else 1) for key, value in groom.shape["flow"].items()}
    kind = {field: MIRRORED.get(value, value) for field, value in groom.kind.items()}
    return replace(groom, kind=MappingProxyType(kind), shape=MappingProxyType({**groom.shape, "flow": flow}))


_LOCKS = "clump_side", "clump_top", "lock_side", "lock_top"


def receded(groom: Groom, name: str) -> Groom:
    """The groom with the hairline, and as thin, as of the groom ``name``."""
    like = load_grooms()[name]
    thin = {key: like.shape["zone"][key] for key in ("receded", "thin", "thin_end")}
    shape = {**groom.shape, "zone": {**groom.shape["zone"], **thin}}
    kind = {**groom.kind, "density": like.kind["density"]}
    chain = {**groom.chain, **{key: like.chain[key] for key in _LOCKS}}  # locks of thin hair leave slits of skin
    each = {"kind": kind, "shape": shape, "chain": chain}
    return replace(groom, hairline=like.hairline, **{key: MappingProxyType(value) for key, value in each.items()})


@lru_cache(maxsize=1)
def load_grooms() -> Mapping[str, Groom]:
    """All grooms by name, in the order of their names. Raises ``ValueError`` for a name that the base lacks."""
    files = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
    base = files.pop(BASE)
    return MappingProxyType({name: _groom(name, base, own) for name, own in files.items()})


def _groom(name: str, base: Mapping[str, Any], own: Mapping[str, Any]) -> Groom:
    for section in own.keys() - {"label"}:
        unknown = set() if section == "tie" else own[section].keys() - base[section].keys()
        if unknown:
            raise ValueError(f"{name}.json: {section} has no {', '.join(sorted(unknown))}")
    merged = {section: {**base[section], **own.get(section, {})} for section in base}
    half = np.array([merged["hairline"][point] for point in base["hairline"]], float)
    shape = {key: MappingProxyType(merged[key]) for key in base.keys() - {"hairline", "kind", "chain"}}
    chain = MappingProxyType({key: float(value) for key, value in merged["chain"].items()})
    kind = MappingProxyType(merged["kind"])
    return Groom(name, own["label"], kind, mirrored_line(half), MappingProxyType(shape), chain)

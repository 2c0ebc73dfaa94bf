"""Key mapping: which source key drives which target keys, with weight and limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import AddonError
from .names import Atom, Meaning, meaning

FORMAT, VERSION = "likeness-key-mapping", 1
_ADVICE = "Choose a file that Save Mapping wrote."


@dataclass(frozen=True)
class KeyLink:
    """``target`` gets ``weight`` times the value of ``source``, clamped to ``lowest`` and ``highest``."""

    source: str
    target: str
    weight: float = 1.0
    lowest: float = 0.0
    highest: float = 1.0


def suggest(sources: Sequence[str], targets: Sequence[str]) -> tuple[KeyLink, ...]:
    """Suggest links between the keys of two rigs by their names, in the order of ``targets``.

    Equal names come first, then other spellings, then synonyms; within these, keys with the fewest motions. A target
    key is used only if none of its motions is covered by a key chosen before, so that nothing moves twice. A key for
    both sides gets the mean of both.
    """
    links = {target: (KeyLink(target, target),) for target in targets if target in set(sources)}
    covered: set[Atom] = set()
    for target in links:
        if (known := meaning(target)) is not None:
            covered |= known.atoms
    readable = [(name, known) for name in sources if (known := meaning(name)) is not None]
    wanted = [(name, known) for name in targets if name not in links and (known := meaning(name)) is not None]
    for name, known in sorted(wanted, key=lambda pair: (pair[1].tier, len(pair[1].atoms))):
        if known.atoms & covered:
            continue
        if found := _links(name, known, readable):
            links[name] = found
            covered |= known.atoms
    return tuple(link for target in targets for link in links.get(target, ()))


def _links(target: str, wanted: Meaning, sources: Iterable[tuple[str, Meaning]]) -> tuple[KeyLink, ...]:
    """Link every atom of ``target`` to the most certain source that has it; the weight is the share of atoms."""
    shares: dict[str, float] = {}
    for atom in sorted(wanted.atoms):
        having = [(known.tier, len(known.atoms), name) for name, known in sources if atom in known.atoms]
        if having:
            best = min(having)[2]
            shares[best] = shares.get(best, 0.0) + 1.0 / len(wanted.atoms)
    return tuple(KeyLink(source, target, round(share, 4)) for source, share in shares.items())


def apply_links(links: Iterable[KeyLink], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values (F,) of the target's keys: the sum over each key's links of the weighted, clamped source values."""
    out: dict[str, np.ndarray] = {}
    for link in links:
        if link.source in values:
            part = np.clip(np.asarray(values[link.source], float) * link.weight, link.lowest, link.highest)
            out[link.target] = out[link.target] + part if link.target in out else part
    return out


def to_json(links: Iterable[KeyLink]) -> str:
    """Encode links as text for ``from_json``."""
    rows = [
        {"source": k.source, "target": k.target, "weight": k.weight, "lowest": k.lowest, "highest": k.highest}
        for k in links
    ]
    return json.dumps({"format": FORMAT, "version": VERSION, "links": rows}, ensure_ascii=False, indent=1)


def from_json(text: str) -> tuple[KeyLink, ...]:
    """Decode links from text. Raises ``AddonError`` ``bad_mapping`` for other content or a later version."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError("no mapping")
        if int(data["version"]) > VERSION:
            raise AddonError("This mapping is from a later version of the extension.", "Update it.", "bad_mapping")
        links = tuple(
            KeyLink(
                str(row["source"]),
                str(row["target"]),
                float(row.get("weight", 1.0)),
                float(row.get("lowest", 0.0)),
                float(row.get("highest", 1.0)),
            )
            for row in data["links"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AddonError("This is not a mapping of shape keys.", _ADVICE, "bad_mapping") from error
    if not all(np.isfinite([link.weight, link.lowest, link.highest]).all() for link in links):
        raise AddonError("The mapping contains numbers that are not finite.", _ADVICE, "bad_mapping")
    return links

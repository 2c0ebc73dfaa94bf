"""Key names of other programs' rigs: each means one thing or nothing; a wrong link is worse than none.

Each table (``rig_names.json``) has a name a word; behind ``=`` stands what it means, where that is beyond doubt,
without a side for both. Names alone have no counterpart among ARKit's 52: they are left alone.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from blender_addon.shared.names import ARKIT_NAMES

from blender_addon.transfer.names import atoms_of, meaning, suggest

RIGS = {
    rig: " ".join(lines)
    for rig, lines in json.loads(Path(__file__).with_name("rig_names.json").read_text("utf-8")).items()
}
RIGS["rokoko"] = " ".join(f"{name}={name} head.{name}={name}" for name in sorted(ARKIT_NAMES))
ONE_SIDED = {base + side: (base, side) for base in ("browInnerUp", "cheekPuff", "mouthRollUpper", "mouthRollLower",
                                                    "mouthPucker", "mouthFunnel") for side in "LR"}  # fmt: skip


def rows(table: str) -> list[tuple[str, frozenset | None]]:
    """(name, the atoms it means; None for none)."""
    found = []
    for word in table.split():
        name, _, meant = word.partition("=")
        atoms = frozenset({ONE_SIDED[meant]}) if meant in ONE_SIDED else atoms_of(meant) if meant else None
        found.append((name, atoms))
    return found


@pytest.mark.parametrize("rig", RIGS)
def test_no_name_of_a_rig_is_linked_wrongly(rig: str) -> None:
    read = {name: meaning(name) for name, _ in rows(RIGS[rig])}
    wrong = {
        name: sorted(read[name].atoms)
        for name, atoms in rows(RIGS[rig])
        if read[name] is not None and read[name].atoms != atoms
    }
    assert wrong == {}


@pytest.mark.parametrize("rig", RIGS)
def test_unmistakable_names_of_a_rig_are_linked(rig: str) -> None:
    assert [name for name, atoms in rows(RIGS[rig]) if atoms is not None and meaning(name) is None] == []


def test_a_reported_rig_is_linked_whole(shared_dir: Path) -> None:
    path = shared_dir / "cases" / "names_faceshift_brows" / "names.txt"
    if not path.is_file():
        pytest.skip("needs the cases beside the repository")
    names = path.read_text("utf-8").split()
    expected = dict(word.split("=") for word in RIGS["faceshift"].split())
    links = suggest(sorted(ARKIT_NAMES), names)
    assert {link.target: link.source for link in links} == {name: expected[name] for name in names}

"""Node trees come from their files whole: every node, property, value and link."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from blender_addon.scene import nodes

FOLDER = Path(nodes.__file__).parent
FILES = {path.stem: json.loads(path.read_text("utf-8")) for path in FOLDER.glob("*.json")}
MATERIALS = [name for name, file in FILES.items() if "name" in file and "sockets" not in file]
GROUPS = [name for name, file in FILES.items() if "sockets" in file]
PARTS = [name for name in FILES if name not in MATERIALS + GROUPS]


def read_back(value):
    """A property as a file has it."""
    return value if isinstance(value, str | int | float) else list(value)


def sockets(collection) -> dict:
    """Sockets by identifier and by name."""
    return {socket.name: socket for socket in reversed(collection)} | {s.identifier: s for s in collection}


def check(file: dict, tree, made: dict) -> None:
    """Every described value is in the tree."""
    for entry in file["nodes"]:
        node = made[entry["name"]]
        assert node.bl_idname == entry["type"]
        for key, value in entry.get("set", {}).items():
            assert read_back(getattr(node, key)) == value, (entry["name"], key)
        for side in ("inputs", "outputs"):
            for key, value in entry.get(side, {}).items():
                found = read_back(sockets(getattr(node, side))[key].default_value)
                assert found == (value if isinstance(value, str) else pytest.approx(value)), (entry["name"], key)
        for key, (source, output) in entry.get("links", {}).items():
            (link,) = sockets(node.inputs)[key].links
            assert link.from_node == (made.get(source) or tree.nodes[source]) and link.is_valid
            found = sockets(link.from_node.outputs)  # random values have one output, without a number, from 5.3 on
            assert link.from_socket == (found.get(output) or found[output.rpartition("_")[0]])


def test_further_nodes_join_a_tree_and_are_numbered(bpy) -> None:
    order = ["relief", *sorted(set(PARTS) - {"relief"}), "relief_key"]
    trees = {name: nodes.new_material(name).node_tree for name in ("skin", "export")}
    for name in order:
        tree, last = trees["export" if name.startswith("export") else "skin"], FILES[name]["nodes"][-1]
        made = nodes.add_nodes(tree, name, down=100.0)
        check(FILES[name], tree, made)
        assert made[last["name"]].location.y == last["at"][1] - 100.0
    assert {"Key", "Key.001"} <= set(trees["skin"].nodes.keys())


def test_a_socket_with_another_identifier_is_known_by_its_name() -> None:
    class Socket:
        def __init__(self, identifier: str, name: str, enabled: bool = True) -> None:
            self.identifier, self.name, self.enabled, self.node = identifier, name, enabled, None

    mix = [Socket("A1", "A", enabled=False), Socket("A2", "A"), Socket("A_Color", "A")]
    assert nodes._socket(mix, "A_Color") is mix[2]
    assert nodes._socket(mix[:2], "A_Color") is mix[1]


def test_a_socket_whose_identifier_this_blender_has_changed_is_known_by_its_name() -> None:
    """Random Value has ``Value_001`` for numbers up to 5.1, and ``Value`` in 5.2."""
    from blender_addon.scene.nodes import _socket

    sockets = [
        SimpleNamespace(identifier="Value", name="Value", enabled=False),
        SimpleNamespace(identifier="Item_2", name="Value", enabled=True),
    ]
    assert _socket(sockets, "Value_001") is sockets[1]

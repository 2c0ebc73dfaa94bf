"""The head's subdivided mesh with its UV map, atlases and region masks: the static data of all texture work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from backend.geometry.subdivision import subdivide
from backend.geometry.template import Template
from backend.geometry.topology import triangulate
from backend.rendering.uv_space import gutter_source
from backend.texture.unwrapping.atlas import SurfaceAtlas, UvChart, build_atlases

LEVEL = 1


@dataclass(frozen=True)
class HeadSurface:
    """The head without the other parts; its cage has C vertices, the subdivided mesh V.

    Attributes
    ----------
    count : C. cage_triangles : (F0, 3).
    lift : (V, C) sparse; ``lift @ cage`` subdivides positions and scalars.
    triangles : (F, 3); uv : (T, 2); uv_triangles : (F, 3) corner by corner.
    main : (F,) bool, triangles of the face's own chart, which is symmetric in UV; False for the other charts (mouth,
        eye sockets, front of the neck).
    mirror : (C,) cage vertex on the other side.
    regions : name -> (V,) float32.
    """

    count: int
    cage_triangles: np.ndarray
    lift: sparse.csr_matrix
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    main: np.ndarray
    mirror: np.ndarray
    regions: Mapping[str, np.ndarray]

    def lifted(self, cage: np.ndarray) -> np.ndarray:
        """(V, C') subdivided values of cage values (C, C')."""
        return self.lift @ cage

    def at_cage(self, atlas: SurfaceAtlas, values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(C, K) weighted mean around the cage's vertices of values (P, K) at an atlas's texels, and (C,) the summed
        weight (texels); weights (P,)."""
        mean, total = atlas.splat(values, weights, self.lift.shape[0])  # (V, K), (V,)
        weight = self.lift.T @ total
        return (self.lift.T @ (mean * total[:, None])) / np.maximum(weight, 1e-9)[:, None], weight


def usual_weight(weights: np.ndarray) -> float:
    """Median of the positive weights among (C,); 1 if there are none."""
    seen = weights[weights > 0]
    return float(np.median(seen)) if len(seen) else 1.0


@dataclass(frozen=True)
class TextureSpace:
    """Atlases of a ``HeadSurface`` at one texture size.

    Attributes
    ----------
    skin : atlas of the face's own chart. inner : atlas of the head's other charts. parts : part name -> atlas (cage
    vertices of the whole template) of eyes, teeth, tongue and lashes. gutter : (R * R,) int32, for every texel the flat
    index of the covered texel whose colour it copies; its own index where covered.
    """

    skin: SurfaceAtlas
    inner: SurfaceAtlas
    parts: Mapping[str, SurfaceAtlas]
    gutter: np.ndarray


_surfaces: list[tuple[Template, HeadSurface]] = []
_spaces: list[tuple[HeadSurface, int, TextureSpace]] = []


def head_surface(template: Template) -> HeadSurface:
    """Static data of the head; cached per template."""
    for known, surface in _surfaces:
        if known is template:
            return surface
    head = template.head
    fine = subdivide(template, LEVEL)
    part = fine.parts["head"]
    split = triangulate(fine.quads[part.face_start : part.face_stop])
    uv_quads = fine.uv_head_quads[part.face_start : part.face_stop]
    uv_triangles = split.apply(uv_quads)
    lift = fine.matrix[: part.vertex_stop, : head.vertex_stop].tocsr()
    surface = HeadSurface(
        count=head.vertex_stop,
        cage_triangles=triangulate(template.quads[: head.face_stop]).faces,
        lift=lift,
        triangles=split.faces,
        uv=fine.uv_head,
        uv_triangles=uv_triangles,
        main=_largest_chart(uv_triangles, len(fine.uv_head)),
        mirror=template.mirror[: head.vertex_stop],
        regions=_regions(template, lift),
    )
    _surfaces[:] = [(template, surface)]
    return surface


def _regions(template: Template, lift: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """Region masks on the subdivided head; masks without a side are made symmetric."""
    stop = template.head.vertex_stop
    masks = {}
    for name, mask in template.regions.items():
        if not name.endswith(("_left", "_right")):
            mask = np.maximum(mask, mask[template.mirror])
        masks[name] = lift @ mask[:stop]
    return masks


def _largest_chart(uv_triangles: np.ndarray, count: int) -> np.ndarray:
    rows, columns = uv_triangles[:, [0, 1, 2]].ravel(), uv_triangles[:, [1, 2, 0]].ravel()
    graph = sparse.coo_matrix((np.ones(len(rows)), (rows, columns)), (count, count))
    label = connected_components(graph, directed=False)[1][uv_triangles[:, 0]]
    return label == np.bincount(label).argmax()


def texture_space(template: Template, resolution: int) -> TextureSpace:
    """Atlases at a texture size; the last two sizes are cached."""
    surface = head_surface(template)
    for known, size, space in _spaces:
        if known is surface and size == resolution:
            return space
    charts = [
        UvChart(surface.uv, surface.uv_triangles[own], surface.triangles[own]) for own in (surface.main, ~surface.main)
    ]
    names = [name for name in template.parts if name != "head"]
    for name in names:
        part = template.parts[name]
        split = triangulate(template.quads[part.face_start : part.face_stop])
        uv_triangles = split.apply(template.uv_head_quads[part.face_start : part.face_stop])
        charts.append(UvChart(template.uv_head, uv_triangles, split.faces))
    skin, inner, *others = build_atlases(charts, resolution)
    parts = dict(zip(names, others, strict=True))
    covered = np.zeros(resolution**2, bool)
    for atlas in (skin, inner, *parts.values()):
        covered[atlas.texel] = True
    gutter = gutter_source(covered.reshape(resolution, resolution)).ravel().astype(np.int32)
    space = TextureSpace(skin, inner, parts, gutter)
    _spaces[:] = [*_spaces[-1:], (surface, resolution, space)]
    return space


def texels_per_metre(surface: HeadSurface, positions: np.ndarray, resolution: int) -> float:
    """Median texels per metre over the face; positions (V, 3) metres."""
    faces = np.flatnonzero(surface.main & (surface.regions["face"][surface.triangles].mean(1) > 0.5))
    corner, map_corner = positions[surface.triangles[faces]], surface.uv[surface.uv_triangles[faces]] * resolution
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    one, two = map_corner[:, 1] - map_corner[:, 0], map_corner[:, 2] - map_corner[:, 0]
    map_area = np.abs(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0])
    return float(np.sqrt(np.median(map_area / np.maximum(area, 1e-12))))


def image_at_cage(surface: HeadSurface, atlas: SurfaceAtlas, image: np.ndarray) -> np.ndarray:
    """(C,) mean of an image (S, S) around the cage's vertices."""
    return surface.at_cage(atlas, atlas.gather(image)[:, None], np.ones(len(atlas.texel)))[0][:, 0]

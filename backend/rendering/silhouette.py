"""Soft silhouettes: a signed distance to the mesh's outline in the image, differentiable in the vertices.

A hard mask has no gradient. Here every pixel near the outline knows its nearest outline edge; its distance to that edge
moves with the edge's two vertices, and the hard mask says on which side it is. A logistic of the signed distance is a
soft mask whose difference from a photo's mask pulls the outline where it should be.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class EdgeFaces:
    """The edges of a triangle mesh and the faces beside them.

    Attributes
    ----------
    edges : (E, 2) int64 vertex indices. faces : (E, 2) int64 face indices, -1 where there is none (a border).
    """

    edges: torch.Tensor
    faces: torch.Tensor


def edge_faces(faces: torch.Tensor) -> EdgeFaces:
    """Edges of faces (F, 3) with their one or two faces; make it once per mesh. A third face at an edge is ignored."""
    count = faces.shape[0]
    sides = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(1).values  # (3F, 2)
    owner = torch.arange(count, device=faces.device).repeat(3)
    edges, which = torch.unique(sides, dim=0, return_inverse=True)
    order = which.argsort(stable=True)
    which, owner = which[order], owner[order]
    start = torch.searchsorted(which, torch.arange(len(edges), device=faces.device))
    number = torch.bincount(which, minlength=len(edges))
    second = owner[(start + 1).clamp(max=len(owner) - 1)]
    return EdgeFaces(edges, torch.stack([owner[start], torch.where(number > 1, second, -1)], 1))


def signed_distance(
    vertices_px: torch.Tensor, faces: torch.Tensor, face_ids: torch.Tensor, topology: EdgeFaces, *, band: float = 4.0
) -> torch.Tensor:
    """Distance in pixels (N, H, W) of pixel centres to the mesh's outline, positive inside, at most ``band`` in size.

    Differentiable in ``vertices_px`` within the band. The picture's own border is no outline.

    Parameters
    ----------
    vertices_px : (N, V, 3) as for ``rasterize.face_ids``. faces : (F, 3). face_ids : (N, H, W) of that mesh.
    topology : ``edge_faces(faces)``. band : pixels on both sides of the outline that get a distance of their own.
    """
    covered = face_ids >= 0
    distances = [
        _one_image(points, faces, mask, topology, band) for points, mask in zip(vertices_px, covered, strict=True)
    ]
    return torch.where(covered, 1.0, -1.0).to(vertices_px.dtype) * torch.stack(distances)


def soft_silhouette(
    vertices_px: torch.Tensor,
    faces: torch.Tensor,
    face_ids: torch.Tensor,
    topology: EdgeFaces,
    *,
    softness: float = 0.8,
    band: float = 4.0,
) -> torch.Tensor:
    """Soft mask (N, H, W) in (0, 1): logistic(signed distance / softness), 1/2 on the outline. softness : pixels."""
    return torch.sigmoid(signed_distance(vertices_px, faces, face_ids, topology, band=band) / softness)


def _one_image(
    vertices: torch.Tensor, faces: torch.Tensor, covered: torch.Tensor, topology: EdgeFaces, band: float
) -> torch.Tensor:
    """Unsigned distance (H, W) to the nearest outline edge, ``band`` where none is near."""
    height, width = covered.shape
    flat = vertices.new_full((height * width,), band)
    with torch.no_grad():
        edges = _outline_edges(vertices, faces, covered, topology)  # (S, 2)
        if len(edges) == 0:
            return flat.view(height, width)
        pixel, edge = _candidates(vertices[:, :2], edges, (height, width), band)
        if len(pixel) == 0:
            return flat.view(height, width)
        squared = _squared_distances(vertices[:, :2], edges, pixel, edge, width)
        nearest = torch.full_like(flat, band * band).scatter_reduce(0, pixel, squared, "amin")
        winner = (squared == nearest.index_select(0, pixel)).nonzero()[:, 0]
        winner = winner[squared[winner] < band * band]
        chosen = edge.new_full((height * width,), -1).scatter_(0, pixel[winner], edge[winner])
        pixel = (chosen >= 0).nonzero()[:, 0]
        edge = chosen[pixel]
    distance = _distance(vertices[:, :2], edges[edge], _centres(pixel, width, vertices.dtype))
    return flat.index_copy(0, pixel, distance).view(height, width)


def _outline_edges(
    vertices: torch.Tensor, faces: torch.Tensor, covered: torch.Tensor, topology: EdgeFaces
) -> torch.Tensor:
    """(S, 2) edges between a face seen from the front and one from behind (or none) with background on one side."""
    a, b, c = vertices[:, :2][faces].unbind(1)
    front = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0] < 0  # (F,)
    beside = topology.faces
    turns = (beside[:, 1] < 0) | (front[beside[:, 0]] != front[beside[:, 1].clamp(min=0)])
    edges = topology.edges[turns]
    edges = edges[(vertices[:, 2][edges] > 1e-8).all(1)]
    start, end = vertices[:, :2][edges].unbind(1)
    along = end - start
    normal = torch.stack([-along[:, 1], along[:, 0]], 1)
    normal = normal / normal.norm(dim=1, keepdim=True).clamp(min=1e-12)
    middle = (start + end) / 2
    one, other = _inside(covered, middle + normal), _inside(covered, middle - normal)
    return edges[one != other]


def _inside(covered: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """(S,) bool: the pixel at each point (S, 2) is covered; outside the picture the nearest pixel is asked."""
    height, width = covered.shape
    finite = torch.nan_to_num(points, nan=-1.0)
    column = finite[:, 0].floor().clamp(0, width - 1).long()
    row = finite[:, 1].floor().clamp(0, height - 1).long()
    return covered[row, column]


def _candidates(
    points: torch.Tensor, edges: torch.Tensor, size: tuple[int, int], band: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels in the boxes of edges grown by the band: flat pixel index and edge index, (M,) each."""
    height, width = size
    ends = points[edges]  # (S, 2, 2)
    low = (ends.amin(1) - band - 0.5).ceil().clamp(min=0)
    high = (ends.amax(1) + band - 0.5).floor()
    high = torch.minimum(high, high.new_tensor([width - 1, height - 1]))
    extent = (high - low + 1).clamp(min=0).long()  # (S, 2)
    number = extent.prod(1)
    edge = torch.repeat_interleave(number)
    place = torch.arange(len(edge), device=edge.device) - (number.cumsum(0) - number)[edge]
    across = extent[edge, 0]
    row = torch.div(place, across, rounding_mode="floor")
    low = low.long()[edge]
    return (low[:, 1] + row) * width + low[:, 0] + place - row * across, edge


def _squared_distances(
    points: torch.Tensor, edges: torch.Tensor, pixel: torch.Tensor, edge: torch.Tensor, width: int
) -> torch.Tensor:
    """(M,) squared distances of pixels to edges, by coordinate, which is much faster than ``_distance`` by point."""
    start, end = points[edges[:, 0]], points[edges[:, 1]]
    along = end - start
    scale = 1 / (along * along).sum(1).clamp(min=1e-12)
    x0, y0, dx, dy, scale = (
        line.contiguous().index_select(0, edge) for line in (start[:, 0], start[:, 1], along[:, 0], along[:, 1], scale)
    )
    row = torch.div(pixel, width, rounding_mode="floor")
    to_x = (pixel - row * width).to(points.dtype).add_(0.5).sub_(x0)
    to_y = row.to(points.dtype).add_(0.5).sub_(y0)
    share = (to_x * dx).add_(to_y * dy).mul_(scale).clamp_(0, 1)
    return to_x.sub_(share * dx).square_().add_(to_y.sub_(share * dy).square_())


def _centres(pixel: torch.Tensor, width: int, dtype: torch.dtype) -> torch.Tensor:
    row = torch.div(pixel, width, rounding_mode="floor")
    return torch.stack([pixel - row * width, row], 1).to(dtype) + 0.5


def _distance(points: torch.Tensor, edges: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """(M,) distance of pixel centres (M, 2) to segments between points[edges] (M, 2)."""
    start, end = points.index_select(0, edges[:, 0]), points.index_select(0, edges[:, 1])
    along, to = end - start, centres - start
    share = ((to * along).sum(1) / (along * along).sum(1).clamp(min=1e-12)).clamp(0, 1)
    return ((to - share[:, None] * along).square().sum(1) + 1e-12).sqrt()

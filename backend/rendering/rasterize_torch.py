"""Face ids in plain torch, on any device: candidates from bounding boxes in blocks, depth and id packed in one int64.

Every face is tested against the pixels of its bounding box. Boxes are sorted into classes of similar size. A class is
one broadcast (rows, columns, boxes) without any gather per candidate, with boxes innermost because that is the only
long axis. Only candidates inside a face get a depth. Depth bits and face index share an int64; its minimum per pixel is
the nearest face, and among equals the lowest index. Boxes larger than a tile are cut first, so that memory is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backend.rendering.near_plane import MIN_DEPTH

_CANDIDATES_CPU = 1 << 15
_CANDIDATES_CUDA = 1 << 24
_CLASSES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_EXACT = 4
"""Up to this size a class holds boxes of exactly its size."""

_TILE = _CLASSES[-1]
_EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class _Boxes:
    """Bounding boxes (K of them), at most a tile large, of faces that can be visible.

    corner : (K,) int64 index of image and face together, image * F + face.
    left, top : (K,) float32 first column and row. columns, rows : (K,) float32 size, > 0.
    """

    corner: torch.Tensor
    left: torch.Tensor
    top: torch.Tensor
    columns: torch.Tensor
    rows: torch.Tensor

    def take(self, index: torch.Tensor) -> _Boxes:
        """The boxes at ``index``."""
        return _Boxes(*(getattr(self, name).index_select(0, index) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Triangles:
    """Rasterization input of a class of boxes, K of each.

    a, b, c : (3, K) float32 corners: x, y in pixels and the inverse depth; their area in pixels is positive.
    left, top, columns, rows : (K,) float32 the box. start : (K,) int64 the pixel at its corner. face : (K,) int64.
    """

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor
    left: torch.Tensor
    top: torch.Tensor
    columns: torch.Tensor
    rows: torch.Tensor
    start: torch.Tensor
    face: torch.Tensor

    def part(self, start: int, stop: int) -> _Triangles:
        """Boxes start to stop."""
        return _Triangles(*(getattr(self, name)[..., start:stop] for name in self.__dataclass_fields__))


def face_ids_torch(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``."""
    height, width = size
    count, face_count = vertices.shape[0], faces.shape[0]
    packed = torch.full((count * height * width,), _EMPTY, dtype=torch.int64, device=vertices.device)
    corners = _corners(vertices, faces)
    boxes = _tiles(_boxes_in_view(*corners, size, cull_backfaces))
    steps = torch.tensor(_CLASSES, dtype=torch.float32, device=vertices.device)
    kind = torch.bucketize(boxes.rows, steps, out_int32=True) * len(_CLASSES)
    kind, order = (kind + torch.bucketize(boxes.columns, steps, out_int32=True)).to(torch.uint8).sort()
    triangles = _triangles(boxes.take(order), *corners, face_count, size)
    chunk = _CANDIDATES_CPU if vertices.device.type == "cpu" else _CANDIDATES_CUDA
    last = 0
    for one_kind, number in enumerate(torch.bincount(kind, minlength=1).tolist()):
        first, last = last, last + number
        if number == 0:
            continue
        rows, columns = _CLASSES[one_kind // len(_CLASSES)], _CLASSES[one_kind % len(_CLASSES)]
        step = max(1, chunk // (columns * rows))
        for start in range(first, last, step):
            _draw(packed, triangles.part(start, min(start + step, last)), rows, columns, width)
    ids = packed.bitwise_and_(0xFFFFFFFF)
    return ids.masked_fill_(ids == 0xFFFFFFFF, -1).view(count, height, width)


def _corners(vertices: torch.Tensor, faces: torch.Tensor) -> list[torch.Tensor]:
    """First, second and third corner of all faces in all images: (3, N*F) each, x, y, z."""
    count, face_count = vertices.shape[0], faces.shape[0]
    planes = vertices.permute(2, 0, 1).reshape(3 * count, -1)  # (3N, V)
    return [planes.index_select(1, faces[:, i]).view(3, count * face_count) for i in range(3)]


def _boxes_in_view(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> _Boxes:
    """Boxes of all faces that can cover a pixel centre, in the order image, face."""
    height, width = size
    low = torch.minimum(torch.minimum(a, b), c)  # (3, NF)
    high = torch.maximum(torch.maximum(a[:2], b[:2]), c[:2])
    left, top = low[0].sub(0.5).ceil_().clamp_(min=0), low[1].sub(0.5).ceil_().clamp_(min=0)
    right = high[0].sub_(0.5).floor_().clamp_(max=width - 1)
    bottom = high[1].sub_(0.5).floor_().clamp_(max=height - 1)
    area = _area(a, b, c)
    kept = (left <= right) & (top <= bottom)
    kept &= low[2] > MIN_DEPTH
    kept &= area.isfinite()
    kept &= area < 0 if cull_backfaces else area != 0
    corner = kept.nonzero()[:, 0]
    left, right, top, bottom = (line.index_select(0, corner) for line in (left, right, top, bottom))
    return _Boxes(corner, left, top, right - left + 1, bottom - top + 1)


def _area(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _tiles(boxes: _Boxes) -> _Boxes:
    """Cut boxes that are larger than a tile; most meshes have none."""
    large = torch.maximum(boxes.columns, boxes.rows) > _TILE
    if not bool(large.any()):
        return boxes
    small, large = boxes.take((~large).nonzero()[:, 0]), boxes.take(large.nonzero()[:, 0])
    across = ((large.columns + (_TILE - 1)) / _TILE).long()
    number = across * ((large.rows + (_TILE - 1)) / _TILE).long()
    owner = torch.repeat_interleave(number)  # (tiles,)
    place = torch.arange(len(owner), device=owner.device) - (number.cumsum(0) - number)[owner]
    tile = large.take(owner)
    row = torch.div(place, across[owner], rounding_mode="floor")
    column = (place - row * across[owner]) * _TILE
    row = row * _TILE
    cut = _Boxes(
        tile.corner,
        tile.left + column,
        tile.top + row,
        (tile.columns - column).clamp(max=_TILE),
        (tile.rows - row).clamp(max=_TILE),
    )
    return _Boxes(*(torch.cat([getattr(small, name), getattr(cut, name)]) for name in _Boxes.__dataclass_fields__))


def _triangles(
    boxes: _Boxes, a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, face_count: int, size: tuple[int, int]
) -> _Triangles:
    """The oriented triangles of boxes."""
    height, width = size
    a, b, c = (plane.index_select(1, boxes.corner) for plane in (a, b, c))
    turned = _area(a, b, c) < 0  # orient all alike by exchanging first and last corner
    a, c = torch.where(turned, c, a), torch.where(turned, a, c)
    for corner in (a, b, c):
        corner[2].reciprocal_()
    image = torch.div(boxes.corner, face_count, rounding_mode="floor")
    start = (image * height + boxes.top.long()) * width + boxes.left.long()
    face = boxes.corner - image * face_count
    return _Triangles(a, b, c, boxes.left, boxes.top, boxes.columns, boxes.rows, start, face)


def _draw(packed: torch.Tensor, boxes: _Triangles, rows: int, columns: int, width: int) -> None:
    """Depth-test the candidates of boxes that are at most rows x columns large against ``packed``."""
    number = len(boxes.left)
    across = torch.arange(columns, device=packed.device)[:, None]  # (c, 1)
    down = torch.arange(rows, device=packed.device)[:, None]  # (r, 1)
    centre_x = (boxes.left + across) + 0.5  # (c, k)
    centre_y = ((boxes.top + down) + 0.5)[:, None]  # (r, 1, k)
    if columns > _EXACT:  # mask candidates outside the box
        centre_x.masked_fill_(across >= boxes.columns, torch.nan)
    if rows > _EXACT:
        centre_y.masked_fill_((down >= boxes.rows)[:, None], torch.nan)
    dx0, dx1, dx2 = (corner[0] - centre_x for corner in (boxes.a, boxes.b, boxes.c))  # (c, k)
    dy0, dy1, dy2 = (corner[1] - centre_y for corner in (boxes.a, boxes.b, boxes.c))  # (r, 1, k)
    w0 = dx1 * dy2 - dy1 * dx2  # (r, c, k)
    w1 = dx2 * dy0 - dy2 * dx0
    w2 = dx0 * dy1 - dy0 * dx1
    inside = (torch.minimum(torch.minimum(w0, w1), w2) >= 0).view(-1).nonzero()[:, 0]  # (m,)
    w0, w1, w2 = (w.view(-1).index_select(0, inside) for w in (w0, w1, w2))
    if rows * columns == 1:
        box, pixel = inside, boxes.start.index_select(0, inside)
    else:
        cell = torch.div(inside, number, rounding_mode="floor")
        box = inside - cell * number
        row = torch.div(cell, columns, rounding_mode="floor")
        pixel = boxes.start.index_select(0, box) + row * (width - columns) + cell
    near0, near1, near2 = (corner[2].index_select(0, box) for corner in (boxes.a, boxes.b, boxes.c))
    depth = (w0 + w1 + w2) / (w0 * near0 + w1 * near1 + w2 * near2)
    key = depth.view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(boxes.face.index_select(0, box))
    # Where all edge functions are zero the depth is NaN, which must not win.
    packed.scatter_reduce_(0, pixel, key.masked_fill_(depth.isnan(), _EMPTY), "amin")

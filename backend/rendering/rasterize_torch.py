"""Face ids in plain torch, on any device: bounding-box candidates by the block, depth and id packed in one int64.

Every face is tested against the pixels of its bounding box. Boxes are sorted into classes of similar size, so that a
class is one broadcast (boxes, rows, columns) without any gather per candidate; only candidates that turn out to be
inside get a depth. Depth bits and face index share an int64 whose minimum per pixel is the nearest face, and among
equals the lowest index. Boxes larger than ``_TILE`` are cut into tiles first, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from backend.rendering.rasterize import MIN_DEPTH

_CANDIDATES_CPU = 1 << 16
_CANDIDATES_CUDA = 1 << 24
_CLASSES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_TILE = _CLASSES[-1]
_EMPTY = torch.iinfo(torch.int64).max


@dataclass(frozen=True)
class _Boxes:
    """Bounding boxes (K of them) with the oriented triangle that each is to be searched for.

    x, y, near : (3, K) float32 corners in pixels and their inverse depths, positive area in pixels.
    left, top : (K,) float32 first column and row. columns, rows : (K,) int64 size, > 0.
    image_offset : (K,) int64 index of the image's first pixel. face : (K,) int64.
    """

    x: torch.Tensor
    y: torch.Tensor
    near: torch.Tensor
    left: torch.Tensor
    top: torch.Tensor
    columns: torch.Tensor
    rows: torch.Tensor
    image_offset: torch.Tensor
    face: torch.Tensor

    def take(self, index: torch.Tensor) -> _Boxes:
        return _Boxes(*(getattr(self, name)[..., index] for name in self.__dataclass_fields__))

    def part(self, start: int, stop: int) -> _Boxes:
        return _Boxes(*(getattr(self, name)[..., start:stop] for name in self.__dataclass_fields__))


def face_ids_torch(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``."""
    height, width = size
    count = vertices.shape[0]
    packed = torch.full((count * height * width,), _EMPTY, dtype=torch.int64, device=vertices.device)
    boxes = _tiles(_boxes_in_view(vertices, faces, size, cull_backfaces))
    steps = torch.tensor(_CLASSES, device=vertices.device)
    kind = torch.bucketize(boxes.rows, steps) * len(_CLASSES) + torch.bucketize(boxes.columns, steps)
    kind, order = kind.sort()
    boxes = boxes.take(order)
    kinds, counts = torch.unique_consecutive(kind, return_counts=True)
    chunk = _CANDIDATES_CPU if vertices.device.type == "cpu" else _CANDIDATES_CUDA
    last = 0
    for one_kind, number in zip(kinds.tolist(), counts.tolist(), strict=True):
        first, last = last, last + number
        rows, columns = _CLASSES[one_kind // len(_CLASSES)], _CLASSES[one_kind % len(_CLASSES)]
        step = max(1, chunk // (columns * rows))
        for start in range(first, last, step):
            _draw(packed, boxes.part(start, min(start + step, last)), rows, columns, width)
    return torch.where(packed == _EMPTY, -1, packed & 0xFFFFFFFF).view(count, height, width)


def _boxes_in_view(vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool) -> _Boxes:
    """Boxes of all faces that can cover a pixel centre, in the order image, face."""
    height, width = size
    count, face_count = vertices.shape[0], faces.shape[0]
    corners = vertices.permute(2, 0, 1).index_select(2, faces.t().reshape(-1))  # (3, N, 3F): x, y, z by corner
    corners = corners.view(3, count, 3, face_count)
    x, y, z = (plane.transpose(0, 1).reshape(3, -1) for plane in corners)  # (3, NF) each
    left = (x.amin(0) - 0.5).ceil().clamp(min=0)
    right = (x.amax(0) - 0.5).floor().clamp(max=width - 1)
    top = (y.amin(0) - 0.5).ceil().clamp(min=0)
    bottom = (y.amax(0) - 0.5).floor().clamp(max=height - 1)
    area = (x[1] - x[0]) * (y[2] - y[0]) - (y[1] - y[0]) * (x[2] - x[0])
    kept = (left <= right) & (top <= bottom) & (z.amin(0) > MIN_DEPTH) & area.isfinite()
    kept &= area < 0 if cull_backfaces else area != 0
    index = kept.nonzero()[:, 0]
    x, y, z, area = x[:, index], y[:, index], z[:, index], area[index]
    turned = area < 0  # the same orientation for all
    x, y, near = (torch.where(turned, plane.flip(0), plane) for plane in (x, y, 1 / z))
    left, right, top, bottom = left[index], right[index], top[index], bottom[index]
    image = index // face_count
    return _Boxes(
        x,
        y,
        near,
        left,
        top,
        (right - left).long() + 1,
        (bottom - top).long() + 1,
        image * (height * width),
        index - image * face_count,
    )


def _tiles(boxes: _Boxes) -> _Boxes:
    """Cut boxes that are larger than a tile; most meshes have none."""
    large = (boxes.columns > _TILE) | (boxes.rows > _TILE)
    if not bool(large.any()):
        return boxes
    small, large = boxes.take((~large).nonzero()[:, 0]), boxes.take(large.nonzero()[:, 0])
    across = (large.columns + _TILE - 1) // _TILE
    number = across * ((large.rows + _TILE - 1) // _TILE)
    owner = torch.repeat_interleave(number)  # (tiles,)
    place = torch.arange(len(owner), device=owner.device) - (number.cumsum(0) - number)[owner]
    tile = large.take(owner)
    column, row = place % across[owner] * _TILE, place // across[owner] * _TILE
    cut = _Boxes(
        tile.x,
        tile.y,
        tile.near,
        tile.left + column,
        tile.top + row,
        (tile.columns - column).clamp(max=_TILE),
        (tile.rows - row).clamp(max=_TILE),
        tile.image_offset,
        tile.face,
    )
    return _Boxes(*(torch.cat([getattr(small, name), getattr(cut, name)], -1) for name in _Boxes.__dataclass_fields__))


def _draw(packed: torch.Tensor, boxes: _Boxes, rows: int, columns: int, width: int) -> None:
    """Depth-test the candidates of boxes that are at most rows x columns large against ``packed``."""
    device = packed.device
    across = torch.arange(columns, device=device)  # (c,)
    down = torch.arange(rows, device=device)  # (r,)
    dx = boxes.x[:, :, None] - ((boxes.left[:, None] + across) + 0.5)  # (3, k, c)
    dy = boxes.y[:, :, None] - ((boxes.top[:, None] + down) + 0.5)  # (3, k, r)
    dx.masked_fill_(across >= boxes.columns[:, None], torch.nan)  # outside the box nothing is inside
    dy.masked_fill_(down >= boxes.rows[:, None], torch.nan)
    dx0, dx1, dx2 = dx[:, :, None, :]  # (k, 1, c) each
    dy0, dy1, dy2 = dy[:, :, :, None]  # (k, r, 1) each
    w0 = dx1 * dy2 - dy1 * dx2  # (k, r, c)
    w1 = dx2 * dy0 - dy2 * dx0
    w2 = dx0 * dy1 - dy0 * dx1
    inside = (torch.minimum(torch.minimum(w0, w1), w2) >= 0).view(-1).nonzero()[:, 0]  # (m,)
    w0, w1, w2 = w0.view(-1)[inside], w1.view(-1)[inside], w2.view(-1)[inside]
    box = inside // (rows * columns)
    rest = inside - box * (rows * columns)
    row = rest // columns
    column = rest - row * columns
    near0, near1, near2 = boxes.near[:, box]
    depth = (w0 + w1 + w2) / (w0 * near0 + w1 * near1 + w2 * near2)
    start = boxes.image_offset + boxes.top.long() * width + boxes.left.long()  # (k,)
    pixel = start[box] + row * width + column
    key = (depth.view(torch.int32).long() << 32) | boxes.face[box]
    key = torch.where(depth.isfinite(), key, _EMPTY)  # all edge functions zero: never nearer than anything
    packed.scatter_reduce_(0, pixel, key, "amin")

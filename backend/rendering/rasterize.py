"""Rasterization: the face seen at each pixel, or at each texel with barycentrics; visibility by depth buffers.

One signature, several backends with the same result: torch on any device, a compiled loop on the CPU, PyTorch3D. They
follow these rules in float32 arithmetic, all but PyTorch3D's operation by operation:

- a face with a vertex at depth z <= 1e-8 or with zero or non-finite area in the image is dropped (no clipping);
- with ``cull_backfaces`` only faces with cross(v1 - v0, v2 - v0) < 0 in pixels (y down) are kept, which are
  counter-clockwise for the viewer;
- a pixel belongs to a face when its centre (column + 0.5, row + 0.5) is inside or exactly on the border (edge
  functions >= 0), so that meshes are watertight even where vertices and edges lie on pixel centres;
- the edge function of the edge a, b at the pixel centre p is (a - p) x (b - p); for b, a it is exactly the negative, so
  that no pixel is lost between two faces that share the edge;
- depth is perspective-correct; the nearest face wins, among equals the one with the lowest index.

Face ids carry no gradient. Barycentrics, depth and interpolation are in ``interpolate``, the same for all backends.

In torch every face is tested against the pixels of its bounding box. Depth bits and face index share an int64; its
minimum per pixel is the nearest face, and among equals the lowest index. The compiled loop gives each thread images or
bands of rows.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec

import cv2
import numpy as np
import torch

from backend.rendering.camera import MIN_DEPTH, Camera
from backend.rendering.interpolate import Fragments, fragment_barycentrics, fragment_values, fragments
from backend.system.numba_cache import numba

_MIN_DEPTH = np.float32(MIN_DEPTH)
_HALF = np.float32(0.5)
_ONE = np.float32(1.0)
_PARALLEL_FACES = 4096
"""With fewer faces in the batch (or pixels / 16) a second thread costs more than it saves."""


def face_ids_numba(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``. May be called from several threads at once (the loop runs without the GIL)."""
    device = vertices.device
    points = vertices.cpu().contiguous().numpy()
    triangles = faces.cpu().contiguous().numpy()
    count, (height, width) = len(points), size
    if triangles.min() < 0 or triangles.max() >= points.shape[1]:
        raise IndexError("faces refer to vertices that do not exist")
    ids = np.empty((count, height, width), np.int64)
    threads = torch.get_num_threads()
    work = max(count * len(triangles), count * height * width // 16)
    if threads == 1 or work < _PARALLEL_FACES:
        _rasterize(points, triangles, ids, 0, count, 0, height, cull_backfaces)
    elif count >= threads:
        cuts = [count * i // threads for i in range(threads + 1)]
        tasks = [(cuts[i], cuts[i + 1], 0, height) for i in range(threads)]
        _run(points, triangles, ids, tasks, cull_backfaces)
    else:
        bands = -(-threads // count)
        cuts = [height * i // bands for i in range(bands + 1)]
        tasks = [(n, n + 1, cuts[i], cuts[i + 1]) for n in range(count) for i in range(bands)]
        _run(points, triangles, ids, tasks, cull_backfaces)
    return torch.from_numpy(ids).to(device)


def _run(points: np.ndarray, triangles: np.ndarray, ids: np.ndarray, tasks: list, cull_backfaces: bool) -> None:
    pool = _pool()
    waiting = [pool.submit(_rasterize, points, triangles, ids, *task, cull_backfaces) for task in tasks[1:]]
    _rasterize(points, triangles, ids, *tasks[0], cull_backfaces)
    for future in waiting:
        future.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=max(1, torch.get_num_threads()), thread_name_prefix="rasterize")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork


@numba.njit(cache=True, nogil=True, error_model="numpy")  # without types, as they load numba's compiler on import
def _rasterize(points, triangles, ids, first_image, last_image, first_row, last_row, cull_backfaces):
    """Fill ids[first_image:last_image, first_row:last_row]. float32 arithmetic by the rules of ``rasterize``.

    points (N, V, 3) float32, triangles (F, 3) int64, ids (N, H, W) int64, all contiguous.
    """
    width = ids.shape[2]
    depths = np.empty((last_row - first_row, width), np.float32)
    right = np.float32(width)
    low, high = np.float32(first_row), np.float32(last_row)
    zero = np.float32(0.0)
    for n in range(first_image, last_image):
        depths[:] = np.float32(np.inf)
        ids[n, first_row:last_row] = -1
        for f in range(triangles.shape[0]):
            i0, i1, i2 = triangles[f, 0], triangles[f, 1], triangles[f, 2]
            y0, y1, y2 = points[n, i0, 1], points[n, i1, 1], points[n, i2, 1]
            top, bottom = min(y0, y1, y2), max(y0, y1, y2)
            if not (bottom >= low and top <= high):
                continue
            x0, x1, x2 = points[n, i0, 0], points[n, i1, 0], points[n, i2, 0]
            area = (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)
            if area == zero or not np.isfinite(area) or (cull_backfaces and area > zero):
                continue
            left_most, right_most = min(x0, x1, x2), max(x0, x1, x2)
            column0 = int(min(max(np.ceil(left_most - _HALF), zero), right))
            column1 = int(min(max(np.floor(right_most - _HALF), -_ONE), right - _ONE))
            row0 = int(min(max(np.ceil(top - _HALF), low), high))
            row1 = int(min(max(np.floor(bottom - _HALF), low - _ONE), high - _ONE))
            if column0 > column1 or row0 > row1:
                continue
            z0, z1, z2 = points[n, i0, 2], points[n, i1, 2], points[n, i2, 2]
            if not (z0 > _MIN_DEPTH and z1 > _MIN_DEPTH and z2 > _MIN_DEPTH):
                continue
            if area < zero:
                x1, y1, z1, x2, y2, z2 = x2, y2, z2, x1, y1, z1
            near0, near1, near2 = _ONE / z0, _ONE / z1, _ONE / z2
            for row in range(row0, row1 + 1):
                centre_y = np.float32(row) + _HALF
                dy0, dy1, dy2 = y0 - centre_y, y1 - centre_y, y2 - centre_y
                for column in range(column0, column1 + 1):
                    centre_x = np.float32(column) + _HALF
                    dx0, dx1, dx2 = x0 - centre_x, x1 - centre_x, x2 - centre_x
                    w0 = dx1 * dy2 - dy1 * dx2
                    w1 = dx2 * dy0 - dy2 * dx0
                    w2 = dx0 * dy1 - dy0 * dx1
                    if w0 >= zero and w1 >= zero and w2 >= zero:
                        depth = (w0 + w1 + w2) / (w0 * near0 + w1 * near1 + w2 * near2)
                        if depth < depths[row - first_row, column]:
                            depths[row - first_row, column] = depth
                            ids[n, row, column] = f


_CANDIDATES_CPU, _CANDIDATES_CUDA = 1 << 16, 1 << 24
"""Pixels of bounding boxes that are tested at once, to bound memory; a box with more is tested alone."""
_EMPTY = torch.iinfo(torch.int64).max


def face_ids_torch(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``."""
    (height, width), count, face_count = size, vertices.shape[0], faces.shape[0]
    packed = torch.full((count * height * width,), _EMPTY, dtype=torch.int64, device=vertices.device)
    a, b, c = _corners(vertices, faces)
    low = torch.minimum(torch.minimum(a, b), c)  # (3, NF)
    high = torch.maximum(torch.maximum(a, b), c)
    left, top = (low[:2] - 0.5).ceil().clamp(min=0)
    right, bottom = (high[0] - 0.5).floor().clamp(max=width - 1), (high[1] - 0.5).floor().clamp(max=height - 1)
    kept = ((left <= right) & (top <= bottom) & _visible(a, b, c, cull_backfaces)).nonzero()[:, 0]
    a, b, c = (corner.index_select(1, kept) for corner in (a, b, c))
    turned = _area(a, b, c) < 0  # orient all alike by exchanging first and last corner
    a, c = torch.where(turned, c, a), torch.where(turned, a, c)
    left, top, right, bottom = (side[kept].long() for side in (left, top, right, bottom))
    columns = right - left + 1
    number = columns * (bottom - top + 1)
    ends = number.cumsum(0)
    chunk = _CANDIDATES_CPU if vertices.device.type == "cpu" else _CANDIDATES_CUDA
    start = 0
    while start < len(kept):
        reached = torch.searchsorted(ends, ends[start] - number[start] + chunk, right=True)
        stop = max(start + 1, int(reached))
        box = torch.repeat_interleave(torch.arange(start, stop, device=ends.device), number[start:stop])
        cell = torch.arange(len(box), device=ends.device) - (ends - number)[box] + (ends[start] - number[start])
        row = torch.div(cell, columns[box], rounding_mode="floor")
        column, row = left[box] + cell - row * columns[box], top[box] + row
        _draw(packed, [corner.index_select(1, box) for corner in (a, b, c)], kept[box], column, row, face_count, size)
        start = stop
    ids = packed.bitwise_and_(0xFFFFFFFF)
    return ids.masked_fill_(ids == 0xFFFFFFFF, -1).view(count, height, width)


def _draw(
    packed: torch.Tensor,
    corners: list[torch.Tensor],
    place: torch.Tensor,
    column: torch.Tensor,
    row: torch.Tensor,
    face_count: int,
    size: tuple[int, int],
) -> None:
    """Depth-test pixels (M,) against ``packed``, each with the corners (3, M) of a face, image * F + face ``place``."""
    (dx0, dy0), (dx1, dy1), (dx2, dy2) = (
        (corner[0] - (column.float() + 0.5), corner[1] - (row.float() + 0.5)) for corner in corners
    )
    w0 = dx1 * dy2 - dy1 * dx2
    w1 = dx2 * dy0 - dy2 * dx0
    w2 = dx0 * dy1 - dy0 * dx1
    inside = (torch.minimum(torch.minimum(w0, w1), w2) >= 0).nonzero()[:, 0]
    near0, near1, near2 = (corner[2][inside].reciprocal() for corner in corners)
    w0, w1, w2, place = w0[inside], w1[inside], w2[inside], place[inside]
    depth = (w0 + w1 + w2) / (w0 * near0 + w1 * near1 + w2 * near2)
    image = torch.div(place, face_count, rounding_mode="floor")
    pixel = (image * size[0] + row[inside]) * size[1] + column[inside]
    key = depth.view(torch.int32).long().bitwise_left_shift_(32).bitwise_or_(place - image * face_count)
    # Where all edge functions are zero the depth is NaN, which must not win.
    packed.scatter_reduce_(0, pixel, key.masked_fill_(depth.isnan(), _EMPTY), "amin")


def _corners(vertices: torch.Tensor, faces: torch.Tensor) -> list[torch.Tensor]:
    """First, second and third corner of all faces in all images: (3, N*F) each, x, y, z."""
    count, face_count = vertices.shape[0], faces.shape[0]
    planes = vertices.permute(2, 0, 1).reshape(3 * count, -1)  # (3N, V)
    return [planes.index_select(1, faces[:, i]).view(3, count * face_count) for i in range(3)]


def _area(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _visible(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, cull_backfaces: bool) -> torch.Tensor:
    """(NF,) whether faces with corners (3, NF) lie before the camera, have an area and are not culled."""
    area = _area(a, b, c)
    kept = (torch.minimum(torch.minimum(a[2], b[2]), c[2]) > MIN_DEPTH) & area.isfinite()
    return kept & (area < 0 if cull_backfaces else area != 0)


_BLUR = 1e-12  # square units of PyTorch3D's image: pixel centres on a border are inside, too


def face_ids_pytorch3d(
    vertices: torch.Tensor, faces: torch.Tensor, size: tuple[int, int], cull_backfaces: bool
) -> torch.Tensor:
    """See ``rasterize.face_ids``; by PyTorch3D (Ravi et al. 2020), made for CUDA. Its arithmetic is its own, so
    within rounding of a border or of equal depths another face may win."""
    from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
    from pytorch3d.structures import Meshes

    (height, width), count = size, len(vertices)
    middle = vertices.new_tensor([width, height]) / 2.0
    placed = torch.cat([(middle - vertices[..., :2]) / middle.min(), vertices[..., 2:]], -1)  # x left, y up
    kept = _visible(*_corners(vertices, faces), cull_backfaces).view(count, -1)
    chosen = [one.nonzero()[:, 0] for one in kept]
    index = torch.cat(chosen)
    if len(index) == 0:
        return torch.full((count, height, width), -1, dtype=torch.int64, device=vertices.device)
    meshes = Meshes(list(placed.nan_to_num(0.0, 0.0, 0.0)), [faces[one] for one in chosen])
    found = rasterize_meshes(meshes, size, _BLUR, 1, perspective_correct=True)[0][..., 0]
    return torch.where(found < 0, -1, index[found.clamp(min=0)])


BACKENDS: Mapping[str, Callable[[torch.Tensor, torch.Tensor, tuple[int, int], bool], torch.Tensor]] = {
    "torch": face_ids_torch,
    "numba": face_ids_numba,
    "pytorch3d": face_ids_pytorch3d,
}


def face_ids(
    vertices_px: torch.Tensor,
    faces: torch.Tensor,
    size: tuple[int, int],
    *,
    backend: str = "auto",
    cull_backfaces: bool = False,
) -> torch.Tensor:
    """Index of the nearest face at every pixel centre.

    Parameters
    ----------
    vertices_px : (N, V, 3) x right and y down in pixels (pixel centres at i + 0.5), z camera depth in any unit > 0.
    faces : (F, 3) int64 vertex indices, shared by the batch.
    size : (height, width) of the image.
    backend : "auto" (``default_backend``), or one of ``BACKENDS``.
    cull_backfaces : keep only faces with cross(v1 - v0, v2 - v0) < 0 in pixels with y down.

    Returns
    -------
    (N, H, W) int64 face indices, -1 where there is none. No gradient.

    Raises
    ------
    ValueError : shapes or dtypes do not fit, or the backend is unknown.
    """
    if vertices_px.ndim != 3 or vertices_px.shape[-1] != 3:
        raise ValueError(f"vertices_px must be (N, V, 3), not {tuple(vertices_px.shape)}")
    if faces.ndim != 2 or faces.shape[-1] != 3 or faces.dtype not in (torch.int64, torch.int32):
        raise ValueError(f"faces must be (F, 3) int64, not {tuple(faces.shape)} {faces.dtype}")
    height, width = size
    if height < 0 or width < 0:
        raise ValueError(f"size must be (height, width) >= 0, not {size}")
    if backend == "auto":
        backend = default_backend(vertices_px.device)
    if backend not in BACKENDS:
        raise ValueError(f"unknown rasterizer {backend!r}; known are {', '.join(BACKENDS)}")
    vertices = vertices_px.detach().float()
    if vertices.shape[0] * faces.shape[0] * height * width == 0:
        return torch.full((vertices.shape[0], height, width), -1, dtype=torch.int64, device=vertices.device)
    return BACKENDS[backend](vertices, faces.long(), (int(height), int(width)), cull_backfaces)


RASTERIZER = "LIKENESS_RASTERIZER"


def default_backend(device: torch.device) -> str:
    """The backend of "auto" for tensors on ``device``: what ``RASTERIZER`` in the environment
    says, else numba on the CPU, on CUDA PyTorch3D where it is installed."""
    chosen = os.environ.get(RASTERIZER)
    if chosen or device.type == "cpu":
        return chosen or "numba"
    return "pytorch3d" if device.type == "cuda" and find_spec("pytorch3d") else "torch"


DEPTH_BIAS = 0.001
"""Metres by which a point may lie behind the depth buffer and still be visible; the slope is added."""


def depth_map(vertices: np.ndarray, faces: np.ndarray, camera: Camera, *, backend: str = "auto") -> np.ndarray:
    """Camera depth (H, W) float32 in metres at pixel centres, inf where there is no face.

    vertices : (V, 3) head frame, metres. faces : (F, 3). Size: the camera's.
    """
    width, height = camera.size
    points = torch.from_numpy(camera.project(np.asarray(vertices, np.float64)))[None]
    triangles = torch.from_numpy(np.array(faces, np.int64))
    found = fragments(face_ids(points, triangles, (height, width), backend=backend), triangles)
    depth = fragment_values(points[..., 2:], found, fragment_barycentrics(points, found))
    return found.scatter(depth, torch.inf)[0, ..., 0].numpy().astype(np.float32)


def places_at(
    pixels: np.ndarray, vertices: np.ndarray, faces: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    """What a camera shows of a mesh at pixels (N, 2): places (N, 3) and depths (N,) in metres, NaN and inf on the
    background."""
    column, row = np.clip(pixels.astype(int), 0, np.array(camera.size) - 1).T
    depth = depth_map(vertices, faces, camera)[row, column].astype(np.float64)
    rays = np.concatenate([pixels, np.ones((len(pixels), 1))], 1) @ np.linalg.inv(camera.intrinsics).T
    pose = camera.camera_from_head
    away = np.where(np.isfinite(depth), depth, np.nan)
    return (rays * away[:, None] - pose[:3, 3]) @ pose[:3, :3], depth


def facing_cosine(points: np.ndarray, normals: np.ndarray, camera: Camera) -> np.ndarray:
    """(P,) cosine of the angle between unit normals (P, 3) and the direction to the camera; negative: turned away."""
    to_camera = camera.centre() - points
    return (normals * to_camera).sum(-1) / np.maximum(np.linalg.norm(to_camera, axis=-1), 1e-12)


def point_visibility(
    points: np.ndarray, camera: Camera, depth: np.ndarray, *, bias: float = DEPTH_BIAS, slope_scale: float = 1.5
) -> np.ndarray:
    """(P,) float in [0, 1]: share of the depth buffer around each point that does not occlude it.

    Sums the bilinear weights of those of the four pixel centres around a point at which the point is not behind the
    buffer by more than ``bias`` plus ``slope_scale`` times the buffer's own change over a pixel. Points outside the
    picture or behind the camera are 0. Back-facing surfaces are not excluded: see ``facing_cosine``.

    Parameters
    ----------
    points : (P, 3) head frame, metres. depth : (H, W) of ``depth_map``, inf where empty.
    bias : metres.
    """
    height, width = depth.shape
    projected = camera.project(np.asarray(points, np.float64))
    with np.errstate(invalid="ignore"):
        inside = (projected[:, 2] > 0) & (projected[:, :2] >= 0).all(-1) & (projected[:, :2] < (width, height)).all(-1)
    limit = depth + bias + slope_scale * _slope(depth)
    visible = np.zeros(len(projected))
    x, y, z = projected[inside].T
    column, row = np.floor(x - 0.5), np.floor(y - 0.5)
    right, down = x - 0.5 - column, y - 0.5 - row
    total = np.zeros(len(x))
    for step_y, weight_y in ((0, 1 - down), (1, down)):
        for step_x, weight_x in ((0, 1 - right), (1, right)):
            rows = np.clip(row + step_y, 0, height - 1).astype(int)
            columns = np.clip(column + step_x, 0, width - 1).astype(int)
            total += weight_x * weight_y * (z <= limit[rows, columns])
    visible[inside] = total
    return visible


def _slope(depth: np.ndarray) -> np.ndarray:
    """(H, W) depth change over a pixel, sum of x and y, each on its flatter side to ignore steps at silhouettes."""
    total = np.zeros_like(depth)
    for axis in (0, 1):
        with np.errstate(invalid="ignore"):
            step = np.abs(np.diff(depth, axis=axis))
        step = np.where(np.isfinite(step), step, np.inf)
        first, last = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        first[axis], last[axis] = (1, 0), (0, 1)
        before = np.pad(step, first, constant_values=np.inf)
        after = np.pad(step, last, constant_values=np.inf)
        smaller = np.minimum(before, after)
        total += np.where(np.isfinite(smaller), smaller, 0)
    return total


_BLOCK = 1 << 19
"""Texels per step, to bound memory on 4 k maps."""


def texel_faces(uv: np.ndarray, uv_faces: np.ndarray, resolution: int) -> np.ndarray:
    """(R * R,) int32 face under the centre of each texel of a square texture, row 0 is v = 1; -1 outside all charts,
    the lowest index where they overlap.

    uv : (T, 2) in [0, 1], v up. uv_faces : (F, 3) indices into ``uv``. resolution : R, texels along a side.
    """
    found, faces = np.empty((resolution, resolution), np.int32), torch.from_numpy(np.array(uv_faces, np.int64))
    for start, points in _texel_bands(uv, resolution):
        band = found[start : start + _band_rows(resolution)]
        band[:] = face_ids(points, faces, band.shape)[0].numpy()
    return found.ravel()


def texel_barycentrics(
    uv: np.ndarray, uv_faces: np.ndarray, resolution: int, texel: np.ndarray, face: np.ndarray
) -> np.ndarray:
    """(P, 3) float32 barycentrics of the centres of texels (P,), flat indices, ascending, in their faces (P,) of
    ``texel_faces``."""
    corners, weights = torch.from_numpy(np.array(uv_faces, np.int32)), np.empty((len(texel), 3), np.float32)
    rows = _band_rows(resolution)
    for start, points in _texel_bands(uv, resolution):
        block = slice(*np.searchsorted(texel, [start * resolution, (start + rows) * resolution]))
        pixel, ids = (
            torch.from_numpy(texel[block] - np.int64(start * resolution)),
            torch.from_numpy(face[block].astype(np.int64)),
        )
        size = (1, rows, resolution)
        found = Fragments(size, pixel, torch.zeros_like(pixel), ids, corners.t().contiguous().index_select(1, ids).t())
        weights[block] = fragment_barycentrics(points, found).numpy()
    return weights


def _band_rows(resolution: int) -> int:
    return max(1, _BLOCK // resolution)


def _texel_bands(uv: np.ndarray, resolution: int) -> Iterator[tuple[int, torch.Tensor]]:
    """First row of each band of ``_band_rows``, and the UV points (1, T, 3) in its pixels."""
    points = np.ones((1, len(uv), 3), np.float32)
    points[0, :, 0] = uv[:, 0] * resolution
    points[0, :, 1] = (1 - uv[:, 1]) * resolution
    for start in range(0, resolution, _band_rows(resolution)):
        yield start, torch.from_numpy(points - np.float32([0.0, start, 0.0]))


def gutter_source(covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """For every texel the flat index (H, W) int32 of the nearest covered texel (by chamfer distance, 2 % off at most);
    its own index where covered.

    covered : (H, W) bool. pixels : largest distance; texels further away keep their own index. None: no limit.
    """
    own = np.arange(covered.size, dtype=np.int32).reshape(covered.shape)
    if covered.all() or not covered.any():
        return own
    away = (~covered).astype(np.uint8)
    distance, label = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    source = np.empty(label.max() + 1, np.int32)
    source[label[covered]] = own[covered]
    for row in label:  # in place: at once it takes 200 MB at 4 k
        np.take(source, row, out=row, mode="clip")
    return label if pixels is None else np.where(distance <= pixels, label, own)


def dilate(image: np.ndarray, covered: np.ndarray, pixels: int | None = None) -> np.ndarray:
    """Fill the gutter around charts with the nearest covered texel, against bleeding in bilinear lookups and mipmaps.

    image : (H, W) or (H, W, C). covered : (H, W) bool. pixels : width of the padding; None fills everything.
    """
    flat = image.reshape(covered.size, *image.shape[2:])
    return flat[gutter_source(covered, pixels).reshape(-1)].reshape(image.shape)

"""Time of the rasterizers, forward and backward, on four scenes: python benchmarks/rasterize.py [--json FILE].

Forward: face ids, barycentrics, three interpolated channels and depth. Backward: gradients to vertices and channels.
Backends alternate within a round, so that a busy machine slows all of them; figures are the best of all rounds.
The peer is numba (a compiled depth-buffer loop): pure torch may take at most 3 times as long.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from measure import benchmark_parser, report

import torch  # isort: skip

from backend.rendering.camera import CanonicalCamera, View, rotation_from_euler
from backend.rendering.depth_surface import grid_faces, points_from_depth
from backend.rendering.interpolate import fragment_barycentrics, fragment_values, fragments
from backend.rendering.rasterize import face_ids

BUDGETS = {"worst_torch_over_numba": 3.0}
"""Greatest ratio of pure torch's to numba's time for forward and backward."""


@dataclass(frozen=True)
class Scene:
    """vertices_px (N, V, 3), faces (F, 3), size (H, W), and the channels (N, V, 3) to interpolate."""

    vertices_px: torch.Tensor
    faces: torch.Tensor
    size: tuple[int, int]
    channels: torch.Tensor


def scene(vertices_px: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> Scene:
    generator = torch.Generator().manual_seed(0)
    return Scene(vertices_px, faces, size, torch.rand(vertices_px.shape, generator=generator))


def depth_grid(count: int = 6, side: int = 128) -> Scene:
    """LAP's canonical depth in rotated views."""
    camera = CanonicalCamera((side, side))
    y, x = torch.meshgrid(torch.linspace(-1, 1, side), torch.linspace(-1, 1, side), indexing="ij")
    depth = (1.05 - 0.12 * torch.exp(-2 * (x**2 + y**2))).expand(count, side, side)
    angles = torch.linspace(-40, 40, count).deg2rad()[:, None] * torch.tensor([0.2, 1.0, 0.1])
    view = View(rotation_from_euler(angles), torch.zeros(count, 3))
    points = camera.project(view.apply(points_from_depth(depth, camera).view(count, -1, 3)))
    return scene(points, grid_faces(side, side), (side, side))


def ball(around: int, along: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A head-sized ellipsoid with bumps: (V, 3) metres, (F, 3) counter-clockwise from outside, (V, 2) UV."""
    u, v = torch.meshgrid(torch.linspace(0, 1, around + 1), torch.linspace(0.002, 0.998, along), indexing="ij")
    turn, tilt = 2 * torch.pi * u, torch.pi * v
    unit = torch.stack([tilt.sin() * turn.sin(), tilt.cos(), tilt.sin() * turn.cos()], -1)
    nose = 0.18 * torch.exp(-30 * ((unit[..., 0] / 0.7) ** 2 + (unit[..., 1] + 0.1) ** 2)) * (unit[..., 2] > 0)
    bumps = 1 + nose + 0.02 * torch.sin(9 * unit[..., 0]) * torch.sin(7 * unit[..., 1])
    points = unit * bumps[..., None] * torch.tensor([0.08, 0.115, 0.095])
    index = torch.arange((around + 1) * along).view(around + 1, along)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = torch.cat([torch.stack([a, b, c], -1).view(-1, 3), torch.stack([a, c, d], -1).view(-1, 3)])
    return points.view(-1, 3), faces, torch.stack([u, 1 - v], -1).view(-1, 2)


def head(count: int, side: int, around: int, along: int) -> Scene:
    """The head in pictures that it fills to about two thirds, rotated differently in each."""
    points, faces, _ = ball(around, along)
    angles = torch.linspace(-0.6, 0.6, count)[:, None] * torch.tensor([0.2, 1.0, 0.0])
    turned = points @ rotation_from_euler(angles).transpose(1, 2) * torch.tensor([1.0, -1, -1])
    turned = turned + torch.tensor([0, 0, 0.8])
    pixels = turned[..., :2] / turned[..., 2:] * (2.6 * side) + side / 2
    return scene(torch.cat([pixels, turned[..., 2:]], -1), faces, (side, side))


def uv_space(side: int = 1024) -> Scene:
    """The head's triangles in its UV map, slightly irregular."""
    _, faces, uv = ball(167, 84)
    generator = torch.Generator().manual_seed(1)
    uv = 0.02 + 0.96 * uv + 0.002 * torch.rand(uv.shape, generator=generator)
    pixels = torch.stack([uv[:, 0], 1 - uv[:, 1], torch.ones(len(uv))], -1) * torch.tensor([side, side, 1.0])
    return scene(pixels[None], faces, (side, side))


SCENES: dict[str, Callable[[], Scene]] = {
    "depth_grid": depth_grid,
    "head_batch": lambda: head(4, 256, 167, 84),
    "head_large": lambda: head(1, 512, 300, 200),
    "uv_space": uv_space,
}


def ids_only(case: Scene, backend: str) -> torch.Tensor:
    return face_ids(case.vertices_px, case.faces, case.size, backend=backend)


def forward_backward(case: Scene, backend: str) -> None:
    vertices = case.vertices_px.clone().requires_grad_()
    channels = case.channels.clone().requires_grad_()
    pieces = fragments(face_ids(vertices, case.faces, case.size, backend=backend), case.faces)
    weights = fragment_barycentrics(vertices, pieces)
    values = fragment_values(torch.cat([channels, vertices[..., 2:]], -1), pieces, weights)
    pieces.scatter(values).square().sum().backward()


def timed(function: Callable[[], object], device: torch.device) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return 1e3 * (time.perf_counter() - start)


def measure(case: Scene, backends: list[str], rounds: int) -> dict[str, float]:
    """Measure ``BACKEND.ids_ms`` and ``BACKEND.forward_backward_ms``."""
    device = case.vertices_px.device
    times: dict[str, list[float]] = {}
    for turn in range(rounds + 1):
        for backend in backends:
            for name, function in (("ids_ms", ids_only), ("forward_backward_ms", forward_backward)):
                spent = timed(lambda f=function, b=backend: f(case, b), device)
                if turn > 0:  # the first round warms up
                    times.setdefault(f"{backend}.{name}", []).append(spent)
    return {name: min(values) for name, values in times.items()}


def usable_backends(device: torch.device) -> list[str]:
    """List the backends for a device."""
    probe = torch.tensor([[[0.0, 0, 1], [4, 0, 1], [0, 4, 1]]], device=device)
    usable = []
    for backend in ("torch", "numba") if device.type == "cpu" else ("torch",):
        try:
            face_ids(probe, torch.tensor([[0, 1, 2]], device=device), (2, 2), backend=backend)
        except ModuleNotFoundError:
            continue
        usable.append(backend)
    return usable


def main() -> int:
    """Print and write the figures; returns 1 when torch exceeds the limit."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    backends = usable_backends(device)
    figures: dict[str, float] = {}
    for name, make in SCENES.items():
        case = make()
        case = Scene(case.vertices_px.to(device), case.faces.to(device), case.size, case.channels.to(device))
        pieces = measure(case, backends, arguments.rounds)
        figures |= {f"{name}.{key}": value for key, value in pieces.items()}
        if "numba" in backends:
            ratio = pieces["torch.forward_backward_ms"] / pieces["numba.forward_backward_ms"]
            figures[f"{name}.torch_over_numba"] = ratio
            figures["worst_torch_over_numba"] = max(figures.get("worst_torch_over_numba", 0.0), ratio)
    return report(figures, arguments.json, BUDGETS)


if __name__ == "__main__":
    raise SystemExit(main())

"""The ray tracer's compiled inner loop: light arriving at each pixel's surface points."""

from __future__ import annotations

import math

import numba
import numpy as np

from trainer.data.raytrace.bvh import NO_HIT_DISTANCE, trace

BOUNCE = 0.5
"""Share of the ambient light that a blocking surface reflects, times its albedo."""


@numba.njit(cache=True)
def _hash01(a, b, c, seed):  # pragma: no cover - compiled
    """Hash four integers to a number in [0, 1) (a finaliser like MurmurHash3's)."""
    h = np.uint32(a) * np.uint32(0x9E3779B1) ^ np.uint32(b) * np.uint32(0x85EBCA77)
    h ^= np.uint32(c) * np.uint32(0xC2B2AE3D) ^ np.uint32(seed) * np.uint32(0x27D4EB2F)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return np.float32(h & np.uint32(0xFFFFFF)) * np.float32(1.0 / 16777216.0)


@numba.njit(cache=True, fastmath=True)
def _environment(x, y, z, gradient, directions, sharpness, colours, out):  # pragma: no cover - compiled
    height = np.float32(0.5) * (y + np.float32(1.0))
    for c in range(3):
        out[c] = gradient[0, c] + (gradient[1, c] - gradient[0, c]) * height
    for k in range(len(sharpness)):
        cosine = x * directions[k, 0] + y * directions[k, 1] + z * directions[k, 2]
        value = np.float32(math.exp(sharpness[k] * (cosine - np.float32(1.0))))
        for c in range(3):
            out[c] += value * colours[k, c]


@numba.njit(cache=True, fastmath=True)
def _frame(nx, ny, nz, tangents):  # pragma: no cover - compiled
    """Two unit vectors orthogonal to a unit normal (Duff et al. 2017)."""
    sign = np.float32(1.0) if nz >= 0 else np.float32(-1.0)
    a = np.float32(-1.0) / (sign + nz)
    b = nx * ny * a
    tangents[0, 0], tangents[0, 1], tangents[0, 2] = np.float32(1.0) + sign * nx * nx * a, sign * b, -sign * nx
    tangents[1, 0], tangents[1, 1], tangents[1, 2] = b, sign + ny * ny * a, -ny


@numba.njit(cache=True, fastmath=True)
def _ggx(n_h, n_v, n_l, v_h, alpha, f0):  # pragma: no cover - compiled
    """Cook-Torrance specular term times the cosine: D G F / (4 n.v) (Walter et al. 2007; Schlick's Fresnel)."""
    a2 = alpha * alpha
    lobe = n_h * n_h * (a2 - 1) + 1
    density = a2 / (np.float32(math.pi) * lobe * lobe)
    shadow_v = 2 * n_v / (n_v + math.sqrt(a2 + (1 - a2) * n_v * n_v))
    shadow_l = 2 * n_l / (n_l + math.sqrt(a2 + (1 - a2) * n_l * n_l))
    fresnel = f0 + (1 - f0) * (1 - v_h) ** 5
    return density * shadow_v * shadow_l * fresnel / (4 * n_v)


@numba.njit(cache=True)
def _row(
    row, diffuse, specular, colour, coverage, depth, translucency,
    bounds, links, corners, face_order, faces, normals, albedo, material,
    inverse_k, rotation, centre,
    light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours, mean_sky,
    samples, ambient_rays, seed,
):  # fmt: skip  # pragma: no cover - compiled
    """Run ``integrate`` for one row; adds to its first six results."""
    one = np.float32(1.0)
    scale = one / np.float32(samples)
    ox, oy, oz = np.float32(centre[0]), np.float32(centre[1]), np.float32(centre[2])
    side = math.ceil(math.sqrt(samples))
    width = coverage.shape[1]
    tangents = np.empty((2, 3), np.float32)
    sky = np.empty(3, np.float32)
    for column in range(width):
        for s in range(samples):
            jitter_x = ((s % side) + _hash01(column, row, s, seed)) / side
            jitter_y = ((s // side) + _hash01(column, row, s, seed + 1)) / side
            px, py = column + jitter_x, row + jitter_y
            cx = inverse_k[0, 0] * px + inverse_k[0, 1] * py + inverse_k[0, 2]
            cy = inverse_k[1, 1] * py + inverse_k[1, 2]
            # rotation maps head to camera: its transpose brings the ray to the head frame
            dx = np.float32(rotation[0, 0] * cx + rotation[1, 0] * cy + rotation[2, 0])
            dy = np.float32(rotation[0, 1] * cx + rotation[1, 1] * cy + rotation[2, 1])
            dz = np.float32(rotation[0, 2] * cx + rotation[1, 2] * cy + rotation[2, 2])
            hit, along, u, v = trace(bounds, links, corners, ox, oy, oz, dx, dy, dz, NO_HIT_DISTANCE, False)
            if hit < 0:
                continue
            coverage[row, column] += scale
            depth[row, column] += scale * along
            face = face_order[hit]
            i0, i1, i2 = faces[face, 0], faces[face, 1], faces[face, 2]
            w = one - u - v
            nx = w * normals[i0, 0] + u * normals[i1, 0] + v * normals[i2, 0]
            ny = w * normals[i0, 1] + u * normals[i1, 1] + v * normals[i2, 1]
            nz = w * normals[i0, 2] + u * normals[i1, 2] + v * normals[i2, 2]
            length = math.sqrt(nx * nx + ny * ny + nz * nz) + np.float32(1e-12)
            view = -one / np.float32(math.sqrt(dx * dx + dy * dy + dz * dz))
            vx, vy, vz = dx * view, dy * view, dz * view
            # geometric normal on the viewer's side
            gx = corners[hit, 1, 1] * corners[hit, 2, 2] - corners[hit, 1, 2] * corners[hit, 2, 1]
            gy = corners[hit, 1, 2] * corners[hit, 2, 0] - corners[hit, 1, 0] * corners[hit, 2, 2]
            gz = corners[hit, 1, 0] * corners[hit, 2, 1] - corners[hit, 1, 1] * corners[hit, 2, 0]
            g_length = math.sqrt(gx * gx + gy * gy + gz * gz) + np.float32(1e-20)
            flip = one if gx * vx + gy * vy + gz * vz >= 0 else -one
            nx, ny, nz = flip * nx / length, flip * ny / length, flip * nz / length
            gx, gy, gz = flip * gx / g_length, flip * gy / g_length, flip * gz / g_length
            lift = np.float32(2e-4)
            hx, hy, hz = ox + dx * along + gx * lift, oy + dy * along + gy * lift, oz + dz * along + gz * lift
            f0 = w * material[i0, 0] + u * material[i1, 0] + v * material[i2, 0]
            alpha = max(w * material[i0, 1] + u * material[i1, 1] + v * material[i2, 1], np.float32(0.03))
            translucency[row, column] += scale * (w * material[i0, 2] + u * material[i1, 2] + v * material[i2, 2])
            for c in range(3):
                colour[row, column, c] += scale * (w * albedo[i0, c] + u * albedo[i1, c] + v * albedo[i2, c])
            n_v = max(nx * vx + ny * vy + nz * vz, np.float32(0.05))
            _frame(nx, ny, nz, tangents)
            for k in range(len(light_radii)):
                # a point on the light's disc as seen from here
                lx, ly, lz = light_positions[k, 0] - hx, light_positions[k, 1] - hy, light_positions[k, 2] - hz
                r1 = _hash01(column, row, s * 64 + k, seed + 2)
                r2 = _hash01(column, row, s * 64 + k, seed + 3)
                r3 = _hash01(column, row, s * 64 + k, seed + 4)
                bx, by, bz = r1 - np.float32(0.5), r2 - np.float32(0.5), r3 - np.float32(0.5)
                norm = math.sqrt(bx * bx + by * by + bz * bz) + np.float32(1e-6)
                reach = light_radii[k] * max(abs(bx), max(abs(by), abs(bz))) * 2 / norm
                tx, ty, tz = lx + bx * reach, ly + by * reach, lz + bz * reach
                distance = np.float32(math.sqrt(tx * tx + ty * ty + tz * tz))
                tx, ty, tz = tx / distance, ty / distance, tz / distance
                cosine = nx * tx + ny * ty + nz * tz
                if cosine <= 0 or gx * tx + gy * ty + gz * tz <= 0:
                    continue
                blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, distance, True)
                if blocked >= 0:
                    continue
                home = (light_positions[k, 0] ** 2 + light_positions[k, 1] ** 2 + light_positions[k, 2] ** 2) / (
                    distance * distance
                )
                half_x, half_y, half_z = tx + vx, ty + vy, tz + vz
                half = math.sqrt(half_x * half_x + half_y * half_y + half_z * half_z) + np.float32(1e-9)
                n_h = max((nx * half_x + ny * half_y + nz * half_z) / half, np.float32(0.0))
                v_h = max((vx * half_x + vy * half_y + vz * half_z) / half, np.float32(0.0))
                shine = np.float32(math.pi) * _ggx(n_h, n_v, cosine, v_h, alpha, f0)
                for c in range(3):
                    arriving = scale * home * light_irradiance[k, c]
                    diffuse[row, column, c] += arriving * cosine
                    specular[row, column, c] += min(arriving * shine, np.float32(4.0) * scale)
            turn = _hash01(column, row, 7, seed + 5)
            offset = _hash01(column, row, 8, seed + 6)
            total = samples * ambient_rays
            for k in range(ambient_rays):
                index = s * ambient_rays + k
                radial = (index + _hash01(column, row, index, seed + 7)) / total
                angle = np.float32(2 * math.pi) * (index * np.float32(0.61803399) + turn)
                radius = math.sqrt(radial)
                ax, ay, az = radius * math.cos(angle), radius * math.sin(angle), math.sqrt(one - radial)
                tx = np.float32(ax * tangents[0, 0] + ay * tangents[1, 0] + az * nx)
                ty = np.float32(ax * tangents[0, 1] + ay * tangents[1, 1] + az * ny)
                tz = np.float32(ax * tangents[0, 2] + ay * tangents[1, 2] + az * nz)
                blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, NO_HIT_DISTANCE, True)
                if blocked >= 0:
                    other = faces[face_order[blocked], 0]
                    for c in range(3):
                        diffuse[row, column, c] += (
                            scale / ambient_rays * np.float32(BOUNCE) * albedo[other, c] * mean_sky[c]
                        )
                    continue
                _environment(tx, ty, tz, gradient, directions, sharpness, colours, sky)
                for c in range(3):
                    diffuse[row, column, c] += scale / ambient_rays * sky[c]
            # one GGX-distributed half vector for the reflection of the surroundings
            r1 = (s + offset) / samples
            r2 = _hash01(column, row, s, seed + 8)
            cosine_h = math.sqrt((one - r1) / (one + (alpha * alpha - one) * r1))
            sine_h = math.sqrt(max(one - cosine_h * cosine_h, np.float32(0.0)))
            angle = np.float32(2 * math.pi) * r2
            ax, ay = sine_h * math.cos(angle), sine_h * math.sin(angle)
            mx = np.float32(ax * tangents[0, 0] + ay * tangents[1, 0] + cosine_h * nx)
            my = np.float32(ax * tangents[0, 1] + ay * tangents[1, 1] + cosine_h * ny)
            mz = np.float32(ax * tangents[0, 2] + ay * tangents[1, 2] + cosine_h * nz)
            v_h = vx * mx + vy * my + vz * mz
            if v_h > 0:
                tx, ty, tz = 2 * v_h * mx - vx, 2 * v_h * my - vy, 2 * v_h * mz - vz
                n_l = nx * tx + ny * ty + nz * tz
                if n_l > 0 and gx * tx + gy * ty + gz * tz > 0:
                    blocked, _, _, _ = trace(bounds, links, corners, hx, hy, hz, tx, ty, tz, NO_HIT_DISTANCE, True)
                    if blocked < 0:
                        a2 = alpha * alpha
                        shadow_v = 2 * n_v / (n_v + math.sqrt(a2 + (1 - a2) * n_v * n_v))
                        shadow_l = 2 * n_l / (n_l + math.sqrt(a2 + (1 - a2) * n_l * n_l))
                        # rough surfaces reflect less at grazing angles than by Schlick's formula
                        fresnel = f0 + (one - f0) * (one - alpha) ** 2 * (one - v_h) ** 5
                        gain = fresnel * shadow_v * shadow_l * v_h / (n_v * max(cosine_h, np.float32(0.05)))
                        gain = min(gain, one)
                        _environment(tx, ty, tz, gradient, directions, sharpness, colours, sky)
                        for c in range(3):
                            specular[row, column, c] += scale * gain * sky[c]


@numba.njit(cache=True, parallel=True)
def _rows(
    diffuse, specular, colour, coverage, depth, translucency,
    bounds, links, corners, face_order, faces, normals, albedo, material,
    inverse_k, rotation, centre,
    light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours, mean_sky,
    samples, ambient_rays, seed,
):  # fmt: skip  # pragma: no cover - compiled
    """Run all rows in parallel threads. Only this loop is compiled as parallel; compiling more takes numba several
    times as long."""
    for row in numba.prange(len(coverage)):
        _row(
            np.int64(row), diffuse, specular, colour, coverage, depth, translucency,
            bounds, links, corners, face_order, faces, normals, albedo, material,
            inverse_k, rotation, centre,
            light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours, mean_sky,
            samples, ambient_rays, seed,
        )  # fmt: skip


def integrate(
    bounds, links, corners, face_order, faces, normals, albedo, material,
    width, height, inverse_k, rotation, centre,
    light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours,
    samples, ambient_rays, seed,
):  # fmt: skip
    """Average ``samples`` jittered rays in every pixel.

    Returns (H, W, 3) diffuse irradiance (white = 1), specular radiance and albedo, each already weighted by coverage;
    (H, W) coverage, mean depth along the optical axis, and translucency.
    """
    found = [np.zeros(shape, np.float32) for shape in ((height, width, 3),) * 3 + ((height, width),) * 3]
    _rows(
        *found,
        bounds, links, corners, face_order, faces, normals, albedo, material,
        inverse_k, rotation, centre,
        light_positions, light_radii, light_irradiance, gradient, directions, sharpness, colours,
        (gradient[0] + gradient[1]) * np.float32(0.5),
        samples, ambient_rays, seed,
    )  # fmt: skip
    return tuple(found)

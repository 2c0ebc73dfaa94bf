"""Head pose errors, by axis and by yaw."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from backend.expression.frontalised import towards_point

AXES = ("pitch", "yaw", "roll")
YAW_EDGES = (0.0, 20.0, 45.0, 90.0)


@dataclass(frozen=True)
class PoseErrors:
    """Errors of F poses.

    Attributes
    ----------
    off : (F, 3) degrees, rotation vector in the true head's axes from the true to the found rotation.
    off_sight : (F, 3) the same relative to the lines of sight to the true and to the found position. This removes the
        ambiguity of the head's direction with an unknown focal length.
    yaw : (F,) degrees, rotation of the head away from the line of sight.
    """

    off: np.ndarray
    off_sight: np.ndarray
    yaw: np.ndarray

    @staticmethod
    def joined(parts: list[PoseErrors]) -> PoseErrors:
        """Concatenate several."""
        return PoseErrors(
            *(np.concatenate([getattr(one, name) for one in parts]) for name in ("off", "off_sight", "yaw"))
        )

    def figures(self, prefix: str) -> dict[str, float]:
        """Mean, median and 95th percentile of the angle; means by axis, by yaw and relative to the line of sight."""
        angle, sight = (np.linalg.norm(values, axis=1) for values in (self.off, self.off_sight))
        found = {
            f"{prefix}_mean": angle.mean(),
            f"{prefix}_median": np.median(angle),
            f"{prefix}_p95": np.percentile(angle, 95),
        }
        found |= {f"{prefix}_from_sight_mean": sight.mean(), f"{prefix}_from_sight_median": np.median(sight)}
        found |= {f"{prefix}_{name}": np.abs(self.off[:, axis]).mean() for axis, name in enumerate(AXES)}
        for low, high in pairwise(YAW_EDGES):
            inside = (np.abs(self.yaw) >= low) & (np.abs(self.yaw) < high)
            if inside.any():
                found[f"{prefix}_mean_yaw_{low:.0f}_{high:.0f}"] = angle[inside].mean()
        return {name: float(value) for name, value in found.items()}


def pose_errors(true: np.ndarray, true_places: np.ndarray, found: np.ndarray, found_places: np.ndarray) -> PoseErrors:
    """Compare rotations camera_from_head (F, 3, 3) and positions of the face's centre in the camera frame (F, 3)."""
    sights = [
        np.array([towards_point(place[:2] / place[2]) for place in places]) for places in (true_places, found_places)
    ]
    from_sight = [sight.transpose(0, 2, 1) @ turns for sight, turns in zip(sights, (true, found), strict=True)]
    off, off_sight = (
        Rotation.from_matrix(a.transpose(0, 2, 1) @ b).as_rotvec(degrees=True) for a, b in ((true, found), from_sight)
    )
    towards = -from_sight[0][:, 2]  # the direction of the camera in the head's axes
    return PoseErrors(off, off_sight, np.degrees(np.arctan2(towards[:, 0], towards[:, 2])))


def turn_between(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """(3, 3) rotation that best aligns points (V, 3) of the true neutral head with those of the found one (Umeyama
    1991).

    Two head frames of one person may be tilted against each other. A pose of the found frame times this rotation is a
    pose of the true one.
    """
    a, b = true - true.mean(0), found - found.mean(0)
    u, _, vt = np.linalg.svd(b.T @ a)
    return u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))]) @ vt

"""Configuration of LAP's networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from backend.models.lap.blocks import level_count
from backend.rendering.camera_models import LAP_ROTATION_DEGREES, LAP_TRANSLATION


@dataclass(frozen=True)
class LapConfig:
    """Architecture of the networks; the defaults are the paper's.

    Attributes
    ----------
    size : side of the photos and of canonical maps in aggregation, a power of two from 16 on.
    target_size : side of the target photo and of the personalised maps; 0: ``size``.
    depth_width, albedo_width : channels of the aggregation encoders' (and the paper's decoders') first level.
    code : channels of the identity codes. pooled : length of the vector of each of the encoder's levels; 0: only the
        last level counts.
    fusion : ``adaptive`` softmax weights; ``average``; ``posterior`` (ours): a Gaussian posterior for depth, see
        ``posterior.py``, and softmax weights with the mean face for albedo. It needs the landmark net's points and the
        linear decoder, whose coefficients are the depth codes.
    landmark_components : with ``posterior``, components of the points' motion beside the depth basis; else 0.
    decoder : ``convolution`` (the paper), or ``linear``: mean, basis and a correction that is initially zero.
    depth_components, albedo_components : of the linear bases. depth_basis_size, albedo_basis_size : sides of their
        maps; 0: ``size``. depth_residual, albedo_residual : width of the corrections; 0: none.
    scene_width : channels of the first level of the encoders of light and view. view_head : the view also uses the
        depth encoder's features. view_knows_face : it also uses the set's depth code. mirrored_views : in eval mode a
        view is the mean of the views from the picture and from its mirror image.
    confidence_width, confidence_code : of the confidence network.
    refine_width : channels of the refining networks' first level. injection, filtered : see ``RefiningNet``.
    refine_residual : the refining networks predict changes of the shared maps instead of new maps.
    depth_range : of the canonical depth. border_columns, border_depth : this many columns at the left and right border
        are set to this depth.
    rotation_degrees, translation : largest turn and shifts of a view.
    """

    size: int = 128
    target_size: int = 0
    depth_width: int = 64
    albedo_width: int = 64
    code: int = 256
    pooled: int = 64
    fusion: Literal["adaptive", "average", "posterior"] = "adaptive"
    landmark_components: int = 0
    decoder: Literal["convolution", "linear"] = "convolution"
    depth_components: int = 96
    albedo_components: int = 64
    depth_basis_size: int = 0
    albedo_basis_size: int = 0
    depth_residual: int = 8
    albedo_residual: int = 8
    scene_width: int = 32
    view_head: bool = False
    view_knows_face: bool = False
    mirrored_views: bool = False
    confidence_width: int = 64
    confidence_code: int = 128
    refine_width: int = 64
    injection: Literal["selected", "vector"] = "selected"
    filtered: bool = True
    refine_residual: bool = False
    depth_range: tuple[float, float] = (0.9, 1.1)
    border_columns: int = 2
    border_depth: float = 1.05
    rotation_degrees: float = LAP_ROTATION_DEGREES
    translation: tuple[float, float, float] = LAP_TRANSLATION

    def __post_init__(self) -> None:
        level_count(self.size)
        level_count(self.personal_size)
        if self.depth_range[0] >= self.depth_range[1]:
            raise ValueError(f"depth_range must rise, not {self.depth_range}")
        if self.mirrored_views and (self.posterior or self.view_knows_face):
            raise ValueError("mirrored_views is for views that come from a picture and nothing else")
        if self.posterior and (self.decoder != "linear" or not self.landmark_components or self.depth_residual):
            raise ValueError("fusion posterior needs landmark_components, a linear decoder and no depth_residual")
        if self.landmark_components and not self.posterior:
            raise ValueError("landmark_components are for fusion posterior")

    @property
    def posterior(self) -> bool:
        """Whether depth is fused by ``posterior.py``."""
        return self.fusion == "posterior"

    @property
    def personal_size(self) -> int:
        """Side of the personalised maps."""
        return self.target_size or self.size

    @property
    def view_depth_range(self) -> tuple[float, float]:
        """Range of depths in a view: the canonical range, widened by the paper's margin and the largest shift."""
        margin = 0.1 + self.translation[2]
        return self.depth_range[0] - margin, self.depth_range[1] + margin

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> LapConfig:
        """Read the configuration of an exported model; unknown keys are ignored."""
        known = {field.name for field in fields(LapConfig)}
        chosen = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return LapConfig(**{name: value for name, value in chosen.items() if name in known})

    def to_json(self) -> dict[str, Any]:
        """JSON types that ``from_json`` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

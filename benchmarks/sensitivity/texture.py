"""Constants of ``backend/texture``: figures of ``evaluate textures``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.fitting.fitted_face import FittedFace
from backend.geometry.surface_fields import SurfaceOperators
from backend.geometry.template import Template, load_template
from backend.hair.fit_hair import fit_hair
from backend.hair.hair_strands import HairStrands
from backend.texture import albedo
from backend.texture.blending import BLENDING
from backend.texture.delighting import DELIGHTING
from backend.texture.finishing import FINISHING
from backend.texture.inpainting import INPAINTING
from backend.texture.parts import PARTS
from backend.texture.surface import HeadSurface, SurfaceAtlas, TextureSpace
from backend.texture.unwrap import UNWRAPPING
from benchmarks.sensitivity.constants import constants_of_rooms
from benchmarks.sensitivity.frame import Measured, Subject
from benchmarks.sensitivity.kept import Kept
from benchmarks.sensitivity.people import fitted_person
from trainer.evaluate import held_out
from trainer.evaluate.held_out import WithoutPhoto, without_photo
from trainer.evaluate.textures import flat_figures, mean_figures, texture_figures

STAGE_SETTINGS = {
    "unwrapping": UNWRAPPING,
    "delighting": DELIGHTING,
    "blending": BLENDING,
    "inpainting": INPAINTING,
    "parts": PARTS,
    "finishing": FINISHING,
}
SHARES = (
    "delighting.symmetric_level",
    "delighting.symmetric_chroma",
    "delighting.matt_quantile",
    "delighting.gloss_most",
    "delighting.dark_grey",
    "delighting.coarse_colour",
    "blending.moved_less",
    "blending.expression_folds",
    "inpainting.known",
    "inpainting.under_jaw_grazing",
    "inpainting.aslant",
    "inpainting.lit_quantile",
    "inpainting.bristle_quantile",
    "inpainting.bristle_run",
    "parts.brow_dark_part",
    "parts.brow_density",
    "parts.iris_light",
    "parts.white_light",
    "parts.white_range",
    "parts.least_shaded",
    "parts.root_shade",
    "finishing.rim_detail",
    "finishing.mouth_front",
)
SMALLEST_CHANGE = 0.002
"""Log units, or correlation: seeds and JPEG change figures as much."""
_LIGHT = (UNWRAPPING, DELIGHTING)
_BANDS = (*_LIGHT, BLENDING)
_STAGES = {
    "openness": (),
    "surface_operators": (),
    "prepare_photos": (UNWRAPPING,),
    "estimate_tone": _LIGHT,
    "solve_base": _LIGHT,
    "multi_view_consensus": _LIGHT,
    "inpaint_skin": (*_LIGHT, INPAINTING),
    "middle_band": _BANDS,
    "fine_band": _BANDS,
    "eye_picture": (PARTS,),
}
"""Steps of ``build_albedo`` -> the settings that they read."""


@dataclass(frozen=True)
class Person:
    """A fit with one of its photos left out, and the hair fitted to the others."""

    fitted: FittedFace
    split: WithoutPhoto
    strands: HairStrands | None


def person_of(photos: Sequence[Path], most: int) -> Person:
    """Fit at most ``most`` photos and leave out the middle one."""
    one = fitted_person(photos, most, "fast")
    split = without_photo(one.fitted, one.faces, one.left_out)
    return Person(one.fitted, split, fit_hair(load_template(), split.others, split.other_faces).strands)


def subject(size: int) -> Subject:
    """All constants of the texture, measured on textures of ``size`` texels a side."""
    kept = Kept((Template, HeadSurface, TextureSpace, SurfaceAtlas, SurfaceOperators))
    kept.keep(albedo, _STAGES)
    kept.keep(held_out, {"view_surface": (UNWRAPPING,), "unwrap_photo": (UNWRAPPING,)})

    def measure(person: Person, changed: str) -> Measured:
        template, split = load_template(), person.split
        made = albedo.build_albedo(template, split.others, split.other_faces, size, person.strands)
        beside = held_out.beside_photo(template, person.fitted, split.own, split.face, made)
        found = texture_figures(beside)
        return Measured({} if found is None else flat_figures(mean_figures([found]), ""), made.albedo)

    def stop_recording() -> None:
        kept.recording = False

    return Subject(
        constants=constants_of_rooms(STAGE_SETTINGS),
        shares=SHARES,
        measure=measure,
        difference=lambda a, b: float(np.abs(a.astype(int) - b).mean()),
        unit="of 255 mean difference of textures",
        felt=SMALLEST_CHANGE,
        after_base=stop_recording,
    )

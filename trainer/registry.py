"""Map each ``kind`` in a recipe to its class. Modules are imported only when a recipe uses them."""

from __future__ import annotations

import importlib
from typing import Any

KINDS: dict[str, dict[str, str]] = {
    "stage": {
        "parsing": "trainer.stages.parsing:ParsingStageConfig",
        "lap": "trainer.stages.lap:LapStageConfig",
        "landmarks": "trainer.stages.landmarks:LandmarkStageConfig",
        "detail": "trainer.stages.detail:DetailStageConfig",
        "graph_face": "trainer.stages.graph_face:GraphFaceStageConfig",
        "graph_albedo": "trainer.stages.graph_albedo:GraphAlbedoStageConfig",
        "learned_basis": "trainer.stages.learned_basis:LearnedBasisStageConfig",
    },
    "source": {
        "drawn_faces": "trainer.data.drawn_faces:DrawnFacesConfig",
        "people": "trainer.data.people:PeopleConfig",
        "dressed_people": "trainer.data.dressed:DressedPeopleConfig",
        "stored": "trainer.data.stored:StoredConfig",
        "mixed": "trainer.data.mixed:MixedConfig",
        "people_and_portraits": "trainer.data.people_and_portraits:PeopleAndPortraitsConfig",
        "portraits": "trainer.data.portraits:PortraitsConfig",
        "landmark_people": "trainer.data.landmark_people:LandmarkPeopleConfig",
        "detail_people": "trainer.data.detail:DetailPeopleConfig",
        "detail_portraits": "trainer.data.detail.portraits:DetailPortraitsConfig",
        "graph_shapes": "trainer.data.graph:GraphShapesConfig",
        "graph_people": "trainer.data.graph:GraphPeopleConfig",
        "graph_portraits": "trainer.data.graph.portraits:GraphPortraitsConfig",
        "completed_skins": "trainer.data.graph.skins:CompletedSkinsConfig",
        "lap_people": "trainer.data.lap:LapPeopleConfig",
        "lap_portraits": "trainer.data.lap:LapPortraitsConfig",
        "face_people": "trainer.data.face_model:FacePeopleConfig",
        "face_portraits": "trainer.data.face_model:FacePortraitsConfig",
        "face_mix": "trainer.data.face_model:FaceMixConfig",
    },
}
"""Family -> kind -> ``module:class``. One line per stage and data source."""


def find_class(family: str, kind: str) -> type:
    """Return the class for a kind: one of ``KINDS[family]``, or ``module:class`` for code outside this repository.

    Raises
    ------
    ValueError : unknown kind, or its module cannot be imported here (a package is missing).
    """
    known = KINDS[family]
    target = known.get(kind, kind)
    module_name, colon, class_name = target.partition(":")
    if not colon:
        raise ValueError(f"unknown kind {kind!r}; known: {', '.join(sorted(known))}, or 'module:class'")
    try:
        return getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise ValueError(f"kind {kind!r} cannot be used here: {error}") from error
    except AttributeError as error:
        raise ValueError(f"kind {kind!r}: there is no {class_name} in {module_name}") from error


def kind_of(config: Any) -> str:
    """Return the shortest ``kind`` for the class of ``config``, the inverse of ``find_class``."""
    target = f"{type(config).__module__}:{type(config).__qualname__}"
    for kind, known_target in KINDS[config.family].items():
        if known_target == target:
            return kind
    return target

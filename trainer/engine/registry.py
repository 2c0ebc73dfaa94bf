"""Map each ``kind`` in a recipe to its class. Modules are imported only when a recipe uses them."""

from __future__ import annotations

import importlib
from typing import Any

KINDS: dict[str, dict[str, str]] = {
    "stage": {
        "parsing": "trainer.methods.parsing.stage:ParsingStageConfig",
        "lap": "trainer.methods.lap.stage:LapStageConfig",
        "landmarks": "trainer.methods.landmarks.stage:LandmarkStageConfig",
        "detail": "trainer.methods.detail.stage:DetailStageConfig",
        "graph_face": "trainer.methods.graph_face.stage:GraphFaceStageConfig",
        "graph_albedo": "trainer.methods.graph_face.albedo:GraphAlbedoStageConfig",
        "learned_basis": "trainer.methods.learned_basis.stage:LearnedBasisStageConfig",
    },
    "source": {
        "drawn_faces": "trainer.people.mixtures:DrawnFacesConfig",
        "people": "trainer.people.source:PeopleConfig",
        "dressed_people": "trainer.people.dressed:DressedPeopleConfig",
        "varied_people": "trainer.people.dressed:VariedPeopleConfig",
        "stored": "trainer.people.mixtures:StoredConfig",
        "mixed": "trainer.people.mixtures:MixedConfig",
        "people_and_portraits": "trainer.people.mixtures:PeopleAndPortraitsConfig",
        "portraits": "trainer.portraits.collection:PortraitsConfig",
        "landmark_people": "trainer.methods.landmarks.data:LandmarkPeopleConfig",
        "detail_people": "trainer.methods.detail.data:DetailPeopleConfig",
        "detail_portraits": "trainer.methods.detail.data:DetailPortraitsConfig",
        "graph_shapes": "trainer.methods.graph_face.data:GraphShapesConfig",
        "graph_people": "trainer.methods.graph_face.data:GraphPeopleConfig",
        "graph_portraits": "trainer.methods.graph_face.data:GraphPortraitsConfig",
        "completed_skins": "trainer.methods.graph_face.albedo:CompletedSkinsConfig",
        "lap_people": "trainer.methods.lap.data:LapPeopleConfig",
        "lap_portraits": "trainer.methods.lap.data:LapPortraitsConfig",
        "face_people": "trainer.methods.learned_basis.data:FacePeopleConfig",
        "face_portraits": "trainer.methods.learned_basis.data:FacePortraitsConfig",
        "face_mix": "trainer.methods.learned_basis.data:FaceMixConfig",
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

"""Every network of every recipe learns in some stage: recipes as they are, networks and pictures made small."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from basis_parts import SMALL_NET as SMALL_FACE_MODEL
from basis_parts import ReplayConfig
from drawn_faces import DrawnFacesConfig
from few_lap_sets import FewSetsConfig
from lap_parts import SMALL_NET as SMALL_LAP

from backend.models.detail import DetailConfig
from backend.models.landmarks import LandmarkNetConfig
from trainer.engine.contracts import StageConfig
from trainer.engine.recipe import RECIPES, load_recipe
from trainer.losses import PerceptualConfig
from trainer.methods.detail.stage import DetailStageConfig
from trainer.methods.graph_face import data as graph_data
from trainer.methods.graph_face.albedo import CompletedSkinsConfig, GraphAlbedoStageConfig
from trainer.methods.graph_face.data import GraphPeopleConfig
from trainer.methods.graph_face.stage import GraphFaceStageConfig
from trainer.methods.landmarks.data import LandmarkPeopleConfig
from trainer.methods.landmarks.stage import LandmarkStageConfig
from trainer.methods.lap.stage import LapStageConfig
from trainer.methods.learned_basis.stage import LearnedBasisStageConfig
from trainer.methods.parsing.stage import ParsingStageConfig
from trainer.people.mixtures import MixedConfig
from trainer.people.source import PeopleConfig

CPU = torch.device("cpu")


def small(stage: StageConfig, folder: Path) -> StageConfig:
    """The stage with what decides who learns as it is, and everything else small."""
    few = {"batch": 2, "validation": None, "select": ""}
    picture = PerceptualConfig()
    if isinstance(stage, LapStageConfig):
        sizes = {"depth_width", "albedo_width", "code", "pooled", "scene_width", "confidence_width", "confidence_code"}
        sizes |= {"size", "depth_components", "albedo_components", "refine_width"}
        network = dataclasses.replace(stage.network, **{name: getattr(SMALL_LAP, name) for name in sizes})
        few |= {"network": network, "source": FewSetsConfig(), "perceptual": picture, "basis_people": 2}
    elif isinstance(stage, LearnedBasisStageConfig):
        kept = {name: getattr(stage.network, name) for name in ("orthogonal", "light")}
        few |= {"network": dataclasses.replace(SMALL_FACE_MODEL, **kept), "source": ReplayConfig()}
        few |= {"perceptual": picture, "start": "people", "start_shapes": 8, "start_people": 0, "refit_identity": False}
    elif isinstance(stage, LandmarkStageConfig):
        people = PeopleConfig(size=64, framing="roomy", film=False)
        network = LandmarkNetConfig(
            widths=(8, 12, 16, 24, 32), depths=(1, 1, 1, 1), size=48, hidden=32, squeeze=8, embedding=8, rounds=1
        )
        few |= {"network": network, "source": LandmarkPeopleConfig(people=people, count=2, folder=str(folder))}
    elif isinstance(stage, DetailStageConfig):
        network = DetailConfig(size=64, coarse=16, widths=(8, 8, 8, 8), patterns=4, regions=4, expression_width=8)
        people = getattr(stage.source, "sources", (stage.source,))[0]  # portraits want photographs, no other layers
        source = dataclasses.replace(people, size=64, coarse=16, photos=2, seed=4, picture=min(48, people.picture))
        critic = None if stage.critic is None else dataclasses.replace(stage.critic, widths=(8, 8))
        few |= {"network": network, "source": source, "critic": critic}
    elif isinstance(stage, GraphAlbedoStageConfig):
        source = CompletedSkinsConfig(size=32, texture=256, picture=128, people=1, photos=1, folder=str(folder))
        few |= {"network": dataclasses.replace(stage.network, size=32, widths=(4, 4, 8)), "source": source}
    elif isinstance(stage, GraphFaceStageConfig):
        levels = len(stage.network.widths)
        network = dataclasses.replace(
            stage.network,
            size=32,
            identity=8,
            expression=6,
            order=2,
            widths=(8, 8, 6, 4, 4)[:levels],
            albedo_widths=(6, 6, 4, 4, 4)[:levels],
            feature=16,
            landmarks=min(4, stage.network.landmarks),
            trunk_width=4,
        )
        source = stage.source
        if isinstance(source, GraphPeopleConfig | MixedConfig):
            source = GraphPeopleConfig(size=32, people=2, photos=2, folder=str(folder))
        few |= {"network": network, "source": source, "people": min(2, stage.people)}
        few |= {"basis_people": min(20, stage.basis_people)}
    elif isinstance(stage, ParsingStageConfig):
        changes = {"size": 64}
        if stage.network.trunk == "separable":
            changes |= {"widths": (8, 8, 8, 8, 8), "depths": (1, 1, 1, 1, 1)}
        network = dataclasses.replace(stage.network, **changes)
        few |= {"network": network, "source": DrawnFacesConfig(size=64), "teachers": ()}
    return dataclasses.replace(stage, **few)


ALL = {repr([small(one, Path()) for one in load_recipe(path).stages]): path for path in sorted(RECIPES.rglob("*.toml"))}
"""Of recipes that are the same when they are small, one."""
WITHOUT_REFINING = "lap_cpu_paper"
"""Its one stage aggregates photos; the refiners have a stage of their own."""


def wake(modules: torch.nn.Module) -> None:
    """Layers that begin at zero hide what lies before them, but only in the first step."""
    with torch.no_grad():
        for name, parameter in modules.named_parameters():
            if name.endswith("weight") and not parameter.any():
                parameter.normal_(std=0.01)


def fixed_basis(config: StageConfig, name: str) -> bool:
    """A linear basis that a recipe leaves as it was made is no network."""
    return isinstance(config, GraphFaceStageConfig) and name.endswith("net.basis")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("path", ALL.values(), ids=lambda path: str(path.relative_to(RECIPES)))
def test_every_network_gets_a_gradient_in_some_stage(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_data, "SHAPE_PEOPLE", 60)  # all 3,000 take seconds
    learned: dict[str, bool] = {}
    for config in load_recipe(path).stages:
        torch.manual_seed(0)
        config = small(config, tmp_path)
        stage = config.build(CPU)
        stage.modules.train()
        wake(stage.modules)
        batch = config.source.build().batch(range(2), CPU)
        for turn in stage.turns():
            terms = turn.step(batch, 0.5)
            sum(getattr(turn.weights, name) * value for name, value in terms.items()).backward()
            moving = {id(p) for group in turn.groups if group.rate(0.5) > 0 for p in group.parameters}
            for name, parameter in stage.modules.named_parameters():
                if fixed_basis(config, name) or (path.stem == WITHOUT_REFINING and "_refiner." in name):
                    continue
                network = ".".join(name.split(".")[:2])
                pulled = id(parameter) in moving and parameter.grad is not None and bool(parameter.grad.any())
                learned[network] = learned.get(network, False) or pulled
    assert learned
    assert not {network for network, moved in learned.items() if not moved}

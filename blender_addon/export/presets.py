"""Export settings for each target program."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ExportPreset:
    """Settings for one target.

    Attributes
    ----------
    name, label, description : of the choice.
    exporter : ``fbx``, ``gltf`` or ``usd``; ``alembic`` for strands alone.
    suffix : of the file.
    subdivision : Catmull-Clark steps of the meshes, keys included.
    units : of the file's coordinates, per metre.
    one_mesh : whether all parts become one mesh with one material.
    skeleton : default for exporting bones.
    settings : arguments of the exporter, by its own names.
    advice : what to set in the program, one sentence a line.
    """

    name: str
    label: str
    description: str
    exporter: str
    suffix: str
    subdivision: int = 1
    units: float = 1.0
    one_mesh: bool = False
    skeleton: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    advice: tuple[str, ...] = ()


_FBX: Mapping[str, Any] = {
    "use_selection": True,
    "object_types": {"EMPTY", "MESH", "ARMATURE"},
    "use_armature_deform_only": False,
    "use_mesh_modifiers": False,  # applying modifiers would remove the keys
    "mesh_smooth_type": "FACE",
    "add_leaf_bones": False,
    "bake_anim_use_all_actions": False,
    "bake_anim_use_nla_strips": False,
    "bake_anim_simplify_factor": 0.0,
    "path_mode": "COPY",
    "embed_textures": True,
}
_GLTF: Mapping[str, Any] = {
    "use_selection": True,
    "export_format": "GLB",
    "export_apply": False,  # as above
    "export_morph": True,
    "export_morph_normal": True,
    "export_tangents": True,  # normal maps need them
    "export_skins": True,
    "export_def_bones": False,  # jaw and eye bones move no vertex
    "export_animation_mode": "ACTIVE_ACTIONS",  # the keys of all parts in one animation
    "export_cameras": False,
    "export_lights": False,
}

ANIMATED: Mapping[str, str] = {"fbx": "bake_anim", "gltf": "export_animations", "usd": "export_animation"}
"""Each exporter's switch for animation."""

PRESETS: tuple[ExportPreset, ...] = (
    ExportPreset(
        "UNREAL",
        "Unreal (FBX)",
        "Centimetres, ARKit's 52 names as morph targets, a skeleton, animation of keys and bones",
        "fbx",
        ".fbx",
        units=100.0,
        skeleton=True,
        settings={**_FBX, "global_scale": 0.01, "apply_scale_options": "FBX_SCALE_NONE"},
        advice=(
            "Import: Skeletal Mesh and Import Morph Targets on; Normal Import Method: Import Normals.",
            "Normal maps: switch on Flip Green Channel, because they are OpenGL's.",
            "Materials lashes and hair: Blend Mode Masked, Two Sided; the texture's alpha to Opacity Mask.",
            "Materials cornea and tears: Blend Mode Translucent, opacity 0.12, roughness 0.03, refraction 1.376.",
            "Skin: the roughness map is linear (sRGB off); Shading Model Subsurface Profile; metallic 0.",
            "Eyes: Clear Coat 1, roughness 0.02, for the tear film.",
            "Live Link Face drives the 52 morph targets by their names.",
        ),
    ),
    ExportPreset(
        "UNITY",
        "Unity (FBX)",
        "Metres, ARKit's 52 names as blend shapes, a skeleton, animation of keys and bones",
        "fbx",
        ".fbx",
        skeleton=True,
        settings={**_FBX, "apply_scale_options": "FBX_SCALE_ALL"},
        advice=(
            "Model: Import BlendShapes on; Blend Shape Normals: Import; Scale Factor 1.",
            "Materials: Extract Textures and Extract Materials first; then they can be changed.",
            "Normal maps: Texture Type Normal map; no flipping, because Unity is like OpenGL.",
            "Materials lashes and hair: Surface Transparent with Alpha Clipping (Cutout), Render Face Both.",
            "Materials cornea and tears: Surface Transparent, alpha 0.12, smoothness 0.97.",
            "Skin: smoothness is 1 minus the roughness map, which is linear (sRGB off); metallic 0.",
            "Eyes: a Clear Coat of 1, or smoothness 0.9, for the tear film.",
            "ARKit Face Actor and other receivers of face capture find the 52 blend shapes by their names.",
        ),
    ),
    ExportPreset(
        "GLTF",
        "glTF (GLB)",
        "One file with textures; teeth, tongue, eyes and lashes move with the head's keys",
        "gltf",
        ".glb",
        skeleton=True,
        settings=_GLTF,
    ),
    ExportPreset(
        "GAME",
        "Game Head (GLB)",
        "One mesh with one material and all 52 keys, not subdivided; without lashes and hair",
        "gltf",
        ".glb",
        subdivision=0,
        one_mesh=True,
        skeleton=True,
        settings=_GLTF,
    ),
)

USD = ExportPreset(
    "USD",
    "USD (USDC)",
    "The strands as curves, keys as blend shapes, a skeleton; pictures in a folder beside",
    "usd",
    ".usdc",
    skeleton=True,
    settings={
        "selected_objects_only": True,
        "export_shapekeys": True,
        "export_armatures": True,
        "export_curves": True,
        "evaluation_mode": "VIEWPORT",  # a render's would grow the scene's hairs again for every frame
        "overwrite_textures": True,
        "export_textures_mode": "NEW",
    },
)
STRANDS = ExportPreset(
    "STRANDS",
    "Strands (Alembic)",
    "The hair's strands as curves with their widths, as many as a render has; for grooms in Unreal, Houdini or Maya",
    "alembic",
    ".abc",
    settings={"flatten": True, "evaluation_mode": "RENDER", "apply_subdiv": True, "as_background_job": False},
)
BY_NAME: Mapping[str, ExportPreset] = {preset.name: preset for preset in (*PRESETS, USD, STRANDS)}

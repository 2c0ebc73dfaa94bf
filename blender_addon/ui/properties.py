"""The photo list and the settings of a scene, kept in the .blend file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..protocol.names import AUTO_HAIR_STYLE, EVEN_AVERAGE, NO_SYMMETRY
from ..scene import corrections, tags
from ..scene.hair import move_hair

QUALITIES = (
    ("fast", "Fast", "Landmarks only: a rough head within seconds"),
    ("standard", "Standard", "Landmarks, then comparison of the pictures"),
    ("best", "Best", "Most accurate; takes several times as long"),
)
TEXTURE_SIZES = (
    ("1024", "1 k", "Albedo of 1024 by 1024 pixels"),
    ("2048", "2 k", "Albedo of 2048 by 2048 pixels"),
    ("4096", "4 k", "Albedo of 4096 by 4096 pixels"),
)
HAIRS = (
    ("curves", "Strands", "Hair curves on the head: to groom, and to render as hairs"),
    ("cards", "Cards", "At most 12,000 triangles with a picture of hair: for games and for export"),
    ("none", "None", "No hair"),
)
HAIR_STYLES = (
    (
        "auto",
        "By the Photos",
        "As the photos show it; curls must be chosen",
    ),
    ("shaved", "Bald or Shaved", "No hair, and a bare scalp"),
    ("balding", "Balding", "A bare top and a ring of hair"),
    ("buzz", "Buzz Cut", ""),
    ("crew", "Crew Cut", ""),
    ("side part", "Side Part", ""),
    ("slicked back", "Slicked Back", ""),
    ("quiff", "Quiff", ""),
    ("forward crop", "Forward Crop", ""),
    ("messy", "Messy", ""),
    ("mop", "Mop", ""),
    ("pixie", "Pixie", ""),
    ("bob", "Bob", ""),
    ("long straight", "Long and Straight", ""),
    ("long wavy", "Long and Wavy", ""),
    ("long behind the ears", "Long, Behind the Ears", ""),
    ("tied back", "Tied Back", ""),
    ("afro short", "Short Afro", ""),
    ("afro", "Afro", ""),
    ("curls", "Curls", ""),
    ("long curls", "Long Curls", ""),
    ("locs", "Locs", ""),
)
FACE_MODELS = (
    ("linear", "Linear", "Linear face model; the most accurate"),
    ("graph", "Graph", "Face model of the graph network; linear if the backend does not have it"),
)
PLACES = (
    ("BESIDE", "Beside", "A new head stands beside what the scene shows"),
    ("CURSOR", "3D Cursor", "A new head's origin, the middle of its neck, is where the 3D cursor is when it arrives"),
)
STATUSES = (
    ("NEW", "New", "Not used in a reconstruction yet"),
    ("USED", "Used", "Took part in the last reconstruction"),
    ("LEFT_OUT", "Left out", "Was left out of the last reconstruction"),
)


USES = (
    ("both", "Shape and Texture", "The head's shape and its texture"),
    ("shape", "Shape", "The head's shape, not its texture"),
    ("texture", "Texture", "The head's texture, not its shape"),
    ("neither", "Neither", "Leave the photo out"),
)


def _one_star(photo: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    """Take the star from the list's other photos."""
    if photo.leads:
        for other in photo.id_data.likeness.photos:
            if other != photo and other.leads:
                other.leads = False


class LikenessPhoto(bpy.types.PropertyGroup):
    """A photo of the list. ``name`` is shown and, made unique, is the photo's label in the job."""

    path: StringProperty(name="File", subtype="FILE_PATH")
    use: EnumProperty(name="Use For", description="What this photo may be used for", items=USES, default="both")
    leads: BoolProperty(
        name="Look",
        description="The head gets this photo's hair and beard, and those of the photos that show the same. Without a "
        "star, it gets those that most photos show",
        update=_one_star,
    )
    head: StringProperty(name="Head", description="Id of the head that was solved from it last")
    status: EnumProperty(name="Status", items=STATUSES, default="NEW")
    reason: StringProperty(name="Reason", description="Why it was left out, or a remark")
    landmark_error: FloatProperty(
        name="Landmark error", description="In per cent of the distance of the eyes' outer corners", default=-1.0
    )


def _symmetry() -> object:
    return FloatProperty(
        name="Symmetry",
        description="How much of the shape's asymmetry is taken out: 0 leaves what the photos show, 1 makes both sides "
        "alike",
        default=NO_SYMMETRY,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )


def _average() -> object:
    return FloatProperty(
        name="Average",
        description="How near the shape stays to the average face: more where photos are poor, less where features are "
        "unusual",
        default=EVEN_AVERAGE,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
    )


def _hair_style() -> object:
    return EnumProperty(
        name="Hairstyle",
        description="Style of the hair; the photos then decide its length, direction and volume. Solve Again gives "
        "a head another style",
        items=HAIR_STYLES,
        default=AUTO_HAIR_STYLE,
    )


class LikenessHead(bpy.types.PropertyGroup):
    """Settings stored on a head's collection for the next solve, and those of the last one."""

    symmetry: _symmetry()
    average: _average()
    hair_style: _hair_style()
    reach: FloatProperty(
        name="Reach",
        description="How far from a dragged landmark Pull moves the skin",
        default=0.03,
        min=0.005,
        max=0.2,
        subtype="DISTANCE",
        unit="LENGTH",
    )
    look: StringProperty(name="Look", description="The photo whose hair and beard the head gets; empty: chosen")
    solved_symmetry: FloatProperty(default=NO_SYMMETRY, options={"HIDDEN"})
    solved_average: FloatProperty(default=EVEN_AVERAGE, options={"HIDDEN"})

    @property
    def changed(self) -> bool:
        """Whether the sliders differ from the values that the head was solved with."""
        return (self.symmetry, self.average) != (self.solved_symmetry, self.solved_average)

    def remember(self, settings: Mapping[str, Any], new: bool) -> None:
        """Store how the head was solved, from the report's settings; for a ``new`` head, also set the sliders."""
        solved = [settings.get(name) for name in ("symmetry", "average")]
        symmetry, average = (
            float(value) if isinstance(value, int | float) else default
            for value, default in zip(solved, (NO_SYMMETRY, EVEN_AVERAGE), strict=True)
        )
        self.solved_symmetry, self.solved_average = symmetry, average
        look = settings.get("look")
        if isinstance(look, str) and look:
            self.look = look
        if new:
            self.symmetry, self.average = symmetry, average
            style = settings.get("hair_style")
            self.hair_style = style if style in {name for name, *_ in HAIR_STYLES} else AUTO_HAIR_STYLE


SHAPE_SLIDERS = {
    "nose_width": "Nose Width",
    "nose_length": "Nose Length",
    "nose_hump": "Nose Hump",
    "jaw": "Jaw Width",
    "chin_height": "Chin Height",
    "chin_forward": "Chin Forward",
    "lips": "Lips",
    "mouth_width": "Mouth Width",
    "brows": "Brows",
    "eyes": "Eyes",
    "ears": "Ears",
    "age": "Age",
    "weight": "Weight",
}
"""Slider of a head's shape -> its label; ``scene/shape_sliders.npz`` has what they move."""


def _slide(wished: LikenessHead, context: bpy.types.Context) -> None:
    collection = wished.id_data
    corrections.slide_shape(collection, {name: getattr(wished, name) for name in SHAPE_SLIDERS})
    head = tags.part_object(collection, "head")
    if head is not None:
        move_hair(collection, head)


for _name, _label in SHAPE_SLIDERS.items():
    LikenessHead.__annotations__[_name] = FloatProperty(
        name=_label,
        description="MakeHuman's own mode, added to the shape from the photos; solving again keeps it",
        min=-1.0,
        max=1.0,
        subtype="FACTOR",
        update=_slide,
    )


class LikenessSettings(bpy.types.PropertyGroup):
    """Settings of a scene for the next reconstruction."""

    photos: CollectionProperty(type=LikenessPhoto)
    active_photo: IntProperty(name="Active photo", default=0)
    person_name: StringProperty(
        name="Name",
        description="Name of the person: the head, its collection and its cameras get it; may stay empty",
        maxlen=64,
    )
    quality: EnumProperty(name="Quality", description="How much time to spend", items=QUALITIES, default="standard")
    texture_size: EnumProperty(
        name="Texture", description="Size of the head's texture", items=TEXTURE_SIZES, default="2048"
    )
    bust: BoolProperty(name="Bust", description="Neck and shoulders below the head, down to a level edge", default=True)
    hair: EnumProperty(name="Hair", description="Form in which hair is made", items=HAIRS, default="curves")
    hair_style: _hair_style()
    face_model: EnumProperty(
        name="Face Model", description="Model of the head's shape", items=FACE_MODELS, default="linear"
    )
    symmetry: _symmetry()
    average: _average()
    place: EnumProperty(name="Place", description="Where a new head arrives", items=PLACES, default="BESIDE")
    show_preview: BoolProperty(
        name="Live Preview", description="Show the head in a corner of the view while it is made", default=True
    )


def settings_of(scene: bpy.types.Scene) -> LikenessSettings:
    """The settings of a scene."""
    return scene.likeness


CLASSES = (LikenessPhoto, LikenessHead, LikenessSettings)

"""The photo list and the settings of a scene, kept in the .blend file."""

from collections.abc import Callable, Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import redraw
from ..objects import tags
from ..scene import corrections
from ..scene.hair import move_hair, shape_hair, show_guides_alone, show_hairs
from ..scene.materials import put_tone
from ..session import session
from ..shared.options import OPTIONS, TEXTURE_REGIONS, HeadOptions

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


def option_property(name: str, **more: Any) -> object:
    """The property of a head's option, as ``shared.options`` declares it, with ``more`` arguments."""
    option = OPTIONS[name]
    words = {"name": option.label, "description": option.doc[:1].upper() + option.doc[1:], **more}
    if option.values:
        items = [(str(value.name), value.label, value.doc) for value in option.values if not value.for_files]
        return EnumProperty(**words, items=items, default=str(option.default))
    if option.span is not None:
        low, high = option.span
        return FloatProperty(**{"subtype": "FACTOR", **words}, default=option.default, min=low, max=high)
    return StringProperty(**words) if option.default == "" else BoolProperty(**words, default=option.default)


def options_of(settings: bpy.types.PropertyGroup, head: bpy.types.PropertyGroup | None = None) -> HeadOptions:
    """The options by a scene's settings, or by a head's own where it has them."""
    chosen = {}
    for name, option in OPTIONS.items():
        owner = head if head is not None and hasattr(head, name) else settings
        if hasattr(owner, name):
            chosen[name] = type(option.default)(getattr(owner, name))
    return HeadOptions(**chosen)


HAIR_STYLE = option_property("hair_style")
_MARKED = (corrections.BRUSH, "What the Brush Marked", "What has weight in the head's vertex group of the brush")
TEXTURE_REGION = EnumProperty(
    name="Region",
    description="Part of the texture that one photo or the other side paints. The front of the neck and the bust take "
    "the colours above them, and the mouth's inside has its own",
    items=[*((one, one.title(), "") for one in TEXTURE_REGIONS), _MARKED],
)
TEXTURE_OPTIONS = ("make_up", "delighting", "mirror")
"""Options of a head that change its texture alone."""


def _paint(wished: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    session().ask("texture", wished.id_data)


def _part(wished: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    session().ask("hair", wished.id_data)


def _wear(wished: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    for obj in tags.worn_glasses(wished.id_data):
        obj.hide_viewport = obj.hide_render = not wished.glasses_on


def _tone(wished: bpy.types.PropertyGroup, context: bpy.types.Context) -> None:
    put_tone(wished.id_data, wished.skin_tone, wished.redness)


class LikenessHead(bpy.types.PropertyGroup):
    """Settings stored on a head's collection for the next solve, and those of the last one."""

    parting: option_property("parting", update=_part)
    parting_place: option_property("parting_place", subtype="DISTANCE", unit="LENGTH", update=_part)
    glasses_on: BoolProperty(name="Glasses", description="The head wears its glasses", default=True, update=_wear)
    make_up: option_property("make_up", update=_paint)
    delighting: option_property("delighting", update=_paint)
    texture_region: TEXTURE_REGION
    reach: option_property("reach", subtype="DISTANCE", unit="LENGTH")
    solved_symmetry: FloatProperty(default=OPTIONS["symmetry"].default, options={"HIDDEN"})
    solved_average: FloatProperty(default=OPTIONS["average"].default, options={"HIDDEN"})

    @property
    def changed(self) -> bool:
        """Whether the sliders differ from the values that the head was solved with."""
        return (self.symmetry, self.average) != (self.solved_symmetry, self.solved_average)

    def put_on(self, style: str) -> None:
        """Choose the hairstyle of the next growth."""
        self.hair_style = style

    def remember(self, settings: Mapping[str, Any], new: bool) -> None:
        """Store how the head was solved, from the report's settings; for a ``new`` head, also set the sliders."""
        for name in ("symmetry", "average"):
            if name in settings:
                setattr(self, f"solved_{name}", OPTIONS[name].valid_or_default(settings[name]))
        look = settings.get("look")
        if isinstance(look, str) and look:
            self.look = look
        if new:
            for name in (*TEXTURE_OPTIONS, "symmetry", "average", "hair_style", "parting", "parting_place"):
                setattr(self, name, OPTIONS[name].valid_or_default(settings.get(name)))


for _name in ("symmetry", "average", "hair_style", "look", "mirror"):
    LikenessHead.__annotations__[_name] = option_property(_name)


class LikenessSliders(bpy.types.PropertyGroup):
    """Those options of the active head that the backend obeys at once, as the panel draws them. They are the window
    manager's, because Blender pushes a step of undo for any other slider: theirs comes with what the backend makes."""


def _slider(name: str, **more: Any) -> object:
    """A property that is the active head's option ``name``."""
    names = OPTIONS[name].names

    def get(_: bpy.types.PropertyGroup) -> Any:
        head = tags.active_head(bpy.context)
        value = OPTIONS[name].default if head is None else getattr(head.likeness, name)
        return names.index(value) if names else value

    def put(_: bpy.types.PropertyGroup, value: Any) -> None:
        head = tags.active_head(bpy.context)
        if head is not None:
            setattr(head.likeness, name, names[value] if names else value)
            if not session().runner.connected:
                redraw.push_undo_soon("Change Head")

    return option_property(name, get=get, set=put, **more)


LikenessSliders.__annotations__ |= {name: _slider(name) for name in ("make_up", "delighting", "parting")}
LikenessSliders.__annotations__["parting_place"] = _slider("parting_place", subtype="DISTANCE", unit="LENGTH")

_SHAPES = (
    *("nose_width", "nose_length", "nose_hump", "jaw", "chin_height", "chin_forward"),
    *("lips", "mouth_width", "brows", "eyes", "ears", "age", "weight"),
)
SKIN_SLIDERS = {
    "skin_tone": "Skin, neck and bust darker or fairer, in steps that look equal; 0 is as the photos show it",
    "redness": "Skin redder or paler at the same lightness; 1 is a standard deviation of people",
}
"""Slider of a head's skin -> what it does."""


def _add_sliders(descriptions: Mapping[str, tuple[str, str]], update: Callable, **limits: float) -> None:
    """Give heads sliders of these labels and descriptions by name, from -1 to 1 unless ``limits`` says otherwise."""
    for name, (label, description) in descriptions.items():
        words = {"name": label, "description": description, "subtype": "FACTOR", "update": update}
        LikenessHead.__annotations__[name] = FloatProperty(**words, **{"min": -1.0, "max": 1.0, **limits})


_add_sliders({name: (name.replace("_", " ").title(), doc) for name, doc in SKIN_SLIDERS.items()}, _tone)

SHAPE_SLIDERS = {name: name.replace("_", " ").title() for name in _SHAPES} | {"jaw": "Jaw Width"}
"""Slider of a head's shape -> its label; ``scene/shape_sliders.npz`` has what they move."""


def _slide(wished: LikenessHead, context: bpy.types.Context) -> None:
    collection = wished.id_data
    corrections.slide_shape(collection, {name: getattr(wished, name) for name in SHAPE_SLIDERS})
    head = tags.part_object(collection, "head")
    if head is not None:
        move_hair(collection, head)
    _moving(collection)


def _moving(collection: bpy.types.Collection) -> None:
    if redraw.once_quiet("hairs", show_hairs):
        show_guides_alone(collection)


_MODE = "MakeHuman's own mode, added to the shape from the photos; solving again keeps it"
_add_sliders({name: (label, _MODE) for name, label in SHAPE_SLIDERS.items()}, _slide)
HAIR_SLIDERS = {"hair_length": "Length", "fringe": "Fringe", "volume": "Volume"}
"""Slider of a head's strands -> its label."""


def _comb(wished: LikenessHead, context: bpy.types.Context) -> None:
    shape_hair(wished.id_data, {name: getattr(wished, name) for name in HAIR_SLIDERS})
    _moving(wished.id_data)


_RELATIVE = "Relative to the hair that the photos gave; groomed hair stays as it is"
_add_sliders({name: (label, _RELATIVE) for name, label in HAIR_SLIDERS.items()}, _comb, default=1.0, min=0.1, max=2.0)


class LikenessSettings(bpy.types.PropertyGroup):
    """Settings of a scene for the next reconstruction."""

    photos: CollectionProperty(type=LikenessPhoto)
    active_photo: IntProperty(name="Active photo")
    person_name: StringProperty(
        name="Name",
        description="Name of the person: the head, its collection and its cameras get it; may stay empty",
        maxlen=64,
    )
    place: EnumProperty(name="Place", description="Where a new head arrives", items=PLACES, default="BESIDE")


RARER_OPTIONS = (
    *("texture_size", "hair", "hair_style", "facial_hair", "glasses", "bust"),
    *("face_model", "symmetry", "average"),
)
"""Options that are chosen less often, from top to bottom."""
for _name in ("quality", *RARER_OPTIONS):
    LikenessSettings.__annotations__[_name] = option_property(_name)

"""The options of a head, each declared once: name, type, values or range, default, and what it is.

Command line, manifests, messages and Blender's panels are made from them. A new option is a field here, the stage that
uses it, its line in Blender's panel, and its line in the documentation.
"""

from dataclasses import dataclass, field, fields
from typing import Any

LONGEST_TEXT = 255
"""Characters of an option that is text: the name of a photo."""

ONLY = ("", "geometry", "hair", "texture")
"""What a job makes: "" a whole head, "geometry" its shape alone; the others, anew, of the head of an earlier job."""
REMADE = ONLY[2:]
"""Those made anew for an earlier head, without photos."""
_SIDES = ("left", "right")
TEXTURE_REGIONS = (
    *("forehead", "nose", "mouth", "chin", "neck", "scalp"),
    *(f"{side} {part}" for part in ("eye", "cheek", "ear") for side in _SIDES),
    *_SIDES,
)
"""Regions of the texture for which an artist can choose the photo or, for those with a side, the mirror image. The last
two are whole halves; left and right are the person's."""


def named_regions(text: str) -> tuple[str, ...]:
    """The regions in a text of names separated by commas, such as "left eye, right"."""
    return tuple(filter(None, (one.strip() for one in text.split(","))))


@dataclass(frozen=True)
class Value:
    """One value of an option, its ``label`` in a menu, and what it means. ``for_files`` : not offered in Blender, where
    it is made only when a head is exported."""

    name: str | int
    label: str
    doc: str = ""
    for_files: bool = False


@dataclass(frozen=True)
class Option:
    """An option of a head.

    Attributes
    ----------
    label : its name in a panel. doc : what it is, without a full stop; of an option that is on by default, what the
        head does without when it is off.
    values : all it can be; empty for numbers, texts, and yes or no. span : least and greatest number.
    word : its name on the command line and in manifests.
    """

    name: str
    default: Any
    label: str
    doc: str
    values: tuple[Value, ...] = ()
    span: tuple[float, float] | None = None
    word: str = ""

    @property
    def names(self) -> tuple[str | int, ...]:
        """The names of its values."""
        return tuple(value.name for value in self.values)

    def problem(self, value: Any) -> str:
        """What is wrong with a value, a sentence; empty if nothing is."""
        if self.values and value not in self.names:
            return f"Unknown {self.label.lower()} {value!r}: use one of {', '.join(map(str, self.names))}."
        if self.span is not None and not self.span[0] <= value <= self.span[1]:
            return f"The {self.label.lower()} {value!r} is not from {self.span[0]:g} to {self.span[1]:g}."
        return ""

    def valid_or_default(self, value: Any) -> Any:
        """The value if it is one of this option, else the default."""
        number = isinstance(value, int | float) and isinstance(self.default, int | float)
        fits = (number or isinstance(value, type(self.default))) and not self.problem(value)
        return type(self.default)(value) if fits else self.default


def _option(default: Any, label: str, doc: str, *values: Value, **more: Any) -> Any:
    return field(default=default, metadata={"label": label, "doc": doc, "values": values, **more})


@dataclass(frozen=True)
class HeadOptions:
    """Options of one head (``OPTIONS`` says what each is)."""

    quality: str = _option(
        "standard",
        "Quality",
        "How much time to spend",
        Value("fast", "Fast", "Landmarks only: a rough head within seconds"),
        Value("standard", "Standard", "Landmarks, then comparison of the pictures"),
        Value("best", "Best", "Most accurate; takes several times as long"),
    )
    texture_size: int = _option(
        2048,
        "Texture",
        "Side of the head's texture in pixels",
        Value(1024, "1 k", "Albedo of 1024 by 1024 pixels"),
        Value(2048, "2 k", "Albedo of 2048 by 2048 pixels"),
        Value(4096, "4 k", "Albedo of 4096 by 4096 pixels"),
        word="texture",
    )
    hair: str = _option(
        "curves",
        "Hair",
        "Form in which hair is made; the scalp is shaded where it grows in any case",
        Value("curves", "Strands", "Hair curves on the head: to groom, and to render as hairs"),
        Value("cards", "Cards", "At most 12,000 triangles with a picture of hair: for games and for export", True),
        Value("none", "None", "No hair"),
    )
    hair_style: str = _option(
        "auto",
        "Hairstyle",
        "Style of the hair, at least as long as in its picture; the photos decide volume and hairline",
        Value("auto", "By the Photos", "The style that explains them best"),
        Value("shaved", "Bald or Shaved", "No hair, and a bare scalp"),
        Value("balding", "Balding", "A bare top and a ring of hair"),
        Value("buzz", "Buzz Cut"),
        Value("crew", "Crew Cut"),
        Value("taper", "Taper, Swept Aside"),
        Value("caesar", "Short, Combed Forward"),
        Value("undercut", "Undercut, Brushed Back"),
        Value("coils", "Coily Crop"),
        Value("curly crop", "Short Curls"),
        Value("textured", "Textured Crop"),
        Value("quiff", "Quiff"),
        Value("side part", "Side Parting, Short"),
        Value("receding", "Receding, Short"),
        Value("thinning", "Thin on Top, Short"),
        Value("child", "Soft, for a Child"),
        Value("mop", "Textured Mop"),
        Value("shag", "Tousled, over the Ears"),
        Value("feathered", "Feathered, with Volume"),
        Value("curtains", "Curtains"),
        Value("slicked", "Slicked Back"),
        Value("swept", "Swept Back, with Volume"),
        Value("ear curls", "Curls over the Ears"),
        Value("pixie", "Pixie"),
        Value("bob", "Bob"),
        Value("wavy bob", "Bob with Waves"),
        Value("fringe bob", "Bob with a Fringe"),
        Value("blown back", "Blown Back, to the Chin"),
        Value("curls", "Curls to the Chin"),
        Value("mid curls", "Curls to the Shoulders"),
        Value("lob", "Long Bob"),
        Value("swept long", "Swept Back, to the Shoulders"),
        Value("side fringe", "Layered, with a Side Fringe"),
        Value("fringe", "Long with a Fringe"),
        Value("long side", "Long, Parted Aside"),
        Value("layered", "Layered, to the Shoulders"),
        Value("long straight", "Long and Straight"),
        Value("tucked", "Long, behind the Ears"),
        Value("long wavy", "Long and Wavy"),
        Value("long curly", "Long and Curly"),
        Value("afro", "Afro"),
        Value("ponytail", "Ponytail"),
        Value("low ponytail", "Low Ponytail"),
        Value("low bun", "Low Bun"),
        Value("high bun", "High Bun"),
        Value("braid", "Braid"),
    )
    parting: str = _option(
        "auto",
        "Parting",
        "Where hair on top is parted",
        Value("auto", "By the Photos", "As the photos or the hairstyle have it"),
        Value("left", "Left", "On the person's left"),
        Value("middle", "Middle"),
        Value("right", "Right", "On the person's right"),
        Value("none", "None", "Combed backwards"),
    )
    parting_place: float = _option(
        0.035,
        "Parting's Place",
        "Distance of a parting on the left or right from the middle, in metres",
        span=(0.01, 0.06),
    )
    look: str = _option(
        "",
        "Look",
        "Name of the photo whose hair and beard the head gets, with the photos that show the same; empty: those that "
        "most photos show",
    )
    facial_hair: bool = _option(
        True,
        "Beard Strands",
        "beard and moustache as strands where photos show more than stubble; else the texture alone shows them",
    )
    bust: bool = _option(True, "Bust", "neck and shoulders below the head, down to a level edge")
    glasses: str = _option(
        "auto",
        "Glasses",
        "Whether the head gets glasses",
        Value("auto", "By the Photos", "Where most photos of the look show them"),
        Value("off", "Off", "No glasses"),
    )
    face_model: str = _option(
        "linear",
        "Face Model",
        "Model of the head's shape",
        Value("linear", "Linear", "Linear face model; the most accurate"),
        Value("graph", "Graph", "Face model of the graph network; linear if the backend does not have it"),
    )
    symmetry: float = _option(
        0.0,
        "Symmetry",
        "How much of the shape's asymmetry is taken out: 0 leaves what the photos show, 1 makes both sides alike",
        span=(0.0, 1.0),
    )
    average: float = _option(
        0.5,
        "Average",
        "How near the shape stays to the average face, 0.5 is usual: more where photos are poor, less where features "
        "are unusual",
        span=(0.0, 1.0),
    )
    reach: float = _option(
        0.03, "Reach", "How far from a dragged landmark the skin moves, in metres", span=(0.005, 0.2)
    )
    make_up: float = _option(
        0.0,
        "Make-Up Off",
        "How much of the make-up on lids, lips and cheeks is taken off the texture: 1 gives the skin that usually goes "
        "with this person's",
        span=(0.0, 1.0),
    )
    delighting: float = _option(
        1.0,
        "Delighting",
        "How much of the photos' light is taken off the texture: 0 leaves their shade in it",
        span=(0.0, 1.0),
    )
    mirror: str = _option(
        "",
        "Mirrored",
        "Regions of the texture that are filled from the other side, separated by commas: left, right, or either with "
        "eye, cheek or ear",
    )
    landmark_net: bool = _option(True, "Landmark Net", "our net's points; the fit then takes the detector's landmarks")
    lap: bool = _option(True, "LAP", "the canonical face that the networks of LAP give")
    learned_basis: bool = _option(
        True, "Learned Face Model", "the learned face model's encoder; the fit then starts cold"
    )
    detail: bool = _option(True, "Relief", "wrinkles and pores")
    personalise: bool = _option(
        False,
        "Personalise",
        "Tune the learned face model to these photos first (seconds; kept where a held-out photo gains)",
    )

    def problem(self) -> str:
        """What is wrong with the options, a sentence; empty if nothing is."""
        if self.personalise and self.face_model != "linear":
            return "Only the linear face model is personalised: leave out one of the two."
        sided = [one for one in TEXTURE_REGIONS if one.startswith(_SIDES)]
        unknown = [one for one in named_regions(self.mirror) if one not in sided]
        if unknown:
            return f"{unknown[0]!r} cannot be filled from the other side: use {', '.join(sided)}."
        return next(filter(None, (one.problem(getattr(self, one.name)) for one in OPTIONS.values())), "")

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults, by name."""
        return {name: value for name, one in OPTIONS.items() if (value := getattr(self, name)) != one.default}


def _declared(name: str, default: Any, word: str = "", **metadata: Any) -> Option:
    return Option(name, default, word=(word or name).replace("_", "-"), **metadata)


OPTIONS: dict[str, Option] = {one.name: _declared(one.name, one.default, **one.metadata) for one in fields(HeadOptions)}
"""The options by name, in the order of ``HeadOptions``."""
HAIR_OPTIONS = ("hair", "hair_style", "look", "parting", "parting_place")
"""Names of the options that change a head's hair alone."""
HAIR_STYLES: tuple[Value, ...] = OPTIONS["hair_style"].values[1:]
"""All but "auto"."""
DEVICES = ("auto", "cpu", "cuda")
"""Where models that can use a GPU run; ``auto``: on the GPU if there is one."""

"""The options of a batch."""

import msgspec

from backend.batch.manifest import Person, PersonOptions
from backend.command_line.parser import build_parser


def test_a_batch_has_the_choices_of_reconstruct() -> None:
    """Photos, folder and device are of the batch; corrections, which name photos, and a mesh are of a person alone."""
    parser = build_parser()
    of_one = vars(parser.parse_args(["reconstruct", "photo.jpg", "--out", "x"]))
    of_many = vars(parser.parse_args(["batch", "people.csv", "--out", "x"]))
    usual = msgspec.structs.asdict(PersonOptions())
    assert set(of_one) - set(usual) == {"command", "photos", "out", "device", "traceback", "corrections", "mesh"}
    assert usual == {name: of_one[name] for name in usual} == {name: of_many[name] for name in usual}
    assert "corrections" in Person.__struct_fields__

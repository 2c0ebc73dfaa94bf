"""The photographs on which parsing is counted teach nothing."""

from __future__ import annotations

from trainer.portraits.collection import read_hand_labels, sheet_photographs
from trainer.portraits.relabel import read_traits


def test_no_label_that_something_learns_from_is_of_a_photograph_of_the_sheet() -> None:
    portraits = {photo.split("/")[-1] for photo in sheet_photographs() if photo.startswith("public_domain/")}
    assert len(sheet_photographs()) == 100 and len(portraits) > 40
    assert not portraits & read_traits().keys()
    assert not portraits & read_hand_labels().keys()


def test_held_out_portraits_are_in_no_list_that_something_learns_from() -> None:
    held_out = {name for name, portrait in read_hand_labels().items() if portrait.held_out}
    assert not held_out & read_traits().keys()

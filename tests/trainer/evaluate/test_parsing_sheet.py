"""The photographs on which parsing is counted teach nothing."""

from __future__ import annotations

import csv

from trainer.data.portraits.relabel import read_traits
from trainer.evaluate.parsing import sheet_photographs
from trainer.portrait_statistics import GLASSES_LABELS


def test_no_label_that_something_learns_from_is_of_a_photograph_of_the_sheet() -> None:
    portraits = {photo.split("/")[-1] for photo in sheet_photographs() if photo.startswith("public_domain/")}
    assert len(sheet_photographs()) == 100 and len(portraits) > 40
    assert not portraits & read_traits().keys()
    with GLASSES_LABELS.open(newline="") as file:
        assert not portraits & {row["file"] for row in csv.DictReader(file)}

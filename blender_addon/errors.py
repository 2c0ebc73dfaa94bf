"""The one kind of error that an artist gets to read."""

from __future__ import annotations


class AddonError(Exception):
    """Something went wrong that the person at the screen can do something about.

    Parameters
    ----------
    sentence : what happened, one plain sentence.
    advice : what to do about it, one plain sentence.
    code : the service's code where the service reported it (``no_face``, ``out_of_memory``, …), else a name of our own.
    """

    def __init__(self, sentence: str, advice: str = "", code: str = "internal") -> None:
        super().__init__(f"{sentence} {advice}".strip())
        self.sentence = sentence
        self.advice = advice
        self.code = code

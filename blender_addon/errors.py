"""The only kind of error that an artist gets to read."""


class AddonError(Exception):
    """An error that the user can do something about.

    Parameters
    ----------
    sentence : what happened, one plain sentence.
    advice : what to do about it, one plain sentence.
    code : the service's code if it reported the error (``no_face``, ``out_of_memory``, …), else one of the extension's.
    """

    def __init__(self, sentence: str, advice: str = "", code: str = "internal") -> None:
        super().__init__(f"{sentence} {advice}".strip())
        self.sentence = sentence
        self.advice = advice
        self.code = code

"""Which commands of the chain are done: a small file beside its runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from trainer.data.disk_cache import write_bytes

STATE_FILE = "done.json"


class DoneCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that ended well: its words and how long it took, seconds."""

    words: tuple[str, ...]
    seconds: float


class ChainState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Step -> its commands that are done, in order; and step -> the words of its command that has begun."""

    steps: dict[str, tuple[DoneCommand, ...]] = {}
    begun: dict[str, tuple[str, ...]] = {}

    def done(self, step: str, words: tuple[tuple[str, ...], ...]) -> int:
        """How many of the commands, from the first on, need not be run again.

        A command that reads otherwise than it was run, and all that follow it, count as not done.
        """
        count = 0
        for old, new in zip(self.steps.get(step, ()), words, strict=False):
            if old.words != new:
                break
            count += 1
        return count

    def with_done(self, step: str, place: int, command: DoneCommand) -> ChainState:
        """The state after command number ``place`` of ``step``; those after it are forgotten."""
        before: Mapping[str, tuple[DoneCommand, ...]] = self.steps
        begun = {name: words for name, words in self.begun.items() if name != step}
        return ChainState({**before, step: (*before.get(step, ())[:place], command)}, begun)

    def with_begun(self, step: str, words: tuple[str, ...]) -> ChainState:
        """The state while that command of ``step`` runs."""
        return ChainState(self.steps, {**self.begun, step: words})

    def seconds(self, step: str) -> float:
        """What the step's commands took in all."""
        return sum(command.seconds for command in self.steps.get(step, ()))


def read_state(folder: Path) -> ChainState:
    """The state in ``folder``; nothing is done where there is none. Raises ``ValueError`` for a broken file."""
    path = folder / STATE_FILE
    if not path.is_file():
        return ChainState()
    try:
        return msgspec.json.decode(path.read_bytes(), type=ChainState)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is broken ({error}); delete it to begin anew") from error


def write_state(folder: Path, state: ChainState) -> None:
    """Write it so that a killed run leaves the old one or the new one."""
    write_bytes(folder / STATE_FILE, msgspec.json.format(msgspec.json.encode(state), indent=1))

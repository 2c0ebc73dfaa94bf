"""Record of the chain's finished commands: a small file beside its runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from trainer.data.disk_cache import write_bytes

STATE_FILE = "done.json"


class DoneCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that succeeded: its words and its duration, seconds."""

    words: tuple[str, ...]
    seconds: float


class ChainState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Finished commands of each step, in order; and the words of each step's command that has begun."""

    steps: dict[str, tuple[DoneCommand, ...]] = {}
    begun: dict[str, tuple[str, ...]] = {}

    def done(self, step: str, words: tuple[tuple[str, ...], ...]) -> int:
        """Count the commands, from the first on, that need not run again.

        A command whose words differ from the recorded ones, and all after it, count as not done.
        """
        count = 0
        for old, new in zip(self.steps.get(step, ()), words, strict=False):
            if old.words != new:
                break
            count += 1
        return count

    def with_completed(self, step: str, place: int, command: DoneCommand) -> ChainState:
        """The state after command number ``place`` of ``step``; records of later commands are dropped."""
        before: Mapping[str, tuple[DoneCommand, ...]] = self.steps
        begun = {name: words for name, words in self.begun.items() if name != step}
        return ChainState({**before, step: (*before.get(step, ())[:place], command)}, begun)

    def with_started(self, step: str, words: tuple[str, ...]) -> ChainState:
        """The state while this command of ``step`` runs."""
        return ChainState(self.steps, {**self.begun, step: words})

    def seconds(self, step: str) -> float:
        """Total duration of the step's commands."""
        return sum(command.seconds for command in self.steps.get(step, ()))


def read_state(folder: Path) -> ChainState:
    """Read the state in ``folder``; empty where there is none. Raises ``ValueError`` for a broken file."""
    path = folder / STATE_FILE
    if not path.is_file():
        return ChainState()
    try:
        return msgspec.json.decode(path.read_bytes(), type=ChainState)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path} is broken ({error}); delete it to begin anew") from error


def write_state(folder: Path, state: ChainState) -> None:
    """Write the state atomically, so that a killed run leaves the old one or the new one."""
    write_bytes(folder / STATE_FILE, msgspec.json.format(msgspec.json.encode(state), indent=1))

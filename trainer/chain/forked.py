"""Run commands of the trainer in processes that are forked from one which has imported the large packages already.

At toy size most of a command's time is its imports: four seconds, for forty commands. A forked process begins with them
and shares nothing else with the other commands.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from backend.errors import LikenessError

IMPORTED = (
    "torch._inductor",  # use_deterministic_algorithms imports it, and with it torch._dynamo
    "mediapipe",
    "backend.pipeline",
    "trainer.loop",
    "trainer.export",
    "trainer.data.people",
)


class ForkedCommands:
    """A process that forks itself for each command; a context manager, for systems with ``os.fork``.

    Its commands run in ``folder`` with ``environment``, where ``imported`` are imported already, and write to this
    process's standard output and error.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], imported: Sequence[str] = IMPORTED) -> None:
        answers, given = os.pipe()
        program = f"import sys; from trainer.chain.forked import serve; sys.exit(serve({given}, {tuple(imported)}))"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, cwd=folder, env=environment, pass_fds=(given,)
        )
        os.close(given)
        self._answers = os.fdopen(answers)

    def __enter__(self) -> ForkedCommands:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stdin.close()
        self._answers.close()
        self._process.wait()

    def run(self, words: Sequence[str]) -> int:
        """Run ``python -m trainer`` with ``words``; returns its exit code, negative where a signal ended it.

        Raises
        ------
        LikenessError : ``internal`` where the process that forks has ended.
        """
        try:
            self._process.stdin.write(json.dumps(list(words)).encode() + b"\n")
            self._process.stdin.flush()
            return int(self._answers.readline())
        except (BrokenPipeError, ValueError) as error:
            raise LikenessError(
                "internal", "The process that starts the commands has ended.", "Run it again."
            ) from error


def serve(answers: int, imported: Sequence[str]) -> int:
    """Import modules and fork for each line of standard input, a JSON list of words.

    Exit codes are written to the file descriptor ``answers``. Returns in each fork with the command's exit code, and in
    the first process, at the end of the input, with 0.
    """
    for module in imported:
        importlib.import_module(module)
    from trainer.__main__ import main

    for line in iter(sys.stdin.buffer.readline, b""):
        sys.stdout.flush()
        process = os.fork()
        if not process:
            os.close(answers)
            with open(os.devnull, "rb") as nothing:
                os.dup2(nothing.fileno(), 0)
            return main(json.loads(line))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        os.write(answers, f"{code}\n".encode())
    return 0

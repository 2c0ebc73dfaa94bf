"""``python -m backend``: serve · reconstruct · batch · canonical · transfer · doctor."""

import argparse
import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import NoReturn

from backend import end_early
from backend.command_line.parser import build_parser
from backend.command_line.photo_paths import readable
from backend.errors import EXIT_CODES, check_address_space, explain, run_until_pipe_closes

_COMMANDS = {
    "reconstruct": "backend.command_line.photo_commands:run_reconstruct",
    "serve": "backend.command_line.serve:run_serve",
    "batch": "backend.batch.command:run_batch",
    "canonical": "backend.command_line.photo_commands:run_canonical",
    "transfer": "backend.command_line.transfer:run_transfer",
    "doctor": "backend.command_line.doctor:run_doctor",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, or one of ``errors.EXIT_CODES``)."""
    _escape_what_cannot_be_encoded()
    arguments = build_parser().parse_args(argv)
    try:
        if signal.getsignal(signal.SIGINT) is end_early:  # set on import of ``backend``; now Ctrl-C is explained
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run_until_pipe_closes(partial(_run, arguments))
    except (Exception, KeyboardInterrupt) as error:
        if getattr(arguments, "traceback", False):
            traceback.print_exc()
        explained = explain(error)
        print(readable(explained.sentence), file=sys.stderr)
        if explained.advice:
            print(readable(explained.advice), file=sys.stderr)
        return EXIT_CODES[explained.code]


def _escape_what_cannot_be_encoded() -> None:
    """Let a name that the terminal's or a log's encoding lacks be printed as ``\\u6e21``, instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: argparse.Namespace) -> int:
    check_address_space()
    # Imported here, so that --help answers at once and the doctor runs even if a package is missing.
    module, _, function = _COMMANDS[arguments.command].partition(":")
    run: Callable[[argparse.Namespace], int | None] = getattr(import_module(module), function)
    return run(arguments) or 0


def _end_at_once(code: int) -> NoReturn:
    """Exit without waiting for threads that still load or compute, or half a second for libraries' clean-up."""
    atexit._run_exitfuncs()  # these may have child processes to end
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # closed at the other end, or from the start
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    _end_at_once(main())

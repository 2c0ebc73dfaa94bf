"""``python -m backend``: serve · reconstruct · batch · canonical · transfer · doctor."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import NoReturn

from backend.command_line.address_space import check_address_space
from backend.command_line.closed_pipe import until_nobody_reads
from backend.command_line.explain import explain
from backend.command_line.parser import build_parser
from backend.command_line.photo_paths import readable
from backend.errors import EXIT_CODES


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, or one of ``errors.EXIT_CODES``)."""
    arguments = build_parser().parse_args(argv)
    try:
        return until_nobody_reads(partial(_run, arguments))
    except (Exception, KeyboardInterrupt) as error:
        if getattr(arguments, "traceback", False):
            traceback.print_exc()
        explained = explain(error)
        print(readable(explained.sentence), file=sys.stderr)
        if explained.advice:
            print(readable(explained.advice), file=sys.stderr)
        return EXIT_CODES[explained.code]


def _run(arguments: argparse.Namespace) -> int:
    check_address_space()
    # Imported here, so that --help answers at once and the doctor runs even if a package is missing.
    if arguments.command == "doctor":
        from backend.doctor import run_doctor

        return run_doctor()
    if arguments.command == "serve":
        from backend.command_line.serve_command import run_serve

        run_serve(arguments)
        return 0
    if arguments.command == "canonical":
        from backend.command_line.canonical_command import run_canonical

        run_canonical(arguments)
        return 0
    if arguments.command == "transfer":
        from backend.command_line.transfer_command import run_transfer

        run_transfer(arguments)
        return 0
    if arguments.command == "batch":
        from backend.batch.command import run_batch

        run_batch(arguments)
        return 0
    from backend.command_line.reconstruct_command import run_reconstruct

    run_reconstruct(arguments)
    return 0


def _end_at_once(code: int) -> NoReturn:
    """Exit without waiting for threads that still load or compute, or for libraries' clean-up."""
    atexit._run_exitfuncs()  # these may have child processes to end
    with suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    exit_code = main()
    if exit_code == EXIT_CODES["cancelled"]:
        _end_at_once(exit_code)
    sys.exit(exit_code)

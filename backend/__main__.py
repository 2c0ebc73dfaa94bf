"""``python -m backend``: serve · reconstruct · canonical · transfer · doctor."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from backend.command_line.explain import explain
from backend.command_line.parser import build_parser
from backend.errors import EXIT_CODES


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0, or one of ``errors.EXIT_CODES``)."""
    arguments = build_parser().parse_args(argv)
    try:
        # Imported here, so that --help answers at once and the doctor runs where a package is missing.
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
        from backend.command_line.reconstruct_command import run_reconstruct

        run_reconstruct(arguments)
    except (Exception, KeyboardInterrupt) as error:
        if getattr(arguments, "traceback", False):
            traceback.print_exc()
        explained = explain(error)
        print(explained.sentence, file=sys.stderr)
        if explained.advice:
            print(explained.advice, file=sys.stderr)
        return EXIT_CODES[explained.code]
    return 0


if __name__ == "__main__":
    sys.exit(main())

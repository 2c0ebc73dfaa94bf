"""Likeness backend: reconstructs a rigged, textured head from a handful of ordinary photographs of one person."""

import _signal  # signal itself takes ten milliseconds to import
import os
import sys


def end_early(*_: object) -> None:
    """Ctrl-C before ``main`` can explain it: its words and exit code."""
    os.write(2, b"Cancelled.\nNothing was written.\n")
    os._exit(8)


if sys.orig_argv[1:3] == ["-m", "backend"] and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, end_early)

# Make idle OpenMP threads sleep instead of spin; on a loaded machine spinning costs twenty times the work itself
# (docs/decisions/rendering.md). Must be set before torch is imported anywhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The fit multiplies many small matrices; splitting each among threads costs more than it saves
# (docs/decisions/performance.md). Must be set before numpy is imported anywhere.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# numba ignores OMP_NUM_THREADS, and its first parallel loop would set torch's thread count to the number of cores.
if os.environ.get("OMP_NUM_THREADS", "").isdigit():
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(int(os.environ["OMP_NUM_THREADS"]), 1)))

__version__ = "0.2.0"

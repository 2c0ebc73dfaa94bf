"""Likeness backend: reconstructs a rigged, textured head from a handful of ordinary photographs of one person."""

import os

# Make idle OpenMP threads sleep instead of spin; on a loaded machine spinning costs twenty times the work itself
# (docs/decisions/rendering.md). Must be set before torch is imported anywhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The fit multiplies many small matrices; splitting each among threads costs more than it saves
# (docs/decisions/performance.md). Must be set before numpy is imported anywhere.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# numba ignores OMP_NUM_THREADS, and its first parallel loop would set torch's thread count to the number of cores.
if os.environ.get("OMP_NUM_THREADS", "").isdigit():
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(int(os.environ["OMP_NUM_THREADS"]), 1)))

__version__ = "0.1.0"

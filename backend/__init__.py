"""Likeness backend: a handful of ordinary photographs of one person to a rigged, textured head."""

import os

# Waiting OpenMP threads sleep instead of spinning, which on a loaded machine costs twenty times the work itself
# (docs/decisions/rendering.md). It has to be set before torch is imported anywhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# The fit multiplies many small matrices; sharing each one among threads costs more than it saves
# (docs/decisions/performance.md). It has to be set before numpy is imported anywhere.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# numba knows nothing of OpenMP's number of threads, and its first parallel loop would set torch's to that of all cores.
if os.environ.get("OMP_NUM_THREADS", "").isdigit():
    os.environ.setdefault("NUMBA_NUM_THREADS", str(max(int(os.environ["OMP_NUM_THREADS"]), 1)))

__version__ = "0.1.0"

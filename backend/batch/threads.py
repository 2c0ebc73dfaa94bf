"""Environment variables for the number of threads of libraries, which read them when they are loaded."""

from __future__ import annotations

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
ONE_THREAD = {name: "1" for name in THREAD_VARIABLES}

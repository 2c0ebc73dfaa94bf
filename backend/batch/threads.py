"""Environment variables for the number of threads of libraries, which read them when they are loaded."""

from __future__ import annotations

THREAD_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
SINGLE_THREAD_ENVIRONMENT = {name: "1" for name in THREAD_VARIABLES}

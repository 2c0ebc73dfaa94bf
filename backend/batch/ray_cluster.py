"""Connection to a Ray cluster: a private one on this machine's loopback, or a running one."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from backend.batch.capacity import Machine
from backend.errors import LikenessError

_STORE_BYTES = 100 * 2**20
"""Ray's shared memory. People and outcomes have a kilobyte each; Ray's minimum is 75 MiB."""

_SHORT = "/tmp" if os.name == "posix" else None
"""Parent of the private cluster's folder; short, because paths of its sockets are limited to some hundred letters."""


@contextmanager
def cluster(address: str | None, cores: int | None = None) -> Iterator[None]:
    """Connect to a Ray cluster, as a context; enter ``ray_environment`` before.

    Parameters
    ----------
    address : of a running cluster, or None to start a private one that ends with the context. cores : of the private
        one, all of the machine's if None.

    Raises
    ------
    LikenessError : "usage" when there is no cluster at ``address``, "internal" when none could be started.
    """
    with tempfile.TemporaryDirectory(prefix="likeness-", dir=_SHORT, ignore_cleanup_errors=True) as private:
        try:
            if address is None:
                ray.init(
                    address="local",
                    num_cpus=cores,
                    object_store_memory=_STORE_BYTES,
                    include_dashboard=False,
                    _temp_dir=private,
                    logging_level=logging.CRITICAL,
                    log_to_driver=False,
                )
            else:
                ray.init(address=address, logging_level=logging.CRITICAL, log_to_driver=False)
        except Exception as error:  # Ray raises ConnectionError, RuntimeError, ValueError and its own
            words = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            if address is None:
                advice = "Use --workers 1 to do without it."
                raise LikenessError("internal", f"Ray could not be started: {words}.", advice) from error
            advice = "Check --address, and that the key is the cluster's (docs/farm.md)."
            raise LikenessError("usage", f"No Ray cluster answers at {address}: {words}.", advice) from error
        try:
            yield
        finally:
            ray.shutdown()


def machines() -> list[Machine]:
    """The cluster's live machines."""
    found = []
    for node in ray.nodes():
        if node["Alive"]:
            has = node["Resources"]
            found.append(Machine(has.get("CPU", 0.0), has.get("memory", 0.0), has.get("GPU", 0.0)))
    return found


def lives(node_id: str) -> bool:
    """Whether the machine is still alive in the cluster."""
    return any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())

"""``python -m backend serve``: the service in the foreground."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from types import FrameType

from backend.errors import LikenessError


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve until stopped. When ready, one line of JSON goes to standard output (docs/protocol.md); logs go to
    standard error.

    Raises ``LikenessError`` when the server cannot start.
    """
    import msgspec

    from backend.service.access import ServerSettings, is_public_key, parse_bind_address
    from backend.service.discovery import config_folder
    from backend.service.messages import PROTOCOL
    from backend.service.server import Server

    for key in arguments.allow:
        if not is_public_key(key):
            raise LikenessError("usage", f"{key!r} is no public key.", "A key has 40 characters.")
    os.umask(0o077)  # photos and results are this user's alone, in this process and its workers
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = ServerSettings(
        config_folder=config_folder(),
        bind=parse_bind_address(arguments.bind),
        device=arguments.device,
        allow=frozenset(arguments.allow),
        idle_exit=arguments.idle_exit,
        parent=arguments.parent,
    )
    with Server(settings) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop("signal")

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        ready = {
            "event": "ready",
            "protocol": PROTOCOL,
            "endpoint": server.endpoint,
            "public_key": server.public_key,
            "pid": os.getpid(),
            "instance": server.instance,
            "config_dir": str(settings.config_folder),
        }
        print(msgspec.json.encode(ready).decode(), flush=True)
        reason = server.run()
        logging.getLogger(__name__).info("stopped: %s", reason)

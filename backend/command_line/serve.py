"""``python -m backend serve``: the service in the foreground, until a signal or the end of its input."""

import argparse
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

from backend.errors import LikenessError


def run_serve(arguments: argparse.Namespace) -> None:
    """Serve until stopped. When ready, one line of JSON goes to standard output (docs/protocol.md); logs go to
    standard error.

    Raises ``LikenessError`` when the server cannot start.
    """
    import msgspec

    from backend.service.access import ServerSettings, own_folder
    from backend.service.messages import PROTOCOL
    from backend.service.server import Server
    from protocol.keys import is_key

    if arguments.owner is not None and not is_key(arguments.owner):
        raise LikenessError("usage", f"{arguments.owner!r} is no public key.", "A key has 40 characters.")
    os.umask(0o077)  # photos and results are this user's alone, in this process and its workers
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    settings = ServerSettings(
        config_folder=own_folder(), bind=arguments.bind, device=arguments.device, owner=arguments.owner
    )
    with Server(settings) as server:

        def stop(number: int, frame: FrameType | None) -> None:
            server.stop("signal")

        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        if arguments.stop_with_input:

            def watch_input() -> None:
                with suppress(OSError):  # standard input may be closed
                    while os.read(0, 4096):  # not sys.stdin, whose lock would be held at the end
                        pass
                server.stop("input")

            threading.Thread(target=watch_input, name="input", daemon=True).start()
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

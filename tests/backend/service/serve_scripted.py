"""A server with the scripted runner, as a process of its own: ``serve_scripted.py CONFIG_FOLDER JSON``."""

from __future__ import annotations

import faulthandler
import json
import logging
import signal
import sys
from pathlib import Path

from backend.service.access import ServerSettings
from backend.service.messages import Limits, Timing
from backend.service.server import Server


def main(folder: str, options: str) -> None:
    """Serve until stopped; one line of JSON when ready, one when stopped."""
    faulthandler.register(signal.SIGUSR1)
    given = json.loads(options)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    settings = ServerSettings(
        config_folder=Path(folder),
        owner=given.get("owner"),
        limits=Limits(**given.get("limits", {})),
        timing=Timing(**given.get("timing", {})),
        runner="scripted_runner",
        search_path=(Path(__file__).parent,),
    )
    with Server(settings) as server:
        signal.signal(signal.SIGTERM, lambda number, frame: server.stop("signal"))
        print(
            json.dumps({"endpoint": server.endpoint, "public_key": server.public_key, "instance": server.instance}),
            flush=True,
        )
        print(json.dumps({"reason": server.run()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A client in a process of its own, which may be killed.

As a program it reads a line of JSON, submits the job that this asks for, and prints the job's id when it runs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from service_client import ServerProcess, ServiceClient

TOKEN = "of-a-process"


class ClientProcess:
    """The process, as a test sees it."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run_job(self, server: ServerProcess, job: str) -> str:
        """Say hello to the server, submit a job and wait until it runs; its id."""
        assert self.process.stdin is not None and self.process.stdout is not None
        told = [server.endpoint, server.public_key, server.keys(), job]
        print(json.dumps(told), file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    endpoint, public_key, keys, job = json.loads(sys.stdin.readline())
    client = ServiceClient(endpoint, public_key, tuple(keys))
    client.hello()
    submitted = client.submit(TOKEN, job)["token"]
    client.wait_until_running(submitted)
    print(submitted, flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main()

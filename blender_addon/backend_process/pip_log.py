"""Parse the output of pip and uv for progress and for the reason of a failure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import AddonError

_REASONS = (
    (
        r"No space left on device|not enough space on the disk|Disk quota exceeded",
        "The disk is full.",
        "Make room, then install again.",
        "disk",
    ),
    (
        r"MemoryError|Cannot allocate memory",
        "Memory ran out during the installation.",
        "Close other programs.",
        "memory",
    ),
    (
        r"No module named (ensurepip|venv|pip)|ensurepip is not available",
        "This Python cannot make environments.",
        "Install its venv package (python3-venv on Debian and Ubuntu), or another Python 3.11 or 3.12.",
        "no_python",
    ),
    (
        r"(?i)name resolution|getaddrinfo|dns error|Max retries|NewConnectionError|timed? ?out|error sending request|"
        r"ConnectionResetError|Network is unreachable|ProxyError",
        "The packages could not be downloaded.",
        "Check the internet connection and the proxy, then install again.",
        "network",
    ),
    (
        r"(?P<what>lib[\w+.-]+\.so[\w.]*): cannot open shared object file",
        "The system library {what} is missing.",
        "On Debian and Ubuntu: sudo apt-get install libgl1 libegl1 libgles2 libglib2.0-0; then install again.",
        "missing_part",
    ),
    (
        r"FileNotFoundError: The path does not exist|Windows Long Path support",  # MediaPipe's message, then pip's
        "Windows cannot open files in the backend's folder: its path is too long or has unusual letters.",
        "Choose a Backend Folder with a short path of plain letters in the preferences, like C:\\Likeness.",
        "folder",
    ),
    (
        r"(?i)certificate verify failed|SSLError",
        "The package server's certificate was not accepted.",
        "Check the computer's clock and, in a company, its certificates.",
        "network",
    ),
    (
        r"No matching distribution found for (?P<what>\S+)",
        "There is no {what} for this Python and computer.",
        "Use a 64-bit Python 3.11 or 3.12 on Linux, Windows or macOS.",
        "no_package",
    ),
    (
        r"(?i)Permission denied|Access is denied",
        "A file could not be written.",
        "Check the folder's permissions.",
        "disk",
    ),
)


class PipProgress:
    """Turn lines of pip or uv into a sentence and a fraction; ``packages`` is the number of requested packages."""

    def __init__(self, packages: int) -> None:
        self.sentence = "Downloading packages"
        self.fraction = 0.0
        self._expected = max(packages * 4, 1)
        """Each package brings about three more."""
        self._seen = 0

    def read(self, line: str) -> bool:
        """Read a line; return True if the sentence or the fraction changed."""
        if found := re.match(r"\s*Collecting ([\w.\-]+)", line):
            return self._advance(f"Looking for {found[1]}")
        if found := re.match(r"\s*Downloading (?:\S*/)?([A-Za-z0-9_.]+?)-\d\S* \(([^)]+)\)", line):
            return self._advance(f"Downloading {found[1].replace('_', '-')} ({found[2]})")
        if found := re.match(r"\s*Downloading ([\w.\-]+) \(([^)]+)\)", line):  # uv
            return self._advance(f"Downloading {found[1]} ({found[2]})")
        if re.match(r"Installing collected packages|Prepared \d+ package", line):
            self.sentence, self.fraction = "Unpacking the packages (a few minutes)", max(self.fraction, 0.8)
            return True
        if re.match(r"Successfully installed|Installed \d+ package", line):
            self.fraction = 1.0
            return True
        return False

    def _advance(self, sentence: str) -> bool:
        self._seen += 1
        self.sentence = sentence
        self.fraction = min(0.8 * self._seen / (self._seen + 0.25 * self._expected), 0.8)
        return True


def pip_failure_sentence(lines: Sequence[str], code: int) -> AddonError:
    """A sentence about a failed installation command, from its output."""
    said = "\n".join(lines[-200:])
    for pattern, sentence, advice, name in _REASONS:
        if found := re.search(pattern, said):
            groups = [group for group in found.groupdict().values() if group]
            return AddonError(sentence.format(what=groups[0] if groups else ""), advice, name)
    errors = [line for line in lines if re.match(r"(?i)\s*error", line)] or [line for line in lines if line.strip()]
    last = errors[-1].strip() if errors else "it said nothing"
    return AddonError(f"The installation stopped with code {code}: {last}", "Show the log for more.", "install")

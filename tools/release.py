"""``python -m tools.release``: make the files of a release from a checkout.

The extension's zips, validated; a wheel of backend and trainer with the assets inside; the listing for Blender's
remote repositories; and the checksums of all of them (docs/release.md).

``python -m tools.release --lock`` writes ``locks/`` anew: every package that the backend needs, with the hashes of its
wheels.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

import backend
from blender_addon.build import Platform, blender_command_line, build, check_clean, chosen_platforms, validate

ROOT = Path(__file__).resolve().parents[1]
CHECKSUMS = "SHA256SUMS"
INDEX = "index.json"

MACHINES = {"linux": "x86_64", "win32": "AMD64", "darwin": "arm64"}
"""Where every package has wheels and they were tried. torch and numba have none for Intel Macs."""
ABOVE_PYTHON = ["backports-strenum<1.3"]
"""Later releases are for Python below 3.11 alone, which uv does not heed."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
GLIBC = 40
"""Minor version of the newest glibc whose wheels are listed."""
PYTORCH_INDEX = "https://download.pytorch.org/whl"
PYTORCH_WHEELS = {
    ("cpu", "linux", "3.11"): "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    ("cpu", "linux", "3.12"): "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    ("cpu", "linux", "3.13"): "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
    ("cpu", "linux", "3.14"): "d20fa53ee744502fa4c69818a720b05ca0d37abd055d4f6e66cae155114bc691",
    ("cu130", "win32", "3.12"): "2efab1e83604ca628c6d85b9e188c153690980498d1297081a9dad704919303c",
    ("cu130", "win32", "3.13"): "cf23236e9deed7d3510d14d9b9592d75d272ef7b35bbfee31a02bea339c73971",
    ("cu130", "win32", "3.14"): "590b2a2b53ef295dcfcd703df17929bd579705bb0e42d9e43c462fe0f0b1e088",
}
"""SHA-256 of the wheels of ``PYTORCH_VERSION`` that PyPI does not have, by build, system and Python. PyPI's wheel for
Linux needs CUDA, its wheel for Windows has none."""
PYTORCH_VERSION = "2.13.0"


class ReleaseError(Exception):
    """The release cannot be made; the text gives the reason."""


def check_versions(root: Path = ROOT) -> str:
    """Return the common version of backend and citation; raises ``ReleaseError`` where they differ or the changelog
    lacks it.

    A test checks the extension's manifest.
    """
    version = backend.__version__
    cited = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text("utf-8"), re.MULTILINE)
    if cited is None or cited[1] != version:
        raise ReleaseError(f"CITATION.cff has version {cited and cited[1]}, the backend {version}")
    if f"## {version}" not in (root / "CHANGELOG.md").read_text("utf-8"):
        raise ReleaseError(f"CHANGELOG.md has no section {version}")
    return version


def build_wheel(out: Path, root: Path = ROOT) -> Path:
    """Build the wheel into ``out``; raises ``ReleaseError`` with pip's last lines."""
    with tempfile.TemporaryDirectory() as scratch:
        # setuptools leaves files beside the sources and would put stale ones into a second wheel
        copy = Path(scratch) / "source"
        command = ["git", "checkout-index", "--all", f"--prefix={copy}/"]
        _run(command, root)
        made = Path(scratch) / "wheel"
        _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(made), str(copy)], root)
        (wheel,) = made.glob("*.whl")
        return Path(shutil.move(wheel, out / wheel.name))


def write_index(folder: Path) -> Path:
    """List the zips in ``folder`` with Blender's own tool; raises ``ReleaseError``."""
    tool = blender_command_line()
    if tool is None:
        raise ReleaseError("the index needs Blender's own tool: pip install --no-deps -r .ci/blender.txt, Python 3.11")
    _run([sys.executable, str(tool), "server-generate", f"--repo-dir={folder}"], ROOT)
    return folder / INDEX


def write_checksums(folder: Path, files: Sequence[Path]) -> Path:
    """Write ``SHA256SUMS`` in the format of ``sha256sum -c``, sorted by name."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}" for path in sorted(files)]
    target = folder / CHECKSUMS
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return target


def make_release(out: Path, platforms: Sequence[Platform]) -> list[Path]:
    """Make all files in ``out``, which must hold no zip of another release; returns them.

    Raises
    ------
    ReleaseError : versions differ, a tool fails or is missing. RuntimeError : a wheel of pyzmq is not available, or the
        checkout has changes.
    """
    version = check_versions()
    out.mkdir(parents=True, exist_ok=True)
    foreign = [path.name for path in out.glob("*.zip") if not path.name.startswith(f"likeness-{version}-")]
    if foreign:
        raise ReleaseError(f"{out} holds {foreign[0]}, which would be listed too; choose an empty folder")
    check_clean()
    zips = [build(platform, out) for platform in platforms]
    for package in zips:
        validate(package)
    made = [*zips, build_wheel(out), write_index(out)]
    return [*made, write_checksums(out, made)]


def write_locks(folder: Path, root: Path = ROOT) -> list[Path]:
    """Resolve the project's dependencies with uv and write three requirement files for pip into ``folder``: torch for
    the CPU, torch for CUDA, and all other packages.

    Every line has a version and the hashes of the wheels for ``MACHINES`` and ``PYTHONS``. Raises ``ReleaseError``.
    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    machines = [f"sys_platform == '{name}' and platform_machine == '{kind}'" for name, kind in MACHINES.items()]
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "pyproject.toml").write_text(
            f"[project]\nname = 'locked'\nversion = '0'\nrequires-python = '{project['requires-python']}'\n"
            f"dependencies = {[*project['dependencies'], f'torch=={PYTORCH_VERSION}']}\n[tool.uv]\n"
            f"constraint-dependencies = {ABOVE_PYTHON}\nenvironments = {machines}\nno-build = true\n"
        )
        uv = [sys.executable, "-m", "uv"]
        _run([*uv, "lock", "--upgrade"], Path(scratch))
        _run([*uv, "export", "--no-emit-project", "--format", "pylock.toml", "-o", "pylock.toml"], Path(scratch))
        packages = tomllib.loads((Path(scratch) / "pylock.toml").read_text("utf-8"))["packages"]
    torch = [package for package in packages if package["name"] == "torch"]
    cuda = [package for package in packages if re.match("nvidia-|cuda-|triton", package["name"])]
    rest = [package for package in packages if package not in (*torch, *cuda) and _needing(package)]
    files = {
        "packages.txt": [_locked(package) for package in rest],
        "torch_cpu.txt": [*_torch("cpu", torch[0])],
        "torch_cuda.txt": [*_torch("cu130", torch[0]), *(_locked(package) for package in cuda)],
    }
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("# python -m tools.release --lock\n" + "".join(f"{line}\n" for line in lines))
    return [folder / name for name in files]


def _torch(build: str, package: Mapping[str, object]) -> list[str]:
    """The lines for torch: PyPI's wheels where ``PYTORCH_WHEELS`` has none of this build."""
    special = {key[1:]: digest for key, digest in PYTORCH_WHEELS.items() if key[0] == build}
    others = [target for target in _targets() if target not in special]
    digests = "".join(f" --hash=sha256:{digest}" for digest in special.values())
    return [
        f"--find-links {PYTORCH_INDEX}/{build}/torch/",
        f"torch=={PYTORCH_VERSION}+{build}{_marker(list(special))}{digests}",
        _locked(package, others),
    ]


def _targets() -> list[tuple[str, str]]:
    return [(system, python) for system in MACHINES for python in PYTHONS]


def _locked(package: Mapping[str, object], targets: Sequence[tuple[str, str]] | None = None) -> str:
    """A line for pip: name, version, where it is needed, and the hashes of the wheels that pip may choose there.

    Raises ``ReleaseError`` if there is no wheel for one of the ``targets`` that need the package.
    """
    needing, digests = _needing(package, targets), {}
    for system, python in needing:
        supported = _tags(system, python)
        names = [(wheel.get("name") or wheel["url"].rsplit("/", 1)[-1], wheel) for wheel in package["wheels"]]
        fitting = [wheel for name, wheel in names if parse_wheel_filename(name)[3] & supported]
        if not fitting:
            raise ReleaseError(f"{package['name']} {package['version']} has no wheel for {system}, Python {python}")
        digests |= {wheel["hashes"]["sha256"]: None for wheel in fitting}
    hashes = "".join(f" --hash=sha256:{digest}" for digest in digests)
    return f"{package['name']}=={package['version']}{_marker(needing)}{hashes}"


def _needing(package: Mapping[str, object], targets: Sequence[tuple[str, str]] | None = None) -> list[tuple[str, str]]:
    """Those of the ``targets`` that need the package, by its marker."""
    if "marker" not in package:
        return list(targets or _targets())
    needing = []
    for system, python in targets or _targets():
        here = {"sys_platform": system, "platform_machine": MACHINES[system], "python_version": python}
        here |= {"python_full_version": f"{python}.9", "implementation_name": "cpython"}
        here |= {"platform_python_implementation": "CPython"}
        if Marker(package["marker"]).evaluate(here):
            needing.append((system, python))
    return needing


def _tags(system: str, python: str) -> frozenset[Tag]:
    version = tuple(int(part) for part in python.split("."))
    platforms = {
        "linux": [f"manylinux_2_{minor}_x86_64" for minor in range(5, GLIBC)]
        + [f"manylinux{year}_x86_64" for year in (1, 2010, 2014)],
        "win32": ["win_amd64"],
        "darwin": list(mac_platforms((26, 0), "arm64")),
    }[system]
    return frozenset((*cpython_tags(version, platforms=platforms), *compatible_tags(version, None, platforms)))


def _marker(targets: Sequence[tuple[str, str]]) -> str:
    """The condition for ``targets``, by system and Python alone: elsewhere pip says what is missing."""
    every = " ".join(PYTHONS)
    pythons = {system: " ".join(one for one in PYTHONS if (system, one) in targets) for system in MACHINES}
    limits = {system: f"python_version in '{some}'" for system, some in pythons.items() if some != every}
    if len(set(pythons.values())) == 1:
        return f" ; {limits['linux']}" if limits else ""
    parts = [
        " and ".join([f"sys_platform == '{system}'", *([limits[system]] if system in limits else [])])
        for system in MACHINES
        if pythons[system]
    ]
    return f" ; {' or '.join(parts)}"


def _run(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise ReleaseError(f"{' '.join(command[:4])} ... failed: {' / '.join(said)}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the requested files; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if list(arguments) == ["--lock"]:
            made = write_locks(ROOT / "locks")
        else:
            out, wanted = chosen_platforms("python -m tools.release", __doc__.splitlines()[0], arguments)
            made = make_release(out.resolve(), wanted)
    except (ReleaseError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in made:
        print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

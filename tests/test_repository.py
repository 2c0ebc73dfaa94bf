"""Rules that hold for the repository as a whole, and names that outlive a refactor."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

from backend.exchange.all_or_none import FILE_NAMES
from backend.exchange.files import WRINKLE_FILES
from protocol.names import ARKIT_NAMES, PART_NAMES

ROOT = Path(__file__).resolve().parents[1]

# In pieces, so that this file does not contain what it looks for.
REGISTRY_HOSTS = ("pypi" + ".org", "python" + "hosted", "npm" + "js", "deb." + "debian", "conda" + ".anaconda")
MACHINE_PATHS = (r"/wor" + "k/", r"/far" + "m/", r"/ro" + "ot/", r"/opt" + "/", r"/home/[a-z]+" + "/")
BOUNDS_FALL_SINCE = "fe9ea285"
UNFINISHED = ("Not" + "ImplementedError", "TO" + "DO", "FIX" + "ME")


@cache
def tracked_files() -> tuple[Path, ...]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("needs a git checkout")
    paths = (ROOT / name.decode() for name in listed.stdout.split(b"\0") if name)
    return tuple(path for path in paths if path.is_file())


def lines_with(pattern: str, paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        try:
            lines = path.read_text("utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [
            f"{path.relative_to(ROOT)}:{n}: {line}" for n, line in enumerate(lines, 1) if re.search(pattern, line)
        ]
    return found


def python_files() -> list[Path]:
    return [path for path in tracked_files() if path.suffix == ".py" and "tests" not in path.relative_to(ROOT).parts]


def test_no_package_registry_is_named() -> None:
    pattern = "|".join(re.escape(host) for host in REGISTRY_HOSTS)
    assert lines_with(pattern, list(tracked_files())) == []


def test_no_path_of_a_machine_is_named() -> None:
    pattern = "(^|[^A-Za-z0-9_.-])(" + "|".join(MACHINE_PATHS) + ")"
    assert lines_with(pattern, list(tracked_files())) == []


def test_nothing_is_left_unfinished() -> None:
    assert lines_with(r"\b(" + "|".join(UNFINISHED) + r")\b", python_files()) == []


def test_a_bound_of_the_counters_never_rises() -> None:
    log = [
        "git",
        "log",
        "--first-parent",
        "--reverse",
        "--format=%H",
        f"{BOUNDS_FALL_SINCE}..HEAD",
        "--",
        ".ci/counters.py",
    ]
    commits = subprocess.run(log, cwd=ROOT, capture_output=True, text=True)
    if commits.returncode != 0:
        pytest.skip("needs git's history")
    shown = (
        subprocess.run(["git", "show", f"{one}:.ci/counters.py"], cwd=ROOT, capture_output=True, text=True).stdout
        for one in (BOUNDS_FALL_SINCE, *commits.stdout.split())
    )
    sources = [*shown, (ROOT / ".ci" / "counters.py").read_text("utf-8")]
    lowest: dict[str, float] = {}
    for source in sources:
        bounds = ast.literal_eval(re.search(r"^BOUNDS[^=]*= (\{.*?^\})", source, re.MULTILINE | re.DOTALL)[1])
        raised = {name: bound for name, bound in bounds.items() if bound > lowest.get(name, bound)}
        assert not raised, "a new capability pays with a deletion"
        lowest |= bounds


def test_ci_runs_the_command_of_the_readme() -> None:
    commands = re.findall(r"^```\n(.*-m pytest.*)\n```$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text("utf-8")


def test_every_dependency_is_pinned_with_a_reason() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    project = tomllib.loads(text)["project"]
    wanted = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    for requirement in wanted:
        assert "==" in requirement or ",<" in requirement  # torch: two releases, each for a card's rasterizer
        assert re.search(re.escape(f'"{requirement}",') + r" +# \w", text), f"no reason beside {requirement}"


def test_names_that_other_programs_rely_on() -> None:
    assert PART_NAMES == ("head", "eye_left", "eye_right", "teeth_upper", "teeth_lower", "tongue", "lashes")
    files = {"face.glb", "face.obj", "face.mtl", "albedo.png", "cameras.json", "expressions.json", "report.json"}
    files |= {"preview.png", "eyes.png", "hair.json", "hair.png", "normal.png", "displacement.png", "detail.json"}
    assert set(FILE_NAMES) == files | set(WRINKLE_FILES.values())
    both_sides = (
        "eyeBlink eyeLookDown eyeLookIn eyeLookOut eyeLookUp eyeSquint eyeWide mouthSmile mouthFrown mouthDimple "
        "mouthStretch mouthPress mouthLowerDown mouthUpperUp browDown browOuterUp cheekSquint noseSneer"
    )
    single = (
        "jawForward jawLeft jawRight jawOpen mouthClose mouthFunnel mouthPucker mouthLeft mouthRight mouthRollLower "
        "mouthRollUpper mouthShrugLower mouthShrugUpper browInnerUp cheekPuff tongueOut"
    )
    sides = {name + side for name in both_sides.split(" ") for side in ("Left", "Right")}
    assert set(ARKIT_NAMES) == sides | set(single.split(" "))
    assert len(ARKIT_NAMES) == 52


def test_the_licence_notice_of_the_scans_statistics_is_whole() -> None:
    """The MIT licence asks for its text word by word; a rename across all files once changed one of them."""
    notice = " ".join((ROOT / "assets" / "README.md").read_text("utf-8").replace("\n> ", " ").split())
    for words in (
        "Copyright (c) 2020 USC Institute for Creative Technologies",
        "The above copyright notice and this permission notice shall be included in all copies or substantial portions",
        "WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE",
    ):
        assert words in notice


def test_window_stories_name_what_the_extension_has() -> None:
    """They run by hand: a module that has moved would be found out by nobody."""
    named = re.compile(r'addon\("([a-z_.]+)"\)(?:\.(\w+))?')
    stories = [path.read_text("utf-8") for path in (ROOT / "tests" / "window").glob("*.py")]
    found = {match.groups() for story in stories for match in named.finditer(story)}
    assert len(found) > 20
    for module, name in found:
        path = ROOT / "blender_addon" / f"{module.replace('.', '/')}.py"
        assert path.is_file(), module
        assert name in (None, "__name__") or re.search(rf"\b{name}\b", path.read_text("utf-8")), f"{module}.{name}"

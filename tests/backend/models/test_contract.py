"""The contract of learned models: loaded once, left out by name, and why one takes no part."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from backend.errors import DamagedFileError, LikenessError
from backend.models import registry
from backend.models.registry import MODELS, LearnedModel, Models, OpenedModel, forget_models, open_models
from backend.pipeline import ReconstructOptions
from protocol.options import OPTIONS


@dataclass(frozen=True)
class Made:
    """A model that is ready."""

    version: str
    needs: tuple[str, ...] = ()


FIRST = LearnedModel("first", "a", "b", f"{__name__}:load_first", "the_first")
SECOND = LearnedModel("second", "a", "b", f"{__name__}:load_second")
asked: list[tuple[Path | None, str]] = []
second = Made("two")


def load_first(folder: Path | None, device: str) -> Made:
    asked.append((folder, device))
    return Made("one")


def load_second(folder: Path | None, device: str) -> Made:
    if isinstance(second, Exception):
        raise second
    return second


@pytest.fixture(autouse=True)
def two_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of the first and the second, both to be loaded anew."""
    monkeypatch.setattr(registry, "MODELS", (FIRST, SECOND))
    monkeypatch.setattr(sys.modules[__name__], "second", Made("two"))
    asked.clear()
    forget_models()
    yield
    forget_models()


def opens_to(replacement: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "second", replacement)


def test_each_is_loaded_once_whoever_asks_and_computes_where_it_may() -> None:
    threads = [threading.Thread(target=FIRST.open, args=("cuda",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    models = open_models(device="cuda")
    assert asked == [(None, "cuda")]
    assert models.to_report() == {"first": "one", "second": "two"} and models.device == "cuda"
    assert models.of(FIRST, Made) is FIRST.find("cuda")
    assert open_models({"first", "second"}, "cuda").device == "cpu", "nothing takes part"


def test_another_folder_of_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LIKENESS_FIRST", str(tmp_path))
    FIRST.load()
    assert asked == [(tmp_path, "cpu")]


def test_one_that_is_left_out_is_not_loaded_and_that_is_said() -> None:
    models = open_models({"first"})
    assert asked == [] and models.of(FIRST, Made) is None
    assert models.to_report() == {"first": "not used", "second": "two"}


def test_one_that_wants_another_stays_away_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    opens_to(Made("two", ("first",)), monkeypatch)
    assert open_models().said(SECOND) == "two"
    assert open_models({"first"}).said(SECOND) == "not used without first"


def test_one_may_stand_in_for_another_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(FIRST, by_default=False, instead_of=("second",))
    monkeypatch.setattr(registry, "MODELS", (other, SECOND))
    assert open_models().to_report() == {"first": "not used", "second": "two"}
    assert open_models(also={"first"}).to_report() == {"first": "one", "second": "not used"}


def test_why_one_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    opens_to(LikenessError("missing_part", "Its package is not installed.", "Install it."), monkeypatch)
    assert open_models().said(SECOND) == "not trained" and SECOND.find() is None
    with pytest.raises(LikenessError, match="Install it"):
        SECOND.load()
    monkeypatch.setenv(SECOND.folder_variable, str(tmp_path))
    (tmp_path / "second-00001-of-00001.safetensors").touch()
    assert open_models().said(SECOND) == "Its package is not installed."
    opens_to(DamagedFileError(tmp_path / "x", "a bit is another"), monkeypatch)
    forget_models()
    with pytest.raises(DamagedFileError):
        open_models()


def test_a_network_may_take_anothers_place() -> None:
    models = Models((OpenedModel(FIRST, Made("one")),), "cpu").changed(FIRST, Made("one, personalised"))
    assert models.to_report() == {"first": "one, personalised"}


def test_a_switch_is_an_option_of_a_head() -> None:
    switches = {model.switch for model in MODELS if model.switch}
    assert switches == {"lap", "learned_basis", "detail", "landmark_net"} <= OPTIONS.keys()
    assert ReconstructOptions(lap=False, landmark_net=False).without == {"lap", "landmarks"}


def test_what_is_known_of_models_needs_no_package() -> None:
    """``doctor`` and ``--help`` list them before anything is installed."""
    code = "import sys; import backend.models.registry; print(sorted(set(sys.modules) & {'numpy', 'torch', 'cv2'}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert len({model.name for model in MODELS}) == len(MODELS)

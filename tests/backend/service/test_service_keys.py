"""Keys, the configuration folder, and who is let in."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import zmq

from backend.errors import LikenessError
from backend.service.access import load_or_make_keys
from backend.service.private_files import config_folder, make_private_folder, write_private_once


def test_where_the_folder_is() -> None:
    home = Path.home()
    assert config_folder({"LIKENESS_CONFIG_DIR": "here"}, "linux") == Path("here")
    assert config_folder({}, "linux") == home / ".config" / "likeness"
    assert config_folder({"XDG_CONFIG_HOME": "/xdg"}, "linux") == Path("/xdg/likeness")
    assert config_folder({"XDG_CONFIG_HOME": ""}, "freebsd") == home / ".config" / "likeness"
    assert config_folder({"XDG_CONFIG_HOME": "xdg"}, "darwin") == home / "Library/Application Support/likeness"
    assert config_folder({"APPDATA": "roaming"}, "win32") == Path("roaming/likeness")


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    keys = load_or_make_keys(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert zmq.curve_public(keys.secret.encode()).decode() == keys.public
    assert load_or_make_keys(path) == keys
    assert keys.secret not in repr(keys)


def test_a_key_that_others_can_read_is_shut(tmp_path: Path) -> None:
    path = tmp_path / "server_key.json"
    keys = load_or_make_keys(path)
    path.chmod(0o644)
    assert load_or_make_keys(path) == keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    tmp_path.chmod(0o755)
    make_private_folder(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "{}", '{"public_key": "x", "secret_key": "y"}', "mismatch"])
def test_a_damaged_key_file_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key.json"
    if content == "mismatch":
        one, other = zmq.curve_keypair(), zmq.curve_keypair()
        content = json.dumps({"public_key": one[0].decode(), "secret_key": other[1].decode()})
    path.write_text(content)
    with pytest.raises(LikenessError, match=r"key\.json is damaged"):
        load_or_make_keys(path)
    assert path.read_text() == content


def test_private_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert write_private_once(path, b"first")
    assert not write_private_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]

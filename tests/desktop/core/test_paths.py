"""The home: where it is, and whether anything can be saved there."""

from pathlib import Path

import pytest

from converters.errors import UserError
from desktop.core.paths import Home, resolve_home


def test_the_option_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNEDESK_HOME", str(tmp_path / "variable"))
    assert resolve_home(tmp_path / "option").root == tmp_path / "option"
    assert resolve_home().root == tmp_path / "variable"


def test_a_new_home_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    home = resolve_home(tmp_path / "new" / "home")
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.is_writable
    home.require_writable()


def test_a_home_that_cannot_be_made_refuses_only_what_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    home = resolve_home(tmp_path / "file" / "home")
    assert home.obstacle == f"{tmp_path / 'file' / 'home'} is not there and cannot be made."
    assert Home(tmp_path / "file").obstacle == f"{tmp_path / 'file'} is no folder."
    with pytest.raises(UserError, match="Nothing can be saved") as raised:
        home.require_writable()
    assert raised.value.hint == "Choose another folder with --home or TUNEDESK_HOME."

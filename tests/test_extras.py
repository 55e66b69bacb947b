"""A missing extra is named in one sentence, with the command that installs it."""

import pytest

from samnesia.extras import MissingExtraError, require


def test_what_is_installed_is_imported():
    assert require("json.decoder", extra="train").__name__ == "json.decoder"


def test_what_is_missing_names_the_command():
    with pytest.raises(
        MissingExtraError, match=r"^cannot continue without no_such_package, .*pip install samnesia\[train\]$"
    ):
        require("no_such_package.module", extra="train")


def test_a_package_that_lacks_something_else_speaks_for_itself(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import something_it_needs\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_it_needs") as caught:
        require("broken_package", extra="train")
    assert not isinstance(caught.value, MissingExtraError)

"""Files of a study's directory."""

from samnesia.study.store import write_text


def test_write_text_replaces_whole_files_and_leaves_nothing_beside(tmp_path):
    write_text(tmp_path / "new" / "page.html", "one")
    write_text(tmp_path / "new" / "page.html", "two")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]
    assert (tmp_path / "new" / "page.html").read_text() == "two"

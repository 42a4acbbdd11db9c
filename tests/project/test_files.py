"""A file is written whole, or what was there stays."""

import os

import pytest

from interlace.files import writing
from interlace.record import write_json
from limits import full_disk


def test_a_file_appears_whole_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "a.bin"
    with writing(path) as file:
        file.write_bytes(b"1")
        assert not path.exists()
        assert file.parent == path.parent  # else it could not take its place at once
    assert path.read_bytes() == b"1"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def stop_half_way():
        with writing(path) as file:
            file.write_text("half of")
            raise error

    with pytest.raises(error):
        stop_half_way()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there_and_says_what_to_do(tmp_path):
    path = write_json(tmp_path / "a.json", {"a": 1})
    with full_disk(), pytest.raises(OSError, match=r"cannot write .*a\.json .*: make room"):
        write_json(path, "a" * 200_000)
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_the_disk_has_it_before_it_takes_its_place(tmp_path, monkeypatch):
    """Else a machine that loses its power may keep the name and not the bytes."""
    path, order = tmp_path / "a.txt", []
    monkeypatch.setattr(os, "fsync", lambda _: order.append(path.exists()))
    with writing(path) as file:
        file.write_text("whole")
    assert order == [False, True]  # the file, then the entry of its folder


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match=r"^cannot write .*: make room, or choose a folder"),
        writing(tmp_path / "file" / "a.txt"),
    ):
        pass

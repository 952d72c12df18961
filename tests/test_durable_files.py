"""What is written is whole or not there, and what fails leaves things as they were."""

import pytest

from qtlib import durable


def test_a_file_is_replaced_whole_and_a_writer_that_fails_leaves_the_old_one(tmp_path):
    path = tmp_path / "champion.json"
    durable.write(path, b"old")
    durable.write(path, b"new")
    with pytest.raises(TypeError):
        durable.write(path, "no bytes")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["champion.json"]


def test_a_folder_comes_with_all_its_files_and_goes_with_them(tmp_path):
    path = tmp_path / "deep" / "bundle"
    durable.write_folder(path, {"a": b"1", "b": b"2"})
    assert {p.name: p.read_bytes() for p in path.iterdir()} == {"a": b"1", "b": b"2"}
    with pytest.raises(OSError, match=r"not empty|exists"):
        durable.write_folder(path, {"a": b"3"})
    assert (path / "a").read_bytes() == b"1"
    with pytest.raises(FileNotFoundError):
        durable.write_folder(tmp_path / "other", {"no/such/folder": b""})
    assert [p.name for p in tmp_path.iterdir()] == ["deep"]
    durable.remove_folder(path)
    assert list(path.parent.iterdir()) == []

"""Files and folders that are whole or not there: a kill or a power cut at any instant leaves the old one or the new.

Each is written under a temporary name beside its place, synced, renamed into place, and the place synced. What a
killed writer left begins with a dot and ends with `.tmp`; nobody reads it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def into_place(path: Path) -> Iterator[Path]:
    """A name to write to, whole and synced; afterwards the file stands at `path`."""
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield tmp
        tmp.replace(path)
    except BaseException:
        tmp.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write(path: Path, content: bytes) -> None:
    """The file at `path` has this content, or is as it was."""
    with into_place(path) as tmp:
        _write(tmp, content)


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """The folder at `path` has these files, all of them; or it is not there. One that is there is an error."""
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    tmp.mkdir(parents=True)
    try:
        for name, content in files.items():
            _write(tmp / name, content)
        sync_folder(tmp)
        tmp.rename(path)
    except BaseException:
        shutil.rmtree(tmp, ignore_errors=True)
        raise
    sync_folder(path.parent)


def remove_folder(path: Path) -> None:
    """The folder at `path` is gone at once, and its content after it."""
    tmp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.rename(tmp)
    sync_folder(path.parent)
    shutil.rmtree(tmp)


def sync_folder(folder: Path) -> None:
    """What was renamed in `folder` stays so through a power cut."""
    if os.name != "posix":  # elsewhere a folder cannot be opened
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())

"""Writing files atomically, and names that are safe as part of a path."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from mgips.errors import DataError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path` when it is complete and on the disk.

    At any moment `path` is the old file or the new one, never a part. A failure leaves the old one; only a kill leaves
    a hidden file that ends in ".part" beside it.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file, and its folder where there is none; see `replacing`.

    Raises:
        DataError: the folder cannot be written, or the disk is full; the old file is unharmed.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}).") from error


def safe_name(name: str) -> bool:
    """Whether a name from a data file may become part of a path: one plain component, nothing above it."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0\r\n\t") and len(name) < 200

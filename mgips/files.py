"""Writing files atomically, and names that are safe as part of a path."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mgips.errors import DataError


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside the target, then replace it: at any moment the file is the old one or the new one, never a part.

    Raises:
        DataError: the folder cannot be written, or the disk is full; the old file is unharmed.
    """
    path = Path(path)
    part = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as part:
            part.write(content)
        os.replace(part.name, path)
    except OSError as error:
        if part is not None:
            Path(part.name).unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written ({error.strerror}).") from error


def safe_name(name: str) -> bool:
    """Whether a name from a data file may become part of a path: one plain component, nothing above it."""
    return bool(name) and name not in (".", "..") and not set(name) & set("/\\\0\r\n\t") and len(name) < 200

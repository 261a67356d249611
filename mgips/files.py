"""Writing files atomically, folders that one process has to itself, tensors with a checksum, and names that are safe as part of a path."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import threading
import time
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import torch
from filelock import BaseFileLock, FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mgips.errors import DataError, RunError

CHECKSUM = "sha256"
"""Its name among a file's metadata."""


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
    except (OSError, ValueError) as error:  # "." has no name
        raise DataError(
            f"{path} cannot be written ({getattr(error, 'strerror', None) or error}); give another place."
        ) from error


def hold(folder: Path, again: bool = False) -> BaseFileLock | None:
    """Keep other processes out of a folder until `let_go`, or until this process ends, however it ends. What was left half
    written there by a kill is removed.

    Args:
        again: whether this process may hold it a second time.

    Returns:
        What `let_go` takes; None where the folder, or its file system, has no room for a lock.

    Raises:
        RunError: another process holds it, and which.
    """
    holder = folder / ".holder"
    lock = FileLock(folder.resolve() / ".lock", is_singleton=again)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        try:
            by = "process {pid} on {host}, since {since}".format(**json.loads(holder.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError):
            by = "another process"
        raise RunError(f"{folder} is being written to by {by}; wait for its end, or choose another folder.") from None
    except OSError:
        return None
    with contextlib.suppress(OSError):  # it is only there to be told
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        told = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        holder.write_text(json.dumps(told), encoding="utf-8")
        for part in folder.glob(".*.part"):
            part.unlink(missing_ok=True)
    return lock


def let_go(lock: BaseFileLock | None) -> None:
    """Let others into a folder again."""
    if lock is not None and lock.is_locked:
        path = Path(lock.lock_file)
        for file in (path.with_name(".holder"), path):
            file.unlink(missing_ok=True)
        lock.release(force=True)


def tensors_hash(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over every tensor's name and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def with_checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str] | None = None) -> bytes:
    """A file in safetensors' format that holds a checksum beside its tensors, for `read_tensors`.

    Args:
        about: more metadata.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {**(about or {}), "format": "pt"}
    return save(tensors, metadata={**about, CHECKSUM: _checksum(tensors, about)})


def read_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file in safetensors' format, on the CPU, and its metadata. A file of others may lack a checksum.

    Raises:
        DataError: nothing there, or damaged: cut off, or other than when it was written.
    """
    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error}).") from error
    if CHECKSUM in about and about.pop(CHECKSUM) != _checksum(tensors, about):
        raise DataError(f"{path} is damaged: its content is not what was written.")
    return tensors, about


def _checksum(tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> str:
    return hashlib.sha256(f"{sorted(about.items())} {tensors_hash(tensors)}".encode()).hexdigest()


def safe_name(name: str) -> bool:
    """Whether a name from a data file may become part of a path: one plain component, nothing above it, no blanks around
    it, no control characters in it (a terminal would obey them) and no half characters."""
    plain = not set(name) & set("/\\") and not any(unicodedata.category(c) in ("Cc", "Cs") for c in name)
    return plain and name not in ("", ".", "..") and name == name.strip() and len(name) < 200

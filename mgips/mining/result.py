"""What was mined: in memory, and in a folder of Parquet files that is written in parts and read in parts."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mgips.errors import ConfigError, DataError
from mgips.files import write_atomically

ROW_GROUP = 4096
"""Texts that are read together from a file."""
ABOUT = "mining.json"


@dataclass(frozen=True)
class Mined:
    """The images mined for each of a split's N texts, the best first."""

    index: Tensor
    """(N, K) int64, the mined images by the place of their tweet in the split; -1 where a `bias` left fewer than K."""
    score: Tensor
    """(N, K) float32, what they were ranked by: their relevance (eq. 14), in [-1, 1]; with `csls` the CSLS value, in
    [-4, 4]; a `bias` is added to either, and -inf stands where there was no K-th image."""
    own_rank: Tensor
    """(N,) int64: how many candidates come before the text's own image; 0 where it is the first, -1 where that is not
    known: a text without an image, or one whose image an approximate search has not found."""
    own_score: Tensor
    """(N,) float32, the same number for the own image, which need not be a candidate; not a number without one."""

    @property
    def k(self) -> int:
        """Images per text."""
        return self.index.shape[1]

    def __len__(self) -> int:
        return len(self.own_rank)

    def __getitem__(self, texts: slice | Sequence[int] | Tensor) -> Mined:
        """What was mined for some texts."""
        places = texts if isinstance(texts, slice | Tensor) else list(texts)
        return Mined(self.index[places], self.score[places], self.own_rank[places], self.own_score[places])

    def top(self, k: int) -> Mined:
        """The same with a smaller K.

        Raises:
            ConfigError: fewer were mined.
        """
        if not 1 <= k <= self.k:
            raise ConfigError(f"k is {k}, but {self.k} images were mined per text; choose k between 1 and {self.k}.")
        return Mined(self.index[:, :k], self.score[:, :k], self.own_rank, self.own_score)


def parquet() -> ModuleType:
    """pyarrow's Parquet module.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError:
        raise ConfigError("Mining into a folder needs pyarrow: pip install 'mgips[scale]'.") from None
    return pyarrow.parquet


class MinedFolder:
    """Images mined for N texts, kept in a folder; `folder[10:20]` reads those of ten texts and nothing else.

    Each `part-FIRST-STOP-CHECKSUM.parquet` holds the texts from FIRST to STOP, a row each, in the columns of `Mined`;
    pandas, DuckDB and `datasets` read them too. `mining.json` says of what they are.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open what `mine_into` has finished. Only the names of the files are read.

        Raises:
            DataError: no such folder, or texts are missing from it.
        """
        self.folder = Path(folder)
        about = read_about(self.folder)
        if about is None:
            raise DataError(f"{self.folder} holds no mining ({ABOUT} is not there); give a folder that was mined into.")
        self.about = about
        """What was mined: texts, images, k, fingerprint."""
        self.parts = parts_in(self.folder)
        gaps = gaps_between(self.parts, self.about["texts"])
        if gaps:
            missing = sum(len(range(gap.start, gap.stop)) for gap in gaps)
            raise DataError(
                f"{self.folder} lacks {missing} of {self.about['texts']} texts, the first of them number "
                f"{gaps[0].start}; mine into it again, and only these are mined."
            )

    @property
    def k(self) -> int:
        """Images per text."""
        return self.about["k"]

    def __len__(self) -> int:
        return self.about["texts"]

    def __getitem__(self, texts: slice | int | Sequence[int] | Tensor) -> Mined:
        """What was mined for some texts, in the order in which they are asked for.

        Raises:
            DataError: a file is damaged.
        """
        if isinstance(texts, int):
            texts = [texts]
        places = np.arange(len(self))[texts if isinstance(texts, slice) else np.asarray(texts, dtype=np.int64)]
        result = empty(len(places), self.k)
        starts = np.array([rows.start for rows, _ in self.parts])
        part_of = np.searchsorted(starts, places, side="right") - 1
        for number in np.unique(part_of):
            rows, file = self.parts[number]
            here = np.flatnonzero(part_of == number)
            _read(file, places[here] - rows.start, self.k, result, here)
        return result

    def whole(self) -> Mined:
        """All of it, in memory."""
        return self[:]


def empty(count: int, k: int) -> Mined:
    """Room for the results of some texts."""
    return Mined(
        torch.full((count, k), -1, dtype=torch.int64),
        torch.full((count, k), -torch.inf),
        torch.full((count,), -1, dtype=torch.int64),
        torch.full((count,), torch.nan),
    )


def _read(file: Path, rows: np.ndarray, k: int, result: Mined, places: np.ndarray) -> None:
    """Rows of a part into places of a result; only the groups that hold them are read."""
    pq = parquet()
    try:
        with pq.ParquetFile(file, memory_map=True, page_checksum_verification=True) as part:
            for group in np.unique(rows // ROW_GROUP):
                table, inside = part.read_row_group(int(group)), np.flatnonzero(rows // ROW_GROUP == group)
                for field in fields(Mined):
                    column = table.column(field.name).combine_chunks()
                    values = column.flatten() if column.type.num_fields else column
                    array = np.array(values.to_numpy(zero_copy_only=False)).reshape(table.num_rows, -1)
                    array = torch.from_numpy(array)[rows[inside] - group * ROW_GROUP]
                    target = getattr(result, field.name)
                    target[places[inside]] = array.view(len(inside), *target.shape[1:])
    except (OSError, KeyError, RuntimeError, ValueError, IndexError) as error:  # pyarrow's errors are some of these
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{file} is damaged ({reason}); remove it and mine into its folder again.") from error


def write_part(folder: Path, rows: slice, mined: Mined) -> None:
    """One finished part, whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    import pyarrow as pa

    parquet()
    columns = {}
    for field in fields(Mined):
        values = getattr(mined, field.name).numpy()
        flat = pa.array(values.reshape(-1))
        columns[field.name] = flat if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    write_table(folder, rows, pa.table(columns), row_group_size=ROW_GROUP, write_page_checksum=True)


def write_table(folder: Path, rows: slice, table: Any, **options: Any) -> None:
    """A table of Arrow's as the part of these rows, its checksum in its name.

    Raises:
        DataError: it cannot be written.
    """
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    parquet().write_table(table, sink, **options)
    content = sink.getvalue().to_pybytes()
    name = f"part-{rows.start:012d}-{rows.stop:012d}-{zlib.crc32(content):08x}.parquet"
    write_atomically(folder / name, content)


def save_mined(folder: str | Path, mined: Mined, images: int, **about: Any) -> MinedFolder:
    """Keep a result that is at hand, in the form in which `mine_into` keeps its own.

    Args:
        images: how many there were to mine from.
        about: what else mining.json shall say.

    Raises:
        ConfigError: pyarrow is not installed.
        DataError: the folder holds a mining, or cannot be written.
    """
    folder = Path(folder)
    if read_about(folder) is not None or parts_in(folder):
        raise DataError(f"{folder} holds a mining already; give another folder.")
    told = {"texts": len(mined.index), "images": images, "k": mined.k, "fingerprint": "", **about}
    write_part(folder, slice(0, len(mined.index)), mined)
    write_atomically(folder / ABOUT, json.dumps(told).encode())
    return MinedFolder(folder)


def parts_in(folder: Path) -> list[tuple[slice, Path]]:
    """The parts of a folder by their names, in order."""
    named = re.compile(r"part-(\d{12})-(\d{12})-[0-9a-f]{8}\.parquet")
    found = ((named.fullmatch(file.name), file) for file in sorted(folder.glob("part-*.parquet")))
    return [(slice(int(match[1]), int(match[2])), file) for match, file in found if match]


def undamaged(file: Path) -> bool:
    """Whether a part still is what was written."""
    crc = 0
    with open(file, "rb") as content:
        while block := content.read(1 << 24):
            crc = zlib.crc32(block, crc)
    return f"{crc:08x}" == file.stem.rpartition("-")[2]


def gaps_between(parts: Sequence[tuple[slice, Path]], count: int) -> list[slice]:
    """The texts that no part holds."""
    edges = [0, *(edge for rows, _ in parts for edge in (rows.start, rows.stop)), count]
    pairs: Iterator[tuple[int, int]] = zip(edges[::2], edges[1::2], strict=True)
    return [slice(start, stop) for start, stop in pairs if start < stop]


def read_about(folder: Path) -> dict | None:
    """What a folder says that it holds; None where it says nothing.

    Raises:
        DataError: what it says cannot be read.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        if {"texts", "images", "k", "fingerprint"} <= about.keys():
            return about
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        pass
    raise DataError(f"{folder / ABOUT} cannot be read; remove the folder and mine again.")

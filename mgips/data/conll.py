"""CoNLL files: one word a line with its tag, a blank line between posts; read in most of their dialects, written in one.

The Twitter corpora begin a post with a line `IMGID:<id>` and write `word<TAB>tag`. Other files have no such lines, have
blanks for tabs, or further columns between word and tag; lines that begin with # before a post's first word are comments.
Tags may be BIO, IOB1 or BIOES (`mgips.tags.to_bio`). A file of one column is words without tags.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mgips.data.corpus import Tweet
from mgips.errors import DataError
from mgips.files import safe_name, write_atomically
from mgips.tags import TAG, to_bio

PREFIX = "IMGID:"
NAMED = re.compile(r"#\s*(?:sent_)?id\s*[:=]?\s*(\S+)")
"""A comment that names the post below it."""


@dataclass
class _Block:
    """A post as it stands in a file."""

    line: int
    id: str
    words: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)


def read_conll(path: str | Path) -> list[Tweet]:
    """The posts of one file, without their pictures; a post without an id is named by the file and its place in it.

    Windows line ends and a byte-order mark are tolerated. A BIO file's I- tag without a B- before it is kept:
    Twitter-2015 has some.

    Raises:
        DataError: naming file, line and remedy.
    """
    path = Path(path)

    def wrong(line: int, reason: str) -> DataError:
        return DataError(f"{path}:{line}: {reason}")

    text = read_text(path)
    # Only "\n" ends a line: str.splitlines would also break words at U+0085 and U+2028.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    with_ids = any(line.startswith(PREFIX) and "\t" not in line for line in lines)
    separator = "\t" if any("\t" in line for line in lines if not line.startswith("#")) else None
    rows = (line for line in lines if not line.startswith(("#", PREFIX, "-DOCSTART-")))
    tagged = any(len(cells) > 1 and TAG.fullmatch(cells[-1]) for cells in map(str.split, lines))
    words_only = separator is None and not tagged and all(len(line.split()) < 2 for line in rows)
    blocks: list[_Block] = []
    inside, name, columns = False, "", 0
    for number, line in enumerate(lines, 1):
        cells = line.split(separator)
        if not cells or not line.strip(" ") or line.startswith("-DOCSTART-"):
            inside = False
            continue
        if with_ids and line.startswith(PREFIX) and "\t" not in line:
            identity = line.removeprefix(PREFIX).strip(" ")
            if not safe_name(identity):
                raise wrong(number, f"the image id {identity!r} is not a plain file name; give it without folders.")
            blocks.append(_Block(number, identity))
            inside = True
        elif not inside and line.startswith("#") and not (words_only if len(cells) < 2 else TAG.fullmatch(cells[-1])):
            found = NAMED.match(line)
            name = found[1] if found and safe_name(found[1]) else ""
        elif not inside and with_ids:
            raise wrong(number, f"{line[:40]!r} stands before any {PREFIX} line; begin each post with one.")
        else:
            if not inside:
                blocks.append(_Block(number, name or f"{path.stem}-{len(blocks) + 1}"))
                inside, name = True, ""
            word, tag, columns = cells[0], cells[-1], columns or len(cells)
            if words_only:
                blocks[-1].words.append(word)
                continue
            if len(cells) < 2:
                raise wrong(number, f"{line[:40]!r} is one column; write word, {'tab' if separator else 'blank'}, tag.")
            if len(cells) != columns:
                raise wrong(number, f"here are {len(cells)} columns, and {columns} above; give each line as many.")
            if not word:
                raise wrong(number, "there is no word before the first tab; write one, or remove the line.")
            if not tag:
                raise wrong(number, f"the word {word[:40]!r} has no tag; write one after the tab.")
            if not TAG.fullmatch(tag):
                raise wrong(
                    number, f"{tag[:40]!r} is not a tag; write O, or B- and I- with an entity type, as in B-PER."
                )
            blocks[-1].words.append(word)
            blocks[-1].tags.append(tag)
    for block in blocks:
        if not block.words:
            raise wrong(block.line, f"post {block.id!r} has no words; remove it.")
    if not blocks:
        raise DataError(f"{path} holds no posts; expected one word and its tag a line, and a blank line between posts.")
    tags = to_bio([block.tags for block in blocks])
    return [Tweet(block.id, tuple(block.words), bio) for block, bio in zip(blocks, tags, strict=True)]


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte-order mark, or in UTF-16 with one.

    Raises:
        DataError: naming file, line and remedy.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give a text file that can be.") from error
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            content = content.decode("utf-16").encode()
        except UnicodeError:
            raise DataError(f"{path} begins as UTF-16 does, and is damaged; save the file as UTF-8.") from None
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise DataError(
            f"{path}:{line}: a NUL byte; this is not a text file in UTF-8, or it is damaged: save it as UTF-8, or fetch it again."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start]
        raise DataError(f"{path}:{line}: byte 0x{byte:02x} is not UTF-8; save the file as UTF-8.") from None


def write_conll(tweets: Iterable[Tweet], path: str | Path, final_blank: bool = True) -> None:
    """Write posts as the Twitter corpora are written. A file of theirs that `read_conll` read comes out byte for byte,
    given its `final_blank`.

    Args:
        final_blank: end with a blank line too, as the files of Twitter-2017 do and those of 2015 do not.

    Raises:
        DataError: a post that the format cannot hold, or a file that cannot be written.
    """
    write_atomically(path, conll(tweets, final_blank).encode())


def conll(tweets: Iterable[Tweet], final_blank: bool = True) -> str:
    """What `write_conll` writes.

    Raises:
        DataError: a post that the format cannot hold.
    """
    blocks = []
    for tweet in tweets:
        if not safe_name(tweet.id) or not tweet.words or len(tweet.words) != len(tweet.tags):
            raise DataError(f"Tweet {tweet.id!r} cannot be written: it needs a plain id, words, and one tag a word.")
        if any(not word or set(word) & set("\t\n\0") or word.endswith("\r") for word in tweet.words):
            raise DataError(f"Tweet {tweet.id!r} cannot be written: a word is empty or holds a tab or a line end.")
        rows = "".join(f"{word}\t{tag}\n" for word, tag in zip(tweet.words, tweet.tags, strict=True))
        blocks.append(f"{PREFIX}{tweet.id}\n{rows}")
    return "\n".join(blocks) + ("\n" if final_blank else "")

"""The CoNLL/IMGID text format of the Twitter corpora, read and written.

A tweet is a line `IMGID:<id>`, then one `word<TAB>tag` a line, then a blank line. Twitter-2015 says OTHER where
Twitter-2017 and the paper say MISC; OTHER is read as MISC and can be written back.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mgips.data.corpus import TAGS, Tweet
from mgips.errors import DataError
from mgips.files import safe_name, write_atomically

PREFIX = "IMGID:"


def read_conll(path: str | Path) -> list[Tweet]:
    """The tweets of one file, without their pictures.

    Windows line ends and a byte-order mark are tolerated. An I- tag without a B- before it is kept: Twitter-2015 has
    some.

    Raises:
        DataError: naming file, line and remedy.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error

    def wrong(line: int, reason: str) -> DataError:
        return DataError(f"{path}:{line}: {reason}")

    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        raise wrong(line, "a NUL byte; this is not a text file, or it is damaged: fetch it again.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise wrong(line, f"byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8.") from None

    blocks: list[tuple[int, str, list[str], list[str]]] = []  # of each tweet: its first line, id, words, tags
    inside = False
    # Only "\n" ends a line: str.splitlines would also break words at U+0085 and U+2028.
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line:
            inside = False
        elif line.startswith(PREFIX) and "\t" not in line:
            identity = line.removeprefix(PREFIX)
            if not safe_name(identity):
                raise wrong(number, f"the image id {identity!r} is no plain file name; give it without folders.")
            blocks.append((number, identity, [], []))
            inside = True
        elif not inside:
            raise wrong(number, f"{line[:40]!r} stands before any {PREFIX} line; begin each tweet with one.")
        else:
            word, tab, tag = line.rpartition("\t")
            if not tab:
                raise wrong(number, f"{line[:40]!r} has no tab; write word, tab, tag.")
            if not tag:
                raise wrong(number, f"the word {word[:40]!r} has no tag; write one after the tab.")
            if not word or "\t" in word:
                raise wrong(number, "there must be exactly one word before the tab and one tag behind it.")
            renamed = tag.replace("-OTHER", "-MISC")
            if renamed not in TAGS:
                raise wrong(number, f"{tag[:40]!r} is no BIO tag of this task; the tags are {', '.join(TAGS)}.")
            blocks[-1][2].append(word)
            blocks[-1][3].append(renamed)
    for number, identity, words, _ in blocks:
        if not words:
            raise wrong(number, f"tweet {identity!r} has no words; remove it.")
    if not blocks:
        raise DataError(f"{path} holds no tweets; expected '{PREFIX}<id>' and 'word<TAB>tag' lines.")
    return [Tweet(identity, tuple(words), tuple(tags)) for _, identity, words, tags in blocks]


def write_conll(
    tweets: Iterable[Tweet], path: str | Path, misc: Literal["MISC", "OTHER"] = "MISC", final_blank: bool = True
) -> None:
    """Write tweets. A file that `read_conll` read is written byte for byte, given its `misc` and `final_blank`.

    Args:
        misc: what MISC is called in the file ("OTHER" in Twitter-2015).
        final_blank: end with a blank line too, as the files of Twitter-2017 do and those of 2015 do not.

    Raises:
        DataError: a tweet that the format cannot hold, or a file that cannot be written.
    """
    blocks = []
    for tweet in tweets:
        if not safe_name(tweet.id) or not tweet.words or len(tweet.words) != len(tweet.tags):
            raise DataError(f"Tweet {tweet.id!r} cannot be written: it needs a plain id, words, and one tag a word.")
        if any(not word or set(word) & set("\t\n\0") or word.endswith("\r") for word in tweet.words):
            raise DataError(f"Tweet {tweet.id!r} cannot be written: a word is empty or holds a tab or a line end.")
        named = (tag.replace("-MISC", f"-{misc}") for tag in tweet.tags)
        rows = "".join(f"{word}\t{tag}\n" for word, tag in zip(tweet.words, named, strict=True))
        blocks.append(f"{PREFIX}{tweet.id}\n{rows}")
    write_atomically(path, ("\n".join(blocks) + ("\n" if final_blank else "")).encode())

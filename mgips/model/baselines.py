"""Table 2's text rows: what stands in BERT's place, and what stands around the CRF.

    BiLSTM-CRF          words            → BiLSTM → CRF    (Lample et al., 2016)
    CNN-BiLSTM-CRF      words, letters   → BiLSTM → CRF    (Ma and Hovy, 2016)
    BERT                BERT             → softmax
    BERT-CRF            BERT             → CRF             the text variant of MGIPS-CL is this model
    BERT-BiLSTM-CRF     BERT             → BiLSTM → CRF

Each is a `ModelConfig`: `text_encoder`, `bilstm` and `crf` say which (`mgips.config.VARIANTS`), so that they are
trained, saved, scored and probed as every other model. The paper does not say which word vectors its first two rows
start from; here they start at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, models, normalizers
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import BertConfig, PreTrainedTokenizerFast

from mgips.config import CHARACTERS, ModelConfig
from mgips.data.batch import Batch
from mgips.model.embedding import TextEmbedding


class WordEncoder(nn.Module):
    """Words, and with "words+characters" their letters, as vectors: a text tower without a layer.

    It offers what a Hugging Face encoder of the BERT family does: `config`, `embeddings`, `encoder.layer`.
    """

    def __init__(self, config: BertConfig, characters: bool) -> None:
        super().__init__()
        self.config = config
        self.embeddings = WordEmbeddings(
            config.vocab_size, config.hidden_size, characters, config.hidden_dropout_prob, config.pad_token_id
        )
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList()

    @classmethod
    def build(cls, config: ModelConfig, vocabulary: int) -> WordEncoder:
        """A random start of `config.hidden_size` numbers a word."""
        shape = BertConfig(
            vocab_size=vocabulary,
            hidden_size=config.hidden_size,
            num_hidden_layers=0,
            num_attention_heads=config.num_heads,
            hidden_dropout_prob=config.dropout,
            max_position_embeddings=config.max_length,
        )
        return cls(shape, config.text_encoder == CHARACTERS)


class WordEmbeddings(nn.Module):
    """One vector a word; with `characters` a sixth of it comes from its letters, through a CNN."""

    def __init__(self, vocabulary: int, d: int, characters: bool, dropout: float, padding: int | None) -> None:
        super().__init__()
        self.letters = CharacterCNN(d // 6) if characters else None
        self.words = nn.Embedding(vocabulary, d - (d // 6 if characters else 0), padding_idx=padding)
        self.dropout = nn.Dropout(dropout)

    def forward(self, input_ids: Tensor, letters: Tensor | None = None) -> Tensor:
        """(B, n) word ids and, for words with their letters, (B, n, letters) bytes → (B, n, d)."""
        x = self.words(input_ids)
        if self.letters is not None:
            x = torch.cat([x, self.letters(letters)], -1)
        return self.dropout(x)


class LetterEmbedding(TextEmbedding):
    """§3.1's text embedding for "words+characters": reads the batch's words as well as their ids."""

    def forward(self, batch: Batch) -> Tensor:
        """The batch's words and their letters as (B, n, d)."""
        return self.bert(input_ids=batch.pieces, letters=letters_of(batch))


LETTERS = 24
"""UTF-8 bytes read of a word; the tail of a link carries no information."""


def letters(word: str) -> list[int]:
    """The first `LETTERS` bytes of a word, each plus one: 0 is padding."""
    return [byte + 1 for byte in word.encode()[:LETTERS]]


def letters_of(batch: Batch) -> Tensor:
    """Each word's bytes at its piece, (B, n, LETTERS) int64; 0 elsewhere."""
    read = torch.zeros(*batch.pieces.shape, LETTERS, dtype=torch.int64)
    for row, (words, first, mask) in enumerate(
        zip(batch.words, batch.first.tolist(), batch.word_mask.tolist(), strict=True)
    ):
        for word, place, inside in zip(words, first, mask, strict=False):
            if inside:
                codes = letters(word)
                read[row, place, : len(codes)] = torch.tensor(codes)
    return read.to(batch.pieces.device)


class CharacterCNN(nn.Module):
    """A word's letters as one vector: embedded, convolved three at a time, the largest of each filter taken.

    Letters are UTF-8 bytes (`letters`): no alphabet has to be saved, and no letter is unknown.
    """

    def __init__(self, width: int, size: int = 30) -> None:
        super().__init__()
        self.embedding = nn.Embedding(257, size, padding_idx=0)
        self.filters = nn.Conv1d(size, width, kernel_size=3, padding=1)

    def forward(self, letters: Tensor) -> Tensor:
        """(B, n, letters) byte + 1, 0 on padding → (B, n, width); 0 where there are no letters."""
        there = (letters > 0).flatten(0, 1).unsqueeze(1)  # (B × n, 1, letters)
        x = self.embedding(letters).flatten(0, 1).transpose(1, 2)  # (B × n, size, letters)
        x = torch.where(there, torch.relu(self.filters(x)), 0.0).amax(-1)  # (B × n, width)
        return x.unflatten(0, letters.shape[:2])


def word_tokenizer(words: Iterable[str], least: int = 2) -> PreTrainedTokenizerFast:
    """A tokenizer whose pieces are whole lower-case words. Words seen fewer than `least` times are unknown, so that
    training meets the unknown word too."""
    counts = Counter(word.lower() for word in words)
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(word for word, count in counts.items() if count >= least)]
    tokenizer = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


class BiLSTM(nn.Module):
    """A bidirectional LSTM over a tweet's words, d in and d out."""

    def __init__(self, d: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(d, d // 2, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        """(B, w, d), (B, w) bool → (B, w, d), 0 on padding. Reads the lengths on the CPU, as packing asks."""
        packed = pack_padded_sequence(words, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=words.shape[1])
        return self.dropout(read)


class IndependentTags(nn.Module):
    """In the CRF's place: each word's tag by itself, with a softmax. Same calls, same shapes (`mgips.model.crf`)."""

    def forward(self, emissions: Tensor, tags: Tensor, mask: Tensor, reduction: str = "sum") -> Tensor:
        """Log-likelihood of tag sequences: (B, T, C), (B, T), (B, T) → (B,) for "none", a scalar for "sum", "mean"."""
        own = emissions.log_softmax(-1).gather(2, tags.unsqueeze(2)).squeeze(2)  # (B, T)
        likelihood = torch.where(mask, own, 0.0).sum(1)  # (B,)
        return {"none": likelihood, "sum": likelihood.sum(), "mean": likelihood.mean()}[reduction]

    def decode(self, emissions: Tensor, mask: Tensor) -> list[list[int]]:
        """The most likely tag of each word, as many as the mask has."""
        best = torch.cat([emissions.argmax(-1), mask.sum(1, keepdim=True)], 1).tolist()
        return [row[: row[-1]] for row in best]

    def log_partition(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log of the sum over all tag sequences: (B, T, C), (B, T) → (B,)."""
        return torch.where(mask, emissions.logsumexp(-1), 0.0).sum(1)

// @ts-check
// Words to word pieces (§3.1), by the tokenizer.json that the package saves for towers from a random start:
// lower-casing WordPiece, as BERT's. Words come as they are; joining them and splitting again would move their borders.

import { Refused } from "./weights.js";

/** @typedef {{vocabulary: Map<string, number>, names: string[], special: RegExp | null, unknown: number,
 *   prefix: string, longest: number, cls: number, sep: number}} Tokenizer */
/** Pieces of a post. `first` is the position of the first piece of each word inside the cut.
 * @typedef {{ids: number[], first: number[], lengths: number[]}} Pieces */

const BLANK = /[\t\n\r]/u;
const CONTROL = /[\0\ufffd\p{Cc}\p{Cf}\p{Co}]/u;
const IDEOGRAPH = new RegExp(
  "[\\u3400-\\u4dbf\\u4e00-\\u9fff\\uf900-\\ufaff\\u{20000}-\\u{2a6df}" +
    "\\u{2a700}-\\u{2b81f}\\u{2b920}-\\u{2ceaf}\\u{2f800}-\\u{2fa1f}]",
  "u",
);
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/u;

/** @param {string} json the text of tokenizer.json @returns {Tokenizer} */
export function readTokenizer(json) {
  const saved = JSON.parse(json),
    { model, normalizer, pre_tokenizer } = saved;
  const usual =
    normalizer?.type === "BertNormalizer" &&
    normalizer.clean_text &&
    normalizer.handle_chinese_chars &&
    normalizer.lowercase &&
    normalizer.strip_accents !== false &&
    pre_tokenizer?.type === "BertPreTokenizer";
  if (model?.type !== "WordPiece" || !usual)
    throw new Refused(
      `This tokenizer is of kind ${model?.type}; the explorer reads the lower-casing WordPiece that ` +
        "a random start has.",
    );
  const vocabulary = new Map(/** @type {[string, number][]} */ (Object.entries(model.vocab)));
  /** @type {string[]} */
  const added = saved.added_tokens.map((/** @type {any} */ token) => token.content);
  const escaped = added.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const names = [];
  for (const [text, id] of vocabulary) names[id] = text;
  const [unknown, cls, sep] = [model.unk_token, "[CLS]", "[SEP]"].map((text) => vocabulary.get(text) ?? NaN);
  const special = escaped.length ? new RegExp(`(${escaped.join("|")})`, "u") : null;
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: longest } = model;
  return { vocabulary, names, special, unknown, prefix, longest, cls, sep };
}

/** A word's parts as BERT's normaliser and splitter make them: no control characters, ideographs apart, no accents,
 * lower case; split at blanks and around punctuation.
 * @param {string} text @returns {string[]} */
export function parts(text) {
  let clean = "";
  for (const c of text)
    if (BLANK.test(c) || !CONTROL.test(c)) clean += /\p{White_Space}/u.test(c) ? " " : IDEOGRAPH.test(c) ? ` ${c} ` : c;
  let apart = "";
  for (const c of clean.normalize("NFD"))
    if (!/\p{Mn}/u.test(c)) {
      const low = c.toLowerCase(); // by character: a last sigma stays like any other
      apart += PUNCTUATION.test(low) ? ` ${low} ` : low;
    }
  return apart.split(/\p{White_Space}+/u).filter(Boolean);
}

/** The longest entries of the vocabulary, from left to right; one unknown piece where that leads nowhere.
 * @param {Tokenizer} tokenizer @param {string} part @returns {number[]} */
export function wordpiece(tokenizer, part) {
  const letters = [...part],
    ids = [];
  if (letters.length > tokenizer.longest) return [tokenizer.unknown];
  for (let start = 0; start < letters.length;) {
    let end = letters.length,
      id;
    for (; end > start; end--) {
      id = tokenizer.vocabulary.get((start ? tokenizer.prefix : "") + letters.slice(start, end).join(""));
      if (id !== undefined) break;
    }
    if (id === undefined) return [tokenizer.unknown];
    ids.push(id);
    start = end;
  }
  return ids;
}

/** A word's pieces: one [UNK] for a word without any, so that words and tags always align.
 * @param {Tokenizer} tokenizer @param {string} word @returns {number[]} */
export function piecesOf(tokenizer, word) {
  const texts = tokenizer.special ? word.split(tokenizer.special) : [word]; // every second one is a special piece
  const ids = texts.flatMap((text, i) =>
    i % 2 ? [tokenizer.vocabulary.get(text) ?? NaN] : parts(text).flatMap((part) => wordpiece(tokenizer, part)),
  );
  return ids.length ? ids : [tokenizer.unknown];
}

/** [CLS], the words' pieces and [SEP], at most `max` of them.
 * @param {Tokenizer} tokenizer @param {string[]} words @param {number} max @returns {Pieces} */
export function encode(tokenizer, words, max) {
  const ids = [tokenizer.cls],
    first = [],
    lengths = words.map((word) => piecesOf(tokenizer, word));
  for (const pieces of lengths) {
    if (ids.length >= max - 1) break;
    first.push(ids.length);
    ids.push(...pieces);
  }
  return { ids: [...ids.slice(0, max - 1), tokenizer.sep], first, lengths: lengths.map((pieces) => pieces.length) };
}

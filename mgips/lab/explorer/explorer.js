// @ts-check
// The engine's entry: load a model, run a post, read a pool, compare the posts of a day. It needs no page: all of it
// runs in a worker or in node, and all that goes in and comes out can be posted from one to the other.

import { matrix } from "./algebra.js";
import * as equations from "./model.js";
import { CROPS } from "./pictures.js";
import { encode, readTokenizer } from "./tokenizer.js";
import { readWeights, Refused } from "./weights.js";

export { Refused };

/** @typedef {import("./weights.js").Matrix} Matrix */
/** @typedef {equations.Side} Side */
/** @typedef {equations.Model & {tokenizer: import("./tokenizer.js").Tokenizer}} Loaded */
/** A post: its words; crops, (3, side, side, 3), null where it has no picture; when it was posted, in days.
 * @typedef {{id?: string, words: string[], crops?: Uint8Array | null, time?: number | null}} Post */

const READ = 0.01; // the weight from which on a picture counts as read
const READS_NOTHING = "This model reads no pool of pictures; open one that does: variant reads.";
const MINES_NOTHING = "This model has no contrastive part (variant text or no-contrast): it mines nothing.";

/** A saved model, from the bytes of model.safetensors and the text of config.json and of tokenizer.json.
 * @param {ArrayBuffer | Uint8Array} weights @param {string} config @param {string} tokenizer @returns {Loaded} */
export function load(weights, config, tokenizer) {
  const about = JSON.parse(config);
  equations.check(about);
  return { config: about, weights: readWeights(weights), tokenizer: readTokenizer(tokenizer) };
}

/** What stands in for a missing picture: CLIP's mean colour. @param {number} side @returns {Uint8Array} */
const defaultCrops = (side) =>
  new Uint8Array(CROPS * side * side * 3).map((_, i) => Math.round(255 * equations.CLIP_MEAN[i % 3]));

/** A post's two sides: their embeddings, the towers that meet, and each tower as a stranger, computed when asked for.
 * @param {Loaded} model @param {Post} post @param {boolean[]} exchange by layer */
function sides(model, post, exchange) {
  const { max_length: most, overlap, images, crop_size: side } = model.config.model;
  if (!post.words.length) throw new Refused("This post has no words; give it some.");
  const pieces = encode(model.tokenizer, post.words, most),
    count = pieces.lengths.reduce((a, b) => a + b, 0);
  if (overlap && count > most - 2)
    throw new Refused(
      `This post has ${count} word pieces, and this model reads more than ${most - 2} in windows ` +
        `(overlap ${overlap}), which the explorer does not; shorten the post.`,
    );
  const crops = images ? (post.crops ?? defaultCrops(side)) : null;
  if (crops && crops.length !== CROPS * side * side * 3)
    throw new Refused(`The post's crops hold ${crops.length} numbers; the model takes 3 × ${side} × ${side} × 3.`);
  const text = equations.textEmbedding(model, pieces.ids),
    image = crops && equations.imageEmbedding(model, crops);
  /** @type {Partial<Record<Side, Matrix>>} */
  const kept = {};
  return {
    pieces,
    embedded: { text, image },
    met: () => {
      const towers = equations.towers(model, text, image, exchange);
      if (image && !exchange.some(Boolean)) Object.assign(kept, { text: towers.text, image: towers.image });
      return towers;
    },
    stranger: (/** @type {Side} */ which) =>
      (kept[which] ??= equations.alone(model, which, /** @type {Matrix} */ (which === "text" ? text : image))),
  };
}

/** One forward pass: everything on the way from a post to its tags.
 *
 * Options: `exchange`, by layer, whether the towers meet there; `gate`, a number in the place of the text gate I;
 * `gateScale`, a factor of it; `pool`, what a model that reads may read; `vectors: false` saves their work.
 *
 * For a model that reads, `reading.without` has the answer without each picture that is read, `reading.nothing` the one
 * without any.
 * @param {Loaded} model @param {Post} post @param {equations.Options} [options] */
export function run(model, post, options = {}) {
  const { model: settings, tags, encoders } = model.config;
  if (options.pool && settings.read === "off") throw new Refused(READS_NOTHING);
  const layers = [...Array(encoders.text.num_hidden_layers).keys()];
  const exchange = layers.map((l) => settings.mutual_attention && (options.exchange?.[l] ?? true));
  const { pieces, embedded, met, stranger } = sides(model, post, exchange);
  const towers = met();
  let { text, image } = towers,
    interwoven = null,
    textGate = null,
    imageGate = null;
  if (settings.mgi && image) {
    interwoven = equations.interweave(model, text, image);
    const { texts, images } = interwoven,
      [before, after] = images.slice(-2);
    const last = texts[texts.length - 1];
    ({ z: text, gate: textGate } = equations.prePostGate(model, "text_gate", texts[0], last, options));
    if (equations.fusedContrast(model))
      ({ z: image, gate: imageGate } = equations.prePostGate(model, "image_gate", before, after));
  }
  const answer = (/** @type {Matrix} */ z) => {
    const emissions = equations.emissions(model, z, pieces.first),
      path = equations.viterbi(model, emissions);
    const named = post.words.map((_, i) => (i < path.length ? tags[path[i]] : "O"));
    return { emissions, path, tags: named, marginals: equations.marginals(model, emissions) };
  };
  let reading = null;
  if (settings.read !== "off") {
    const query = /** @type {Matrix} */ (equations.contrastVector(model, "text", stranger("text")));
    const pool = options.pool ?? asPool([], [], [], text.cols, null),
      z = text;
    const asked = { id: post.id ?? "", time: post.time ?? NaN };
    const read = (/** @type {equations.Pool} */ from, without = -1) =>
      equations.readPool(model, z, query, asked, from, without);
    const whole = read(pool),
      { weights } = whole.reading;
    const places = [...pool.ids.keys()].filter((j) => weights[j] >= READ);
    const named = (/** @type {number} */ j) => ({ place: j, id: pool.ids[j], weight: weights[j] });
    const without = places.map((j) => ({ ...named(j), ...answer(read(pool, j).text) }));
    const nothing = answer(read(asPool([], [], [], text.cols, null)).text);
    reading = { ...whole.reading, temperature: equations.temperature(model), without, nothing };
    text = whole.text;
  }
  const answered = answer(text),
    entities = equations.entities(answered.tags).map((entity) => ({
      ...entity,
      probability: equations.entityProbability(model, answered.emissions, entity),
    }));
  return {
    ids: pieces.ids,
    pieces: pieces.ids.map((id) => model.tokenizer.names[id]),
    first: pieces.first,
    embedded,
    attention: towers.attention,
    towers: { text: towers.text, image: towers.image },
    interwoven,
    textGate,
    imageGate,
    text,
    image,
    ...answered,
    entities,
    reading,
    vectors: options.vectors === false ? null : vectorsOf(model, { text, image }, stranger),
  };
}

/** g(text) and f(image) of eq. 14, (1, d) each, of the fused states or of strangers; null for a side without a head.
 * @param {Loaded} model @param {{text: Matrix, image: Matrix | null} | null} fused
 * @param {(side: Side) => Matrix} stranger */
function vectorsOf(model, fused, stranger) {
  const { images, contrast_on: on } = model.config.model;
  const vector = (/** @type {Side} */ side) => {
    if (!images || !model.weights.has(`${side}_head.linear.weight`)) return null;
    const state = on === "unimodal" ? stranger(side) : fused?.[side];
    return equations.contrastVector(model, side, /** @type {Matrix} */ (state));
  };
  return { text: vector("text"), image: vector("image") };
}

/** Vectors as the rows of one matrix. @param {Matrix[]} vectors @param {number} d @returns {Matrix} */
function rows(vectors, d) {
  const all = matrix(vectors.length, d);
  vectors.forEach((x, i) => all.data.set(x.data, i * d));
  return all;
}

/** @param {Post[]} posts @param {Matrix[]} keys @param {Matrix[]} values @param {number} d @param {number | null} days
 * @returns {equations.Pool} */
const asPool = (posts, keys, values, d, days) => ({
  keys: rows(keys, d),
  values: rows(values, d),
  days,
  times: posts.map((post) => post.time ?? NaN),
  ids: posts.map((post) => post.id ?? ""),
});

/** Other posts' pictures as a model that reads looks them up; posts without a picture are left out.
 * @param {Loaded} model @param {Post[]} posts @returns {equations.Pool} */
export function pool(model, posts) {
  const { read, read_by: by, read_what: what, read_days: days } = model.config.model;
  if (read === "off") throw new Refused(READS_NOTHING);
  const there = posts.filter((post) => post.crops || (by === "text" && what === "text"));
  const strangers = there.map((post) => sides(model, post, []).stranger);
  const keys = strangers.map((of) => /** @type {Matrix} */ (equations.contrastVector(model, by, of(by))));
  const values = strangers.map((of) => equations.mean(of(what)));
  return asPool(there, keys, values, model.config.encoders.text.hidden_size, days);
}

/** Posts compared with each other as in a batch (eqs 14-17): their vectors, the relevance of every text (row) to every
 * image (column), what is mined, and the loss. `positives` are those of training: the own picture may be one. `mined`
 * are the K best pictures that are there, without the own one unless `own` is true.
 * @param {Loaded} model @param {Post[]} posts @param {{k?: number, own?: boolean}} [options] */
export function gallery(model, posts, { k = model.config.model.k, own = false } = {}) {
  const { model: settings, encoders } = model.config,
    d = encoders.text.hidden_size;
  const fused = equations.fusedContrast(model);
  /** @type {Record<Side, Matrix[]>} */
  const found = { text: [], image: [] };
  for (const post of posts) {
    const vectors = fused ? run(model, post).vectors : vectorsOf(model, null, sides(model, post, []).stranger);
    if (!vectors?.text || !vectors.image) throw new Refused(MINES_NOTHING);
    found.text.push(vectors.text);
    found.image.push(vectors.image);
  }
  const texts = rows(found.text, d),
    images = rows(found.image, d),
    relevance = equations.relevance(texts, images);
  const ranked = settings.csls ? equations.csls(relevance) : relevance,
    temperature = equations.temperature(model);
  const positives = equations.mine(ranked, settings.k, (_, j) => settings.mine_missing || !!posts[j].crops);
  const mined = equations.mine(ranked, k, (i, j) => !!posts[j].crops && (own || i !== j));
  const self = posts.map((_, i) => [i]);
  let cl = equations.contrastiveLoss(relevance, self, temperature);
  if (settings.symmetric)
    cl = (cl + equations.contrastiveLoss(equations.relevance(images, texts), self, temperature)) / 2;
  const ips = equations.contrastiveLoss(relevance, positives, temperature);
  const loss = { ips: settings.ips_loss ? ips : null, cl: settings.cl_loss ? cl : null };
  return { texts, images, relevance, positives, mined, temperature, loss };
}

// @ts-check
// MGIPS-CL, one function for each equation of the paper, on one post: nothing is padded.
//
// Shapes: n text positions ([CLS], word pieces, [SEP]); m image positions (class token, 3 crops × grid × grid patches);
// d hidden width; w words; C tags; K mined images; N posts of a gallery or pictures of a pool. `weights.get(name)`
// takes PyTorch's names.

import { add, dot, each, gelu, linear, logsumexp, matrix, norm } from "./algebra.js";
import { quickGelu, row, sigmoid, softmax, sparsemax } from "./algebra.js";
import { CROPS } from "./pictures.js";
import { Refused } from "./weights.js";

/** @typedef {import("./weights.js").Matrix} Matrix */
/** @typedef {import("./weights.js").Tensor} Tensor */
/** ModelConfig, the encoders' configurations and the C tags, as config.json has them.
 * @typedef {{model: any, encoders: any, tags: string[]}} Config */
/** @typedef {{config: Config, weights: Map<string, Tensor>}} Model */
/** (heads, rows, cols): each row sums to 1.
 * @typedef {{heads: number, rows: number, cols: number, data: Float32Array}} Attention */
/** Text rows over [image ; text] keys, image rows over [text ; image]; without the exchange over their own side only.
 * @typedef {{text: Attention, image: Attention | null}} LayerAttention */
/** Keys and values of one layer, (p, d) each: a head is a span of the columns.
 * @typedef {{keys: Matrix, values: Matrix}} KeysValues */
/** @typedef {"text" | "image"} Side */
/** One pass through an MGE (eqs 5-9): row weights (1, n) and column weights (1, d), or (n, 1) as printed; M (n, d).
 * @typedef {{guide: Side, row: Matrix | null, column: Matrix | null, matrix: Matrix}} Pass */
/** Pictures as other posts read them: (N, d) each. A time is in days, NaN where it is unknown.
 * @typedef {{keys: Matrix, values: Matrix, times: number[], ids: string[], days: number | null}} Pool */
/** What a post read: N + 1 scores and weights, the last for reading nothing; r (1, d); the gate of each token (n, 1).
 * @typedef {{scores: Float32Array, weights: Float32Array, read: Matrix, gate: Matrix}} Reading */
/** What a reader of the page may change.
 * @typedef {{exchange?: boolean[], gate?: number, gateScale?: number, pool?: Pool | null, vectors?: boolean}} Options
 * */

/** Why a setting is not computed here: what it may be, and the sentence. */
const ONLY = /** @type {Record<string, [any, string]>} */ ({
  text_encoder: ["random", "the explorer computes text encoders from a random start"],
  image_encoder: ["random", "the explorer computes image encoders from a random start"],
  bilstm: [false, "the explorer has no BiLSTM"],
});
/** All settings that a config.json may have; another one would be from a newer version, and is refused. */
const SETTINGS = `types text_encoder image_encoder hidden_size num_layers num_heads intermediate_size dropout max_length
  overlap crop_size patch_size images bilstm crf mutual_attention mgi row_weights column_weights weight_scale
  interweave_encoders mge_ffn_ratio gate ips_loss cl_loss k temperature contrast_on mine_missing bio_constraint pooling
  contrast_norm symmetric learned_temperature csls read read_time read_null read_own read_days read_by read_what
  read_learned`.split(/\s+/);
/** Of these, the ones that an older config.json lacks: the tags tell the types, and there were no windows. */
const LATER = ["types", "overlap"];

/** Refuses a model that the functions below would compute otherwise than the package, and names the setting.
 * @param {Config} config */
export function check({ model: settings, encoders }) {
  const lacks = SETTINGS.find((name) => !(name in settings) && !LATER.includes(name));
  if (lacks) throw new Refused(`This model's config.json lacks the setting ${lacks}; save the model again.`);
  for (const [name, value] of Object.entries(settings)) {
    if (!SETTINGS.includes(name))
      throw new Refused(`This model has the setting ${name}, which the explorer does not know; update mgips.`);
    const [only, why] = ONLY[name] ?? [value];
    if (value !== only && (name !== "image_encoder" || settings.images))
      throw new Refused(
        `This model has ${name} ${JSON.stringify(value)}, and ${why}; ` +
          `open one with ${name} ${JSON.stringify(only)}.`,
      );
  }
  for (const [side, usual] of [
    ["text", "bert gelu"],
    ["image", "clip_vision_model quick_gelu"],
  ]) {
    const kind = encoders[side] && `${encoders[side].model_type} ${encoders[side].hidden_act}`;
    if (kind && kind !== usual)
      throw new Refused(`This model's ${side} encoder is ${kind}; the explorer computes ${usual}.`);
  }
}

/** The weight and the bias of a module; a module may have no bias.
 * @param {Model} model @param {string} name @returns {[Tensor, Tensor]} */
function of({ weights }, name) {
  const weight = weights.get(`${name}.weight`);
  if (!weight) throw new Refused(`The weights lack ${name}.weight, which config.json asks for; save the model again.`);
  return [weight, /** @type {Tensor} */ (weights.get(`${name}.bias`))];
}
/** @param {Model} model @param {Matrix} x @param {string} name */
const apply = (model, x, name) => linear(x, ...of(model, name));
/** @param {Model} model @param {Matrix} x @param {string} name @param {number} [epsilon] */
const normed = (model, x, name, epsilon) => norm(x, ...of(model, name), epsilon);

// ---- §3.1: embedding ----

/** Eq. 1, S^e = S + S_position + S_segment, then its norm: n pieces → (n, d).
 * @param {Model} model @param {number[]} ids @returns {Matrix} */
export function textEmbedding(model, ids) {
  const at = "text_embedding.bert.",
    [words] = of(model, `${at}word_embeddings`);
  const [places] = of(model, `${at}position_embeddings`),
    [segments] = of(model, `${at}token_type_embeddings`);
  const d = words.shape[1],
    x = matrix(ids.length, d);
  ids.forEach((id, i) => {
    for (let j = 0; j < d; j++) x.data[i * d + j] = words.data[id * d + j] + segments.data[j] + places.data[i * d + j];
  });
  return normed(model, x, `${at}LayerNorm`, model.config.encoders.text.layer_norm_eps);
}

export const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
export const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

/** §3.1.2, V^e: pixels normalised, cut to patches, a class token in front, positions added, then CLIP's norm.
 * (3, side, side, 3) → (m, d).
 * @param {Model} model @param {Uint8Array} crops @returns {Matrix} */
export function imageEmbedding(model, crops) {
  const { crop_size: side } = model.config.model,
    { image } = model.config.encoders,
    patch = image.patch_size;
  const mean = image.image_mean ?? CLIP_MEAN,
    std = image.image_std ?? CLIP_STD;
  const grid = Math.floor(side / patch),
    [kernel] = of(model, "image_embedding.patches"),
    d = kernel.shape[0];
  const patches = matrix(CROPS * grid * grid, 3 * patch * patch);
  for (let p = 0, o = 0; p < patches.rows; p++) {
    const crop = Math.floor(p / grid ** 2),
      y0 = (Math.floor(p / grid) % grid) * patch,
      x0 = (p % grid) * patch;
    for (let c = 0; c < 3; c++)
      for (let y = y0; y < y0 + patch; y++)
        for (let x = x0; x < x0 + patch; x++, o++)
          patches.data[o] = (crops[((crop * side + y) * side + x) * 3 + c] - 255 * mean[c]) / (255 * std[c]);
  }
  const positions = /** @type {Tensor} */ (model.weights.get("image_embedding.positions"));
  const front = /** @type {Tensor} */ (model.weights.get("image_embedding.class_embedding"));
  const all = matrix(1 + patches.rows, d);
  all.data.set(front.data);
  all.data.set(linear(patches, kernel).data, d);
  return normed(model, add(all, matrix(all.rows, d, positions.data)), "image_embedding.norm");
}

// ---- §3.2: mutual attention ----

/** Eq. 4: softmax(Q Kᵀ / √e) V, head by head: (q, d), (k, d), (k, d) → (q, d), and the weights (heads, q, k).
 * @param {Matrix} queries @param {KeysValues} kv @param {number} heads
 * @returns {{context: Matrix, weights: Attention}} */
export function attend(queries, { keys, values }, heads) {
  const { rows, cols: d } = queries,
    e = d / heads,
    k = keys.rows;
  const context = matrix(rows, d),
    data = new Float32Array(heads * rows * k);
  const scale = 1 / Math.sqrt(e),
    sum = new Float64Array(e);
  for (let h = 0; h < heads; h++)
    for (let i = 0; i < rows; i++) {
      const weights = data.subarray((h * rows + i) * k, (h * rows + i + 1) * k),
        o = i * d + h * e;
      for (let j = 0; j < k; j++) weights[j] = dot(queries.data, o, keys.data, j * d + h * e, e) * scale;
      softmax(weights);
      sum.fill(0);
      for (let j = 0; j < k; j++)
        for (let c = 0, w = weights[j], at = j * d + h * e; c < e; c++) sum[c] += w * values.data[at + c];
      context.data.set(sum, o);
    }
  return { context, weights: { heads, rows, cols: k, data } };
}

/** Eq. 2's K = [K_other ; K_own]: (p, d), (q, d) → (p + q, d). @param {Matrix} x @param {Matrix} y @returns {Matrix} */
function stacked(x, y) {
  const both = matrix(x.rows + y.rows, x.cols);
  both.data.set(x.data);
  both.data.set(y.data, x.data.length);
  return both;
}

/** What sets BERT's layers (post-norm) apart from CLIP's (pre-norm): names of the modules. */
const NAMES = {
  text: {
    q: "attention.self.query",
    k: "attention.self.key",
    v: "attention.self.value",
    out: "attention.output.dense",
    norm1: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    norm2: "output.LayerNorm",
  },
  image: {
    q: "self_attn.q_proj",
    k: "self_attn.k_proj",
    v: "self_attn.v_proj",
    out: "self_attn.out_proj",
    norm1: "layer_norm1",
    up: "mlp.fc1",
    down: "mlp.fc2",
    norm2: "layer_norm2",
  },
};

/** Eqs 2 and 4: one layer of one tower, (p, d) → (p, d), its own keys and values, and its attention.
 * @param {Model} model @param {Side} side @param {number} index @param {Matrix} hidden @param {KeysValues | null}
 * other */
export function layer(model, side, index, hidden, other) {
  const { num_attention_heads: heads, layer_norm_eps: epsilon } = model.config.encoders[side];
  const name = NAMES[side],
    at = (/** @type {string} */ part) => `encoder.${side}.${index}.${part}`;
  const input = side === "text" ? hidden : normed(model, hidden, at(name.norm1), epsilon);
  const [queries, keys, values] = [name.q, name.k, name.v].map((part) => apply(model, input, at(part)));
  const all = other ? { keys: stacked(other.keys, keys), values: stacked(other.values, values) } : { keys, values };
  const { context, weights } = attend(queries, all, heads);
  let x = add(hidden, apply(model, context, at(name.out)));
  if (side === "text") {
    x = normed(model, x, at(name.norm1), epsilon);
    x = add(x, apply(model, each(gelu, apply(model, x, at(name.up))), at(name.down)));
    x = normed(model, x, at(name.norm2), epsilon);
  } else {
    const inner = each(quickGelu, apply(model, normed(model, x, at(name.norm2), epsilon), at(name.up)));
    x = add(x, apply(model, inner, at(name.down)));
  }
  return { hidden: x, own: { keys, values }, weights };
}

/** Eqs 2-4, all layers: S^e (n, d) and V^e (m, d) → H^t (n, d) and H^v (m, d). Layer l + 1 of either side reads what
 * the other side had at layer l; the first layer reads the other's embeddings as they are (eq. 3).
 * @param {Model} model @param {Matrix} text @param {Matrix | null} image @param {boolean[]} exchange by layer */
export function towers(model, text, image, exchange) {
  /** @type {LayerAttention[]} */
  const attention = [];
  /** @type {Record<Side, KeysValues | null>} */
  let last = { text: { keys: text, values: text }, image: image && { keys: image, values: image } };
  for (let l = 0; l < model.config.encoders.text.num_hidden_layers; l++) {
    const t = layer(model, "text", l, text, exchange[l] ? last.image : null);
    const v = image && layer(model, "image", l, image, exchange[l] ? last.text : null);
    [text, image] = [t.hidden, v && v.hidden];
    last = { text: t.own, image: v && v.own };
    attention.push({ text: t.weights, image: v && v.weights });
  }
  return { text, image, attention };
}

/** One tower that meets no other: (p, d) → (p, d).
 * @param {Model} model @param {Side} side @param {Matrix} hidden @returns {Matrix} */
export function alone(model, side, hidden) {
  const { num_hidden_layers: layers } = model.config.encoders[side];
  for (let l = 0; l < layers; l++) hidden = layer(model, side, l, hidden, null).hidden;
  return hidden;
}

// ---- §3.3: the interweave module ----

/** f1, f2 and f3's change of length, a linear map over positions: (p, d) → (q, d). A shorter text uses its first rows
 * or columns.
 * @param {Matrix} x @param {[Tensor, Tensor]} map @param {number} to q @returns {Matrix} */
function lengthMap(x, [weight, bias], to) {
  const y = matrix(to, x.cols),
    wide = weight.shape[1];
  for (let q = 0; q < to; q++) {
    const sum = new Float64Array(x.cols).fill(bias.data[q]);
    for (let p = 0; p < x.rows; p++)
      for (let j = 0, w = weight.data[q * wide + p]; j < x.cols; j++) sum[j] += w * x.data[p * x.cols + j];
    y.data.set(sum, q * x.cols);
  }
  return y;
}

/** Eq. 6, first line: softmax over tokens of M · w3, (n, d) → (1, n). @param {Matrix} m @param {Tensor} w3 */
export const rowWeights = (m, w3) => matrix(1, m.rows, softmax(linear(m, { shape: [1, m.cols], data: w3.data }).data));

/** Eq. 6, second line as read: softmax over features of Mᵀ · w4, (n, d) → (1, d). @param {Matrix} m @param {Tensor} w4
 * */
export function columnWeights(m, w4) {
  const scores = new Float32Array(m.cols);
  for (let j = 0; j < m.cols; j++) {
    let sum = 0;
    for (let i = 0; i < m.rows; i++) sum += m.data[i * m.cols + j] * w4.data[i];
    scores[j] = sum;
  }
  return matrix(1, m.cols, softmax(scores));
}

/** Eq. 6, second line as printed: a softmax over one number, which is 1. @param {Matrix} m */
export const printedColumnWeights = (m) => matrix(m.rows, 1, new Float32Array(m.rows).fill(1));

/** Eqs 5-9: MGE(guide, source), in the guide's shape; the source is weighted by token and by feature.
 * @param {Model} model @param {Side} side the guide's @param {Matrix} guide @param {Matrix} source
 * @returns {{excavated: Matrix, pass: Pass}} */
export function mge(model, side, guide, source) {
  const settings = model.config.model,
    at = `interweave.${side}_guided.`;
  const n = side === "text" ? guide.rows : source.rows;
  const change = of(model, `${at}image_to_text.linear`);
  let own = apply(model, source, `${at}linear1`),
    weighing = apply(model, guide, `${at}linear2`);
  if (side === "image")
    weighing = each(gelu, lengthMap(weighing, change, n)); // f2: (m, d) → (n, d)
  else own = each(gelu, lengthMap(own, change, n)); // f1
  const m = each((a, b) => a * b, own, weighing); // eq. 5
  const w3 = model.weights.get(`${at}w3`),
    w4 = model.weights.get(`${at}w4`);
  const average = settings.weight_scale === "mean";
  const byRow = w3 ? rowWeights(m, w3) : null,
    printed = settings.column_weights === "printed";
  const byColumn = w4 ? (printed ? printedColumnWeights(m) : columnWeights(m, w4)) : null;
  let fused = matrix(n, m.cols);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < m.cols; j++) {
      // eq. 7, and the sum of eq. 8
      const token = byRow ? byRow.data[i] * (average ? n : 1) : 0;
      const feature = byColumn ? (printed ? byColumn.data[i] : byColumn.data[j] * (average ? m.cols : 1)) : 0;
      fused.data[i * m.cols + j] = (token + feature) * own.data[i * m.cols + j];
    }
  if (side === "image") fused = lengthMap(fused, of(model, `${at}text_to_image.linear`), guide.rows); // f3
  const y = normed(model, add(guide, apply(model, fused, `${at}project.0`)), `${at}norm1`);
  const inner = apply(model, each(gelu, apply(model, y, `${at}ffn.0`)), `${at}ffn.2`);
  const pass = { guide: side, row: byRow, column: byColumn, matrix: m };
  return { excavated: normed(model, add(y, inner), `${at}norm2`), pass };
}

/** Eqs 10-11: L rounds of X_l = X_{l-1} + MGE(X_{l-1}, T_{l-1}) and T_l = T_{l-1} + MGE(T_{l-1}, X_l), and one more
 * image-guided pass where the contrast reads its result.
 * @param {Model} model @param {Matrix} text T_0 (n, d) @param {Matrix} image X_0 (m, d) */
export function interweave(model, text, image) {
  const rounds = model.config.model.interweave_encoders,
    texts = [text],
    images = [image];
  /** @type {Pass[]} */
  const passes = [];
  for (let l = 0; l < rounds + Number(fusedContrast(model)); l++) {
    const x = mge(model, "image", image, text);
    images.push((image = add(image, x.excavated))); // eq. 10
    passes.push(x.pass);
    if (l === rounds) break;
    const t = mge(model, "text", text, image);
    texts.push((text = add(text, t.excavated))); // eq. 11
    passes.push(t.pass);
  }
  return { texts, images, passes };
}

/** Eqs 12-13: I = σ(W1 T + W2 H + b), z = I ⊙ H + (1 - I) ⊙ T; a gate per feature, (p, d), or one per token, (p, 1).
 * @param {Model} model @param {string} name @param {Matrix} pre H @param {Matrix} post T
 * @param {Options} [options] a constant in the gate's place, or a factor of it */
export function prePostGate(model, name, pre, post, { gate: constant, gateScale = 1 } = {}) {
  let gate = each((a, b) => sigmoid(a + b), apply(model, post, `${name}.w1`), apply(model, pre, `${name}.w2`));
  gate = each((g) => (constant ?? g) * gateScale, gate);
  const z = matrix(pre.rows, pre.cols),
    wide = gate.cols;
  for (let i = 0; i < z.data.length; i++) {
    const g = gate.data[wide === 1 ? Math.floor(i / z.cols) : i];
    z.data[i] = g * pre.data[i] + (1 - g) * post.data[i];
  }
  return { z, gate };
}

// ---- §3.4: relevance, mining, contrast ----

/** Whether texts are contrasted with images at all. @param {Config} config */
export const contrasts = ({ model: c }) => c.images && (c.ips_loss || c.cl_loss);
/** Whether the gated features are contrasted, as in the paper. @param {Model} model */
export const fusedContrast = (model) => contrasts(model.config) && model.config.model.contrast_on === "fused";

/** f or g of eq. 14: the positions' mean, or their weighted sum, a linear layer, then length 1: (p, d) → (1, d).
 * @param {Model} model @param {Side} side @param {Matrix} x @returns {Matrix | null} null without such a head */
export function contrastVector(model, side, x) {
  const at = `${side}_head.`;
  if (!model.weights.has(`${at}linear.weight`)) return null;
  let pooled = mean(x);
  if (model.config.model.pooling === "attention") {
    const scores = apply(model, each(Math.tanh, apply(model, x, `${at}attention.0`)), `${at}attention.2`);
    pooled = weighted(softmax(scores.data), x);
  }
  if (model.config.model.contrast_norm) pooled = normed(model, pooled, `${at}norm`);
  return unit(apply(model, pooled, `${at}linear`));
}

/** Σ_i w_i x_i: p weights and (p, d) → (1, d). @param {Float32Array} shares @param {Matrix} x @returns {Matrix} */
export function weighted(shares, x) {
  const sum = new Float64Array(x.cols);
  for (let i = 0; i < x.rows; i++) for (let j = 0; j < x.cols; j++) sum[j] += shares[i] * x.data[i * x.cols + j];
  return matrix(1, x.cols, Float32Array.from(sum));
}

/** Over the positions: (p, d) → (1, d). @param {Matrix} x @returns {Matrix} */
export const mean = (x) => weighted(new Float32Array(x.rows).fill(1 / x.rows), x);

/** A vector at length 1. @param {Matrix} x @returns {Matrix} */
function unit(x) {
  const length = Math.max(Math.sqrt(dot(x.data, 0, x.data, 0, x.cols)), 1e-12);
  return each((v) => v / length, x);
}

/** Eq. 14: the cosine of every text with every image, (N, d), (M, d) → (N, M); rows are texts.
 * @param {Matrix} texts @param {Matrix} images @returns {Matrix} */
export const relevance = (texts, images) => linear(texts, { shape: [images.rows, images.cols], data: images.data });

/** CSLS, beyond the paper: 2 s_ij - r_i - r_j, where r is the mean of a row's or column's ten highest: (N, M) → (N, M).
 * @param {Matrix} scores @returns {Matrix} */
export function csls(scores) {
  const best = (/** @type {Float32Array} */ values) => {
    const ten = values.slice().sort().reverse().slice(0, 10);
    return ten.reduce((a, b) => a + b, 0) / ten.length;
  };
  const texts = Array.from({ length: scores.rows }, (_, i) => best(row(scores, i)));
  const wide = scores.cols;
  const images = Array.from({ length: wide }, (_, j) => best(scores.data.filter((_, at) => at % wide === j)));
  const apart = scores.data.map((s, at) => 2 * s - texts[Math.floor(at / wide)] - images[at % wide]);
  return matrix(scores.rows, wide, apart);
}

/** Eq. 15: the K candidates of highest score in each row, the best first.
 * @param {Matrix} scores @param {number} k @param {(text: number, image: number) => boolean} allowed @returns
 * {number[][]} */
export function mine(scores, k, allowed) {
  return Array.from({ length: scores.rows }, (_, i) => {
    const values = row(scores, i),
      places = [...values.keys()].filter((j) => allowed(i, j));
    return places.sort((a, b) => values[b] - values[a]).slice(0, k);
  });
}

/** Eq. 16 by text: -log(Σ_{positives} e^{s/τ} / Σ_all e^{s/τ}); 0 for a text without positives. Eq. 17 is the same
 * with the own image as the only positive. The loss is the mean over texts.
 * @param {Matrix} scores @param {number[][]} positives @param {number} temperature @returns {number} */
export function contrastiveLoss(scores, positives, temperature) {
  const losses = positives.map((chosen, i) => {
    const values = Float64Array.from(row(scores, i), (s) => s / temperature);
    return chosen.length ? logsumexp(values) - logsumexp(chosen.map((j) => values[j])) : 0;
  });
  return losses.reduce((a, b) => a + b, 0) / losses.length;
}

/** τ, as set or as learned. @param {Model} model @returns {number} */
export function temperature({ config, weights }) {
  const log = weights.get("learned_temperature.log");
  return log ? Math.max(Math.exp(log.data[0]), 0.01) : config.model.temperature;
}

// ---- beyond the paper: reading the mined pictures ----

const FORBIDDEN = -1e4;

/** What distance in time costs, in units of the cosine: a constant from the next day on, and a multiple of log(1 +
 * days). Nothing where a time is unknown. @param {Model} model @param {number} here @param {number} there @returns
 * {number} */
export function timePenalty({ weights }, here, there) {
  const learned = weights.get("reader.time"),
    days = Math.abs(Math.floor(here) - Math.floor(there));
  return learned && days > 0 ? learned.data[0] + learned.data[1] * Math.log1p(days) : 0;
}

/** z (n, d) and g(text) (1, d) → z' (n, d), and what was read of the pool:
 * s_j = (cos(g(text), f(image_j)) - penalty) / τ, w = sparsemax(s) or softmax(s), r = Σ_j w_j · mean(image_j),
 * z' = LayerNorm(z + gate ⊙ (W r + f(z, W r))).
 * @param {Model} model @param {Matrix} text @param {Matrix} query @param {{id: string, time: number}} post
 * @param {Pool} pool @param {number} [without] a picture that is not read, by its place
 * @returns {{text: Matrix, reading: Reading}} */
export function readPool(model, text, query, post, pool, without = -1) {
  const settings = model.config.model,
    tau = temperature(model),
    count = pool.ids.length,
    { weights } = model;
  const ownToo = settings.read_own && settings.read_by === "image" && settings.read_what === "image";
  const allowed = pool.ids.map((id, j) => {
    const days = Math.abs(Math.floor(post.time) - Math.floor(pool.times[j]));
    return j !== without && (ownToo || id !== post.id) && !(pool.days !== null && days > pool.days);
  });
  const scores = new Float32Array(count + 1);
  for (let j = 0; j < count; j++) {
    const cosine = dot(query.data, 0, pool.keys.data, j * query.cols, query.cols);
    scores[j] = allowed[j] ? (cosine - timePenalty(model, post.time, pool.times[j])) / tau : FORBIDDEN;
  }
  scores[count] = weights.has("reader.null.weight") ? apply(model, query, "reader.null").data[0] / tau : FORBIDDEN / 2;
  let kept = scores;
  if (settings.read === "top" && count > settings.k) {
    const best = mine(matrix(1, count, scores.subarray(0, count)), settings.k, () => true)[0];
    kept = scores.map((s, j) => (j === count || best.includes(j) ? s : FORBIDDEN));
  }
  const shares = settings.read === "sparsemax" ? sparsemax(kept) : softmax(kept.slice());
  for (let j = 0; j < count; j++) if (!allowed[j] || kept[j] === FORBIDDEN) shares[j] = 0;
  const read = weighted(shares.subarray(0, count), matrix(count, text.cols, pool.values.data));
  const value = apply(model, read, "reader.value"),
    both = matrix(text.rows, 2 * text.cols);
  for (let i = 0; i < text.rows; i++) {
    both.data.set(row(text, i), i * both.cols);
    both.data.set(value.data, i * both.cols + text.cols);
  }
  const share = shares.subarray(0, count).reduce((a, b) => a + b, 0);
  const gate = each((g) => sigmoid(g) * share, apply(model, both, "reader.gate"));
  const revised = apply(model, each(gelu, apply(model, both, "reader.revise.0")), "reader.revise.2");
  const sum = matrix(text.rows, text.cols);
  for (let i = 0; i < sum.data.length; i++)
    sum.data[i] = text.data[i] + gate.data[Math.floor(i / sum.cols)] * (value.data[i % sum.cols] + revised.data[i]);
  return { text: normed(model, sum, "reader.norm"), reading: { scores, weights: shares, read, gate } };
}

// ---- §3.5: the decoder ----

/** A word's scores of the C tags, at its first piece: (n, d) → (w, C).
 * @param {Model} model @param {Matrix} text @param {number[]} first @returns {Matrix} */
export function emissions(model, text, first) {
  const words = matrix(first.length, text.cols);
  first.forEach((at, i) => words.data.set(row(text, at), i * text.cols));
  return apply(model, words, "classifier.1");
}

/** The CRF's scores of beginning, ending and following, in double precision; all 0 without a CRF, which makes each
 * word's tag independent. @param {Model} model */
function transitions({ weights, config: { tags } }) {
  const read = (/** @type {string} */ name, /** @type {number} */ size) =>
    Float64Array.from(weights.get(`crf.${name}`)?.data ?? new Float64Array(size));
  return {
    start: read("start_transitions", tags.length),
    end: read("end_transitions", tags.length),
    step: read("transitions", tags.length ** 2),
  };
}

/** Whether a tag may follow another in BIO: I-X only B-X or I-X. @param {string} before @param {string} tag */
const mayFollow = (before, tag) => !tag.startsWith("I-") || (before !== "O" && before.slice(1) === tag.slice(1));

/** The most likely tags (Viterbi): (w, C) → w tag numbers. @param {Model} model @param {Matrix} scores @returns
 * {number[]} */
export function viterbi(model, scores) {
  const { tags, model: settings } = model.config,
    C = tags.length,
    { start, end, step } = transitions(model);
  if (settings.bio_constraint)
    tags.forEach((tag, to) => {
      if (!mayFollow("O", tag)) start[to] = -Infinity;
      tags.forEach((before, from) => {
        if (!mayFollow(before, tag)) step[from * C + to] = -Infinity;
      });
    });
  let best = Float64Array.from(start, (s, c) => s + scores.data[c]);
  const back = [];
  for (let t = 1; t < scores.rows; t++) {
    const next = new Float64Array(C),
      from = new Array(C).fill(0);
    for (let to = 0; to < C; to++) {
      const through = (/** @type {number} */ c) => best[c] + step[c * C + to];
      for (let c = 1; c < C; c++) if (through(c) > through(from[to])) from[to] = c;
      next[to] = through(from[to]) + scores.data[t * C + to];
    }
    back.push(from);
    best = next;
  }
  let tag = 0;
  for (let c = 1; c < C; c++) if (best[c] + end[c] > best[tag] + end[tag]) tag = c;
  const path = [tag];
  for (const from of back.reverse()) path.unshift((tag = from[tag]));
  return path;
}

/** Log of the sums over all paths up to, and from, each word (forward-backward): (w, C) each, in double precision.
 * @param {Model} model @param {ArrayLike<number>} scores */
function sums(model, scores) {
  const C = model.config.tags.length,
    w = scores.length / C,
    { start, end, step } = transitions(model);
  const before = new Float64Array(w * C),
    after = new Float64Array(w * C),
    terms = new Float64Array(C);
  for (let t = 0; t < w; t++)
    for (let c = 0; c < C; c++) {
      for (let b = 0; t && b < C; b++) terms[b] = before[(t - 1) * C + b] + step[b * C + c];
      before[t * C + c] = scores[t * C + c] + (t ? logsumexp(terms) : start[c]);
    }
  for (let t = w - 1; t >= 0; t--)
    for (let c = 0; c < C; c++) {
      const next = (t + 1) * C;
      for (let a = 0; t < w - 1 && a < C; a++) terms[a] = step[c * C + a] + scores[next + a] + after[next + a];
      after[t * C + c] = t < w - 1 ? logsumexp(terms) : end[c];
    }
  for (let c = 0; c < C; c++) terms[c] = before[(w - 1) * C + c] + end[c];
  return { before, after, total: logsumexp(terms) };
}

/** How probable each tag is for each word, over all paths: (w, C) → (w, C) in double precision.
 * @param {Model} model @param {Matrix} scores @returns {Float64Array} */
export function marginals(model, scores) {
  const { before, after, total } = sums(model, scores.data);
  return before.map((value, i) => Math.exp(value + after[i] - total));
}

/** How probable an entity is: the share of all paths that hold exactly its words [start, end) with its type.
 * @param {Model} model @param {Matrix} scores @param {{start: number, end: number, type: string}} entity @returns
 * {number} */
export function entityProbability(model, scores, { start, end, type }) {
  const { tags } = model.config,
    C = tags.length,
    begin = tags.indexOf(`B-${type}`),
    inside = tags.indexOf(`I-${type}`);
  const { total } = sums(model, scores.data);
  return [begin, inside].reduce((share, opening) => {
    const held = Float64Array.from(scores.data);
    const forbid = (/** @type {number} */ t, /** @type {number} */ c) => held.fill(-Infinity, t * C + c, t * C + c + 1);
    for (let t = start; t < end; t++)
      for (let c = 0; c < C; c++) if (c !== (t > start ? inside : opening)) forbid(t, c);
    if (end < scores.rows) forbid(end, inside);
    if (opening === inside && start) [begin, inside].forEach((c) => forbid(start - 1, c));
    return share + Math.exp(sums(model, held).total - total);
  }, 0);
}

/** The entities of tags, by seqeval's default reading: an I- without its B- before it begins one.
 * @param {string[]} path @returns {{start: number, end: number, type: string}[]} */
export function entities(path) {
  /** @type {{start: number, end: number, type: string}[]} */
  const found = [];
  path.forEach((tag, t) => {
    const last = found.at(-1),
      type = tag.slice(2);
    if (tag[0] === "I" && last?.end === t && last.type === type) last.end++;
    else if (tag !== "O") found.push({ start: t, end: t + 1, type });
  });
  return found;
}

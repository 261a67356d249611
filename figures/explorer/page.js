const modules = {};
modules.algebra = (() => {
// @ts-check
// What the equations are written in: products, norms, softmax. Sums are in double precision, results in single.

/** @typedef {import("./weights.js").Matrix} Matrix */
/** @typedef {import("./weights.js").Tensor} Tensor */

/** @param {number} rows @param {number} cols @param {Float32Array} [data] @returns {Matrix} */
const matrix = (rows, cols, data = new Float32Array(rows * cols)) => ({ rows, cols, data });

/** A row of a matrix, sharing its numbers. @param {Matrix} x @param {number} i */
const row = (x, i) => x.data.subarray(i * x.cols, (i + 1) * x.cols);

/** Σ_k a[i + k] b[j + k] over k < n.
 * @param {Float32Array} a @param {number} i @param {Float32Array} b @param {number} j
 * @param {number} n @returns {number} */
function dot(a, i, b, j, n) {
  let s0 = 0,
    s1 = 0,
    s2 = 0,
    s3 = 0,
    k = 0;
  for (; k + 3 < n; k += 4) {
    s0 += a[i + k] * b[j + k];
    s1 += a[i + k + 1] * b[j + k + 1];
    s2 += a[i + k + 2] * b[j + k + 2];
    s3 += a[i + k + 3] * b[j + k + 3];
  }
  for (; k < n; k++) s0 += a[i + k] * b[j + k];
  return s0 + s1 + s2 + s3;
}

/** x Wᵀ + b, as PyTorch's Linear: (p, in) and (out, in) → (p, out). Four rows by two columns at a time, so that a
 * number is fetched once for several products: twice as fast as one by one.
 * @param {Matrix} x @param {Tensor} weight @param {Tensor} [bias] @returns {Matrix} */
function linear(x, weight, bias) {
  const out = weight.shape[0],
    d = x.cols,
    y = matrix(x.rows, out),
    a = x.data,
    w = weight.data;
  for (let i = 0; i < x.rows; i += 4) {
    const i1 = Math.min(i + 1, x.rows - 1),
      i2 = Math.min(i + 2, x.rows - 1),
      i3 = Math.min(i + 3, x.rows - 1);
    const at0 = i * d,
      at1 = i1 * d,
      at2 = i2 * d,
      at3 = i3 * d; // the last rows may be the same one
    for (let o = 0; o < out; o += 2) {
      const o1 = Math.min(o + 1, out - 1),
        v0 = o * d,
        v1 = o1 * d;
      let s00 = bias ? bias.data[o] : 0,
        s01 = bias ? bias.data[o1] : 0;
      let s10 = s00,
        s11 = s01,
        s20 = s00,
        s21 = s01,
        s30 = s00,
        s31 = s01;
      for (let k = 0; k < d; k++) {
        const left = w[v0 + k],
          right = w[v1 + k],
          x0 = a[at0 + k],
          x1 = a[at1 + k],
          x2 = a[at2 + k],
          x3 = a[at3 + k];
        s00 += x0 * left;
        s10 += x1 * left;
        s20 += x2 * left;
        s30 += x3 * left;
        s01 += x0 * right;
        s11 += x1 * right;
        s21 += x2 * right;
        s31 += x3 * right;
      }
      const to = y.data;
      to[i * out + o] = s00;
      to[i1 * out + o] = s10;
      to[i2 * out + o] = s20;
      to[i3 * out + o] = s30;
      to[i * out + o1] = s01;
      to[i1 * out + o1] = s11;
      to[i2 * out + o1] = s21;
      to[i3 * out + o1] = s31;
    }
  }
  return y;
}

/** Applies f to every number, and to the one in the same place of another matrix.
 * @param {(a: number, b: number) => number} f @param {Matrix} x @param {Matrix} [y] @returns {Matrix} */
function each(f, x, y = x) {
  const out = matrix(x.rows, x.cols);
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i], y.data[i]);
  return out;
}

/** @param {Matrix} x @param {Matrix} y @returns {Matrix} */
const add = (x, y) => each((a, b) => a + b, x, y);

/** LayerNorm: (x - mean) / √(variance + ε) · w + b, row by row.
 * @param {Matrix} x @param {Tensor} weight @param {Tensor} bias @param {number} [epsilon] @returns {Matrix} */
function norm(x, weight, bias, epsilon = 1e-5) {
  const out = matrix(x.rows, x.cols);
  for (let i = 0; i < x.rows; i++) {
    const values = row(x, i),
      to = row(out, i);
    let mean = 0,
      variance = 0;
    for (const v of values) mean += v / x.cols;
    for (const v of values) variance += (v - mean) ** 2 / x.cols;
    const scale = 1 / Math.sqrt(variance + epsilon);
    for (let j = 0; j < x.cols; j++) to[j] = (values[j] - mean) * scale * weight.data[j] + bias.data[j];
  }
  return out;
}

/** e^x over its sum, in place. @template {Float32Array | Float64Array} T @param {T} scores @returns {T} */
function softmax(scores) {
  let most = -Infinity,
    sum = 0;
  for (let i = 0; i < scores.length; i++) most = Math.max(most, scores[i]);
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

/** The nearest point of the simplex (Martins and Astudillo 2016): exact zeros for low scores.
 * @param {Float32Array} scores @returns {Float32Array} */
function sparsemax(scores) {
  let sum = 0,
    threshold = 0;
  const sorted = Float64Array.from(scores).sort().reverse();
  sorted.forEach((s, i) => {
    sum += s;
    if (1 + (i + 1) * s > sum) threshold = (sum - 1) / (i + 1);
  });
  return scores.map((s) => Math.max(0, s - threshold));
}

/** log Σ e^x. @param {ArrayLike<number>} values @returns {number} */
function logsumexp(values) {
  let most = -Infinity,
    sum = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  if (most === -Infinity) return most;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - most);
  return most + Math.log(sum);
}

/** @param {number} x */
const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const ERFC = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

/** x Φ(x), through Chebyshev's approximation of erfc, whose relative error is below 1.2e-7 (Numerical Recipes, 6.2).
 * @param {number} x @returns {number} */
function gelu(x) {
  const z = Math.abs(x) * Math.SQRT1_2,
    t = 1 / (1 + z / 2);
  let sum = ERFC[0];
  for (let i = 1; i < 10; i++) sum = sum * t + ERFC[i];
  const erfc = t * Math.exp(sum - z * z);
  return x * (x < 0 ? erfc / 2 : 1 - erfc / 2);
}

/** @param {number} x */
const quickGelu = (x) => x * sigmoid(1.702 * x);

return { matrix, row, dot, linear, each, add, norm, softmax, sparsemax, logsumexp, sigmoid, gelu, quickGelu };
})();
modules.weights = (() => {
// @ts-check
// Weights as the package saves them: a file in safetensors' format, to 32-bit numbers by PyTorch's names.

/** A matrix, row by row; a vector is a matrix of one row.
 * @typedef {{rows: number, cols: number, data: Float32Array}} Matrix */

/** A tensor of a file.
 * @typedef {{shape: number[], data: Float32Array}} Tensor */

/** One sentence that a reader of the page can act on. */
class Refused extends Error {
  /** @param {string} says */
  constructor(says) {
    super(says);
    this.name = "Refused";
  }
}

/** The number that 16 bits stand for: a sign, 5 bits of exponent, 10 of fraction.
 * @param {number} bits @returns {number} */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1,
    exponent = (bits >> 10) & 31,
    fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const BYTES = /** @type {Record<string, number>} */ ({ F16: 2, F32: 4 });

/** All tensors of a file: 8 bytes of length, a header in JSON, then the numbers.
 * @param {ArrayBuffer | Uint8Array} file @returns {Map<string, Tensor>} */
function readWeights(file) {
  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const damaged = new Refused("These weights are no safetensors file, or are cut short; save the model again.");
  const tensors = new Map();
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) throw damaged;
  let header;
  try {
    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  } catch {
    throw damaged;
  }
  for (const [name, { dtype, shape, data_offsets: [start, end] = [0, 0] }] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const size = BYTES[dtype],
      count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    if (!size) throw new Refused(`The weight ${name} is of type ${dtype}; the explorer reads F32 and F16.`);
    if (end - start !== count * size || 8 + length + end > bytes.length) throw damaged;
    const data = new Float32Array(count);
    for (let i = 0, at = 8 + length + start; i < count; i++, at += size)
      data[i] = size === 4 ? view.getFloat32(at, true) : half(view.getUint16(at, true));
    tensors.set(name, { shape, data });
  }
  return tensors;
}

return { Refused, half, readWeights };
})();
modules.pictures = (() => {
// @ts-check
// Pictures to crops, number by number as Pillow makes them (§3.1.2). Runs in a worker; only `decode` needs a browser.

const { Refused } = modules.weights;

/** Rows of red, green and blue.
 * @typedef {{width: number, height: number, data: Uint8Array}} Picture */
/** Left, upper, right and lower edge, in pixels.
 * @typedef {[number, number, number, number]} Box */

const CROPS = 3;
const MAX_PIXELS = 64e6;
const PRECISION = 22; // bits behind the point of Pillow's weights

/** A file's pixels, upright, over white; an animation's first frame. The browser decodes, and nothing else: its
 * resizing and its colour management are its own. Chromium does not turn a WebP file by its EXIF data.
 * @param {Blob} file @returns {Promise<Picture>} */
async function decode(file) {
  const bitmap = await createImageBitmap(file, {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
    imageOrientation: "from-image",
  }).catch(() => {
    throw new Refused("This file is no picture that the browser can read; give a JPEG, PNG, WebP or GIF.");
  });
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS) throw new Refused("This picture has more than 64 million pixels; make it smaller.");
  const canvas = new OffscreenCanvas(width, height).getContext("2d");
  if (!canvas) throw new Refused("This browser gives no canvas to read a picture from; use another one.");
  canvas.drawImage(bitmap, 0, 0);
  return overWhite(canvas.getImageData(0, 0, width, height).data, width, height);
}

/** Transparency over white, rounded as `Image.alpha_composite` does.
 * @param {Uint8Array | Uint8ClampedArray} pixels RGBA @param {number} width @param {number} height
 * @returns {Picture} */
function overWhite(pixels, width, height) {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0, o = 0; o < data.length; i += 4)
    for (let c = 0, alpha = pixels[i + 3]; c < 3; c++, o++) {
      if (alpha === 255) data[o] = pixels[i + c];
      else {
        const t = (pixels[i + c] * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7);
        data[o] = alpha ? ((t >> 8) + t) >> 15 : 255;
      }
    }
  return { width, height, data };
}

/** Keys' cubic filter with a = -1/2. @param {number} x */
function cubic(x) {
  x = Math.abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/** The pixels that each of `to` pixels is made of, and their weights as whole numbers.
 * @param {number} from @param {number} to @returns {{start: number, weights: number[]}[]} */
function filters(from, to) {
  const scale = from / to,
    wide = Math.max(scale, 1),
    support = 2 * wide;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const raw = Array.from({ length: end - start }, (_, j) => cubic((j + start - center + 0.5) * (1 / wide)));
    let sum = 0;
    for (const w of raw) sum += w;
    return { start, weights: raw.map((w) => Math.trunc((sum ? w / sum : w) * 2 ** PRECISION + (w < 0 ? -0.5 : 0.5))) };
  });
}

/** `Image.resize((width, height), BICUBIC)`, bit by bit, in two passes with whole numbers between them. Pillow 13 goes
 * down first where that leaves less to do; older ones always go across first.
 * @param {Picture} picture @param {number} width @param {number} height @returns {Picture} */
function resize(picture, width, height) {
  const { width: w, height: h } = picture,
    downFirst = h - height > Math.max(0, 2 * (w - width));
  /** @param {Uint8Array} data @param {number} rows */
  const across = (data, rows) => pass(data, rows, w, width, 3, 3 * w, 3 * width);
  /** @param {Uint8Array} data @param {number} cols */
  const down = (data, cols) => pass(data, cols, h, height, 3 * cols, 3, 3);
  const { data } = picture;
  return { width, height, data: downFirst ? across(down(data, w), height) : down(across(data, h), width) };
}

/** One direction of `resize`: lines of `from` pixels to lines of `to`.
 * @param {Uint8Array} data @param {number} lines @param {number} from @param {number} to @param {number} step bytes
 * between neighbours of a line @param {number} jump bytes between lines, before @param {number} leap and after */
function pass(data, lines, from, to, step, jump, leap) {
  if (from === to) return data;
  const out = new Uint8Array(lines * to * 3);
  filters(from, to).forEach(({ start, weights }, i) => {
    for (let line = 0; line < lines; line++)
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** (PRECISION - 1),
          at = line * jump + start * step + c;
        for (let j = 0; j < weights.length; j++, at += step) sum += data[at] * weights[j];
        out[line * leap + i * step + c] = Math.max(0, Math.min(255, sum >> PRECISION));
      }
  });
  return out;
}

/** Half of a whole number goes to the even one, as in Python. @param {number} x */
const round = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** What a box holds of a picture. @param {Picture} picture @param {Box} box @returns {Picture} */
function cut(picture, box) {
  const clamp = (/** @type {number} */ edge, /** @type {number} */ most) => round(Math.min(most, Math.max(0, edge)));
  const left = clamp(box[0], picture.width),
    right = clamp(box[2], picture.width);
  const upper = clamp(box[1], picture.height),
    lower = clamp(box[3], picture.height);
  if (left >= right || upper >= lower)
    throw new Refused(`Of ${picture.width} × ${picture.height} pixels none is in the box [${box}]; correct the box.`);
  const width = right - left,
    data = new Uint8Array(width * (lower - upper) * 3),
    wide = picture.width;
  for (let y = upper; y < lower; y++)
    data.set(picture.data.subarray((y * wide + left) * 3, (y * wide + right) * 3), (y - upper) * width * 3);
  return { width, height: lower - upper, data };
}

/** The crops that a model sees of a picture: what each box holds, then the whole picture in the missing places.
 * (crops, side, side, 3), from Pillow's bicubic filter whatever the shape.
 * @param {Picture} picture @param {number} side @param {Box[]} [boxes] @returns {Uint8Array} */
function cropsOf(picture, side, boxes = []) {
  const made = new Uint8Array(CROPS * side * side * 3),
    size = side * side * 3;
  const whole = boxes.length < CROPS ? resize(picture, side, side) : null;
  for (let i = 0; i < CROPS; i++) {
    const view = whole && i >= boxes.length ? whole : resize(cut(picture, boxes[i]), side, side);
    made.set(view.data, i * size);
  }
  return made;
}

/** A sheet's tiles, of equal size, from left to right and from top to bottom.
 * @param {Picture} sheet @param {number} width @param {number} height @param {number} count @returns {Picture[]} */
function tiles(sheet, width, height, count) {
  const across = Math.floor(sheet.width / width);
  return Array.from({ length: count }, (_, i) => {
    const left = (i % across) * width,
      upper = Math.floor(i / across) * height;
    return cut(sheet, [left, upper, left + width, upper + height]);
  });
}

return { CROPS, decode, overWhite, resize, cut, cropsOf, tiles };
})();
modules.model = (() => {
// @ts-check
// MGIPS-CL, one function for each equation of the paper, on one post: nothing is padded.
//
// Shapes: n text positions ([CLS], word pieces, [SEP]); m image positions (class token, 3 crops × grid × grid patches);
// d hidden width; w words; C tags; K mined images; N posts of a gallery or pictures of a pool. `weights.get(name)`
// takes PyTorch's names.

const { add, dot, each, gelu, linear, logsumexp, matrix, norm } = modules.algebra;
const { quickGelu, row, sigmoid, softmax, sparsemax } = modules.algebra;
const { CROPS } = modules.pictures;
const { Refused } = modules.weights;

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
function check({ model: settings, encoders }) {
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
function textEmbedding(model, ids) {
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

const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];
const CLIP_STD = [0.26862954, 0.26130258, 0.27577711];

/** §3.1.2, V^e: pixels normalised, cut to patches, a class token in front, positions added, then CLIP's norm.
 * (3, side, side, 3) → (m, d).
 * @param {Model} model @param {Uint8Array} crops @returns {Matrix} */
function imageEmbedding(model, crops) {
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
function attend(queries, { keys, values }, heads) {
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
function layer(model, side, index, hidden, other) {
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
function towers(model, text, image, exchange) {
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
function alone(model, side, hidden) {
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
const rowWeights = (m, w3) => matrix(1, m.rows, softmax(linear(m, { shape: [1, m.cols], data: w3.data }).data));

/** Eq. 6, second line as read: softmax over features of Mᵀ · w4, (n, d) → (1, d). @param {Matrix} m @param {Tensor} w4
 * */
function columnWeights(m, w4) {
  const scores = new Float32Array(m.cols);
  for (let j = 0; j < m.cols; j++) {
    let sum = 0;
    for (let i = 0; i < m.rows; i++) sum += m.data[i * m.cols + j] * w4.data[i];
    scores[j] = sum;
  }
  return matrix(1, m.cols, softmax(scores));
}

/** Eq. 6, second line as printed: a softmax over one number, which is 1. @param {Matrix} m */
const printedColumnWeights = (m) => matrix(m.rows, 1, new Float32Array(m.rows).fill(1));

/** Eqs 5-9: MGE(guide, source), in the guide's shape; the source is weighted by token and by feature.
 * @param {Model} model @param {Side} side the guide's @param {Matrix} guide @param {Matrix} source
 * @returns {{excavated: Matrix, pass: Pass}} */
function mge(model, side, guide, source) {
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
function interweave(model, text, image) {
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
function prePostGate(model, name, pre, post, { gate: constant, gateScale = 1 } = {}) {
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
const contrasts = ({ model: c }) => c.images && (c.ips_loss || c.cl_loss);
/** Whether the gated features are contrasted, as in the paper. @param {Model} model */
const fusedContrast = (model) => contrasts(model.config) && model.config.model.contrast_on === "fused";

/** f or g of eq. 14: the positions' mean, or their weighted sum, a linear layer, then length 1: (p, d) → (1, d).
 * @param {Model} model @param {Side} side @param {Matrix} x @returns {Matrix | null} null without such a head */
function contrastVector(model, side, x) {
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
function weighted(shares, x) {
  const sum = new Float64Array(x.cols);
  for (let i = 0; i < x.rows; i++) for (let j = 0; j < x.cols; j++) sum[j] += shares[i] * x.data[i * x.cols + j];
  return matrix(1, x.cols, Float32Array.from(sum));
}

/** Over the positions: (p, d) → (1, d). @param {Matrix} x @returns {Matrix} */
const mean = (x) => weighted(new Float32Array(x.rows).fill(1 / x.rows), x);

/** A vector at length 1. @param {Matrix} x @returns {Matrix} */
function unit(x) {
  const length = Math.max(Math.sqrt(dot(x.data, 0, x.data, 0, x.cols)), 1e-12);
  return each((v) => v / length, x);
}

/** Eq. 14: the cosine of every text with every image, (N, d), (M, d) → (N, M); rows are texts.
 * @param {Matrix} texts @param {Matrix} images @returns {Matrix} */
const relevance = (texts, images) => linear(texts, { shape: [images.rows, images.cols], data: images.data });

/** CSLS, beyond the paper: 2 s_ij - r_i - r_j, where r is the mean of a row's or column's ten highest: (N, M) → (N, M).
 * @param {Matrix} scores @returns {Matrix} */
function csls(scores) {
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
function mine(scores, k, allowed) {
  return Array.from({ length: scores.rows }, (_, i) => {
    const values = row(scores, i),
      places = [...values.keys()].filter((j) => allowed(i, j));
    return places.sort((a, b) => values[b] - values[a]).slice(0, k);
  });
}

/** Eq. 16 by text: -log(Σ_{positives} e^{s/τ} / Σ_all e^{s/τ}); 0 for a text without positives. Eq. 17 is the same
 * with the own image as the only positive. The loss is the mean over texts.
 * @param {Matrix} scores @param {number[][]} positives @param {number} temperature @returns {number} */
function contrastiveLoss(scores, positives, temperature) {
  const losses = positives.map((chosen, i) => {
    const values = Float64Array.from(row(scores, i), (s) => s / temperature);
    return chosen.length ? logsumexp(values) - logsumexp(chosen.map((j) => values[j])) : 0;
  });
  return losses.reduce((a, b) => a + b, 0) / losses.length;
}

/** τ, as set or as learned. @param {Model} model @returns {number} */
function temperature({ config, weights }) {
  const log = weights.get("learned_temperature.log");
  return log ? Math.max(Math.exp(log.data[0]), 0.01) : config.model.temperature;
}

// ---- beyond the paper: reading the mined pictures ----

const FORBIDDEN = -1e4;

/** What distance in time costs, in units of the cosine: a constant from the next day on, and a multiple of log(1 +
 * days). Nothing where a time is unknown. @param {Model} model @param {number} here @param {number} there @returns
 * {number} */
function timePenalty({ weights }, here, there) {
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
function readPool(model, text, query, post, pool, without = -1) {
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
function emissions(model, text, first) {
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
function viterbi(model, scores) {
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
function marginals(model, scores) {
  const { before, after, total } = sums(model, scores.data);
  return before.map((value, i) => Math.exp(value + after[i] - total));
}

/** How probable an entity is: the share of all paths that hold exactly its words [start, end) with its type.
 * @param {Model} model @param {Matrix} scores @param {{start: number, end: number, type: string}} entity @returns
 * {number} */
function entityProbability(model, scores, { start, end, type }) {
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
function entities(path) {
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

return { check, textEmbedding, CLIP_MEAN, CLIP_STD, imageEmbedding, attend, layer, towers, alone, rowWeights, columnWeights, printedColumnWeights, mge, interweave, prePostGate, contrasts, fusedContrast, contrastVector, weighted, mean, relevance, csls, mine, contrastiveLoss, temperature, timePenalty, readPool, emissions, viterbi, marginals, entityProbability, entities };
})();
modules.render = (() => {
// A description of the page to its elements. What stays the same is left alone, so focus, drags and transitions live on.

/** An element's description. `tag` may carry classes: "div.row.small". Properties that begin with "on" are handlers;
 * `key` tells elements of one kind apart; `draw` is called with the element after each update; null leaves one out.
 * @param {string} tag @param {Record<string, any> | null} [props] @param {...any} children */
function h(tag, props, ...children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return {
    tag,
    props: props ?? {},
    children: there.map((child) => (typeof child === "object" ? child : String(child))),
  };
}

const PROPERTIES = ["value", "checked", "disabled", "open"];

/** Makes a parent's children those described. @param {Element} parent @param {any[]} children */
function patch(parent, children) {
  children.forEach((child, i) => {
    const old = /** @type {any} */ (parent.childNodes[i]);
    if (typeof child === "string") {
      if (old?.nodeType !== Node.TEXT_NODE) place(parent, document.createTextNode(child), old);
      else if (old.data !== child) old.data = child;
      return;
    }
    const [name, ...classes] = child.tag.split("."),
      { props } = child;
    let node = old; // with what was asked of it last: described, key, given
    if (node?.described !== child.tag || node.key !== props.key) {
      node = Object.assign(document.createElement(name), { described: child.tag, key: props.key, given: {} });
      if (classes.length) node.className = classes.join(" ");
      place(parent, node, old);
    }
    patch(node, child.children);
    update(node, props);
  });
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}

/** @param {Element} parent @param {Node} node @param {Node | undefined} old */
const place = (parent, node, old) => (old ? parent.replaceChild(node, old) : parent.append(node));

/** @param {any} node @param {Record<string, any>} props */
function update(node, props) {
  const before = node.given;
  node.given = props;
  for (const name of new Set([...Object.keys(before), ...Object.keys(props)])) {
    const value = props[name];
    if (name === "key" || name === "draw") continue;
    if (name.startsWith("on")) node[name] = value ?? null;
    else if (PROPERTIES.includes(name)) {
      // What a reader has typed or opened since stays, unless another value is asked for.
      if (value !== before[name] || (name === "value" && node.type === "range")) node[name] = value ?? "";
    } else if (value !== before[name]) {
      if (value === null || value === undefined || value === false) node.removeAttribute(name);
      else node.setAttribute(name, value === true ? "" : value);
    }
  }
  props.draw?.(node);
}

/** Arrow keys go from one button of a group to the next, and wrap; Home and End to its ends. One of them has tabindex 0.
 * @param {KeyboardEvent} event */
function rove(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
  const group = /** @type {HTMLElement} */ (event.currentTarget);
  const all = [...group.querySelectorAll("button")],
    focused = /** @type {Document | ShadowRoot} */ (group.getRootNode()).activeElement;
  const place = all.findIndex((button) => button === focused);
  if (step === undefined || place < 0) return;
  event.preventDefault();
  const next = step === Infinity ? all.length - 1 : step === -Infinity ? 0 : (place + step + all.length) % all.length;
  all[next].focus();
  if (group.dataset.follows !== undefined) all[next].click();
}

/** Colours of cividis, dark to light. */
const CIVIDIS = [
  [0, 34, 78],
  [59, 73, 108],
  [113, 114, 119],
  [167, 157, 117],
  [254, 232, 56],
];

/** @param {number} share in [0, 1] @returns {number[]} */
function cividis(share) {
  const at = Math.max(0, Math.min(1, share || 0)) * 4,
    low = Math.min(3, Math.floor(at));
  return CIVIDIS[low].map((c, i) => c + (CIVIDIS[low + 1][i] - c) * (at - low));
}
const cursors = new Map();

/** A table of numbers as colours: a mouse or the arrow keys go over it, and each number is told.
 * @param {{key: string, rows: number, cols: number, value: (i: number, j: number) => number, label: string,
 *   says: (i: number, j: number) => string, pick?: (i: number, j: number) => void, row?: number, marks?: number[][],
 *   tell: (node: Element, says: string) => void, again: () => void, cell?: number}} about */
function heat({ key, rows, cols, value, label, says, pick, row, marks = [], tell, again, cell }) {
  const at = Math.min(cursors.get(key) ?? 0, rows * cols - 1),
    [i, j] = [Math.floor(at / cols), at % cols];
  const spot = (y, x, wide = 1) =>
    `left:${(100 * x) / cols}%;top:${(100 * y) / rows}%;width:${(100 * wide) / cols}%;height:${100 / rows}%`;
  const move = (node, place) => {
    cursors.set(key, Math.max(0, Math.min(rows * cols - 1, place)));
    again();
    tell(node, says(Math.floor(place / cols), place % cols));
  };
  const under = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const y = Math.min(rows - 1, Math.max(0, Math.floor((rows * (event.clientY - box.top)) / box.height)));
    return [y, Math.min(cols - 1, Math.max(0, Math.floor((cols * (event.clientX - box.left)) / box.width)))];
  };
  return h(
    "div.heat",
    {
      key,
      role: "slider",
      tabindex: 0,
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": rows * cols - 1,
      "aria-valuenow": at,
      "aria-valuetext": says(i, j),
      style: `aspect-ratio:${cell ? `${cols * cell}/${rows}` : "auto"}`,
      onpointermove: (event) => {
        const [y, x] = under(event);
        tell(event.currentTarget, says(y, x));
      },
      onclick: (event) => {
        const [y, x] = under(event);
        pick?.(y, x);
        move(event.currentTarget, y * cols + x);
      },
      onfocus: (event) => event.currentTarget.matches(":focus-visible") && tell(event.currentTarget, says(i, j)),
      onkeydown: (event) => {
        const last = rows * cols - 1,
          ends = { Home: -at, End: last - at };
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols, ...ends }[event.key];
        if (event.key === "Enter" || event.key === " ") pick?.(i, j);
        else if (step === undefined) return;
        event.preventDefault();
        if (step !== undefined && at + step >= 0 && at + step <= last) move(event.currentTarget, at + step);
      },
    },
    h("canvas", {
      width: cols,
      height: rows,
      draw: (canvas) => {
        const context = canvas.getContext("2d"),
          pixels = context?.createImageData(cols, rows);
        if (!context || !pixels) return;
        for (let y = 0, o = 0; y < rows; y++)
          for (let x = 0; x < cols; x++, o += 4) pixels.data.set([...cividis(value(y, x)), 255], o);
        context.putImageData(pixels, 0, 0);
      },
    }),
    row === undefined ? null : h("span.mark", { key: "row", style: spot(row, 0, cols) }),
    marks.map(([y, x]) => h("span.mark", { key: "mark", style: spot(y, x) })),
    h("span.cursor", { key: "cursor", style: spot(i, j) }),
  );
}

return { h, patch, rove, heat };
})();
modules.parts = (() => {
// What several views are made of. Each takes the app and gives a description for `patch`.

const { h, rove } = modules.render;

/** @param {number} x @param {number} [digits] */
const percent = (x, digits = 0) => `${(100 * x).toFixed(digits)} %`;
/** @param {number} x */
const fixed = (x) => (x !== 0 && Math.abs(x) < 0.001 ? x.toExponential(1) : x.toFixed(3));
/** A number behind an element, told on hover and on focus. @param {string} text */
const says = (text) => ({ "data-says": text });
/** @param {any} app @param {string} kind an entity type, or O */
const look = (app, kind) => app.looks[kind] ?? [app.grey, "○"];
/** @param {any} app @param {string} kind */
const sign = (app, kind) => `${look(app, kind)[1]} ${kind}`;
/** @param {string} tag */
const kindOf = (tag) => (tag === "O" ? "O" : tag.slice(2));

/** How probable each type is for a word: its B- and I- together. @param {any} app @param {string} name @param {any} out
 * @param {number} word @returns {[string, number][]} the most probable first */
function types(app, name, out, word) {
  const { tags } = app.configs[name],
    sums = new Map();
  tags.forEach((tag, c) => {
    const share = out.marginals[word * tags.length + c] ?? Number(tag === "O");
    sums.set(kindOf(tag), (sums.get(kindOf(tag)) ?? 0) + share);
  });
  return [...sums].sort((a, b) => b[1] - a[1]);
}

/** A post's picture, cut out of the sheet. @param {any} app @param {number | null} place @param {string} [alt] */
function tile(app, place, alt = pictured(app, place)) {
  const { across, down, url } = app.sheet,
    { width, height } = app.pictures;
  if (place === null || !app.posts[place].pictured)
    return h("span.tile.none", { key: "none", role: "img", "aria-label": "no picture" }, "no picture");
  const share = (at, of) => (of > 1 ? (100 * at) / (of - 1) : 0);
  return h("span.tile", {
    key: "tile",
    ...(alt ? { role: "img", "aria-label": alt } : { "aria-hidden": "true" }),
    style:
      `aspect-ratio:${width}/${height};background-image:url(${url});background-size:${100 * across}% ${100 * down}%;` +
      `background-position:${share(place % across, across)}% ${share(Math.floor(place / across), down)}%`,
  });
}

/** What is known about a picture. @param {any} app @param {number | null} place */
function pictured(app, place) {
  if (place === null || !app.posts[place].pictured) return "no picture";
  const { truth } = app.posts[place];
  if (!truth?.shows) return `the picture of post ${place + 1}`;
  return `a drawn photo of type ${truth.shows}, ${truth.wears ? `wall ${truth.wears.join(" ")}` : "plain wall"}`;
}

/** @param {any} app */
function current(app) {
  const { picture } = app.state,
    place = app.place();
  return picture === "photo" && app.photo
    ? h("img.tile", { key: "photo", src: app.photo.url, alt: "your photo" })
    : tile(app, place);
}

/** How probable each type is, as one bar. @param {any} app @param {[string, number][]} shares */
const stacked = (app, shares) =>
  h(
    "div.stacked",
    {
      role: "img",
      "aria-label": shares
        .filter(([, p]) => p >= 0.005)
        .map(([k, p]) => `${k} ${percent(p)}`)
        .join(", "),
    },
    [...shares]
      .sort(([a], [b]) => (a === "O" ? 1 : b === "O" ? -1 : a < b ? -1 : 1))
      .map(([kind, p]) =>
        h(
          "span.part",
          { key: kind, style: `width:${100 * p}%;--colour:${look(app, kind)[0]}`, ...says(`${kind} ${percent(p, 2)}`) },
          p < 0.22 ? "" : p < 0.36 ? sign(app, kind) : `${sign(app, kind)} ${percent(p)}`,
        ),
      ),
  );

/** A number for each word piece, as bars that also choose words. @param {any} app @param {any} out
 * @param {ArrayLike<number>} values @param {string} label @param {{most?: number, side?: string}} [options] */
function pieces(app, out, values, label, { most = Math.max(...Array.from(values)), side = "text" } = {}) {
  const owner = (at) => (at === 0 || at === out.pieces.length - 1 ? -1 : out.first.filter((f) => f <= at).length - 1);
  const chosen = out.first[app.state.word];
  return h(
    "div.pieces",
    { role: "group", "aria-label": label, onkeydown: rove },
    out.pieces.map((piece, i) =>
      h(
        "button.piece",
        {
          key: i,
          tabindex: i === (chosen ?? 0) ? 0 : -1,
          disabled: false,
          "aria-pressed": String(i === chosen),
          "aria-label": `${piece}: ${fixed(values[i])}`,
          ...says(`${piece}: ${fixed(values[i])}`),
          onclick: () => owner(i) >= 0 && app.set({ word: owner(i) }),
        },
        h("span.column", null, h("span." + side, { style: `height:${(100 * values[i]) / (most || 1)}%` })),
        h("span.name", null, piece),
      ),
    ),
  );
}

/** The three crops with their patches; light falls on those of high value. @param {any} app
 * @param {ArrayLike<number> | null} values by patch @param {string} label */
function crops(app, values, label) {
  const name = app.state.model,
    { crop_size: side, patch_size: size } = app.configs[name].model;
  const grid = Math.floor(side / size),
    all = app.cropsOf(name),
    most = values ? Math.max(...Array.from(values)) || 1 : 1;
  return h(
    "div.crops",
    { role: "group", "aria-label": label, onkeydown: rove },
    [0, 1, 2].map((c) =>
      h(
        "div.crop",
        { key: c, style: `--grid:${grid}` },
        h("canvas", {
          width: side,
          height: side,
          draw: (canvas) => {
            const context = canvas.getContext("2d"),
              pixels = context?.createImageData(side, side);
            if (!context || !pixels) return;
            for (let i = 0, o = 3 * c * side * side; i < side * side; i++, o += 3)
              pixels.data.set(all ? [all[o], all[o + 1], all[o + 2], 255] : [122, 116, 104, 255], 4 * i);
            context.putImageData(pixels, 0, 0);
          },
        }),
        Array.from({ length: grid * grid }, (_, p) => {
          const at = c * grid * grid + p,
            value = values?.[at] ?? 0,
            chosen = app.state.patch === at;
          const text = `crop ${c + 1}, row ${Math.floor(p / grid) + 1}, column ${(p % grid) + 1}${values ? `: ${fixed(value)}` : ""}`;
          return h("button.patch", {
            key: p,
            tabindex: at === (app.state.patch ?? 0) ? 0 : -1,
            "aria-pressed": String(chosen),
            "aria-label": text,
            ...says(text),
            style: values ? `--veil:${(0.82 * (1 - value / most)).toFixed(3)}` : "--veil:0",
            onclick: () => app.set({ patch: chosen ? null : at }),
          });
        }),
      ),
    ),
  );
}

/** One of several named values. @param {string} label @param {any[][]} options name, whether it is on, what a click does */
const choice = (label, options) =>
  h(
    "div.choice",
    { role: "group", "aria-label": label, onkeydown: rove },
    h("span.label", null, label),
    options.map(([name, on, press], i) =>
      h(
        "button",
        {
          key: name,
          "aria-pressed": String(on),
          tabindex: on || (i === 0 && !options.some((o) => o[1])) ? 0 : -1,
          onclick: press,
        },
        name,
      ),
    ),
  );

/** A box of the machine. @param {any} app @param {string} id @param {string} title @param {string} equation its number
 * @param {string} sentence @param {string} formula @param {Function[]} functions those that compute it
 * @param {() => any} content */
function box(app, id, title, equation, sentence, formula, functions, content) {
  const open = app.state.open.includes(id),
    shown = app.codes.has(id);
  const toggle = () => app.set({ open: open ? app.state.open.filter((o) => o !== id) : [...app.state.open, id] });
  return h(
    "section.box",
    { key: id, id: `box-${id}` },
    h(
      "h3",
      null,
      h(
        "button.head",
        { "aria-expanded": String(open), onclick: toggle },
        h("span.title", null, title),
        h("span.equation", null, equation),
      ),
    ),
    open
      ? h(
          "div.inside",
          { key: "inside" },
          h("p.sentence", null, sentence),
          h("p.formula", null, formula),
          content(),
          h(
            "button.quiet",
            {
              "aria-expanded": String(shown),
              onclick: () => {
                shown ? app.codes.delete(id) : app.codes.add(id);
                app.draw();
              },
            },
            shown ? "Hide the code" : "Show the code",
          ),
          shown
            ? h(
                "pre",
                { tabindex: 0, "aria-label": `The code of: ${title}` },
                h("code", null, functions.map(source).join("\n\n")),
              )
            : null,
          app.lessons?.[id]
            ? h("p.hint", null, "Step by step: ", h("a", { href: app.lessons[id].href }, app.lessons[id].title))
            : null,
        )
      : null,
  );
}

/** A function as it runs. @param {Function} f */
const source = (f) => (/^(async )?function/.test(String(f)) ? String(f) : `const ${f.name} = ${f}`);

const lacks = (what) => h("p.dim", null, what);

return { percent, fixed, says, look, sign, kindOf, types, tile, pictured, current, stacked, pieces, crops, choice, box, lacks };
})();
modules.guide = (() => {
// The guide: five steps that each set the page and say, with the numbers of now, what to see.

const { percent, types } = modules.parts;

/** The steps that the models at hand can show: a title, what is set, where to look, and a sentence.
 * @param {any} app @returns {{title: string, change: () => Record<string, any>, at?: string, says: () => string}[]} */
function steps(app) {
  const word = () => app.words()[app.state.word] ?? "",
    base = { post: app.showcase?.post ?? app.state.post };
  const at = { ...base, word: app.showcase?.start ?? app.state.word, words: null, off: [], gate: null, picture: "own" };
  const best = (name, out) => {
    if (!out || out.tags.length !== app.words().length) return "…";
    const [kind, share] = types(app, name, out, app.state.word)[0];
    return `${kind} (${percent(share)})`;
  };
  const opened = (id) => [...new Set([...app.state.open, id])];
  const picture = () => ({ own: "its own picture", none: "no picture" })[app.state.picture] ?? "another picture";
  const now = () => best(app.main, app.out[app.main]);
  const made = [
    app.blind && {
      title: "Words alone",
      change: () => at,
      says: () =>
        `The text-only model must guess what “${word()}” is: ${best(app.blind, app.out[app.blind])}.` +
        (app.state.post === app.showcase?.post ? " Nothing in the words tells it." : ""),
    },
    app.seeing.length && {
      title: "The picture decides",
      change: () => ({ ...at, picture: app.showcase ? `day.${app.showcase.other}` : "none" }),
      says: () =>
        `The same words with ${picture()}: the model “${app.main}” says ${now()}; ` +
        `with their own one it says ${best(app.main, app.cards.own)}. Take any picture below.`,
    },
    app.seeing.length && {
      title: "Where it looks",
      change: () => ({ ...at, open: opened("attention"), layer: app.layers - 1 }),
      at: "box-attention",
      says: () =>
        `Bright patches are those that “${word()}” attends to. ` +
        `Take a layer's tick away, and no keys and values are exchanged there: the answer is now ${now()}.`,
    },
    app.configs[app.main].model.mgi && {
      title: "The gate",
      change: () => ({ ...at, open: opened("gate") }),
      at: "box-gate",
      says: () =>
        `The gate mixes what a word was before the interweave module with what it is after it. ` +
        `Move the slider: the answer is now ${now()}.`,
    },
    app.readers.length && {
      title: "Other posts' pictures",
      change: () => ({ ...at, open: opened("reading"), picture: "none" }),
      at: "box-reading",
      says: () =>
        (app.main === app.readers[0] ? "" : `With ${picture()} the model “${app.main}” says ${now()}. `) +
        `The reading model looks the story up in other posts: ${best(app.readers[0], app.out[app.readers[0]])}.`,
    },
  ];
  return made.filter(Boolean);
}

return { steps };
})();
modules.post = (() => {
// The story, the post with its picture, and the answers.

const equations = modules.model;
const { h, rove } = modules.render;
const { choice, current, kindOf, lacks, look, percent } = modules.parts;
const { pictured, says, sign, stacked, tile, types } = modules.parts;

// ---- the story ----

/** What decides: the words alone, with their picture, with another one. @param {any} app */
function story(app) {
  const { state, showcase } = app,
    words = app.words(),
    word = Math.min(state.word, words.length - 1);
  const other = showcase?.post === state.post ? `day.${showcase.other}` : null;
  const cards = [];
  if (app.out[app.blind]) cards.push(["The words alone", app.blind, app.out[app.blind], null]);
  if (app.cards.own) cards.push(["With its picture", app.main, app.cards.own, "own"]);
  if (other && app.cards[other]) cards.push(["With another picture", app.main, app.cards[other], other]);
  if (app.out[app.main] && !["own", other].includes(state.picture))
    cards.push(["As set now", app.main, app.out[app.main], state.picture]);
  return h(
    "section.story",
    { "aria-label": "What decides" },
    h("p.lead", null, "Who or what is ", h("mark", null, words[word] ?? ""), "? ", lead(app, cards, word)),
    h(
      "div.cards",
      null,
      cards.map(([title, name, out, picture]) => {
        const [[kind, share]] = types(app, name, out, word),
          chosen = picture === state.picture;
        const inside = [
          picture === null
            ? h("span.tile.none", { key: "words", role: "img", "aria-label": "no picture is read" }, "Aa")
            : picture === "photo"
              ? current(app)
              : tile(app, app.place(picture)),
          h("span.what", null, title),
          h("span.model", null, name),
          h("strong", { key: kind, style: `--colour:${look(app, kind)[0]}` }, sign(app, kind), " ", percent(share)),
          stacked(app, types(app, name, out, word)),
        ];
        return picture === null
          ? h("div.card", { key: title }, inside)
          : h(
              "button.card",
              { key: title, "aria-pressed": String(chosen), onclick: () => app.set({ picture }) },
              inside,
            );
      }),
    ),
  );
}

/** @param {any} app @param {[string, string, any, string | null][]} cards @param {number} word */
function lead(app, cards, word) {
  const best = cards.map(([, name, out]) => types(app, name, out, word)[0]);
  if (cards.length < 2) return "";
  const told = cards.slice(0, 3).map(([title], i) => `${title.toLowerCase()}: ${best[i][0]} (${percent(best[i][1])})`);
  const differ = new Set(best.map(([kind]) => kind)).size > 1;
  return `${told.join("; ").replace(/^./, (c) => c.toUpperCase())}. ${differ ? "The words are the same; the picture decides." : "Here the words are enough."}`;
}

// ---- the post ----

/** Words as chips. @param {any} app */
function chips(app) {
  const { state } = app,
    words = app.words(),
    out = app.out[app.main];
  const change = (made, word = state.word) => {
    app.refocus = ".chip[aria-pressed='true']";
    app.set({ words: made, word, editing: null });
    return true;
  };
  const remove = (i) =>
    words.length > 1 &&
    change(
      words.filter((_, j) => j !== i),
      Math.max(0, i - (i === words.length - 1 ? 1 : 0)),
    );
  const put = (i, typed) => {
    const made = typed.split(/\s+/).filter(Boolean);
    if (!made.length) return remove(i) || app.set({ editing: null });
    change([...words.slice(0, i), ...made, ...words.slice(i + 1)], i);
  };
  const add = () =>
    app.set({
      words: [...words.slice(0, state.word + 1), "new", ...words.slice(state.word + 1)],
      word: state.word + 1,
      editing: state.word + 1,
    });
  return h(
    "div.post-words",
    null,
    h(
      "div.chips",
      {
        role: "group",
        "aria-label": "The words of the post",
        onkeydown: (event) => {
          if (state.editing !== null) return;
          if (event.key === "Delete" || event.key === "Backspace") remove(state.word);
          else rove(event);
        },
        "data-follows": true,
      },
      words.map((word, i) => {
        if (state.editing === i)
          return h("input.chip", {
            key: `edit ${i}`,
            value: word,
            "aria-label": `Word ${i + 1}`,
            size: Math.max(4, word.length + 1),
            draw: (node) => node.held || ((node.held = true), node.focus(), node.select()),
            onkeydown: (event) => {
              if (event.key === "Enter") put(i, event.target.value);
              else if (event.key === "Escape") {
                app.refocus = ".chip[aria-pressed='true']";
                app.set({ editing: null });
              }
            },
            onblur: (event) => app.state.editing === i && event.target.isConnected && put(i, event.target.value),
          });
        const kind = kindOf(out?.tags[i] ?? "O"),
          gold = state.words ? null : app.posts[state.post].tags?.[i];
        return h(
          "button.chip",
          {
            key: i,
            tabindex: i === state.word ? 0 : -1,
            "aria-pressed": String(i === state.word),
            style: `--colour:${look(app, kind)[0]}`,
            "data-kind": kind === "O" ? null : kind,
            ...says(`${word}: ${kind}${gold ? `; labelled ${gold}` : ""}`),
            onclick: () => (i === state.word ? null : app.set({ word: i })),
            ondblclick: () => app.set({ word: i, editing: i }),
            onkeydown: (event) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              app.set({ word: i, editing: i });
            },
          },
          word,
        );
      }),
    ),
    h(
      "div.tools",
      null,
      h("button", { onclick: () => app.set({ editing: state.word }) }, `Edit “${words[state.word] ?? ""}”`),
      h("button", { disabled: words.length < 2, onclick: () => remove(state.word) }, "Delete it"),
      h("button", { onclick: add }, "Add a word"),
      h(
        "button",
        {
          disabled: !state.words && state.picture === "own" && !state.off.length && state.gate === null,
          onclick: app.reset,
        },
        "As it was",
      ),
    ),
    h("p.hint", null, "Arrow keys go from word to word; Enter or a double click edits, Delete removes."),
  );
}

/** The pictures to choose from. @param {any} app */
function chooser(app) {
  const { state } = app,
    drawn = app.posts.slice(app.day);
  const tabs = [
    ["day", "From the day", true],
    ["drawn", "Drawn", drawn.length > 0],
    ["photo", "Your photo", true],
  ];
  const place = app.place();
  return h(
    "div.chooser",
    null,
    choice("Picture", [
      ["Its own", state.picture === "own" && state.chooser !== "photo", () => app.set({ picture: "own" })],
      ["None", state.picture === "none", () => app.set({ picture: "none" })],
      ...tabs
        .filter((t) => t[2])
        .map(([id, name]) => [
          name,
          state.chooser === id && state.picture !== "own" && state.picture !== "none",
          () => {
            app.set({
              chooser: id,
              ...(id === "photo"
                ? app.photo
                  ? { picture: "photo" }
                  : {}
                : id === "drawn"
                  ? { picture: state.picture.startsWith("drawn") ? state.picture : "drawn.0" }
                  : {}),
            });
          },
        ]),
    ]),
    state.chooser === "photo"
      ? photo(app)
      : state.chooser === "drawn"
        ? dials(app, drawn)
        : h(
            "div.thumbs",
            { role: "group", "aria-label": "The pictures of the day", onkeydown: rove },
            app.posts.slice(0, app.day).map((post, i) =>
              h(
                "button.thumb",
                {
                  key: i,
                  tabindex: i === (place !== null && place < app.day ? place : 0) ? 0 : -1,
                  "aria-pressed": String(i === place),
                  "aria-label": `Post ${i + 1}: ${pictured(app, i)}`,
                  ...says(`Post ${i + 1}: ${pictured(app, i)}`),
                  onclick: () => app.set({ picture: i === state.post ? "own" : post.pictured ? `day.${i}` : "none" }),
                },
                tile(app, i, ""),
              ),
            ),
          ),
  );
}

/** TinyTweets' dials: what the photo shows, and the wall. @param {any} app @param {any[]} drawn */
function dials(app, drawn) {
  const at = app.state.picture.startsWith("drawn.") ? Number(app.state.picture.slice(6)) : 0,
    wall = (t) => t.wears?.join(" ") ?? "plain";
  const now = drawn[at].truth,
    find = (shows, wears) =>
      app.set({
        picture: `drawn.${drawn.findIndex((post) => post.truth.shows === shows && wall(post.truth) === wears)}`,
      });
  const select = (label, options, value, then) =>
    h(
      "label",
      null,
      label,
      h(
        "select",
        { value, onchange: (e) => then(e.target.value) },
        options.map((o) => h("option", { key: o, value: o, selected: o === value }, o)),
      ),
    );
  return h(
    "div.dials",
    null,
    select("The photo shows", [...new Set(drawn.map((p) => p.truth.shows))], now.shows, (v) => find(v, wall(now))),
    select("before the wall", [...new Set(drawn.map((p) => wall(p.truth)))], wall(now), (v) => find(now.shows, v)),
    h(
      "p.hint",
      null,
      "Drawn as TinyTweets' pictures are: what the photo shows tells the type, the wall tells which story it belongs to.",
    ),
  );
}

/** A photo of the reader's, with up to three boxes. @param {any} app */
function photo(app) {
  const { photo: own } = app,
    boxes = own?.boxes ?? [];
  const take = (made) => app.takePhoto(own.file, made);
  const clip = (b) => {
    const wide = Math.max(8, Math.min(own.width, b[2] - b[0])),
      high = Math.max(8, Math.min(own.height, b[3] - b[1]));
    const left = Math.max(0, Math.min(own.width - wide, b[0])),
      upper = Math.max(0, Math.min(own.height - high, b[1]));
    return [left, upper, left + wide, upper + high].map(Math.round);
  };
  const at = (event) => {
    const area = event.currentTarget.getBoundingClientRect();
    return [
      ((event.clientX - area.left) / area.width) * own.width,
      ((event.clientY - area.top) / area.height) * own.height,
    ];
  };
  const style = (b) =>
    `left:${(100 * b[0]) / own.width}%;top:${(100 * b[1]) / own.height}%;width:${(100 * (b[2] - b[0])) / own.width}%;height:${(100 * (b[3] - b[1])) / own.height}%`;
  return h(
    "div.photo",
    null,
    h(
      "label",
      null,
      "A photo from your disk; it stays in this browser ",
      h("input", {
        type: "file",
        accept: "image/*",
        onchange: (e) => e.target.files[0] && app.takePhoto(e.target.files[0], []),
      }),
    ),
    own
      ? [
          h(
            "div.stage",
            {
              key: own.url,
              onpointerdown: (e) => {
                if (e.target.closest("button") || boxes.length > 2) return;
                e.preventDefault();
                app.drag = [...at(e), ...at(e)];
                e.currentTarget.setPointerCapture(e.pointerId);
              },
              onpointermove: (e) => {
                if (!app.drag) return;
                app.drag.splice(2, 2, ...at(e));
                app.draw();
              },
              onpointerup: () => {
                const b = app.drag;
                app.drag = null;
                if (b && Math.abs(b[2] - b[0]) > 4 && Math.abs(b[3] - b[1]) > 4)
                  take([
                    ...boxes,
                    clip([Math.min(b[0], b[2]), Math.min(b[1], b[3]), Math.max(b[0], b[2]), Math.max(b[1], b[3])]),
                  ]);
                else app.draw();
              },
            },
            h("img", { src: own.url, alt: "your photo", draggable: "false" }),
            boxes.map((b, i) =>
              h(
                "button.crop-box",
                {
                  key: i,
                  style: style(b),
                  "aria-label": `Crop ${i + 1}: ${b.join(", ")}. Arrow keys move it, with Shift they change its size, Delete removes it.`,
                  onkeydown: (e) => {
                    const step = Math.max(1, Math.round(own.width / 40)),
                      [x, y] = {
                        ArrowLeft: [-step, 0],
                        ArrowRight: [step, 0],
                        ArrowUp: [0, -step],
                        ArrowDown: [0, step],
                      }[e.key] ?? [0, 0];
                    const replaced = (n) => take(boxes.map((o, j) => (j === i ? clip(n) : o)));
                    if (e.key === "Delete" || e.key === "Backspace") take(boxes.filter((_, j) => j !== i));
                    else if (!x && !y) return;
                    else
                      replaced(
                        e.shiftKey ? [b[0], b[1], b[2] + x, b[3] + y] : [b[0] + x, b[1] + y, b[2] + x, b[3] + y],
                      );
                    e.preventDefault();
                  },
                },
                String(i + 1),
              ),
            ),
            app.drag
              ? h("span.crop-box", {
                  key: "drag",
                  style: style([
                    Math.min(app.drag[0], app.drag[2]),
                    Math.min(app.drag[1], app.drag[3]),
                    Math.max(app.drag[0], app.drag[2]),
                    Math.max(app.drag[1], app.drag[3]),
                  ]),
                })
              : null,
          ),
          h(
            "div.tools",
            null,
            h(
              "button",
              {
                disabled: boxes.length > 2,
                onclick: () =>
                  take([...boxes, clip([own.width / 4, own.height / 4, (3 * own.width) / 4, (3 * own.height) / 4])]),
              },
              "Add a crop",
            ),
            h("button", { disabled: !boxes.length, onclick: () => take([]) }, "No crops"),
          ),
          h("p.hint", null, "Drag on the photo to draw up to three crops; the whole photo fills the missing places."),
        ]
      : h("p.hint", null, "Without crops the whole photo is read three times, as mgips predict --image does."),
  );
}

/** What each model says about the whole post. @param {any} app */
function answers(app) {
  const { state } = app,
    words = app.words();
  const line = (name, tags, entities, note) =>
    h(
      "div.answer",
      { key: name },
      h("div.who", null, h("b", null, name), " ", h("span.dim", null, note)),
      h(
        "p.said",
        null,
        spansOf(words, entities).map((part) => [
          part.type
            ? h(
                "span.entity",
                {
                  key: `${part.start} ${part.type}`,
                  style: `--colour:${look(app, part.type)[0]}`,
                  ...says(
                    part.probability === undefined
                      ? part.type
                      : `${part.text}: ${part.type}, ${percent(part.probability, 2)}`,
                  ),
                },
                part.text,
                h(
                  "small",
                  null,
                  ` ${sign(app, part.type)}${part.probability === undefined ? "" : ` ${percent(part.probability)}`}`,
                ),
              )
            : part.text,
          " ",
        ]),
      ),
    );
  const gold = state.words ? null : app.posts[state.post].tags;
  const labelled = gold ? equations.entities(gold) : null,
    plain = (all) => JSON.stringify(all.map((e) => [e.start, e.end, e.type]));
  return h(
    "section",
    { "aria-label": "The answers", "aria-live": "polite" },
    h("h2", null, "What the models say"),
    app.names.map((name) => {
      const out = app.out[name];
      if (!out || out.tags.length !== words.length)
        return h(
          "div.answer",
          { key: name },
          h("div.who", null, h("b", null, name)),
          lacks(app.readers.includes(name) ? "encodes the day's pictures …" : "computes …"),
        );
      const right = labelled ? (plain(out.entities) === plain(labelled) ? "✓ as labelled" : "✗ not as labelled") : "";
      return line(name, out.tags, out.entities, right);
    }),
    labelled ? line("labels", gold, labelled, "the truth of this post") : null,
  );
}

/** @param {string[]} words @param {any[]} entities */
function spansOf(words, entities) {
  const parts = [];
  for (let i = 0; i < words.length;) {
    const entity = entities.find((e) => e.start === i),
      end = entity?.end ?? i + 1;
    parts.push({ ...entity, start: i, text: words.slice(i, end).join(" ") });
    i = end;
  }
  return parts;
}

return { story, chips, chooser, answers };
})();
modules.machine = (() => {
// The machine as boxes: what each computed, by which equation and which code.

const equations = modules.model;
const { h, heat } = modules.render;
const { box, choice, crops, current, fixed, kindOf, lacks, look, percent, pieces, says, tile } = modules.parts;

/** One row of attention, of a head or the mean of all. @param {any} a @param {number | null} head @param {number} i
 * @returns {Float32Array} */
function attended(a, head, i) {
  if (head !== null && head >= a.heads) head = null; // another model may have fewer
  const mean = new Float32Array(a.cols);
  for (let k = 0; k < a.heads; k++)
    if (head === null || head === k)
      for (let j = 0; j < a.cols; j++) mean[j] += a.data[(k * a.rows + i) * a.cols + j] / (head === null ? a.heads : 1);
  return mean;
}

/** @param {any} app */
function machine(app) {
  const { state } = app,
    name = state.model,
    out = app.out[name],
    word = app.words()[state.word] ?? "";
  if (!out || out.tags.length !== app.words().length) return h("section.machine", null, lacks("The model computes …"));
  const at = out.first[state.word] ?? 0,
    cut = out.first[state.word] === undefined,
    config = app.configs[name],
    n = out.pieces.length;
  const image = out.towers.image ? out.embedded.image.rows : 0;
  const sum = (x) => Array.from(x).reduce((a, b) => a + b, 0);
  const norms = (x, from = 0) =>
    Array.from({ length: x.rows - from }, (_, i) =>
      Math.sqrt(sum(x.data.subarray((i + from) * x.cols, (i + from + 1) * x.cols).map((v) => v * v))),
    );
  const embedding = () => [
    h(
      "p",
      null,
      `${app.words().length} words are ${n} pieces; the picture is one class token and ${Math.max(0, image - 1)} patches. Each is a vector of ${out.embedded.text.cols} numbers. The bars are the vectors' lengths.`,
    ),
    pieces(app, out, norms(out.embedded.text), "Word pieces"),
    image ? crops(app, norms(out.embedded.image, 1), "Patches of the three crops") : null,
  ];
  const attention = () => {
    const layer = out.attention[Math.min(state.layer, out.attention.length - 1)],
      met = layer.text.cols > n;
    const row = attended(layer.text, state.head, at);
    const own = met ? row.subarray(image) : row,
      toImage = met ? row.subarray(0, image) : null;
    const patchRow =
      image && state.patch !== null && layer.image ? attended(layer.image, state.head, state.patch + 1) : null;
    return [
      h(
        "div.controls",
        null,
        choice(
          "Layer",
          Array.from({ length: app.layers }, (_, l) => [String(l + 1), l === state.layer, () => app.set({ layer: l })]),
        ),
        choice("Head", [
          ["mean", state.head === null, () => app.set({ head: null })],
          ...Array.from({ length: app.heads }, (_, k) => [String(k + 1), k === state.head, () => app.set({ head: k })]),
        ]),
      ),
      image
        ? h(
            "div.controls",
            null,
            h("span.label", null, "Keys and values exchanged"),
            Array.from({ length: app.layers }, (_, l) =>
              h(
                "label.check",
                { key: l },
                h("input", {
                  type: "checkbox",
                  checked: !state.off.includes(l),
                  disabled: !config.model.mutual_attention,
                  onchange: (e) =>
                    app.set({ off: e.target.checked ? state.off.filter((o) => o !== l) : [...state.off, l].sort() }),
                }),
                ` layer ${l + 1}`,
              ),
            ),
          )
        : null,
      toImage
        ? [
            h("h4", null, `“${word}” looks at the picture with ${percent(sum(toImage))} of its attention`),
            h(
              "p.hint",
              null,
              `The brightest patch gets most, ${fixed(Math.max(...toImage.subarray(1)))}; the class token gets ${fixed(toImage[0])}. Pick a patch to see where it looks.`,
            ),
            crops(app, toImage.subarray(1), `Attention of ${word} over the patches`),
          ]
        : image
          ? h("p", null, "No keys and values are exchanged in this layer: the words see only each other.")
          : lacks("This model reads words only."),
      h("h4", null, `“${word}” looks at the words`),
      pieces(app, out, own, `Attention of ${word} over the pieces`),
      patchRow && patchRow.length > image
        ? [
            h(
              "h4",
              null,
              `The patch looks at the words with ${percent(sum(patchRow.subarray(0, n)))} of its attention`,
            ),
            pieces(app, out, patchRow.subarray(0, n), "Attention of the patch over the pieces", { side: "image" }),
          ]
        : null,
    ];
  };
  const interweave = () =>
    !out.interwoven
      ? lacks("This model has no interweave module.")
      : [
          out.interwoven.passes.map((pass, i) => {
            const top =
                pass.column && pass.column.cols > 1 ? pass.column.data.indexOf(Math.max(...pass.column.data)) : -1,
              m = pass.matrix;
            const most = Math.max(...m.data.subarray(at * m.cols, (at + 1) * m.cols).map(Math.abs)) || 1;
            return h(
              "div.pass",
              { key: i },
              h(
                "h4",
                null,
                `Pass ${i + 1}: the ${pass.guide === "image" ? "picture guides, the words are weighed" : "words guide, the picture is weighed"}`,
              ),
              pass.row
                ? [
                    h("p.hint", null, "Row weights: one for each piece; they sum to 1."),
                    pieces(app, out, pass.row.data, `Row weights of pass ${i + 1}`, { side: pass.guide }),
                  ]
                : null,
              pass.column && pass.column.cols > 1
                ? [
                    h(
                      "p.hint",
                      null,
                      `Column weights: one for each of ${pass.column.cols} features; they sum to 1. The largest is ${fixed(pass.column.data[top])}, of feature ${top + 1}.`,
                    ),
                    heat({
                      key: `column${i}`,
                      rows: 1,
                      cols: pass.column.cols,
                      tell: app.tell,
                      again: app.draw,
                      label: `Column weights of pass ${i + 1}`,
                      cell: 0.25,
                      value: (_, j) => pass.column.data[j] / (pass.column.data[top] || 1),
                      says: (_, j) => `feature ${j + 1}: ${fixed(pass.column.data[j])}`,
                    }),
                  ]
                : null,
              h("p.hint", null, `M for “${word}”, by feature: dark is negative, light is positive.`),
              heat({
                key: `m${i}`,
                rows: 1,
                cols: m.cols,
                tell: app.tell,
                again: app.draw,
                label: `M of pass ${i + 1} for ${word}`,
                cell: 0.25,
                value: (_, j) => 0.5 + m.data[at * m.cols + j] / most / 2,
                says: (_, j) => `feature ${j + 1}: ${fixed(m.data[at * m.cols + j])}`,
              }),
            );
          }),
        ];
  const gate = () => {
    if (!out.textGate) return lacks("This model has no gate.");
    const { data, cols, rows } = out.textGate,
      means = Array.from({ length: rows }, (_, i) => sum(data.subarray(i * cols, (i + 1) * cols)) / cols);
    const before = state.gate ?? Math.round(100 * means[at]);
    return [
      h(
        "div.controls",
        null,
        h(
          "label.check",
          null,
          h("input", {
            type: "checkbox",
            checked: state.gate === null,
            onchange: (e) => app.set({ gate: e.target.checked ? null : Math.round(100 * means[at]) }),
          }),
          " as the model computes it",
        ),
        h(
          "label.slide",
          null,
          "or the same everywhere ",
          h("input", {
            type: "range",
            min: 0,
            max: 100,
            value: before,
            "aria-valuetext": `${before} %`,
            oninput: (e) => app.set({ gate: Number(e.target.value) }),
          }),
          h("output", null, state.gate === null ? `mean ${percent(means[at])}` : percent(state.gate / 100)),
        ),
      ),
      h("p.hint", null, "1 keeps what the towers made of a word (H); 0 takes what the picture has added (T)."),
      pieces(app, out, means, "The gate of each piece, mean over features", { most: 1 }),
      cols > 1
        ? [
            h("p.hint", null, `The gate of “${word}”, by feature: dark is 0, light is 1.`),
            heat({
              key: "gate",
              rows: 1,
              cols,
              tell: app.tell,
              again: app.draw,
              label: `The gate of ${word}`,
              cell: 0.25,
              value: (_, j) => data[at * cols + j],
              says: (_, j) => `feature ${j + 1}: ${fixed(data[at * cols + j])}`,
            }),
          ]
        : null,
    ];
  };
  const crf = () => {
    const { tags } = config,
      C = tags.length;
    return [
      h(
        "p.hint",
        null,
        "Percent for each tag over all paths; the frames are Viterbi's path, the single most probable one.",
      ),
      h(
        "div.scroll",
        { tabindex: 0, role: "region", "aria-label": "Marginals of the CRF", "data-scrolls": true },
        h(
          "table",
          null,
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              h("th", { scope: "col" }, "word"),
              tags.map((t) => h("th", { key: t, scope: "col" }, t)),
            ),
          ),
          h(
            "tbody",
            null,
            app.words().map((w, i) =>
              h(
                "tr",
                { key: i, "data-chosen": String(i === state.word) },
                h("th", { scope: "row" }, w),
                tags.map((tag, c) => {
                  const p = out.marginals[i * C + c],
                    on = out.path[i] === c;
                  if (p === undefined) return h("td", { key: tag }, "–");
                  return h(
                    "td",
                    {
                      key: tag,
                      "data-path": String(on),
                      style: `--colour:${look(app, kindOf(tag))[0]};--share:${percent(0.75 * p, 1).replace(" ", "")}`,
                      ...says(`${w}, ${tag}: ${percent(p, 3)}; emission ${fixed(out.emissions.data[i * C + c])}`),
                    },
                    p >= 0.005 ? (100 * p).toFixed(0) : "",
                  );
                }),
              ),
            ),
          ),
        ),
      ),
    ];
  };
  return h(
    "section.machine-part",
    { "aria-label": "The machine" },
    h("h2", null, "The machine, box by box"),
    h(
      "div.controls",
      null,
      choice(
        "Shown is",
        app.names.map((m) => [m, m === name, () => app.set({ model: m, patch: null })]),
      ),
    ),
    cut ? h("p.error", null, "This word lies past the pieces that the model reads; it is tagged O.") : null,
    h(
      "div.machine",
      null,
      h(
        "div.flow",
        null,
        box(
          app,
          "embedding",
          "Embedding",
          "eq. 1, §3.1",
          "Words become word pieces, the picture becomes patches, and both become vectors.",
          "Sᵉ = S + S_position + S_segment",
          [equations.textEmbedding, equations.imageEmbedding],
          embedding,
        ),
        box(
          app,
          "attention",
          "Mutual attention",
          "eqs 2–4, §3.2",
          "In each layer, words and patches attend to each other and to their own side, by exchanged keys and values.",
          "softmax(Q [Kᵛ ; Kᵗ]ᵀ / √e) [Vᵛ ; Vᵗ]",
          [equations.attend, equations.layer, equations.towers],
          attention,
        ),
        box(
          app,
          "interweave",
          "Interweave",
          "eqs 5–11, §3.3",
          "One side guides, the other is weighed piece by piece (rows) and feature by feature (columns).",
          "M = f₁(source) ⊙ f₂(guide);  rows: softmax(M w₃);  columns: softmax(Mᵀ w₄)",
          [equations.mge, equations.rowWeights, equations.columnWeights, equations.interweave],
          interweave,
        ),
        box(
          app,
          "gate",
          "Gate",
          "eqs 12–13, §3.3.3",
          "For each word and feature, the gate decides how much comes from before the interweave module and how much from after.",
          "I = σ(W₁T + W₂H + b);  z = I ⊙ H + (1 − I) ⊙ T",
          [equations.prePostGate],
          gate,
        ),
        box(
          app,
          "crf",
          "CRF",
          "eq. 18, §3.5",
          "Scores become tags: the CRF weighs all tag sequences and takes the best.",
          "p(y | X) = exp Σ (emissions + transitions) / Z",
          [equations.emissions, equations.viterbi, equations.marginals, equations.entityProbability],
          crf,
        ),
      ),
      h(
        "div.beside",
        null,
        box(
          app,
          "mining",
          "Contrast and mining",
          "eqs 14–17, §3.4",
          "Every text of the day is compared with every picture; the pictures closest to a text are its implicit positives.",
          "sᵢⱼ = cos(g(textᵢ), f(imageⱼ));  L = −log (Σ_mined e^(s/τ) / Σ_all e^(s/τ))",
          [equations.contrastVector, equations.relevance, equations.mine, equations.contrastiveLoss],
          () => mining(app),
        ),
        app.readers.length
          ? box(
              app,
              "reading",
              "Reading what was mined",
              "beyond the paper",
              "A model that, when it tags, also reads pictures of other posts, each by its weight.",
              "r = Σ wⱼ imageⱼ;  z′ = LayerNorm(z + gate ⊙ (W r + f(z, W r)))",
              [equations.readPool, equations.timePenalty],
              () => reading(app),
            )
          : null,
      ),
    ),
  );
}

/** The day's relevance, and what is mined for the post. @param {any} app */
function mining(app) {
  const { gallery, state } = app,
    days = app.posts.slice(0, app.day);
  if (!gallery) return lacks(app.mining ? "Compares the posts of the day …" : "This model mines nothing.");
  const { relevance: r, post, mined, loss } = gallery,
    low = Math.min(...r.data),
    high = Math.max(...r.data);
  const same = (j) =>
    days[state.post].truth?.story && days[j].truth?.story === days[state.post].truth.story && days[j].truth.related;
  const stale = app.mining || post !== state.post;
  return [
    h(
      "p",
      null,
      `The model “${gallery.model}” compares ${r.rows} texts (rows) with ${r.cols} pictures (columns); the frame is this post. Pick a row to open its post.`,
    ),
    h(
      "div",
      { "data-stale": String(stale) },
      heat({
        key: "relevance",
        rows: r.rows,
        cols: r.cols,
        tell: app.tell,
        again: app.draw,
        label: "Relevance of texts and pictures",
        cell: 1,
        row: post,
        marks: mined[post].map((j) => [post, j]),
        value: (i, j) => (r.data[i * r.cols + j] - low) / (high - low || 1),
        says: (i, j) =>
          `text ${i + 1}, picture ${j + 1}: ${fixed(r.data[i * r.cols + j])}${mined[i].includes(j) ? ", mined" : ""}`,
        pick: (i) => i !== state.post && app.set({ post: i }),
      }),
    ),
    h("h4", null, stale ? "Mined for this post (computes …)" : "Mined for this post"),
    h(
      "div.found",
      null,
      mined[post].map((j) =>
        h(
          "button.thumb",
          {
            key: j,
            "aria-pressed": String(state.picture === `day.${j}`),
            "aria-label": `Picture of post ${j + 1}, relevance ${fixed(r.data[post * r.cols + j])}${same(j) ? ", same story" : ""}. Take it.`,
            onclick: () => app.set({ picture: `day.${j}`, chooser: "day" }),
          },
          tile(app, j, ""),
          h("span.under", null, `${fixed(r.data[post * r.cols + j])}${same(j) ? " ✓ same story" : ""}`),
        ),
      ),
    ),
    h("p.hint", null, [
      loss.ips === null ? "" : `Loss with implicit positives (eq. 16) ${fixed(loss.ips)}. `,
      loss.cl === null ? "" : `Loss with the own picture alone (eq. 17) ${fixed(loss.cl)}. `,
      app.configs[gallery.model].model.contrast_on === "fused"
        ? "A picture's vector here has met its own post's words, as in the paper."
        : "Texts and pictures are compared before they meet.",
    ]),
  ];
}

/** What a model that reads has read. @param {any} app */
function reading(app) {
  const name = app.readers[0],
    out = app.out[name],
    { state } = app;
  if (!out?.reading || out.tags.length !== app.words().length) return lacks("Encodes the day's pictures …");
  const { tags } = app.configs[name],
    C = tags.length,
    path = out.path[state.word],
    word = app.words()[state.word];
  if (path === undefined) return lacks("This word lies past the pieces that the model reads.");
  const share = (answer) => answer.marginals[state.word * C + path],
    { without, nothing, weights } = out.reading;
  const place = (id) => app.posts.findIndex((p) => p.id === id);
  const story = app.posts[state.post].truth?.story;
  return [
    h(
      "p",
      null,
      `“${word}” is ${tags[path]} with ${percent(share(out))} when “${name}” reads ${without.length} ${without.length === 1 ? "picture" : "pictures"}, and with ${percent(share(nothing))} when it reads none (then it says ${nothing.tags[state.word]}).`,
    ),
    h(
      "div.found",
      null,
      without.map((w) => {
        const j = place(w.id),
          own = j === state.post,
          gain = share(out) - share(w),
          same = story && app.posts[j].truth?.story === story && app.posts[j].truth.related;
        return h(
          "div.thumb",
          { key: w.id, ...says(`weight ${fixed(w.weight)}; without it ${tags[path]} has ${percent(share(w), 2)}`) },
          own ? current(app) : tile(app, j),
          h("span.under", null, `weight ${w.weight.toFixed(2)}${own ? ", its own" : same ? " ✓ same story" : ""}`),
          h(
            "span.under",
            null,
            `without it ${percent(share(w))} (${gain >= 0 ? "adds" : "costs"} ${(100 * Math.abs(gain)).toFixed(1)} points)`,
          ),
        );
      }),
    ),
    h(
      "p.hint",
      null,
      `Reading nothing has weight ${weights[weights.length - 1].toFixed(2)}; pictures below .01 are not shown.`,
    ),
  ];
}

return { machine };
})();
modules.views = (() => {
// The whole page.

const { h } = modules.render;
const { current, pictured } = modules.parts;
const { answers, chips, chooser, story } = modules.post;
const { machine } = modules.machine;

/** @param {any} app */
function guide(app) {
  const { state, steps } = app,
    step = steps[state.step - 1];
  const go = (number) => {
    app.set({ step: number, ...steps[number - 1].change() });
    const seen = steps[number - 1]?.at,
      page = document.activeElement?.closest(".mgips-explorer");
    if (seen)
      requestAnimationFrame(() =>
        requestAnimationFrame(() =>
          page?.querySelector(`#${seen}`)?.scrollIntoView({
            block: "start",
            behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth",
          }),
        ),
      );
  };
  return h(
    "nav.guide",
    { "aria-label": "Guide in steps" },
    h(
      "div.steps",
      null,
      steps.map((s, i) =>
        h(
          "button",
          { key: i, "aria-current": state.step === i + 1 ? "step" : null, onclick: () => go(i + 1) },
          `${i + 1} `,
          h("span", null, s.title),
        ),
      ),
      h("button.next", { disabled: state.step >= steps.length, onclick: () => go(state.step + 1) }, "Next →"),
    ),
    step ? h("p.told", { "aria-live": "polite" }, step.says()) : null,
  );
}

/** The whole page. @param {any} app */
function whole(app) {
  const { state } = app;
  return h(
    "div.page",
    null,
    h(
      "header",
      null,
      h("h1", null, "MGIPS explorer"),
      h("p", null, "Change a post and watch the model answer. It runs in this page: no server, nothing to install."),
    ),
    guide(app),
    app.error ? h("p.error", { role: "alert" }, app.error) : null,
    story(app),
    h(
      "section.post",
      { "aria-label": "The post", id: "box-post" },
      h(
        "div.row",
        null,
        h("h2", null, "The post"),
        h(
          "label.pick",
          null,
          "of the day ",
          h(
            "select",
            { value: String(state.post), onchange: (e) => app.set({ post: Number(e.target.value) }) },
            app.posts
              .slice(0, app.day)
              .map((post, i) =>
                h(
                  "option",
                  { key: i, value: String(i), selected: i === state.post },
                  `${i + 1}: ${post.words.join(" ").slice(0, 48)}`,
                ),
              ),
          ),
        ),
      ),
      h(
        "div.both",
        null,
        h(
          "figure",
          null,
          current(app),
          h(
            "figcaption",
            null,
            state.picture === "photo"
              ? "your photo"
              : state.picture === "none"
                ? "the models see a flat grey picture"
                : pictured(app, app.place()),
          ),
        ),
        h("div", null, chips(app), chooser(app)),
      ),
    ),
    answers(app),
    machine(app),
    h(
      "footer",
      null,
      h(
        "p",
        null,
        "Computed with the weights and the equations that PyTorch has; the package's tests compare every number. The address of this page holds what you have set; copy it to share.",
      ),
    ),
  );
}

return { whole };
})();
modules.page = (() => {
// The explorer's page: what is shown, what is asked of the engine, and the address that brings it back.

const { contrasts } = modules.model;
const { tiles } = modules.pictures;
const { patch } = modules.render;
const { steps } = modules.guide;
const { whole } = modules.views;

const MINE_AFTER = 250; // milliseconds without another change

/** A worker with the engine: `ask(call, …)` promises its answer. @param {string} source */
function client(source) {
  const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
  const waiting = new Map();
  let keys = 0;
  worker.onmessage = ({ data }) => {
    const { done, fail } = waiting.get(data.key);
    waiting.delete(data.key);
    "error" in data ? fail(new Error(data.error)) : done(data.result);
  };
  worker.onerror = (event) => {
    for (const { fail } of waiting.values())
      fail(new Error(event.message || "The browser gives no worker; use another one."));
    waiting.clear();
  };
  const ask = (call, ...args) =>
    new Promise((done, fail) => {
      waiting.set(++keys, { done, fail });
      worker.postMessage({ call, args, key: keys });
    });
  return { ask, end: () => worker.terminate() };
}

/** @typedef {string | Record<string, string> | ((name: string) => Promise<Uint8Array<ArrayBuffer>>)} Data */

/** Where the data comes from: an address, base64 by name (one file), or whoever gives a file for its name (JupyterLab).
 * @param {Data} data @returns {(name: string) => Promise<Uint8Array<ArrayBuffer>>} */
const reader = (data) =>
  typeof data === "function"
    ? data
    : async (name) => {
        if (typeof data === "string") {
          const answer = await fetch(data + name.split("/").map(encodeURIComponent).join("/"));
          if (!answer.ok) throw new Error(`${name} is not beside this page; build it again: mgips explorer.`);
          return new Uint8Array(await answer.arrayBuffer());
        }
        return Uint8Array.from(atob(data[name]), (c) => c.charCodeAt(0));
      };

/** What the address may set, and what it may be. @type {Record<string, (text: string, app: any) => any>} */
const SHARED = {
  post: (text, app) => within(text, app.day),
  words: (text) => text.split(" ").filter(Boolean),
  picture: (text, app) => {
    const [kind, place] = text.split("."),
      count = { day: app.day, drawn: app.posts.length - app.day }[kind];
    return ["own", "none"].includes(text) || within(place, count ?? 0) !== undefined ? text : undefined;
  },
  word: (text) => within(text, 1000),
  patch: (text) => within(text, 10000),
  model: (text, app) => (app.names.includes(text) ? text : undefined),
  layer: (text, app) => within(text, app.layers),
  head: (text, app) => within(text, app.heads),
  off: (text, app) =>
    text
      .split(".")
      .map(Number)
      .filter((l) => l >= 0 && l < app.layers),
  gate: (text) => within(text, 101),
  step: (text) => within(text, 6),
  open: (text) => text.split("."),
};

/** A whole number below `count`, or undefined. @param {string} text @param {number} count */
function within(text, count) {
  const value = Number(text);
  return /^\d+$/.test(text ?? "") && value < count ? value : undefined;
}

/** The page in an element. @param {HTMLElement} root @param {string} source the worker's
 * @param {Data} data @param {{address?: boolean}} [options] whether the page's
 * address follows */
async function start(root, source, data, { address = true } = {}) {
  const get = reader(data),
    engine = client(source),
    { ask } = engine,
    text = new TextDecoder();
  const began = address ? 0 : performance.now(); // from the opening of the page, or of the widget
  root.textContent = "Opening the models …";
  const stop = () => {
    engine.end();
    app.miner?.end();
  };
  const app = {
    ask,
    out: {},
    pools: {},
    cards: {},
    error: "",
    mining: false,
    gallery: null,
    photo: null,
    codes: new Set(),
  };
  try {
    const [about, listed] = await Promise.all(
      ["page.json", "posts.json"].map(async (n) => JSON.parse(text.decode(await get(n)))),
    );
    Object.assign(app, about, listed, { names: listed.models, configs: {}, files: {}, crops: {} });
    for (const name of app.names) app.configs[name] = JSON.parse(text.decode(await get(`${name}/config.json`)));
    app.seeing = app.names.filter((n) => app.configs[n].model.images);
    app.readers = app.names.filter((n) => app.configs[n].model.read !== "off");
    app.blind = app.names.find((n) => !app.seeing.includes(n));
    app.main = app.seeing.find((n) => !app.readers.includes(n)) ?? app.seeing[0] ?? app.names[0];
    app.load = async (name) => {
      const [weights, tokenizer] = await Promise.all(
        ["model.safetensors", "tokenizer.json"].map((file) => get(`${name}/${file}`)),
      );
      app.files[name] = [weights, JSON.stringify(app.configs[name]), text.decode(tokenizer)];
      await ask("load", name, ...app.files[name]);
    };
    // One that reads comes when the others have answered: it needs the day's pictures first.
    const early = app.names.filter((n) => n === app.main || !app.readers.includes(n));
    const opening = early.map(app.load);
    const sheets = Object.entries(listed.crops).map(async ([side, file]) => {
      const sheet = await ask("decode", new Blob([await get(String(file))], { type: "image/webp" }));
      const cut = tiles(sheet, Number(side), Number(side), 3 * app.posts.length),
        size = 3 * Number(side) ** 2;
      app.crops[side] = app.posts.map((post, i) => {
        const three = new Uint8Array(3 * size);
        for (let c = 0; c < 3; c++) three.set(cut[3 * i + c].data, c * size);
        return post.pictured ? three : null;
      });
    });
    const shown = get(app.pictures.file).then(async (bytes) => {
      const file = new Blob([bytes], { type: "image/webp" }),
        { width, height } = await createImageBitmap(file);
      const { width: w, height: high } = app.pictures;
      app.sheet = { url: URL.createObjectURL(file), across: width / w, down: height / high };
    });
    await Promise.all([...opening, ...sheets, shown]);
  } catch (error) {
    root.replaceChildren(Object.assign(document.createElement("p"), { className: "error", textContent: said(error) }));
    root.firstElementChild?.setAttribute("role", "alert");
    return stop;
  }
  const { text: encoder } = app.configs[app.main].encoders;
  app.layers = encoder.num_hidden_layers;
  app.heads = encoder.num_attention_heads;
  const initial = {
    post: app.showcase?.post ?? 0,
    words: null,
    picture: "own",
    word: app.showcase?.start ?? 0,
    patch: null,
    model: app.main,
    layer: app.layers - 1,
    head: null,
    off: [],
    gate: null,
    step: 1,
    open: ["attention", "gate", "mining"],
    editing: null,
    chooser: "day",
  };
  app.state = { ...initial };
  if (address) {
    const shared = new URLSearchParams(location.hash.slice(1));
    for (const [name, value] of shared) if (SHARED[name]) app.state[name] = SHARED[name](value, app) ?? app.state[name];
    const most = (app.state.words ?? app.posts[app.state.post].words).length - 1;
    app.state.word = Math.min(most, shared.has("word") ? app.state.word : firstName(app, app.state.post));
    addEventListener("hashchange", () => location.reload()); // another address was put in
  }

  // ---- what the state stands for ----

  app.words = () => app.state.words ?? app.posts[app.state.post].words;
  /** The place of a picture among the posts; null for none, and for a photo. */
  app.place = (picture = app.state.picture) => {
    const [kind, place] = picture.split(".");
    if (kind === "own") return app.state.post;
    return kind === "day" ? Number(place) : kind === "drawn" ? app.day + Number(place) : null;
  };
  app.cropsOf = (name, picture = app.state.picture) => {
    const side = app.configs[name].model.crop_size,
      place = app.place(picture);
    return picture === "photo"
      ? (app.photo?.crops[side] ?? null)
      : place === null
        ? null
        : (app.crops[side]?.[place] ?? null);
  };
  app.asked = (name, picture = app.state.picture) => {
    const { id, time } = app.posts[app.state.post];
    return { id, time, words: app.words(), crops: app.configs[name].model.images ? app.cropsOf(name, picture) : null };
  };

  // ---- drawing ----

  const tip = Object.assign(document.createElement("div"), { className: "tip" }),
    body = document.createElement("div");
  tip.setAttribute("aria-hidden", "true");
  tip.hidden = true;
  root.replaceChildren(body, tip);
  let drawing = false;
  app.draw = () => {
    if (drawing) return;
    drawing = true;
    requestAnimationFrame(() => {
      drawing = false;
      patch(body, [whole(app)]);
      if (app.refocus) body.querySelector(app.refocus)?.focus();
      app.refocus = null;
    });
  };
  let mouse = [0, 0];
  app.tell = (node, says) => {
    tip.hidden = !says;
    tip.textContent = says;
    if (!says || !node) return;
    const box = node.getBoundingClientRect(),
      inside =
        box.left - 1 <= mouse[0] && mouse[0] <= box.right + 1 && box.top - 1 <= mouse[1] && mouse[1] <= box.bottom + 1;
    const [x, y] = inside ? mouse : [box.left + box.width / 2, box.bottom];
    tip.style.left = `${Math.max(8, Math.min(x + 12, innerWidth - tip.offsetWidth - 8))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > innerHeight ? y - tip.offsetHeight - 12 : y + 18}px`;
  };
  const hover = (event) => {
    if (event.type === "pointermove") mouse = [event.clientX, event.clientY];
    else if (event.type === "focusin") {
      if (!event.target.matches(":focus-visible")) return;
      mouse = [-1, -1];
    }
    const node = event.target.closest?.("[data-says]");
    if (node) app.tell(node, node.dataset.says);
    else if (!event.target.closest?.(".heat")) app.tell(null, "");
  };
  root.addEventListener("pointermove", hover, { capture: true });
  root.addEventListener("focusin", hover);
  root.addEventListener("focusout", () => app.tell(null, ""));
  root.addEventListener("pointerleave", () => app.tell(null, ""));
  root.addEventListener("keydown", (event) => event.key === "Escape" && app.tell(null, ""));

  // ---- change, compute, mine ----

  const needs = ["post", "words", "picture", "off", "gate"];
  /** Changes what is shown; computes what depends on it. @param {Record<string, any>} change */
  app.set = (change) => {
    const before = app.state;
    if ("post" in change && change.post !== before.post) {
      app.out = {}; // no answer stands beside the words of another post
      app.cards = {};
      change = {
        words: null,
        picture: "own",
        word: firstName(app, change.post),
        patch: null,
        editing: null,
        ...change,
      };
    }
    app.state = { ...before, ...change };
    app.error = ""; // of what was asked before
    app.state.word = Math.max(0, Math.min(app.state.word, app.words().length - 1));
    app.draw();
    if (address) remember();
    if (needs.some((name) => app.state[name] !== before[name]) || "photo" in change) compute();
    else if (app.state.model !== before.model) mineSoon();
  };
  app.reset = () =>
    app.set({
      ...initial,
      post: app.state.post,
      open: app.state.open,
      words: null,
      word: firstName(app, app.state.post),
    });
  let remembering = 0;
  const remember = () => {
    clearTimeout(remembering);
    remembering = setTimeout(() => {
      const told = Object.keys(SHARED).filter(
        (name) =>
          (String(app.state[name]) !== String(initial[name]) || (name === "word" && app.state.post !== initial.post)) &&
          !(name === "picture" && app.state.picture === "photo"),
      );
      const shared = new URLSearchParams(
        told.map((name) => {
          const value = app.state[name];
          return [
            name,
            name === "words" ? (value ?? []).join(" ") : Array.isArray(value) ? value.join(".") : String(value ?? ""),
          ];
        }),
      );
      history.replaceState(null, "", `#${shared}`);
    }, 250);
  };

  let busy = false,
    again = false;
  async function compute() {
    again = true;
    if (busy) return;
    busy = true;
    while (again) {
      again = false;
      try {
        await answer();
      } catch (error) {
        app.error = said(error);
      }
      app.draw();
    }
    busy = false;
    mineSoon();
  }

  /** All models on the post as it is now; then the cards of the story. */
  async function answer() {
    const { state } = app,
      exchange = Array.from({ length: app.layers }, (_, l) => !state.off.includes(l));
    for (const name of app.names) {
      const sees = app.configs[name].model.images,
        reads = app.readers.includes(name);
      if (reads && !app.pools[name]) continue;
      const pool = reads ? await poolOf(name) : null;
      const options = sees ? { exchange, gate: state.gate === null ? undefined : state.gate / 100, pool } : {};
      const started = performance.now();
      const out = await ask("run", name, app.asked(name), { ...options, vectors: false });
      performance.measure(`mgips ${name}`, { start: started });
      if (state.post === app.state.post) app.out[name] = out;
      if (again) return;
    }
    if (!app.opened) performance.measure("mgips opened to first tags", { start: began });
    root.dataset.ready ??= "tags";
    app.draw();
    const pictures = ["own", ...(app.showcase?.post === state.post ? [`day.${app.showcase.other}`] : [])];
    for (const picture of app.seeing.length ? pictures : []) {
      if (again) return;
      const card = await ask("run", app.main, app.asked(app.main, picture), {
        pool: app.pools[app.main],
        vectors: false,
      });
      if (state.post === app.state.post) app.cards[picture] = card;
    }
    if (pictures.length < 2) app.cards = { own: app.cards.own };
    if (!app.opened) {
      app.opened = true;
      app.draw();
      for (const name of app.readers) {
        if (!app.files[name]) await app.load(name);
        app.pools[name] = await ask("pool", name, day(name));
      }
      if (app.readers.length) again = true;
    }
  }
  const day = (name) =>
    app.posts.slice(0, app.day).map((post, i) => ({
      id: post.id,
      time: post.time,
      words: post.words,
      crops: app.crops[app.configs[name].model.crop_size][i],
    }));

  /** The day's pictures with this post's as it is now. @param {string} name */
  async function poolOf(name) {
    const base = app.pools[name],
      asked = app.asked(name),
      now = await ask("pool", name, [asked]);
    const stay = [...base.ids.keys()].filter((j) => base.ids[j] !== asked.id),
      d = base.keys.cols;
    const joined = (old, added) => {
      const all = { rows: stay.length + added.rows, cols: d, data: new Float32Array((stay.length + added.rows) * d) };
      stay.forEach((j, i) => all.data.set(old.data.subarray(j * d, (j + 1) * d), i * d));
      all.data.set(added.data, stay.length * d);
      return all;
    };
    return {
      days: base.days,
      keys: joined(base.keys, now.keys),
      values: joined(base.values, now.values),
      times: [...stay.map((j) => base.times[j]), ...now.times],
      ids: [...stay.map((j) => base.ids[j]), ...now.ids],
    };
  }

  let due = 0,
    mined = "";
  const mineSoon = () => {
    clearTimeout(due);
    due = setTimeout(mine, MINE_AFTER);
  };
  /** The day's relevance, in a worker of its own, so that tags do not wait for it. */
  async function mine() {
    const { state } = app,
      name = [state.model, app.main].find((n) => contrasts(app.configs[n]));
    const asked = [name, state.post, app.words().join(" "), state.picture, app.photo?.number].join("|");
    if (!name) root.dataset.ready = "all";
    if (!name || asked === mined || app.mining || app.error || !app.files[name]) return;
    mined = asked;
    app.mining = true;
    app.draw();
    try {
      app.miner ??= client(source);
      app.loaded ??= new Set();
      if (!app.loaded.has(name)) await app.miner.ask("load", name, ...app.files[name]);
      app.loaded.add(name);
      const posts = day(name);
      posts[state.post] = app.asked(name);
      const started = performance.now();
      app.gallery = { ...(await app.miner.ask("gallery", name, posts)), model: name, post: state.post };
      performance.measure("mgips mining", { start: started });
    } catch (error) {
      app.error = said(error);
    }
    app.mining = false;
    root.dataset.ready = "all";
    app.draw();
    mineSoon(); // what has changed meanwhile
  }

  /** An own photo, and boxes on it. @param {File} file @param {number[][]} boxes each in pixels */
  app.takePhoto = async (file, boxes) => {
    try {
      const old = app.photo?.file === file ? app.photo : null,
        url = old?.url ?? URL.createObjectURL(file);
      const size = old ?? (await createImageBitmap(file, { imageOrientation: "from-image" }));
      const crops = {};
      for (const name of app.seeing) crops[app.configs[name].model.crop_size] ??= await ask("photo", name, file, boxes);
      app.photo = {
        file,
        url,
        boxes,
        crops,
        width: size.width,
        height: size.height,
        number: (app.photo?.number ?? 0) + 1,
      };
      app.error = "";
      app.set({ picture: "photo", photo: true });
    } catch (error) {
      app.error = said(error);
      app.draw();
    }
  };
  app.steps = steps(app);
  app.draw();
  await compute();
  return stop;
}

/** The first labelled name of a post, as the word to look at. @param {any} app @param {number} post */
function firstName(app, post) {
  if (app.showcase?.post === post) return app.showcase.start;
  return Math.max(
    0,
    (app.posts[post].tags ?? []).findIndex((tag) => tag !== "O"),
  );
}

/** @param {unknown} error */
const said = (error) => (error instanceof Error ? error.message : String(error));

const BURST = 1.2e6,
  RATE = 550; // bytes at once, and per millisecond: a Jupyter server drops what exceeds 3 MB in 3 s

/** Files that the kernel gives part by part, so that they are no part of the widget's state, which notebooks save.
 * @param {any} model @returns {(name: string) => Promise<Uint8Array<ArrayBuffer>>} */
function fromKernel(model) {
  const waiting = new Map();
  model.on("msg:custom", ({ name, at, of }, [part]) =>
    waiting.get(`${at} ${name}`)?.({ of, bytes: new Uint8Array(part.buffer, part.byteOffset, part.byteLength) }),
  );
  let line = Promise.resolve(new Uint8Array()),
    given = 0,
    began = 0;
  const whole = async (name) => {
    let file = new Uint8Array();
    for (let at = 0, end = Infinity; at < end;) {
      began ||= performance.now();
      const early = (given - BURST) / RATE - (performance.now() - began);
      if (early > 0) await new Promise((done) => setTimeout(done, early));
      const { of, bytes } = await new Promise((done) => {
        waiting.set(`${at} ${name}`, done);
        model.send({ name, at });
      });
      if (!at) file = new Uint8Array((end = of));
      file.set(bytes, at);
      at += bytes.length;
      given += bytes.length;
    }
    return file;
  };
  return (name) => (line = line.then(() => whole(name)));
}

/** The page in JupyterLab, through anywidget. @param {any} model @param {HTMLElement} el @param {string} source */
function widget(model, el, source) {
  const root = document.createElement("div");
  root.className = "mgips-explorer";
  const follow = () =>
    root.setAttribute("data-theme", document.body.dataset.jpThemeLight === "false" ? "dark" : "light");
  const watch = new MutationObserver(follow);
  if ("jpThemeLight" in document.body.dataset) watch.observe(document.body, { attributes: true });
  follow();
  el.append(root);
  const stopped = start(root, source, fromKernel(model), { address: false });
  return () => {
    watch.disconnect();
    stopped.then((stop) => stop());
  };
}

return { start, widget };
})();
const WORKER = "const modules = {};\nmodules.algebra = (() => {\n// @ts-check\n// What the equations are written in: products, norms, softmax. Sums are in double precision, results in single.\n\n/** @typedef {import(\"./weights.js\").Matrix} Matrix */\n/** @typedef {import(\"./weights.js\").Tensor} Tensor */\n\n/** @param {number} rows @param {number} cols @param {Float32Array} [data] @returns {Matrix} */\nconst matrix = (rows, cols, data = new Float32Array(rows * cols)) => ({ rows, cols, data });\n\n/** A row of a matrix, sharing its numbers. @param {Matrix} x @param {number} i */\nconst row = (x, i) => x.data.subarray(i * x.cols, (i + 1) * x.cols);\n\n/** Σ_k a[i + k] b[j + k] over k < n.\n * @param {Float32Array} a @param {number} i @param {Float32Array} b @param {number} j\n * @param {number} n @returns {number} */\nfunction dot(a, i, b, j, n) {\n  let s0 = 0,\n    s1 = 0,\n    s2 = 0,\n    s3 = 0,\n    k = 0;\n  for (; k + 3 < n; k += 4) {\n    s0 += a[i + k] * b[j + k];\n    s1 += a[i + k + 1] * b[j + k + 1];\n    s2 += a[i + k + 2] * b[j + k + 2];\n    s3 += a[i + k + 3] * b[j + k + 3];\n  }\n  for (; k < n; k++) s0 += a[i + k] * b[j + k];\n  return s0 + s1 + s2 + s3;\n}\n\n/** x Wᵀ + b, as PyTorch's Linear: (p, in) and (out, in) → (p, out). Four rows by two columns at a time, so that a\n * number is fetched once for several products: twice as fast as one by one.\n * @param {Matrix} x @param {Tensor} weight @param {Tensor} [bias] @returns {Matrix} */\nfunction linear(x, weight, bias) {\n  const out = weight.shape[0],\n    d = x.cols,\n    y = matrix(x.rows, out),\n    a = x.data,\n    w = weight.data;\n  for (let i = 0; i < x.rows; i += 4) {\n    const i1 = Math.min(i + 1, x.rows - 1),\n      i2 = Math.min(i + 2, x.rows - 1),\n      i3 = Math.min(i + 3, x.rows - 1);\n    const at0 = i * d,\n      at1 = i1 * d,\n      at2 = i2 * d,\n      at3 = i3 * d; // the last rows may be the same one\n    for (let o = 0; o < out; o += 2) {\n      const o1 = Math.min(o + 1, out - 1),\n        v0 = o * d,\n        v1 = o1 * d;\n      let s00 = bias ? bias.data[o] : 0,\n        s01 = bias ? bias.data[o1] : 0;\n      let s10 = s00,\n        s11 = s01,\n        s20 = s00,\n        s21 = s01,\n        s30 = s00,\n        s31 = s01;\n      for (let k = 0; k < d; k++) {\n        const left = w[v0 + k],\n          right = w[v1 + k],\n          x0 = a[at0 + k],\n          x1 = a[at1 + k],\n          x2 = a[at2 + k],\n          x3 = a[at3 + k];\n        s00 += x0 * left;\n        s10 += x1 * left;\n        s20 += x2 * left;\n        s30 += x3 * left;\n        s01 += x0 * right;\n        s11 += x1 * right;\n        s21 += x2 * right;\n        s31 += x3 * right;\n      }\n      const to = y.data;\n      to[i * out + o] = s00;\n      to[i1 * out + o] = s10;\n      to[i2 * out + o] = s20;\n      to[i3 * out + o] = s30;\n      to[i * out + o1] = s01;\n      to[i1 * out + o1] = s11;\n      to[i2 * out + o1] = s21;\n      to[i3 * out + o1] = s31;\n    }\n  }\n  return y;\n}\n\n/** Applies f to every number, and to the one in the same place of another matrix.\n * @param {(a: number, b: number) => number} f @param {Matrix} x @param {Matrix} [y] @returns {Matrix} */\nfunction each(f, x, y = x) {\n  const out = matrix(x.rows, x.cols);\n  for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i], y.data[i]);\n  return out;\n}\n\n/** @param {Matrix} x @param {Matrix} y @returns {Matrix} */\nconst add = (x, y) => each((a, b) => a + b, x, y);\n\n/** LayerNorm: (x - mean) / √(variance + ε) · w + b, row by row.\n * @param {Matrix} x @param {Tensor} weight @param {Tensor} bias @param {number} [epsilon] @returns {Matrix} */\nfunction norm(x, weight, bias, epsilon = 1e-5) {\n  const out = matrix(x.rows, x.cols);\n  for (let i = 0; i < x.rows; i++) {\n    const values = row(x, i),\n      to = row(out, i);\n    let mean = 0,\n      variance = 0;\n    for (const v of values) mean += v / x.cols;\n    for (const v of values) variance += (v - mean) ** 2 / x.cols;\n    const scale = 1 / Math.sqrt(variance + epsilon);\n    for (let j = 0; j < x.cols; j++) to[j] = (values[j] - mean) * scale * weight.data[j] + bias.data[j];\n  }\n  return out;\n}\n\n/** e^x over its sum, in place. @template {Float32Array | Float64Array} T @param {T} scores @returns {T} */\nfunction softmax(scores) {\n  let most = -Infinity,\n    sum = 0;\n  for (let i = 0; i < scores.length; i++) most = Math.max(most, scores[i]);\n  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most);\n  for (let i = 0; i < scores.length; i++) scores[i] /= sum;\n  return scores;\n}\n\n/** The nearest point of the simplex (Martins and Astudillo 2016): exact zeros for low scores.\n * @param {Float32Array} scores @returns {Float32Array} */\nfunction sparsemax(scores) {\n  let sum = 0,\n    threshold = 0;\n  const sorted = Float64Array.from(scores).sort().reverse();\n  sorted.forEach((s, i) => {\n    sum += s;\n    if (1 + (i + 1) * s > sum) threshold = (sum - 1) / (i + 1);\n  });\n  return scores.map((s) => Math.max(0, s - threshold));\n}\n\n/** log Σ e^x. @param {ArrayLike<number>} values @returns {number} */\nfunction logsumexp(values) {\n  let most = -Infinity,\n    sum = 0;\n  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);\n  if (most === -Infinity) return most;\n  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - most);\n  return most + Math.log(sum);\n}\n\n/** @param {number} x */\nconst sigmoid = (x) => 1 / (1 + Math.exp(-x));\n\nconst ERFC = [\n  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,\n  -1.26551223,\n];\n\n/** x Φ(x), through Chebyshev's approximation of erfc, whose relative error is below 1.2e-7 (Numerical Recipes, 6.2).\n * @param {number} x @returns {number} */\nfunction gelu(x) {\n  const z = Math.abs(x) * Math.SQRT1_2,\n    t = 1 / (1 + z / 2);\n  let sum = ERFC[0];\n  for (let i = 1; i < 10; i++) sum = sum * t + ERFC[i];\n  const erfc = t * Math.exp(sum - z * z);\n  return x * (x < 0 ? erfc / 2 : 1 - erfc / 2);\n}\n\n/** @param {number} x */\nconst quickGelu = (x) => x * sigmoid(1.702 * x);\n\nreturn { matrix, row, dot, linear, each, add, norm, softmax, sparsemax, logsumexp, sigmoid, gelu, quickGelu };\n})();\nmodules.weights = (() => {\n// @ts-check\n// Weights as the package saves them: a file in safetensors' format, to 32-bit numbers by PyTorch's names.\n\n/** A matrix, row by row; a vector is a matrix of one row.\n * @typedef {{rows: number, cols: number, data: Float32Array}} Matrix */\n\n/** A tensor of a file.\n * @typedef {{shape: number[], data: Float32Array}} Tensor */\n\n/** One sentence that a reader of the page can act on. */\nclass Refused extends Error {\n  /** @param {string} says */\n  constructor(says) {\n    super(says);\n    this.name = \"Refused\";\n  }\n}\n\n/** The number that 16 bits stand for: a sign, 5 bits of exponent, 10 of fraction.\n * @param {number} bits @returns {number} */\nfunction half(bits) {\n  const sign = bits & 0x8000 ? -1 : 1,\n    exponent = (bits >> 10) & 31,\n    fraction = bits & 1023;\n  if (exponent === 0) return sign * fraction * 2 ** -24;\n  if (exponent === 31) return fraction ? NaN : sign * Infinity;\n  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);\n}\n\nconst BYTES = /** @type {Record<string, number>} */ ({ F16: 2, F32: 4 });\n\n/** All tensors of a file: 8 bytes of length, a header in JSON, then the numbers.\n * @param {ArrayBuffer | Uint8Array} file @returns {Map<string, Tensor>} */\nfunction readWeights(file) {\n  const bytes = file instanceof Uint8Array ? file : new Uint8Array(file);\n  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);\n  const damaged = new Refused(\"These weights are no safetensors file, or are cut short; save the model again.\");\n  const tensors = new Map();\n  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));\n  if (length > bytes.length - 8) throw damaged;\n  let header;\n  try {\n    header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));\n  } catch {\n    throw damaged;\n  }\n  for (const [name, { dtype, shape, data_offsets: [start, end] = [0, 0] }] of Object.entries(header)) {\n    if (name === \"__metadata__\") continue;\n    const size = BYTES[dtype],\n      count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);\n    if (!size) throw new Refused(`The weight ${name} is of type ${dtype}; the explorer reads F32 and F16.`);\n    if (end - start !== count * size || 8 + length + end > bytes.length) throw damaged;\n    const data = new Float32Array(count);\n    for (let i = 0, at = 8 + length + start; i < count; i++, at += size)\n      data[i] = size === 4 ? view.getFloat32(at, true) : half(view.getUint16(at, true));\n    tensors.set(name, { shape, data });\n  }\n  return tensors;\n}\n\nreturn { Refused, half, readWeights };\n})();\nmodules.pictures = (() => {\n// @ts-check\n// Pictures to crops, number by number as Pillow makes them (§3.1.2). Runs in a worker; only `decode` needs a browser.\n\nconst { Refused } = modules.weights;\n\n/** Rows of red, green and blue.\n * @typedef {{width: number, height: number, data: Uint8Array}} Picture */\n/** Left, upper, right and lower edge, in pixels.\n * @typedef {[number, number, number, number]} Box */\n\nconst CROPS = 3;\nconst MAX_PIXELS = 64e6;\nconst PRECISION = 22; // bits behind the point of Pillow's weights\n\n/** A file's pixels, upright, over white; an animation's first frame. The browser decodes, and nothing else: its\n * resizing and its colour management are its own. Chromium does not turn a WebP file by its EXIF data.\n * @param {Blob} file @returns {Promise<Picture>} */\nasync function decode(file) {\n  const bitmap = await createImageBitmap(file, {\n    colorSpaceConversion: \"none\",\n    premultiplyAlpha: \"none\",\n    imageOrientation: \"from-image\",\n  }).catch(() => {\n    throw new Refused(\"This file is no picture that the browser can read; give a JPEG, PNG, WebP or GIF.\");\n  });\n  const { width, height } = bitmap;\n  if (width * height > MAX_PIXELS) throw new Refused(\"This picture has more than 64 million pixels; make it smaller.\");\n  const canvas = new OffscreenCanvas(width, height).getContext(\"2d\");\n  if (!canvas) throw new Refused(\"This browser gives no canvas to read a picture from; use another one.\");\n  canvas.drawImage(bitmap, 0, 0);\n  return overWhite(canvas.getImageData(0, 0, width, height).data, width, height);\n}\n\n/** Transparency over white, rounded as `Image.alpha_composite` does.\n * @param {Uint8Array | Uint8ClampedArray} pixels RGBA @param {number} width @param {number} height\n * @returns {Picture} */\nfunction overWhite(pixels, width, height) {\n  const data = new Uint8Array(width * height * 3);\n  for (let i = 0, o = 0; o < data.length; i += 4)\n    for (let c = 0, alpha = pixels[i + 3]; c < 3; c++, o++) {\n      if (alpha === 255) data[o] = pixels[i + c];\n      else {\n        const t = (pixels[i + c] * alpha + 255 * (255 - alpha)) * 128 + (0x80 << 7);\n        data[o] = alpha ? ((t >> 8) + t) >> 15 : 255;\n      }\n    }\n  return { width, height, data };\n}\n\n/** Keys' cubic filter with a = -1/2. @param {number} x */\nfunction cubic(x) {\n  x = Math.abs(x);\n  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;\n  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;\n}\n\n/** The pixels that each of `to` pixels is made of, and their weights as whole numbers.\n * @param {number} from @param {number} to @returns {{start: number, weights: number[]}[]} */\nfunction filters(from, to) {\n  const scale = from / to,\n    wide = Math.max(scale, 1),\n    support = 2 * wide;\n  return Array.from({ length: to }, (_, i) => {\n    const center = (i + 0.5) * scale;\n    const start = Math.max(0, Math.trunc(center - support + 0.5));\n    const end = Math.min(from, Math.trunc(center + support + 0.5));\n    const raw = Array.from({ length: end - start }, (_, j) => cubic((j + start - center + 0.5) * (1 / wide)));\n    let sum = 0;\n    for (const w of raw) sum += w;\n    return { start, weights: raw.map((w) => Math.trunc((sum ? w / sum : w) * 2 ** PRECISION + (w < 0 ? -0.5 : 0.5))) };\n  });\n}\n\n/** `Image.resize((width, height), BICUBIC)`, bit by bit, in two passes with whole numbers between them. Pillow 13 goes\n * down first where that leaves less to do; older ones always go across first.\n * @param {Picture} picture @param {number} width @param {number} height @returns {Picture} */\nfunction resize(picture, width, height) {\n  const { width: w, height: h } = picture,\n    downFirst = h - height > Math.max(0, 2 * (w - width));\n  /** @param {Uint8Array} data @param {number} rows */\n  const across = (data, rows) => pass(data, rows, w, width, 3, 3 * w, 3 * width);\n  /** @param {Uint8Array} data @param {number} cols */\n  const down = (data, cols) => pass(data, cols, h, height, 3 * cols, 3, 3);\n  const { data } = picture;\n  return { width, height, data: downFirst ? across(down(data, w), height) : down(across(data, h), width) };\n}\n\n/** One direction of `resize`: lines of `from` pixels to lines of `to`.\n * @param {Uint8Array} data @param {number} lines @param {number} from @param {number} to @param {number} step bytes\n * between neighbours of a line @param {number} jump bytes between lines, before @param {number} leap and after */\nfunction pass(data, lines, from, to, step, jump, leap) {\n  if (from === to) return data;\n  const out = new Uint8Array(lines * to * 3);\n  filters(from, to).forEach(({ start, weights }, i) => {\n    for (let line = 0; line < lines; line++)\n      for (let c = 0; c < 3; c++) {\n        let sum = 2 ** (PRECISION - 1),\n          at = line * jump + start * step + c;\n        for (let j = 0; j < weights.length; j++, at += step) sum += data[at] * weights[j];\n        out[line * leap + i * step + c] = Math.max(0, Math.min(255, sum >> PRECISION));\n      }\n  });\n  return out;\n}\n\n/** Half of a whole number goes to the even one, as in Python. @param {number} x */\nconst round = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));\n\n/** What a box holds of a picture. @param {Picture} picture @param {Box} box @returns {Picture} */\nfunction cut(picture, box) {\n  const clamp = (/** @type {number} */ edge, /** @type {number} */ most) => round(Math.min(most, Math.max(0, edge)));\n  const left = clamp(box[0], picture.width),\n    right = clamp(box[2], picture.width);\n  const upper = clamp(box[1], picture.height),\n    lower = clamp(box[3], picture.height);\n  if (left >= right || upper >= lower)\n    throw new Refused(`Of ${picture.width} × ${picture.height} pixels none is in the box [${box}]; correct the box.`);\n  const width = right - left,\n    data = new Uint8Array(width * (lower - upper) * 3),\n    wide = picture.width;\n  for (let y = upper; y < lower; y++)\n    data.set(picture.data.subarray((y * wide + left) * 3, (y * wide + right) * 3), (y - upper) * width * 3);\n  return { width, height: lower - upper, data };\n}\n\n/** The crops that a model sees of a picture: what each box holds, then the whole picture in the missing places.\n * (crops, side, side, 3), from Pillow's bicubic filter whatever the shape.\n * @param {Picture} picture @param {number} side @param {Box[]} [boxes] @returns {Uint8Array} */\nfunction cropsOf(picture, side, boxes = []) {\n  const made = new Uint8Array(CROPS * side * side * 3),\n    size = side * side * 3;\n  const whole = boxes.length < CROPS ? resize(picture, side, side) : null;\n  for (let i = 0; i < CROPS; i++) {\n    const view = whole && i >= boxes.length ? whole : resize(cut(picture, boxes[i]), side, side);\n    made.set(view.data, i * size);\n  }\n  return made;\n}\n\n/** A sheet's tiles, of equal size, from left to right and from top to bottom.\n * @param {Picture} sheet @param {number} width @param {number} height @param {number} count @returns {Picture[]} */\nfunction tiles(sheet, width, height, count) {\n  const across = Math.floor(sheet.width / width);\n  return Array.from({ length: count }, (_, i) => {\n    const left = (i % across) * width,\n      upper = Math.floor(i / across) * height;\n    return cut(sheet, [left, upper, left + width, upper + height]);\n  });\n}\n\nreturn { CROPS, decode, overWhite, resize, cut, cropsOf, tiles };\n})();\nmodules.model = (() => {\n// @ts-check\n// MGIPS-CL, one function for each equation of the paper, on one post: nothing is padded.\n//\n// Shapes: n text positions ([CLS], word pieces, [SEP]); m image positions (class token, 3 crops × grid × grid patches);\n// d hidden width; w words; C tags; K mined images; N posts of a gallery or pictures of a pool. `weights.get(name)`\n// takes PyTorch's names.\n\nconst { add, dot, each, gelu, linear, logsumexp, matrix, norm } = modules.algebra;\nconst { quickGelu, row, sigmoid, softmax, sparsemax } = modules.algebra;\nconst { CROPS } = modules.pictures;\nconst { Refused } = modules.weights;\n\n/** @typedef {import(\"./weights.js\").Matrix} Matrix */\n/** @typedef {import(\"./weights.js\").Tensor} Tensor */\n/** ModelConfig, the encoders' configurations and the C tags, as config.json has them.\n * @typedef {{model: any, encoders: any, tags: string[]}} Config */\n/** @typedef {{config: Config, weights: Map<string, Tensor>}} Model */\n/** (heads, rows, cols): each row sums to 1.\n * @typedef {{heads: number, rows: number, cols: number, data: Float32Array}} Attention */\n/** Text rows over [image ; text] keys, image rows over [text ; image]; without the exchange over their own side only.\n * @typedef {{text: Attention, image: Attention | null}} LayerAttention */\n/** Keys and values of one layer, (p, d) each: a head is a span of the columns.\n * @typedef {{keys: Matrix, values: Matrix}} KeysValues */\n/** @typedef {\"text\" | \"image\"} Side */\n/** One pass through an MGE (eqs 5-9): row weights (1, n) and column weights (1, d), or (n, 1) as printed; M (n, d).\n * @typedef {{guide: Side, row: Matrix | null, column: Matrix | null, matrix: Matrix}} Pass */\n/** Pictures as other posts read them: (N, d) each. A time is in days, NaN where it is unknown.\n * @typedef {{keys: Matrix, values: Matrix, times: number[], ids: string[], days: number | null}} Pool */\n/** What a post read: N + 1 scores and weights, the last for reading nothing; r (1, d); the gate of each token (n, 1).\n * @typedef {{scores: Float32Array, weights: Float32Array, read: Matrix, gate: Matrix}} Reading */\n/** What a reader of the page may change.\n * @typedef {{exchange?: boolean[], gate?: number, gateScale?: number, pool?: Pool | null, vectors?: boolean}} Options\n * */\n\n/** Why a setting is not computed here: what it may be, and the sentence. */\nconst ONLY = /** @type {Record<string, [any, string]>} */ ({\n  text_encoder: [\"random\", \"the explorer computes text encoders from a random start\"],\n  image_encoder: [\"random\", \"the explorer computes image encoders from a random start\"],\n  bilstm: [false, \"the explorer has no BiLSTM\"],\n});\n/** All settings that a config.json may have; another one would be from a newer version, and is refused. */\nconst SETTINGS = `types text_encoder image_encoder hidden_size num_layers num_heads intermediate_size dropout max_length\n  overlap crop_size patch_size images bilstm crf mutual_attention mgi row_weights column_weights weight_scale\n  interweave_encoders mge_ffn_ratio gate ips_loss cl_loss k temperature contrast_on mine_missing bio_constraint pooling\n  contrast_norm symmetric learned_temperature csls read read_time read_null read_own read_days read_by read_what\n  read_learned`.split(/\\s+/);\n/** Of these, the ones that an older config.json lacks: the tags tell the types, and there were no windows. */\nconst LATER = [\"types\", \"overlap\"];\n\n/** Refuses a model that the functions below would compute otherwise than the package, and names the setting.\n * @param {Config} config */\nfunction check({ model: settings, encoders }) {\n  const lacks = SETTINGS.find((name) => !(name in settings) && !LATER.includes(name));\n  if (lacks) throw new Refused(`This model's config.json lacks the setting ${lacks}; save the model again.`);\n  for (const [name, value] of Object.entries(settings)) {\n    if (!SETTINGS.includes(name))\n      throw new Refused(`This model has the setting ${name}, which the explorer does not know; update mgips.`);\n    const [only, why] = ONLY[name] ?? [value];\n    if (value !== only && (name !== \"image_encoder\" || settings.images))\n      throw new Refused(\n        `This model has ${name} ${JSON.stringify(value)}, and ${why}; ` +\n          `open one with ${name} ${JSON.stringify(only)}.`,\n      );\n  }\n  for (const [side, usual] of [\n    [\"text\", \"bert gelu\"],\n    [\"image\", \"clip_vision_model quick_gelu\"],\n  ]) {\n    const kind = encoders[side] && `${encoders[side].model_type} ${encoders[side].hidden_act}`;\n    if (kind && kind !== usual)\n      throw new Refused(`This model's ${side} encoder is ${kind}; the explorer computes ${usual}.`);\n  }\n}\n\n/** The weight and the bias of a module; a module may have no bias.\n * @param {Model} model @param {string} name @returns {[Tensor, Tensor]} */\nfunction of({ weights }, name) {\n  const weight = weights.get(`${name}.weight`);\n  if (!weight) throw new Refused(`The weights lack ${name}.weight, which config.json asks for; save the model again.`);\n  return [weight, /** @type {Tensor} */ (weights.get(`${name}.bias`))];\n}\n/** @param {Model} model @param {Matrix} x @param {string} name */\nconst apply = (model, x, name) => linear(x, ...of(model, name));\n/** @param {Model} model @param {Matrix} x @param {string} name @param {number} [epsilon] */\nconst normed = (model, x, name, epsilon) => norm(x, ...of(model, name), epsilon);\n\n// ---- §3.1: embedding ----\n\n/** Eq. 1, S^e = S + S_position + S_segment, then its norm: n pieces → (n, d).\n * @param {Model} model @param {number[]} ids @returns {Matrix} */\nfunction textEmbedding(model, ids) {\n  const at = \"text_embedding.bert.\",\n    [words] = of(model, `${at}word_embeddings`);\n  const [places] = of(model, `${at}position_embeddings`),\n    [segments] = of(model, `${at}token_type_embeddings`);\n  const d = words.shape[1],\n    x = matrix(ids.length, d);\n  ids.forEach((id, i) => {\n    for (let j = 0; j < d; j++) x.data[i * d + j] = words.data[id * d + j] + segments.data[j] + places.data[i * d + j];\n  });\n  return normed(model, x, `${at}LayerNorm`, model.config.encoders.text.layer_norm_eps);\n}\n\nconst CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073];\nconst CLIP_STD = [0.26862954, 0.26130258, 0.27577711];\n\n/** §3.1.2, V^e: pixels normalised, cut to patches, a class token in front, positions added, then CLIP's norm.\n * (3, side, side, 3) → (m, d).\n * @param {Model} model @param {Uint8Array} crops @returns {Matrix} */\nfunction imageEmbedding(model, crops) {\n  const { crop_size: side } = model.config.model,\n    { image } = model.config.encoders,\n    patch = image.patch_size;\n  const mean = image.image_mean ?? CLIP_MEAN,\n    std = image.image_std ?? CLIP_STD;\n  const grid = Math.floor(side / patch),\n    [kernel] = of(model, \"image_embedding.patches\"),\n    d = kernel.shape[0];\n  const patches = matrix(CROPS * grid * grid, 3 * patch * patch);\n  for (let p = 0, o = 0; p < patches.rows; p++) {\n    const crop = Math.floor(p / grid ** 2),\n      y0 = (Math.floor(p / grid) % grid) * patch,\n      x0 = (p % grid) * patch;\n    for (let c = 0; c < 3; c++)\n      for (let y = y0; y < y0 + patch; y++)\n        for (let x = x0; x < x0 + patch; x++, o++)\n          patches.data[o] = (crops[((crop * side + y) * side + x) * 3 + c] - 255 * mean[c]) / (255 * std[c]);\n  }\n  const positions = /** @type {Tensor} */ (model.weights.get(\"image_embedding.positions\"));\n  const front = /** @type {Tensor} */ (model.weights.get(\"image_embedding.class_embedding\"));\n  const all = matrix(1 + patches.rows, d);\n  all.data.set(front.data);\n  all.data.set(linear(patches, kernel).data, d);\n  return normed(model, add(all, matrix(all.rows, d, positions.data)), \"image_embedding.norm\");\n}\n\n// ---- §3.2: mutual attention ----\n\n/** Eq. 4: softmax(Q Kᵀ / √e) V, head by head: (q, d), (k, d), (k, d) → (q, d), and the weights (heads, q, k).\n * @param {Matrix} queries @param {KeysValues} kv @param {number} heads\n * @returns {{context: Matrix, weights: Attention}} */\nfunction attend(queries, { keys, values }, heads) {\n  const { rows, cols: d } = queries,\n    e = d / heads,\n    k = keys.rows;\n  const context = matrix(rows, d),\n    data = new Float32Array(heads * rows * k);\n  const scale = 1 / Math.sqrt(e),\n    sum = new Float64Array(e);\n  for (let h = 0; h < heads; h++)\n    for (let i = 0; i < rows; i++) {\n      const weights = data.subarray((h * rows + i) * k, (h * rows + i + 1) * k),\n        o = i * d + h * e;\n      for (let j = 0; j < k; j++) weights[j] = dot(queries.data, o, keys.data, j * d + h * e, e) * scale;\n      softmax(weights);\n      sum.fill(0);\n      for (let j = 0; j < k; j++)\n        for (let c = 0, w = weights[j], at = j * d + h * e; c < e; c++) sum[c] += w * values.data[at + c];\n      context.data.set(sum, o);\n    }\n  return { context, weights: { heads, rows, cols: k, data } };\n}\n\n/** Eq. 2's K = [K_other ; K_own]: (p, d), (q, d) → (p + q, d). @param {Matrix} x @param {Matrix} y @returns {Matrix} */\nfunction stacked(x, y) {\n  const both = matrix(x.rows + y.rows, x.cols);\n  both.data.set(x.data);\n  both.data.set(y.data, x.data.length);\n  return both;\n}\n\n/** What sets BERT's layers (post-norm) apart from CLIP's (pre-norm): names of the modules. */\nconst NAMES = {\n  text: {\n    q: \"attention.self.query\",\n    k: \"attention.self.key\",\n    v: \"attention.self.value\",\n    out: \"attention.output.dense\",\n    norm1: \"attention.output.LayerNorm\",\n    up: \"intermediate.dense\",\n    down: \"output.dense\",\n    norm2: \"output.LayerNorm\",\n  },\n  image: {\n    q: \"self_attn.q_proj\",\n    k: \"self_attn.k_proj\",\n    v: \"self_attn.v_proj\",\n    out: \"self_attn.out_proj\",\n    norm1: \"layer_norm1\",\n    up: \"mlp.fc1\",\n    down: \"mlp.fc2\",\n    norm2: \"layer_norm2\",\n  },\n};\n\n/** Eqs 2 and 4: one layer of one tower, (p, d) → (p, d), its own keys and values, and its attention.\n * @param {Model} model @param {Side} side @param {number} index @param {Matrix} hidden @param {KeysValues | null}\n * other */\nfunction layer(model, side, index, hidden, other) {\n  const { num_attention_heads: heads, layer_norm_eps: epsilon } = model.config.encoders[side];\n  const name = NAMES[side],\n    at = (/** @type {string} */ part) => `encoder.${side}.${index}.${part}`;\n  const input = side === \"text\" ? hidden : normed(model, hidden, at(name.norm1), epsilon);\n  const [queries, keys, values] = [name.q, name.k, name.v].map((part) => apply(model, input, at(part)));\n  const all = other ? { keys: stacked(other.keys, keys), values: stacked(other.values, values) } : { keys, values };\n  const { context, weights } = attend(queries, all, heads);\n  let x = add(hidden, apply(model, context, at(name.out)));\n  if (side === \"text\") {\n    x = normed(model, x, at(name.norm1), epsilon);\n    x = add(x, apply(model, each(gelu, apply(model, x, at(name.up))), at(name.down)));\n    x = normed(model, x, at(name.norm2), epsilon);\n  } else {\n    const inner = each(quickGelu, apply(model, normed(model, x, at(name.norm2), epsilon), at(name.up)));\n    x = add(x, apply(model, inner, at(name.down)));\n  }\n  return { hidden: x, own: { keys, values }, weights };\n}\n\n/** Eqs 2-4, all layers: S^e (n, d) and V^e (m, d) → H^t (n, d) and H^v (m, d). Layer l + 1 of either side reads what\n * the other side had at layer l; the first layer reads the other's embeddings as they are (eq. 3).\n * @param {Model} model @param {Matrix} text @param {Matrix | null} image @param {boolean[]} exchange by layer */\nfunction towers(model, text, image, exchange) {\n  /** @type {LayerAttention[]} */\n  const attention = [];\n  /** @type {Record<Side, KeysValues | null>} */\n  let last = { text: { keys: text, values: text }, image: image && { keys: image, values: image } };\n  for (let l = 0; l < model.config.encoders.text.num_hidden_layers; l++) {\n    const t = layer(model, \"text\", l, text, exchange[l] ? last.image : null);\n    const v = image && layer(model, \"image\", l, image, exchange[l] ? last.text : null);\n    [text, image] = [t.hidden, v && v.hidden];\n    last = { text: t.own, image: v && v.own };\n    attention.push({ text: t.weights, image: v && v.weights });\n  }\n  return { text, image, attention };\n}\n\n/** One tower that meets no other: (p, d) → (p, d).\n * @param {Model} model @param {Side} side @param {Matrix} hidden @returns {Matrix} */\nfunction alone(model, side, hidden) {\n  const { num_hidden_layers: layers } = model.config.encoders[side];\n  for (let l = 0; l < layers; l++) hidden = layer(model, side, l, hidden, null).hidden;\n  return hidden;\n}\n\n// ---- §3.3: the interweave module ----\n\n/** f1, f2 and f3's change of length, a linear map over positions: (p, d) → (q, d). A shorter text uses its first rows\n * or columns.\n * @param {Matrix} x @param {[Tensor, Tensor]} map @param {number} to q @returns {Matrix} */\nfunction lengthMap(x, [weight, bias], to) {\n  const y = matrix(to, x.cols),\n    wide = weight.shape[1];\n  for (let q = 0; q < to; q++) {\n    const sum = new Float64Array(x.cols).fill(bias.data[q]);\n    for (let p = 0; p < x.rows; p++)\n      for (let j = 0, w = weight.data[q * wide + p]; j < x.cols; j++) sum[j] += w * x.data[p * x.cols + j];\n    y.data.set(sum, q * x.cols);\n  }\n  return y;\n}\n\n/** Eq. 6, first line: softmax over tokens of M · w3, (n, d) → (1, n). @param {Matrix} m @param {Tensor} w3 */\nconst rowWeights = (m, w3) => matrix(1, m.rows, softmax(linear(m, { shape: [1, m.cols], data: w3.data }).data));\n\n/** Eq. 6, second line as read: softmax over features of Mᵀ · w4, (n, d) → (1, d). @param {Matrix} m @param {Tensor} w4\n * */\nfunction columnWeights(m, w4) {\n  const scores = new Float32Array(m.cols);\n  for (let j = 0; j < m.cols; j++) {\n    let sum = 0;\n    for (let i = 0; i < m.rows; i++) sum += m.data[i * m.cols + j] * w4.data[i];\n    scores[j] = sum;\n  }\n  return matrix(1, m.cols, softmax(scores));\n}\n\n/** Eq. 6, second line as printed: a softmax over one number, which is 1. @param {Matrix} m */\nconst printedColumnWeights = (m) => matrix(m.rows, 1, new Float32Array(m.rows).fill(1));\n\n/** Eqs 5-9: MGE(guide, source), in the guide's shape; the source is weighted by token and by feature.\n * @param {Model} model @param {Side} side the guide's @param {Matrix} guide @param {Matrix} source\n * @returns {{excavated: Matrix, pass: Pass}} */\nfunction mge(model, side, guide, source) {\n  const settings = model.config.model,\n    at = `interweave.${side}_guided.`;\n  const n = side === \"text\" ? guide.rows : source.rows;\n  const change = of(model, `${at}image_to_text.linear`);\n  let own = apply(model, source, `${at}linear1`),\n    weighing = apply(model, guide, `${at}linear2`);\n  if (side === \"image\")\n    weighing = each(gelu, lengthMap(weighing, change, n)); // f2: (m, d) → (n, d)\n  else own = each(gelu, lengthMap(own, change, n)); // f1\n  const m = each((a, b) => a * b, own, weighing); // eq. 5\n  const w3 = model.weights.get(`${at}w3`),\n    w4 = model.weights.get(`${at}w4`);\n  const average = settings.weight_scale === \"mean\";\n  const byRow = w3 ? rowWeights(m, w3) : null,\n    printed = settings.column_weights === \"printed\";\n  const byColumn = w4 ? (printed ? printedColumnWeights(m) : columnWeights(m, w4)) : null;\n  let fused = matrix(n, m.cols);\n  for (let i = 0; i < n; i++)\n    for (let j = 0; j < m.cols; j++) {\n      // eq. 7, and the sum of eq. 8\n      const token = byRow ? byRow.data[i] * (average ? n : 1) : 0;\n      const feature = byColumn ? (printed ? byColumn.data[i] : byColumn.data[j] * (average ? m.cols : 1)) : 0;\n      fused.data[i * m.cols + j] = (token + feature) * own.data[i * m.cols + j];\n    }\n  if (side === \"image\") fused = lengthMap(fused, of(model, `${at}text_to_image.linear`), guide.rows); // f3\n  const y = normed(model, add(guide, apply(model, fused, `${at}project.0`)), `${at}norm1`);\n  const inner = apply(model, each(gelu, apply(model, y, `${at}ffn.0`)), `${at}ffn.2`);\n  const pass = { guide: side, row: byRow, column: byColumn, matrix: m };\n  return { excavated: normed(model, add(y, inner), `${at}norm2`), pass };\n}\n\n/** Eqs 10-11: L rounds of X_l = X_{l-1} + MGE(X_{l-1}, T_{l-1}) and T_l = T_{l-1} + MGE(T_{l-1}, X_l), and one more\n * image-guided pass where the contrast reads its result.\n * @param {Model} model @param {Matrix} text T_0 (n, d) @param {Matrix} image X_0 (m, d) */\nfunction interweave(model, text, image) {\n  const rounds = model.config.model.interweave_encoders,\n    texts = [text],\n    images = [image];\n  /** @type {Pass[]} */\n  const passes = [];\n  for (let l = 0; l < rounds + Number(fusedContrast(model)); l++) {\n    const x = mge(model, \"image\", image, text);\n    images.push((image = add(image, x.excavated))); // eq. 10\n    passes.push(x.pass);\n    if (l === rounds) break;\n    const t = mge(model, \"text\", text, image);\n    texts.push((text = add(text, t.excavated))); // eq. 11\n    passes.push(t.pass);\n  }\n  return { texts, images, passes };\n}\n\n/** Eqs 12-13: I = σ(W1 T + W2 H + b), z = I ⊙ H + (1 - I) ⊙ T; a gate per feature, (p, d), or one per token, (p, 1).\n * @param {Model} model @param {string} name @param {Matrix} pre H @param {Matrix} post T\n * @param {Options} [options] a constant in the gate's place, or a factor of it */\nfunction prePostGate(model, name, pre, post, { gate: constant, gateScale = 1 } = {}) {\n  let gate = each((a, b) => sigmoid(a + b), apply(model, post, `${name}.w1`), apply(model, pre, `${name}.w2`));\n  gate = each((g) => (constant ?? g) * gateScale, gate);\n  const z = matrix(pre.rows, pre.cols),\n    wide = gate.cols;\n  for (let i = 0; i < z.data.length; i++) {\n    const g = gate.data[wide === 1 ? Math.floor(i / z.cols) : i];\n    z.data[i] = g * pre.data[i] + (1 - g) * post.data[i];\n  }\n  return { z, gate };\n}\n\n// ---- §3.4: relevance, mining, contrast ----\n\n/** Whether texts are contrasted with images at all. @param {Config} config */\nconst contrasts = ({ model: c }) => c.images && (c.ips_loss || c.cl_loss);\n/** Whether the gated features are contrasted, as in the paper. @param {Model} model */\nconst fusedContrast = (model) => contrasts(model.config) && model.config.model.contrast_on === \"fused\";\n\n/** f or g of eq. 14: the positions' mean, or their weighted sum, a linear layer, then length 1: (p, d) → (1, d).\n * @param {Model} model @param {Side} side @param {Matrix} x @returns {Matrix | null} null without such a head */\nfunction contrastVector(model, side, x) {\n  const at = `${side}_head.`;\n  if (!model.weights.has(`${at}linear.weight`)) return null;\n  let pooled = mean(x);\n  if (model.config.model.pooling === \"attention\") {\n    const scores = apply(model, each(Math.tanh, apply(model, x, `${at}attention.0`)), `${at}attention.2`);\n    pooled = weighted(softmax(scores.data), x);\n  }\n  if (model.config.model.contrast_norm) pooled = normed(model, pooled, `${at}norm`);\n  return unit(apply(model, pooled, `${at}linear`));\n}\n\n/** Σ_i w_i x_i: p weights and (p, d) → (1, d). @param {Float32Array} shares @param {Matrix} x @returns {Matrix} */\nfunction weighted(shares, x) {\n  const sum = new Float64Array(x.cols);\n  for (let i = 0; i < x.rows; i++) for (let j = 0; j < x.cols; j++) sum[j] += shares[i] * x.data[i * x.cols + j];\n  return matrix(1, x.cols, Float32Array.from(sum));\n}\n\n/** Over the positions: (p, d) → (1, d). @param {Matrix} x @returns {Matrix} */\nconst mean = (x) => weighted(new Float32Array(x.rows).fill(1 / x.rows), x);\n\n/** A vector at length 1. @param {Matrix} x @returns {Matrix} */\nfunction unit(x) {\n  const length = Math.max(Math.sqrt(dot(x.data, 0, x.data, 0, x.cols)), 1e-12);\n  return each((v) => v / length, x);\n}\n\n/** Eq. 14: the cosine of every text with every image, (N, d), (M, d) → (N, M); rows are texts.\n * @param {Matrix} texts @param {Matrix} images @returns {Matrix} */\nconst relevance = (texts, images) => linear(texts, { shape: [images.rows, images.cols], data: images.data });\n\n/** CSLS, beyond the paper: 2 s_ij - r_i - r_j, where r is the mean of a row's or column's ten highest: (N, M) → (N, M).\n * @param {Matrix} scores @returns {Matrix} */\nfunction csls(scores) {\n  const best = (/** @type {Float32Array} */ values) => {\n    const ten = values.slice().sort().reverse().slice(0, 10);\n    return ten.reduce((a, b) => a + b, 0) / ten.length;\n  };\n  const texts = Array.from({ length: scores.rows }, (_, i) => best(row(scores, i)));\n  const wide = scores.cols;\n  const images = Array.from({ length: wide }, (_, j) => best(scores.data.filter((_, at) => at % wide === j)));\n  const apart = scores.data.map((s, at) => 2 * s - texts[Math.floor(at / wide)] - images[at % wide]);\n  return matrix(scores.rows, wide, apart);\n}\n\n/** Eq. 15: the K candidates of highest score in each row, the best first.\n * @param {Matrix} scores @param {number} k @param {(text: number, image: number) => boolean} allowed @returns\n * {number[][]} */\nfunction mine(scores, k, allowed) {\n  return Array.from({ length: scores.rows }, (_, i) => {\n    const values = row(scores, i),\n      places = [...values.keys()].filter((j) => allowed(i, j));\n    return places.sort((a, b) => values[b] - values[a]).slice(0, k);\n  });\n}\n\n/** Eq. 16 by text: -log(Σ_{positives} e^{s/τ} / Σ_all e^{s/τ}); 0 for a text without positives. Eq. 17 is the same\n * with the own image as the only positive. The loss is the mean over texts.\n * @param {Matrix} scores @param {number[][]} positives @param {number} temperature @returns {number} */\nfunction contrastiveLoss(scores, positives, temperature) {\n  const losses = positives.map((chosen, i) => {\n    const values = Float64Array.from(row(scores, i), (s) => s / temperature);\n    return chosen.length ? logsumexp(values) - logsumexp(chosen.map((j) => values[j])) : 0;\n  });\n  return losses.reduce((a, b) => a + b, 0) / losses.length;\n}\n\n/** τ, as set or as learned. @param {Model} model @returns {number} */\nfunction temperature({ config, weights }) {\n  const log = weights.get(\"learned_temperature.log\");\n  return log ? Math.max(Math.exp(log.data[0]), 0.01) : config.model.temperature;\n}\n\n// ---- beyond the paper: reading the mined pictures ----\n\nconst FORBIDDEN = -1e4;\n\n/** What distance in time costs, in units of the cosine: a constant from the next day on, and a multiple of log(1 +\n * days). Nothing where a time is unknown. @param {Model} model @param {number} here @param {number} there @returns\n * {number} */\nfunction timePenalty({ weights }, here, there) {\n  const learned = weights.get(\"reader.time\"),\n    days = Math.abs(Math.floor(here) - Math.floor(there));\n  return learned && days > 0 ? learned.data[0] + learned.data[1] * Math.log1p(days) : 0;\n}\n\n/** z (n, d) and g(text) (1, d) → z' (n, d), and what was read of the pool:\n * s_j = (cos(g(text), f(image_j)) - penalty) / τ, w = sparsemax(s) or softmax(s), r = Σ_j w_j · mean(image_j),\n * z' = LayerNorm(z + gate ⊙ (W r + f(z, W r))).\n * @param {Model} model @param {Matrix} text @param {Matrix} query @param {{id: string, time: number}} post\n * @param {Pool} pool @param {number} [without] a picture that is not read, by its place\n * @returns {{text: Matrix, reading: Reading}} */\nfunction readPool(model, text, query, post, pool, without = -1) {\n  const settings = model.config.model,\n    tau = temperature(model),\n    count = pool.ids.length,\n    { weights } = model;\n  const ownToo = settings.read_own && settings.read_by === \"image\" && settings.read_what === \"image\";\n  const allowed = pool.ids.map((id, j) => {\n    const days = Math.abs(Math.floor(post.time) - Math.floor(pool.times[j]));\n    return j !== without && (ownToo || id !== post.id) && !(pool.days !== null && days > pool.days);\n  });\n  const scores = new Float32Array(count + 1);\n  for (let j = 0; j < count; j++) {\n    const cosine = dot(query.data, 0, pool.keys.data, j * query.cols, query.cols);\n    scores[j] = allowed[j] ? (cosine - timePenalty(model, post.time, pool.times[j])) / tau : FORBIDDEN;\n  }\n  scores[count] = weights.has(\"reader.null.weight\") ? apply(model, query, \"reader.null\").data[0] / tau : FORBIDDEN / 2;\n  let kept = scores;\n  if (settings.read === \"top\" && count > settings.k) {\n    const best = mine(matrix(1, count, scores.subarray(0, count)), settings.k, () => true)[0];\n    kept = scores.map((s, j) => (j === count || best.includes(j) ? s : FORBIDDEN));\n  }\n  const shares = settings.read === \"sparsemax\" ? sparsemax(kept) : softmax(kept.slice());\n  for (let j = 0; j < count; j++) if (!allowed[j] || kept[j] === FORBIDDEN) shares[j] = 0;\n  const read = weighted(shares.subarray(0, count), matrix(count, text.cols, pool.values.data));\n  const value = apply(model, read, \"reader.value\"),\n    both = matrix(text.rows, 2 * text.cols);\n  for (let i = 0; i < text.rows; i++) {\n    both.data.set(row(text, i), i * both.cols);\n    both.data.set(value.data, i * both.cols + text.cols);\n  }\n  const share = shares.subarray(0, count).reduce((a, b) => a + b, 0);\n  const gate = each((g) => sigmoid(g) * share, apply(model, both, \"reader.gate\"));\n  const revised = apply(model, each(gelu, apply(model, both, \"reader.revise.0\")), \"reader.revise.2\");\n  const sum = matrix(text.rows, text.cols);\n  for (let i = 0; i < sum.data.length; i++)\n    sum.data[i] = text.data[i] + gate.data[Math.floor(i / sum.cols)] * (value.data[i % sum.cols] + revised.data[i]);\n  return { text: normed(model, sum, \"reader.norm\"), reading: { scores, weights: shares, read, gate } };\n}\n\n// ---- §3.5: the decoder ----\n\n/** A word's scores of the C tags, at its first piece: (n, d) → (w, C).\n * @param {Model} model @param {Matrix} text @param {number[]} first @returns {Matrix} */\nfunction emissions(model, text, first) {\n  const words = matrix(first.length, text.cols);\n  first.forEach((at, i) => words.data.set(row(text, at), i * text.cols));\n  return apply(model, words, \"classifier.1\");\n}\n\n/** The CRF's scores of beginning, ending and following, in double precision; all 0 without a CRF, which makes each\n * word's tag independent. @param {Model} model */\nfunction transitions({ weights, config: { tags } }) {\n  const read = (/** @type {string} */ name, /** @type {number} */ size) =>\n    Float64Array.from(weights.get(`crf.${name}`)?.data ?? new Float64Array(size));\n  return {\n    start: read(\"start_transitions\", tags.length),\n    end: read(\"end_transitions\", tags.length),\n    step: read(\"transitions\", tags.length ** 2),\n  };\n}\n\n/** Whether a tag may follow another in BIO: I-X only B-X or I-X. @param {string} before @param {string} tag */\nconst mayFollow = (before, tag) => !tag.startsWith(\"I-\") || (before !== \"O\" && before.slice(1) === tag.slice(1));\n\n/** The most likely tags (Viterbi): (w, C) → w tag numbers. @param {Model} model @param {Matrix} scores @returns\n * {number[]} */\nfunction viterbi(model, scores) {\n  const { tags, model: settings } = model.config,\n    C = tags.length,\n    { start, end, step } = transitions(model);\n  if (settings.bio_constraint)\n    tags.forEach((tag, to) => {\n      if (!mayFollow(\"O\", tag)) start[to] = -Infinity;\n      tags.forEach((before, from) => {\n        if (!mayFollow(before, tag)) step[from * C + to] = -Infinity;\n      });\n    });\n  let best = Float64Array.from(start, (s, c) => s + scores.data[c]);\n  const back = [];\n  for (let t = 1; t < scores.rows; t++) {\n    const next = new Float64Array(C),\n      from = new Array(C).fill(0);\n    for (let to = 0; to < C; to++) {\n      const through = (/** @type {number} */ c) => best[c] + step[c * C + to];\n      for (let c = 1; c < C; c++) if (through(c) > through(from[to])) from[to] = c;\n      next[to] = through(from[to]) + scores.data[t * C + to];\n    }\n    back.push(from);\n    best = next;\n  }\n  let tag = 0;\n  for (let c = 1; c < C; c++) if (best[c] + end[c] > best[tag] + end[tag]) tag = c;\n  const path = [tag];\n  for (const from of back.reverse()) path.unshift((tag = from[tag]));\n  return path;\n}\n\n/** Log of the sums over all paths up to, and from, each word (forward-backward): (w, C) each, in double precision.\n * @param {Model} model @param {ArrayLike<number>} scores */\nfunction sums(model, scores) {\n  const C = model.config.tags.length,\n    w = scores.length / C,\n    { start, end, step } = transitions(model);\n  const before = new Float64Array(w * C),\n    after = new Float64Array(w * C),\n    terms = new Float64Array(C);\n  for (let t = 0; t < w; t++)\n    for (let c = 0; c < C; c++) {\n      for (let b = 0; t && b < C; b++) terms[b] = before[(t - 1) * C + b] + step[b * C + c];\n      before[t * C + c] = scores[t * C + c] + (t ? logsumexp(terms) : start[c]);\n    }\n  for (let t = w - 1; t >= 0; t--)\n    for (let c = 0; c < C; c++) {\n      const next = (t + 1) * C;\n      for (let a = 0; t < w - 1 && a < C; a++) terms[a] = step[c * C + a] + scores[next + a] + after[next + a];\n      after[t * C + c] = t < w - 1 ? logsumexp(terms) : end[c];\n    }\n  for (let c = 0; c < C; c++) terms[c] = before[(w - 1) * C + c] + end[c];\n  return { before, after, total: logsumexp(terms) };\n}\n\n/** How probable each tag is for each word, over all paths: (w, C) → (w, C) in double precision.\n * @param {Model} model @param {Matrix} scores @returns {Float64Array} */\nfunction marginals(model, scores) {\n  const { before, after, total } = sums(model, scores.data);\n  return before.map((value, i) => Math.exp(value + after[i] - total));\n}\n\n/** How probable an entity is: the share of all paths that hold exactly its words [start, end) with its type.\n * @param {Model} model @param {Matrix} scores @param {{start: number, end: number, type: string}} entity @returns\n * {number} */\nfunction entityProbability(model, scores, { start, end, type }) {\n  const { tags } = model.config,\n    C = tags.length,\n    begin = tags.indexOf(`B-${type}`),\n    inside = tags.indexOf(`I-${type}`);\n  const { total } = sums(model, scores.data);\n  return [begin, inside].reduce((share, opening) => {\n    const held = Float64Array.from(scores.data);\n    const forbid = (/** @type {number} */ t, /** @type {number} */ c) => held.fill(-Infinity, t * C + c, t * C + c + 1);\n    for (let t = start; t < end; t++)\n      for (let c = 0; c < C; c++) if (c !== (t > start ? inside : opening)) forbid(t, c);\n    if (end < scores.rows) forbid(end, inside);\n    if (opening === inside && start) [begin, inside].forEach((c) => forbid(start - 1, c));\n    return share + Math.exp(sums(model, held).total - total);\n  }, 0);\n}\n\n/** The entities of tags, by seqeval's default reading: an I- without its B- before it begins one.\n * @param {string[]} path @returns {{start: number, end: number, type: string}[]} */\nfunction entities(path) {\n  /** @type {{start: number, end: number, type: string}[]} */\n  const found = [];\n  path.forEach((tag, t) => {\n    const last = found.at(-1),\n      type = tag.slice(2);\n    if (tag[0] === \"I\" && last?.end === t && last.type === type) last.end++;\n    else if (tag !== \"O\") found.push({ start: t, end: t + 1, type });\n  });\n  return found;\n}\n\nreturn { check, textEmbedding, CLIP_MEAN, CLIP_STD, imageEmbedding, attend, layer, towers, alone, rowWeights, columnWeights, printedColumnWeights, mge, interweave, prePostGate, contrasts, fusedContrast, contrastVector, weighted, mean, relevance, csls, mine, contrastiveLoss, temperature, timePenalty, readPool, emissions, viterbi, marginals, entityProbability, entities };\n})();\nmodules.tokenizer = (() => {\n// @ts-check\n// Words to word pieces (§3.1), by the tokenizer.json that the package saves for towers from a random start:\n// lower-casing WordPiece, as BERT's. Words come as they are; joining them and splitting again would move their borders.\n\nconst { Refused } = modules.weights;\n\n/** @typedef {{vocabulary: Map<string, number>, names: string[], special: RegExp | null, unknown: number,\n *   prefix: string, longest: number, cls: number, sep: number}} Tokenizer */\n/** Pieces of a post. `first` is the position of the first piece of each word inside the cut.\n * @typedef {{ids: number[], first: number[], lengths: number[]}} Pieces */\n\nconst BLANK = /[\\t\\n\\r]/u;\nconst CONTROL = /[\\0\\ufffd\\p{Cc}\\p{Cf}\\p{Co}]/u;\nconst IDEOGRAPH = new RegExp(\n  \"[\\\\u3400-\\\\u4dbf\\\\u4e00-\\\\u9fff\\\\uf900-\\\\ufaff\\\\u{20000}-\\\\u{2a6df}\" +\n    \"\\\\u{2a700}-\\\\u{2b81f}\\\\u{2b920}-\\\\u{2ceaf}\\\\u{2f800}-\\\\u{2fa1f}]\",\n  \"u\",\n);\nconst PUNCTUATION = /[!-/:-@[-`{-~\\p{P}]/u;\n\n/** @param {string} json the text of tokenizer.json @returns {Tokenizer} */\nfunction readTokenizer(json) {\n  const saved = JSON.parse(json),\n    { model, normalizer, pre_tokenizer } = saved;\n  const usual =\n    normalizer?.type === \"BertNormalizer\" &&\n    normalizer.clean_text &&\n    normalizer.handle_chinese_chars &&\n    normalizer.lowercase &&\n    normalizer.strip_accents !== false &&\n    pre_tokenizer?.type === \"BertPreTokenizer\";\n  if (model?.type !== \"WordPiece\" || !usual)\n    throw new Refused(\n      `This tokenizer is of kind ${model?.type}; the explorer reads the lower-casing WordPiece that ` +\n        \"a random start has.\",\n    );\n  const vocabulary = new Map(/** @type {[string, number][]} */ (Object.entries(model.vocab)));\n  /** @type {string[]} */\n  const added = saved.added_tokens.map((/** @type {any} */ token) => token.content);\n  const escaped = added.map((text) => text.replace(/[.*+?^${}()|[\\]\\\\]/g, \"\\\\$&\"));\n  const names = [];\n  for (const [text, id] of vocabulary) names[id] = text;\n  const [unknown, cls, sep] = [model.unk_token, \"[CLS]\", \"[SEP]\"].map((text) => vocabulary.get(text) ?? NaN);\n  const special = escaped.length ? new RegExp(`(${escaped.join(\"|\")})`, \"u\") : null;\n  const { continuing_subword_prefix: prefix, max_input_chars_per_word: longest } = model;\n  return { vocabulary, names, special, unknown, prefix, longest, cls, sep };\n}\n\n/** A word's parts as BERT's normaliser and splitter make them: no control characters, ideographs apart, no accents,\n * lower case; split at blanks and around punctuation.\n * @param {string} text @returns {string[]} */\nfunction parts(text) {\n  let clean = \"\";\n  for (const c of text)\n    if (BLANK.test(c) || !CONTROL.test(c)) clean += /\\p{White_Space}/u.test(c) ? \" \" : IDEOGRAPH.test(c) ? ` ${c} ` : c;\n  let apart = \"\";\n  for (const c of clean.normalize(\"NFD\"))\n    if (!/\\p{Mn}/u.test(c)) {\n      const low = c.toLowerCase(); // by character: a last sigma stays like any other\n      apart += PUNCTUATION.test(low) ? ` ${low} ` : low;\n    }\n  return apart.split(/\\p{White_Space}+/u).filter(Boolean);\n}\n\n/** The longest entries of the vocabulary, from left to right; one unknown piece where that leads nowhere.\n * @param {Tokenizer} tokenizer @param {string} part @returns {number[]} */\nfunction wordpiece(tokenizer, part) {\n  const letters = [...part],\n    ids = [];\n  if (letters.length > tokenizer.longest) return [tokenizer.unknown];\n  for (let start = 0; start < letters.length;) {\n    let end = letters.length,\n      id;\n    for (; end > start; end--) {\n      id = tokenizer.vocabulary.get((start ? tokenizer.prefix : \"\") + letters.slice(start, end).join(\"\"));\n      if (id !== undefined) break;\n    }\n    if (id === undefined) return [tokenizer.unknown];\n    ids.push(id);\n    start = end;\n  }\n  return ids;\n}\n\n/** A word's pieces: one [UNK] for a word without any, so that words and tags always align.\n * @param {Tokenizer} tokenizer @param {string} word @returns {number[]} */\nfunction piecesOf(tokenizer, word) {\n  const texts = tokenizer.special ? word.split(tokenizer.special) : [word]; // every second one is a special piece\n  const ids = texts.flatMap((text, i) =>\n    i % 2 ? [tokenizer.vocabulary.get(text) ?? NaN] : parts(text).flatMap((part) => wordpiece(tokenizer, part)),\n  );\n  return ids.length ? ids : [tokenizer.unknown];\n}\n\n/** [CLS], the words' pieces and [SEP], at most `max` of them.\n * @param {Tokenizer} tokenizer @param {string[]} words @param {number} max @returns {Pieces} */\nfunction encode(tokenizer, words, max) {\n  const ids = [tokenizer.cls],\n    first = [],\n    lengths = words.map((word) => piecesOf(tokenizer, word));\n  for (const pieces of lengths) {\n    if (ids.length >= max - 1) break;\n    first.push(ids.length);\n    ids.push(...pieces);\n  }\n  return { ids: [...ids.slice(0, max - 1), tokenizer.sep], first, lengths: lengths.map((pieces) => pieces.length) };\n}\n\nreturn { readTokenizer, parts, wordpiece, piecesOf, encode };\n})();\nmodules.explorer = (() => {\n// @ts-check\n// The engine's entry: load a model, run a post, read a pool, compare the posts of a day. It needs no page: all of it\n// runs in a worker or in node, and all that goes in and comes out can be posted from one to the other.\n\nconst { matrix } = modules.algebra;\nconst equations = modules.model;\nconst { CROPS } = modules.pictures;\nconst { encode, readTokenizer } = modules.tokenizer;\nconst { readWeights, Refused } = modules.weights;\n\n\n\n/** @typedef {import(\"./weights.js\").Matrix} Matrix */\n/** @typedef {equations.Side} Side */\n/** @typedef {equations.Model & {tokenizer: import(\"./tokenizer.js\").Tokenizer}} Loaded */\n/** A post: its words; crops, (3, side, side, 3), null where it has no picture; when it was posted, in days.\n * @typedef {{id?: string, words: string[], crops?: Uint8Array | null, time?: number | null}} Post */\n\nconst READ = 0.01; // the weight from which on a picture counts as read\nconst READS_NOTHING = \"This model reads no pool of pictures; open one that does: variant reads.\";\nconst MINES_NOTHING = \"This model has no contrastive part (variant text or no-contrast): it mines nothing.\";\n\n/** A saved model, from the bytes of model.safetensors and the text of config.json and of tokenizer.json.\n * @param {ArrayBuffer | Uint8Array} weights @param {string} config @param {string} tokenizer @returns {Loaded} */\nfunction load(weights, config, tokenizer) {\n  const about = JSON.parse(config);\n  equations.check(about);\n  return { config: about, weights: readWeights(weights), tokenizer: readTokenizer(tokenizer) };\n}\n\n/** What stands in for a missing picture: CLIP's mean colour. @param {number} side @returns {Uint8Array} */\nconst defaultCrops = (side) =>\n  new Uint8Array(CROPS * side * side * 3).map((_, i) => Math.round(255 * equations.CLIP_MEAN[i % 3]));\n\n/** A post's two sides: their embeddings, the towers that meet, and each tower as a stranger, computed when asked for.\n * @param {Loaded} model @param {Post} post @param {boolean[]} exchange by layer */\nfunction sides(model, post, exchange) {\n  const { max_length: most, overlap, images, crop_size: side } = model.config.model;\n  if (!post.words.length) throw new Refused(\"This post has no words; give it some.\");\n  const pieces = encode(model.tokenizer, post.words, most),\n    count = pieces.lengths.reduce((a, b) => a + b, 0);\n  if (overlap && count > most - 2)\n    throw new Refused(\n      `This post has ${count} word pieces, and this model reads more than ${most - 2} in windows ` +\n        `(overlap ${overlap}), which the explorer does not; shorten the post.`,\n    );\n  const crops = images ? (post.crops ?? defaultCrops(side)) : null;\n  if (crops && crops.length !== CROPS * side * side * 3)\n    throw new Refused(`The post's crops hold ${crops.length} numbers; the model takes 3 × ${side} × ${side} × 3.`);\n  const text = equations.textEmbedding(model, pieces.ids),\n    image = crops && equations.imageEmbedding(model, crops);\n  /** @type {Partial<Record<Side, Matrix>>} */\n  const kept = {};\n  return {\n    pieces,\n    embedded: { text, image },\n    met: () => {\n      const towers = equations.towers(model, text, image, exchange);\n      if (image && !exchange.some(Boolean)) Object.assign(kept, { text: towers.text, image: towers.image });\n      return towers;\n    },\n    stranger: (/** @type {Side} */ which) =>\n      (kept[which] ??= equations.alone(model, which, /** @type {Matrix} */ (which === \"text\" ? text : image))),\n  };\n}\n\n/** One forward pass: everything on the way from a post to its tags.\n *\n * Options: `exchange`, by layer, whether the towers meet there; `gate`, a number in the place of the text gate I;\n * `gateScale`, a factor of it; `pool`, what a model that reads may read; `vectors: false` saves their work.\n *\n * For a model that reads, `reading.without` has the answer without each picture that is read, `reading.nothing` the one\n * without any.\n * @param {Loaded} model @param {Post} post @param {equations.Options} [options] */\nfunction run(model, post, options = {}) {\n  const { model: settings, tags, encoders } = model.config;\n  if (options.pool && settings.read === \"off\") throw new Refused(READS_NOTHING);\n  const layers = [...Array(encoders.text.num_hidden_layers).keys()];\n  const exchange = layers.map((l) => settings.mutual_attention && (options.exchange?.[l] ?? true));\n  const { pieces, embedded, met, stranger } = sides(model, post, exchange);\n  const towers = met();\n  let { text, image } = towers,\n    interwoven = null,\n    textGate = null,\n    imageGate = null;\n  if (settings.mgi && image) {\n    interwoven = equations.interweave(model, text, image);\n    const { texts, images } = interwoven,\n      [before, after] = images.slice(-2);\n    const last = texts[texts.length - 1];\n    ({ z: text, gate: textGate } = equations.prePostGate(model, \"text_gate\", texts[0], last, options));\n    if (equations.fusedContrast(model))\n      ({ z: image, gate: imageGate } = equations.prePostGate(model, \"image_gate\", before, after));\n  }\n  const answer = (/** @type {Matrix} */ z) => {\n    const emissions = equations.emissions(model, z, pieces.first),\n      path = equations.viterbi(model, emissions);\n    const named = post.words.map((_, i) => (i < path.length ? tags[path[i]] : \"O\"));\n    return { emissions, path, tags: named, marginals: equations.marginals(model, emissions) };\n  };\n  let reading = null;\n  if (settings.read !== \"off\") {\n    const query = /** @type {Matrix} */ (equations.contrastVector(model, \"text\", stranger(\"text\")));\n    const pool = options.pool ?? asPool([], [], [], text.cols, null),\n      z = text;\n    const asked = { id: post.id ?? \"\", time: post.time ?? NaN };\n    const read = (/** @type {equations.Pool} */ from, without = -1) =>\n      equations.readPool(model, z, query, asked, from, without);\n    const whole = read(pool),\n      { weights } = whole.reading;\n    const places = [...pool.ids.keys()].filter((j) => weights[j] >= READ);\n    const named = (/** @type {number} */ j) => ({ place: j, id: pool.ids[j], weight: weights[j] });\n    const without = places.map((j) => ({ ...named(j), ...answer(read(pool, j).text) }));\n    const nothing = answer(read(asPool([], [], [], text.cols, null)).text);\n    reading = { ...whole.reading, temperature: equations.temperature(model), without, nothing };\n    text = whole.text;\n  }\n  const answered = answer(text),\n    entities = equations.entities(answered.tags).map((entity) => ({\n      ...entity,\n      probability: equations.entityProbability(model, answered.emissions, entity),\n    }));\n  return {\n    ids: pieces.ids,\n    pieces: pieces.ids.map((id) => model.tokenizer.names[id]),\n    first: pieces.first,\n    embedded,\n    attention: towers.attention,\n    towers: { text: towers.text, image: towers.image },\n    interwoven,\n    textGate,\n    imageGate,\n    text,\n    image,\n    ...answered,\n    entities,\n    reading,\n    vectors: options.vectors === false ? null : vectorsOf(model, { text, image }, stranger),\n  };\n}\n\n/** g(text) and f(image) of eq. 14, (1, d) each, of the fused states or of strangers; null for a side without a head.\n * @param {Loaded} model @param {{text: Matrix, image: Matrix | null} | null} fused\n * @param {(side: Side) => Matrix} stranger */\nfunction vectorsOf(model, fused, stranger) {\n  const { images, contrast_on: on } = model.config.model;\n  const vector = (/** @type {Side} */ side) => {\n    if (!images || !model.weights.has(`${side}_head.linear.weight`)) return null;\n    const state = on === \"unimodal\" ? stranger(side) : fused?.[side];\n    return equations.contrastVector(model, side, /** @type {Matrix} */ (state));\n  };\n  return { text: vector(\"text\"), image: vector(\"image\") };\n}\n\n/** Vectors as the rows of one matrix. @param {Matrix[]} vectors @param {number} d @returns {Matrix} */\nfunction rows(vectors, d) {\n  const all = matrix(vectors.length, d);\n  vectors.forEach((x, i) => all.data.set(x.data, i * d));\n  return all;\n}\n\n/** @param {Post[]} posts @param {Matrix[]} keys @param {Matrix[]} values @param {number} d @param {number | null} days\n * @returns {equations.Pool} */\nconst asPool = (posts, keys, values, d, days) => ({\n  keys: rows(keys, d),\n  values: rows(values, d),\n  days,\n  times: posts.map((post) => post.time ?? NaN),\n  ids: posts.map((post) => post.id ?? \"\"),\n});\n\n/** Other posts' pictures as a model that reads looks them up; posts without a picture are left out.\n * @param {Loaded} model @param {Post[]} posts @returns {equations.Pool} */\nfunction pool(model, posts) {\n  const { read, read_by: by, read_what: what, read_days: days } = model.config.model;\n  if (read === \"off\") throw new Refused(READS_NOTHING);\n  const there = posts.filter((post) => post.crops || (by === \"text\" && what === \"text\"));\n  const strangers = there.map((post) => sides(model, post, []).stranger);\n  const keys = strangers.map((of) => /** @type {Matrix} */ (equations.contrastVector(model, by, of(by))));\n  const values = strangers.map((of) => equations.mean(of(what)));\n  return asPool(there, keys, values, model.config.encoders.text.hidden_size, days);\n}\n\n/** Posts compared with each other as in a batch (eqs 14-17): their vectors, the relevance of every text (row) to every\n * image (column), what is mined, and the loss. `positives` are those of training: the own picture may be one. `mined`\n * are the K best pictures that are there, without the own one unless `own` is true.\n * @param {Loaded} model @param {Post[]} posts @param {{k?: number, own?: boolean}} [options] */\nfunction gallery(model, posts, { k = model.config.model.k, own = false } = {}) {\n  const { model: settings, encoders } = model.config,\n    d = encoders.text.hidden_size;\n  const fused = equations.fusedContrast(model);\n  /** @type {Record<Side, Matrix[]>} */\n  const found = { text: [], image: [] };\n  for (const post of posts) {\n    const vectors = fused ? run(model, post).vectors : vectorsOf(model, null, sides(model, post, []).stranger);\n    if (!vectors?.text || !vectors.image) throw new Refused(MINES_NOTHING);\n    found.text.push(vectors.text);\n    found.image.push(vectors.image);\n  }\n  const texts = rows(found.text, d),\n    images = rows(found.image, d),\n    relevance = equations.relevance(texts, images);\n  const ranked = settings.csls ? equations.csls(relevance) : relevance,\n    temperature = equations.temperature(model);\n  const positives = equations.mine(ranked, settings.k, (_, j) => settings.mine_missing || !!posts[j].crops);\n  const mined = equations.mine(ranked, k, (i, j) => !!posts[j].crops && (own || i !== j));\n  const self = posts.map((_, i) => [i]);\n  let cl = equations.contrastiveLoss(relevance, self, temperature);\n  if (settings.symmetric)\n    cl = (cl + equations.contrastiveLoss(equations.relevance(images, texts), self, temperature)) / 2;\n  const ips = equations.contrastiveLoss(relevance, positives, temperature);\n  const loss = { ips: settings.ips_loss ? ips : null, cl: settings.cl_loss ? cl : null };\n  return { texts, images, relevance, positives, mined, temperature, loss };\n}\n\nreturn { load, run, pool, gallery, Refused };\n})();\nmodules.worker = (() => {\n// @ts-check\n// The engine behind a worker: post {call, args, key} and get {key, result}, or {key, error} with one sentence. Models\n// stay here under a name; every call but `decode` begins with it.\n\nconst explorer = modules.explorer;\nconst { cropsOf, decode } = modules.pictures;\nconst { Refused } = modules.weights;\n\n/** @type {Map<string, explorer.Loaded>} */\nconst models = new Map();\n\n/** @type {Record<string, (...args: any[]) => any>} */\nconst calls = {\n  load: (name, weights, config, tokenizer) => {\n    const model = explorer.load(weights, config, tokenizer);\n    models.set(name, model);\n    return model.config;\n  },\n  decode,\n  photo: async (name, file, boxes) => cropsOf(await decode(file), model(name).config.model.crop_size, boxes),\n  run: (name, post, options) => explorer.run(model(name), post, options),\n  pool: (name, posts) => explorer.pool(model(name), posts),\n  gallery: (name, posts, options) => explorer.gallery(model(name), posts, options),\n};\n\n/** @param {string} name @returns {explorer.Loaded} */\nfunction model(name) {\n  const found = models.get(name);\n  if (!found) throw new Refused(`There is no model ${name}; there are ${[...models.keys()].join(\", \") || \"none\"}.`);\n  return found;\n}\n\nself.onmessage = async ({ data: { call, args, key } }) => {\n  try {\n    self.postMessage({ key, result: await calls[call](...args) });\n  } catch (error) {\n    self.postMessage({ key, error: error instanceof Error ? error.message : String(error) });\n  }\n};\n\nreturn {  };\n})();\n";
export const start = (root, data) => modules.page.start(root, WORKER, data);
export default { render: ({ model, el }) => modules.page.widget(model, el, WORKER) };

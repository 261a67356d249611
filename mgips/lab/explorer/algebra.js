// @ts-check
// What the equations are written in: products, norms, softmax. Sums are in double precision, results in single.

/** @typedef {import("./weights.js").Matrix} Matrix */
/** @typedef {import("./weights.js").Tensor} Tensor */

/** @param {number} rows @param {number} cols @param {Float32Array} [data] @returns {Matrix} */
export const matrix = (rows, cols, data = new Float32Array(rows * cols)) => ({ rows, cols, data });

/** A row of a matrix, sharing its numbers. @param {Matrix} x @param {number} i */
export const row = (x, i) => x.data.subarray(i * x.cols, (i + 1) * x.cols);

/** Σ_k a[i + k] b[j + k] over k < n.
 * @param {Float32Array} a @param {number} i @param {Float32Array} b @param {number} j
 * @param {number} n @returns {number} */
export function dot(a, i, b, j, n) {
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
export function linear(x, weight, bias) {
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
export function each(f, x, y = x) {
  const out = matrix(x.rows, x.cols);
  for (let i = 0; i < out.data.length; i++) out.data[i] = f(x.data[i], y.data[i]);
  return out;
}

/** @param {Matrix} x @param {Matrix} y @returns {Matrix} */
export const add = (x, y) => each((a, b) => a + b, x, y);

/** LayerNorm: (x - mean) / √(variance + ε) · w + b, row by row.
 * @param {Matrix} x @param {Tensor} weight @param {Tensor} bias @param {number} [epsilon] @returns {Matrix} */
export function norm(x, weight, bias, epsilon = 1e-5) {
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
export function softmax(scores) {
  let most = -Infinity,
    sum = 0;
  for (let i = 0; i < scores.length; i++) most = Math.max(most, scores[i]);
  for (let i = 0; i < scores.length; i++) sum += scores[i] = Math.exp(scores[i] - most);
  for (let i = 0; i < scores.length; i++) scores[i] /= sum;
  return scores;
}

/** The nearest point of the simplex (Martins and Astudillo 2016): exact zeros for low scores.
 * @param {Float32Array} scores @returns {Float32Array} */
export function sparsemax(scores) {
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
export function logsumexp(values) {
  let most = -Infinity,
    sum = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]);
  if (most === -Infinity) return most;
  for (let i = 0; i < values.length; i++) sum += Math.exp(values[i] - most);
  return most + Math.log(sum);
}

/** @param {number} x */
export const sigmoid = (x) => 1 / (1 + Math.exp(-x));

const ERFC = [
  0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
  -1.26551223,
];

/** x Φ(x), through Chebyshev's approximation of erfc, whose relative error is below 1.2e-7 (Numerical Recipes, 6.2).
 * @param {number} x @returns {number} */
export function gelu(x) {
  const z = Math.abs(x) * Math.SQRT1_2,
    t = 1 / (1 + z / 2);
  let sum = ERFC[0];
  for (let i = 1; i < 10; i++) sum = sum * t + ERFC[i];
  const erfc = t * Math.exp(sum - z * z);
  return x * (x < 0 ? erfc / 2 : 1 - erfc / 2);
}

/** @param {number} x */
export const quickGelu = (x) => x * sigmoid(1.702 * x);

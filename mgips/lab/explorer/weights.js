// @ts-check
// Weights as the package saves them: a file in safetensors' format, to 32-bit numbers by PyTorch's names.

/** A matrix, row by row; a vector is a matrix of one row.
 * @typedef {{rows: number, cols: number, data: Float32Array}} Matrix */

/** A tensor of a file.
 * @typedef {{shape: number[], data: Float32Array}} Tensor */

/** One sentence that a reader of the page can act on. */
export class Refused extends Error {
  /** @param {string} says */
  constructor(says) {
    super(says);
    this.name = "Refused";
  }
}

/** The number that 16 bits stand for: a sign, 5 bits of exponent, 10 of fraction.
 * @param {number} bits @returns {number} */
export function half(bits) {
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
export function readWeights(file) {
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

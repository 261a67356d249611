// @ts-check
// Pictures to crops, number by number as Pillow makes them (§3.1.2). Runs in a worker; only `decode` needs a browser.

import { Refused } from "./weights.js";

/** Rows of red, green and blue.
 * @typedef {{width: number, height: number, data: Uint8Array}} Picture */
/** Left, upper, right and lower edge, in pixels.
 * @typedef {[number, number, number, number]} Box */

export const CROPS = 3;
const MAX_PIXELS = 64e6;
const PRECISION = 22; // bits behind the point of Pillow's weights

/** A file's pixels, upright, over white; an animation's first frame. The browser decodes, and nothing else: its
 * resizing and its colour management are its own. Chromium does not turn a WebP file by its EXIF data.
 * @param {Blob} file @returns {Promise<Picture>} */
export async function decode(file) {
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
export function overWhite(pixels, width, height) {
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
export function resize(picture, width, height) {
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
export function cut(picture, box) {
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
export function cropsOf(picture, side, boxes = []) {
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
export function tiles(sheet, width, height, count) {
  const across = Math.floor(sheet.width / width);
  return Array.from({ length: count }, (_, i) => {
    const left = (i % across) * width,
      upper = Math.floor(i / across) * height;
    return cut(sheet, [left, upper, left + width, upper + height]);
  });
}

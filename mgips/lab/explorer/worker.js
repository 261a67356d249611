// @ts-check
// The engine behind a worker: post {call, args, key} and get {key, result}, or {key, error} with one sentence. Models
// stay here under a name; every call but `decode` begins with it.

import * as explorer from "./explorer.js";
import { cropsOf, decode } from "./pictures.js";
import { Refused } from "./weights.js";

/** @type {Map<string, explorer.Loaded>} */
const models = new Map();

/** @type {Record<string, (...args: any[]) => any>} */
const calls = {
  load: (name, weights, config, tokenizer) => {
    const model = explorer.load(weights, config, tokenizer);
    models.set(name, model);
    return model.config;
  },
  decode,
  photo: async (name, file, boxes) => cropsOf(await decode(file), model(name).config.model.crop_size, boxes),
  run: (name, post, options) => explorer.run(model(name), post, options),
  pool: (name, posts) => explorer.pool(model(name), posts),
  gallery: (name, posts, options) => explorer.gallery(model(name), posts, options),
};

/** @param {string} name @returns {explorer.Loaded} */
function model(name) {
  const found = models.get(name);
  if (!found) throw new Refused(`There is no model ${name}; there are ${[...models.keys()].join(", ") || "none"}.`);
  return found;
}

self.onmessage = async ({ data: { call, args, key } }) => {
  try {
    self.postMessage({ key, result: await calls[call](...args) });
  } catch (error) {
    self.postMessage({ key, error: error instanceof Error ? error.message : String(error) });
  }
};

// The explorer's page: what is shown, what is asked of the engine, and the address that brings it back.

import { contrasts } from "./model.js";
import { tiles } from "./pictures.js";
import { patch } from "./render.js";
import { steps } from "./guide.js";
import { whole } from "./views.js";

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
export async function start(root, source, data, { address = true } = {}) {
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
export function widget(model, el, source) {
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

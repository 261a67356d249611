// What several views are made of. Each takes the app and gives a description for `patch`.

import { h, rove } from "./render.js";

/** @param {number} x @param {number} [digits] */
export const percent = (x, digits = 0) => `${(100 * x).toFixed(digits)} %`;
/** @param {number} x */
export const fixed = (x) => (x !== 0 && Math.abs(x) < 0.001 ? x.toExponential(1) : x.toFixed(3));
/** A number behind an element, told on hover and on focus. @param {string} text */
export const says = (text) => ({ "data-says": text });
/** @param {any} app @param {string} kind an entity type, or O */
export const look = (app, kind) => app.looks[kind] ?? [app.grey, "○"];
/** @param {any} app @param {string} kind */
export const sign = (app, kind) => `${look(app, kind)[1]} ${kind}`;
/** @param {string} tag */
export const kindOf = (tag) => (tag === "O" ? "O" : tag.slice(2));

/** How probable each type is for a word: its B- and I- together. @param {any} app @param {string} name @param {any} out
 * @param {number} word @returns {[string, number][]} the most probable first */
export function types(app, name, out, word) {
  const { tags } = app.configs[name],
    sums = new Map();
  tags.forEach((tag, c) => {
    const share = out.marginals[word * tags.length + c] ?? Number(tag === "O");
    sums.set(kindOf(tag), (sums.get(kindOf(tag)) ?? 0) + share);
  });
  return [...sums].sort((a, b) => b[1] - a[1]);
}

/** A post's picture, cut out of the sheet. @param {any} app @param {number | null} place @param {string} [alt] */
export function tile(app, place, alt = pictured(app, place)) {
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
export function pictured(app, place) {
  if (place === null || !app.posts[place].pictured) return "no picture";
  const { truth } = app.posts[place];
  if (!truth?.shows) return `the picture of post ${place + 1}`;
  return `a drawn photo of type ${truth.shows}, ${truth.wears ? `wall ${truth.wears.join(" ")}` : "plain wall"}`;
}

/** @param {any} app */
export function current(app) {
  const { picture } = app.state,
    place = app.place();
  return picture === "photo" && app.photo
    ? h("img.tile", { key: "photo", src: app.photo.url, alt: "your photo" })
    : tile(app, place);
}

/** How probable each type is, as one bar. @param {any} app @param {[string, number][]} shares */
export const stacked = (app, shares) =>
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
export function pieces(app, out, values, label, { most = Math.max(...Array.from(values)), side = "text" } = {}) {
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
export function crops(app, values, label) {
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
export const choice = (label, options) =>
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
export function box(app, id, title, equation, sentence, formula, functions, content) {
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

export const lacks = (what) => h("p.dim", null, what);

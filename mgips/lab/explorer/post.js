// The story, the post with its picture, and the answers.

import * as equations from "./model.js";
import { h, rove } from "./render.js";
import { choice, current, kindOf, lacks, look, percent } from "./parts.js";
import { pictured, says, sign, stacked, tile, types } from "./parts.js";

// ---- the story ----

/** What decides: the words alone, with their picture, with another one. @param {any} app */
export function story(app) {
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
export function chips(app) {
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
export function chooser(app) {
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
export function answers(app) {
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

// The guide: five steps that each set the page and say, with the numbers of now, what to see.

import { percent, types } from "./parts.js";

/** The steps that the models at hand can show: a title, what is set, where to look, and a sentence.
 * @param {any} app @returns {{title: string, change: () => Record<string, any>, at?: string, says: () => string}[]} */
export function steps(app) {
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

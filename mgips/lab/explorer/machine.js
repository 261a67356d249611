// The machine as boxes: what each computed, by which equation and which code.

import * as equations from "./model.js";
import { h, heat } from "./render.js";
import { box, choice, crops, current, fixed, kindOf, lacks, look, percent, pieces, says, tile } from "./parts.js";

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
export function machine(app) {
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

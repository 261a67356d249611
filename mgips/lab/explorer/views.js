// The whole page.

import { h } from "./render.js";
import { current, pictured } from "./parts.js";
import { answers, chips, chooser, story } from "./post.js";
import { machine } from "./machine.js";

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
export function whole(app) {
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

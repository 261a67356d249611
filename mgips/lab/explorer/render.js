// A description of the page to its elements. What stays the same is left alone, so focus, drags and transitions live on.

/** An element's description. `tag` may carry classes: "div.row.small". Properties that begin with "on" are handlers;
 * `key` tells elements of one kind apart; `draw` is called with the element after each update; null leaves one out.
 * @param {string} tag @param {Record<string, any> | null} [props] @param {...any} children */
export function h(tag, props, ...children) {
  const there = children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
  return {
    tag,
    props: props ?? {},
    children: there.map((child) => (typeof child === "object" ? child : String(child))),
  };
}

const PROPERTIES = ["value", "checked", "disabled", "open"];

/** Makes a parent's children those described. @param {Element} parent @param {any[]} children */
export function patch(parent, children) {
  children.forEach((child, i) => {
    const old = /** @type {any} */ (parent.childNodes[i]);
    if (typeof child === "string") {
      if (old?.nodeType !== Node.TEXT_NODE) place(parent, document.createTextNode(child), old);
      else if (old.data !== child) old.data = child;
      return;
    }
    const [name, ...classes] = child.tag.split("."),
      { props } = child;
    let node = old; // with what was asked of it last: described, key, given
    if (node?.described !== child.tag || node.key !== props.key) {
      node = Object.assign(document.createElement(name), { described: child.tag, key: props.key, given: {} });
      if (classes.length) node.className = classes.join(" ");
      place(parent, node, old);
    }
    patch(node, child.children);
    update(node, props);
  });
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}

/** @param {Element} parent @param {Node} node @param {Node | undefined} old */
const place = (parent, node, old) => (old ? parent.replaceChild(node, old) : parent.append(node));

/** @param {any} node @param {Record<string, any>} props */
function update(node, props) {
  const before = node.given;
  node.given = props;
  for (const name of new Set([...Object.keys(before), ...Object.keys(props)])) {
    const value = props[name];
    if (name === "key" || name === "draw") continue;
    if (name.startsWith("on")) node[name] = value ?? null;
    else if (PROPERTIES.includes(name)) {
      // What a reader has typed or opened since stays, unless another value is asked for.
      if (value !== before[name] || (name === "value" && node.type === "range")) node[name] = value ?? "";
    } else if (value !== before[name]) {
      if (value === null || value === undefined || value === false) node.removeAttribute(name);
      else node.setAttribute(name, value === true ? "" : value);
    }
  }
  props.draw?.(node);
}

/** Arrow keys go from one button of a group to the next, and wrap; Home and End to its ends. One of them has tabindex 0.
 * @param {KeyboardEvent} event */
export function rove(event) {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
  const group = /** @type {HTMLElement} */ (event.currentTarget);
  const all = [...group.querySelectorAll("button")],
    focused = /** @type {Document | ShadowRoot} */ (group.getRootNode()).activeElement;
  const place = all.findIndex((button) => button === focused);
  if (step === undefined || place < 0) return;
  event.preventDefault();
  const next = step === Infinity ? all.length - 1 : step === -Infinity ? 0 : (place + step + all.length) % all.length;
  all[next].focus();
  if (group.dataset.follows !== undefined) all[next].click();
}

/** Colours of cividis, dark to light. */
const CIVIDIS = [
  [0, 34, 78],
  [59, 73, 108],
  [113, 114, 119],
  [167, 157, 117],
  [254, 232, 56],
];

/** @param {number} share in [0, 1] @returns {number[]} */
function cividis(share) {
  const at = Math.max(0, Math.min(1, share || 0)) * 4,
    low = Math.min(3, Math.floor(at));
  return CIVIDIS[low].map((c, i) => c + (CIVIDIS[low + 1][i] - c) * (at - low));
}
const cursors = new Map();

/** A table of numbers as colours: a mouse or the arrow keys go over it, and each number is told.
 * @param {{key: string, rows: number, cols: number, value: (i: number, j: number) => number, label: string,
 *   says: (i: number, j: number) => string, pick?: (i: number, j: number) => void, row?: number, marks?: number[][],
 *   tell: (node: Element, says: string) => void, again: () => void, cell?: number}} about */
export function heat({ key, rows, cols, value, label, says, pick, row, marks = [], tell, again, cell }) {
  const at = Math.min(cursors.get(key) ?? 0, rows * cols - 1),
    [i, j] = [Math.floor(at / cols), at % cols];
  const spot = (y, x, wide = 1) =>
    `left:${(100 * x) / cols}%;top:${(100 * y) / rows}%;width:${(100 * wide) / cols}%;height:${100 / rows}%`;
  const move = (node, place) => {
    cursors.set(key, Math.max(0, Math.min(rows * cols - 1, place)));
    again();
    tell(node, says(Math.floor(place / cols), place % cols));
  };
  const under = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const y = Math.min(rows - 1, Math.max(0, Math.floor((rows * (event.clientY - box.top)) / box.height)));
    return [y, Math.min(cols - 1, Math.max(0, Math.floor((cols * (event.clientX - box.left)) / box.width)))];
  };
  return h(
    "div.heat",
    {
      key,
      role: "slider",
      tabindex: 0,
      "aria-label": label,
      "aria-valuemin": 0,
      "aria-valuemax": rows * cols - 1,
      "aria-valuenow": at,
      "aria-valuetext": says(i, j),
      style: `aspect-ratio:${cell ? `${cols * cell}/${rows}` : "auto"}`,
      onpointermove: (event) => {
        const [y, x] = under(event);
        tell(event.currentTarget, says(y, x));
      },
      onclick: (event) => {
        const [y, x] = under(event);
        pick?.(y, x);
        move(event.currentTarget, y * cols + x);
      },
      onfocus: (event) => event.currentTarget.matches(":focus-visible") && tell(event.currentTarget, says(i, j)),
      onkeydown: (event) => {
        const last = rows * cols - 1,
          ends = { Home: -at, End: last - at };
        const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols, ...ends }[event.key];
        if (event.key === "Enter" || event.key === " ") pick?.(i, j);
        else if (step === undefined) return;
        event.preventDefault();
        if (step !== undefined && at + step >= 0 && at + step <= last) move(event.currentTarget, at + step);
      },
    },
    h("canvas", {
      width: cols,
      height: rows,
      draw: (canvas) => {
        const context = canvas.getContext("2d"),
          pixels = context?.createImageData(cols, rows);
        if (!context || !pixels) return;
        for (let y = 0, o = 0; y < rows; y++)
          for (let x = 0; x < cols; x++, o += 4) pixels.data.set([...cividis(value(y, x)), 255], o);
        context.putImageData(pixels, 0, 0);
      },
    }),
    row === undefined ? null : h("span.mark", { key: "row", style: spot(row, 0, cols) }),
    marks.map(([y, x]) => h("span.mark", { key: "mark", style: spot(y, x) })),
    h("span.cursor", { key: "cursor", style: spot(i, j) }),
  );
}

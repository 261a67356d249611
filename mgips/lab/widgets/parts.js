// The page side of parts.py. One function for each kind of part.

const element = (name, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
let count = 0;

function range(model, el) {
  const id = `mgips-range-${++count}`;
  const label = element("label", { htmlFor: id });
  const input = element("input", { type: "range", id });
  const output = element("output", { htmlFor: id });
  el.classList.add("mgips-part-range");
  el.append(label, input, output);
  const say = () => {
    const names = model.get("names"), at = Number(input.value) - model.get("min");
    output.textContent = names[at] ?? Number(input.value).toLocaleString("en");
    output.title = output.textContent;
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const fill = () => {
    label.textContent = model.get("description");
    el.title = model.get("tooltip");
    for (const name of ["min", "max", "step"]) input[name] = model.get(name);
    input.value = model.get("value");
    input.disabled = model.get("disabled");
    say();
  };
  input.addEventListener("input", say);
  input.addEventListener("keydown", (event) => {
    const ends = { ArrowRight: "max", ArrowUp: "max", ArrowLeft: "min", ArrowDown: "min" };
    if (!model.get("circle") || input.value !== input[ends[event.key]]) return;
    input.value = ends[event.key] === "max" ? input.min : input.max;  // and the key's own step follows
  });
  input.addEventListener("change", () => {
    model.set("value", Number(input.value));
    model.save_changes();
  });
  model.on("change", fill);
  fill();
}

function view(model, el) {
  el.classList.add("mgips-part-view");
  const targets = (group) => [...group.querySelectorAll("[data-pick]:not([disabled])")];
  const enter = (group, target) => {
    for (const other of targets(group)) other.tabIndex = other === target ? 0 : -1;
  };
  const fill = () => {
    const held = el.contains(document.activeElement) ? document.activeElement.dataset.pick : undefined;
    const open = [...el.querySelectorAll("details")].map((d) => d.open);
    el.innerHTML = model.get("value");
    el.querySelectorAll("details").forEach((d, i) => { if (i < open.length) d.open = open[i]; });
    for (const group of el.querySelectorAll("[data-roving]")) {
      const all = targets(group);
      enter(group, all.find((t) => t.ariaPressed === "true" || t.ariaCurrent === "true") ?? all[0]);
    }
    if (held === undefined) return;
    const again = [...el.querySelectorAll("[data-pick]")].find((t) => t.dataset.pick === held);
    if (again === undefined) return;
    const group = again.closest("[data-roving]");
    if (group) enter(group, again);
    again.focus({ preventScroll: true });
  };
  el.addEventListener("click", (event) => {
    const target = event.target.closest("[data-pick]");
    if (target && el.contains(target) && !target.disabled) model.send({ pick: target.dataset.pick });
  });
  el.addEventListener("keydown", (event) => {
    const target = event.target.closest("[data-pick]"), group = target?.closest("[data-roving]");
    if (!group) return;
    const all = targets(group), at = target.getBoundingClientRect();
    const middle = (box) => [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
    const ways = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] };
    let next;
    if (event.key === "Home") next = all[0];
    else if (event.key === "End") next = all[all.length - 1];
    else if (event.key in ways) {
      const [dx, dy] = ways[event.key], [x, y] = middle(at);
      let least = Infinity;  // the nearest in this direction, the one straight ahead first
      for (const other of all) {
        const [a, b] = middle(other.getBoundingClientRect());
        const ahead = (a - x) * dx + (b - y) * dy, aside = Math.abs((a - x) * dy) + Math.abs((b - y) * dx);
        if (other !== target && ahead > 1 && ahead + 3 * aside < least) [least, next] = [ahead + 3 * aside, other];
      }
      // at the end of a line of words, the right arrow goes on in the next line
      if (!next && dx) next = all[all.indexOf(target) + dx];
    } else return;
    event.preventDefault();
    if (!next) return;
    enter(group, next);
    next.focus();
  });
  let drag;
  const share = (area, event) => {
    const box = area.getBoundingClientRect();
    const inside = (x) => Math.min(1, Math.max(0, x));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  };
  el.addEventListener("pointerdown", (event) => {
    const area = event.target.closest("[data-box]");
    if (!area || event.button !== 0 || event.target.closest("[data-pick]")) return;
    event.preventDefault();
    const band = element("div", { className: "mgips-band" });
    area.append(band);
    drag = { area, from: share(area, event), band };
    area.setPointerCapture(event.pointerId);
  });
  const edges = (event) => {
    const [x, y] = share(drag.area, event), [a, b] = drag.from;
    return [Math.min(a, x), Math.min(b, y), Math.max(a, x), Math.max(b, y)];
  };
  el.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [left, top, right, bottom] = edges(event).map((x) => `${100 * x}%`);
    Object.assign(drag.band.style, { left, top, width: `calc(${right} - ${left})`, height: `calc(${bottom} - ${top})` });
  });
  el.addEventListener("pointerup", (event) => {
    if (!drag) return;
    let box = edges(event);
    const size = drag.area.getBoundingClientRect();
    if ((box[2] - box[0]) * size.width < 4 && (box[3] - box[1]) * size.height < 4) box = [...drag.from, ...drag.from];
    model.send({ area: drag.area.dataset.box, box });
    drag.band.remove();
    drag = undefined;
  });
  el.addEventListener("pointercancel", () => { drag?.band.remove(); drag = undefined; });
  model.on("change:value", fill);
  fill();
}

function field(model, el) {
  const id = `mgips-field-${++count}`;
  const label = element("label", { htmlFor: id });
  const input = element("input", { type: "text", id, autocomplete: "off" });
  el.classList.add("mgips-part-field");
  el.append(label, input);
  const fill = () => {
    label.textContent = model.get("description");
    el.title = model.get("tooltip");
    input.placeholder = model.get("placeholder");
    input.disabled = model.get("disabled");
    if (input.value !== model.get("value")) input.value = model.get("value");
  };
  input.addEventListener("change", () => {
    model.set("value", input.value);
    model.save_changes();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // the change would be told after the submission, and undo its answer
    model.send({ submit: input.value });
  });
  model.on("change", fill);
  fill();
}

async function smaller(file, side) {
  // Browsers read more than they can write; what this one cannot read, the kernel tries.
  let picture;
  try {
    picture = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    return file;
  }
  const scale = Math.min(1, side / Math.max(picture.width, picture.height));
  if (scale === 1 && file.size < 2 ** 21) return file;
  const canvas = element("canvas", {
    width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)),
  });
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

function photo(model, el) {
  el.classList.add("mgips-part-photo");
  const input = element("input", { type: "file", accept: "image/*" });
  const name = element("span");
  el.append(element("label", { className: "jupyter-button widget-button" }, name, input));
  const fill = () => {
    name.textContent = model.get("description");
    el.title = model.get("tooltip");
    input.disabled = model.get("disabled");
  };
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (!file) return;
    if (file.size > model.get("mib") * 2 ** 20) model.send({ name: file.name, size: file.size });
    else {
      const content = await (await smaller(file, model.get("side"))).arrayBuffer();
      // what could not be made smaller would break the connection
      if (content.byteLength > 8 * 2 ** 20) model.send({ name: file.name, size: content.byteLength });
      else model.send({ name: file.name }, undefined, [content]);
    }
    input.value = "";  // the same file again is a change again
  });
  model.on("change", fill);
  fill();
}

const PAUSE = 450;  // milliseconds between two parts of a download, see CHUNK

function download(model, el) {
  const button = element("button", { type: "button", className: "jupyter-button widget-button" });
  el.classList.add("mgips-part-download");
  el.append(button);
  const fill = () => {
    button.textContent = model.get("description");
    button.title = model.get("tooltip");
    button.disabled = model.get("disabled");
  };
  let name = "", parts = [], have = 0;
  button.addEventListener("click", () => model.send({ press: true }));
  model.on("msg:custom", (message, buffers) => {
    if (message.at === 0) [name, parts, have] = [message.name, [], 0];
    if (message.at !== have) return;  // asked for before the button was pressed again
    parts.push(buffers[0]);
    const next = have += buffers[0].byteLength;
    if (next < message.of) {
      button.textContent = `${model.get("description")} … ${Math.round((100 * next) / message.of)} %`;
      setTimeout(() => model.send({ next }), PAUSE);
      return;
    }
    fill();
    const address = URL.createObjectURL(new Blob(parts));
    element("a", { href: address, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(address), 60_000);
  });
  model.on("change", fill);
  fill();
}

// In JupyterLab's command mode a key pressed in a list, on a slider or a button is a command: b adds a cell.
function keepKeys(el, tries = 50) {
  const inspector = el.closest(".mgips-inspector");
  if (inspector) inspector.onkeydown = (event) => event.stopPropagation();
  else if (tries) setTimeout(() => keepKeys(el, tries - 1), 100); // it is drawn before it is put on the page
}

export default {
  render({ model, el }) {
    keepKeys(el);
    ({ range, view, field, photo, download })[model.get("kind")](model, el);
  },
};

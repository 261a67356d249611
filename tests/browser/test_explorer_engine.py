"""The explorer's engine in a worker of Chromium: the same agreement as in node, and photos that the browser decodes."""

import http.server
import json
import threading
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders import encoded
from PIL import Image
from test_explorer import AGREE, ENGINE, jobs, judge

import mgips
from mgips.data.corpus import Tweet
from mgips.data.crops import crop_array
from mgips.lab.explorer.pack import pack, script

HARNESS = """
import * as explorer from "/engine/explorer.js";
import { readWeights } from "/engine/weights.js";
import { agree } from "/agree.js";
const read = async (name) => new Uint8Array(await (await fetch("/data/" + name)).arrayBuffer());
self.onmessage = async ({ data: { key, args } }) => {
  try { self.postMessage({ key, result: await agree({ explorer, readWeights }, read, args[0]) }); }
  catch (error) { self.postMessage({ key, error: String(error) }); }
};
"""
PAGE = """<!doctype html><meta charset=utf-8><title>engine</title><script type=module>
import { cropsOf, tiles } from "/engine/pictures.js";
const workers = new Map();
let keys = 0;
window.ask = (source, call, ...args) => {
  if (!workers.has(source)) workers.set(source, new Worker(source, source.endsWith(".classic.js") ? {} : { type: "module" }));
  const worker = workers.get(source), key = ++keys;
  return new Promise((answer, fail) => {
    const hear = ({ data }) => {
      if (data.key !== key) return;
      worker.removeEventListener("message", hear);
      "error" in data ? fail(new Error(data.error)) : answer(data.result);
    };
    worker.addEventListener("message", hear);
    worker.addEventListener("error", (event) => fail(new Error(event.message ?? "worker")));
    worker.postMessage({ key, call, args });
  });
};
window.get = async (name) => (await fetch("/data/" + name)).blob();
window.opened = async (source, name) => {
  const file = async (which) => (await get(`${name}/${which}`));
  return ask(source, "load", name, await (await file("model.safetensors")).arrayBuffer(), await (await file("config.json")).text(),
    await (await file("tokenizer.json")).text());
};
window.tiles = tiles;
window.ready = true;
</script>"""
TYPES = {".html": "text/html", ".js": "text/javascript"}


class Site:
    """A static server of the engine's modules, and of files that a test adds."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {
            "/index.html": PAGE.encode(),
            "/harness.js": HARNESS.encode(),
            "/agree.js": AGREE.encode(),
            "/joined.classic.js": script("worker").encode(),
            **{f"/engine/{file.name}": file.read_bytes() for file in ENGINE.glob("*.js")},
        }
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                content = site.files.get(urllib.parse.unquote(self.path))
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Type", TYPES.get(Path(self.path).suffix, "application/octet-stream"))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/index.html"

    def data(self, files: dict[str, bytes]) -> None:
        self.files = {name: x for name, x in self.files.items() if not name.startswith("/data/")}
        self.files |= {f"/data/{name}": content for name, content in files.items()}


@pytest.fixture
def site(page) -> Iterator[Site]:
    made = Site()
    page.goto(made.address)
    page.wait_for_function("window.ready")
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("name", ["tiny-full", "tiny-text", "tiny-reads"])
def test_the_worker_agrees_on_300_posts_with_own_and_swapped_pictures(site, page, name, capsys):
    posts = mgips.load_corpus("tinytweets:train=1,dev=1,test=300,missing=0.1").test
    results = []
    for job, files in jobs([name], posts):
        site.data(files)
        results.append(page.evaluate("job => ask('/harness.js', 'agree', job)", job))
    said = judge(results, 300 if name == "tiny-text" else 600)
    with capsys.disabled():
        print(f"\n{name} in Chromium: {said}")


def photos() -> dict[str, bytes]:
    """Photos as people have them, and every colour at every opacity."""
    random, (y, x) = np.random.RandomState(0), np.mgrid[0:97, 0:131]
    smooth = np.stack([2 * x % 256, 3 * y % 256, (x + y) % 256], -1).astype(np.uint8)
    noise = random.randint(0, 256, (97, 131, 3), dtype=np.uint8)
    deep = Image.fromarray(random.randint(0, 1 << 16, (97, 131)).astype(np.uint16))
    grid = np.stack([np.tile(np.arange(256), (256, 1)), np.tile(255 - np.arange(256), (256, 1)), np.full((256, 256), 77),
                     np.tile(np.arange(256)[:, None], (1, 256))], -1).astype(np.uint8)  # fmt: skip
    drawing = Image.fromarray(smooth).quantize(32)
    made = {
        "jpeg": encoded(Image.fromarray(smooth), "JPEG", quality=80),
        "jpeg progressive": encoded(Image.fromarray(noise), "JPEG", quality=60, progressive=True),
        "jpeg grey": encoded(Image.fromarray(smooth[..., 0]), "JPEG"),
        "png": encoded(Image.fromarray(noise)),
        "png alpha": encoded(Image.fromarray(grid)),
        "png grey alpha": encoded(Image.fromarray(grid).convert("LA")),
        "png grey": encoded(Image.fromarray(noise[..., 0])),
        "png 16 bits": encoded(deep),
        "png palette": encoded(drawing, transparency=3),
        "gif": encoded(drawing, "GIF", transparency=3),
        "gif animated": encoded(drawing, "GIF", save_all=True, append_images=[Image.fromarray(noise).quantize(16)]),
        "webp": encoded(Image.fromarray(smooth), "WEBP", quality=70),
        "webp lossless": encoded(Image.fromarray(noise), "WEBP", lossless=True),
        "webp alpha": encoded(Image.fromarray(grid), "WEBP", lossless=True, exact=True),
        "phone": encoded(Image.fromarray(random.randint(0, 256, (48, 64, 3), dtype=np.uint8)).resize((2400, 1800)), "JPEG"),
    }  # fmt: skip
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        made[f"jpeg turned {orientation}"] = encoded(Image.fromarray(smooth), "JPEG", exif=exif)
    return made


def test_the_crops_of_own_photos_are_pillows_bit_by_bit(site, page, capsys):
    files, shown = photos(), pack({"full": "tiny-full"}, mgips.load_corpus("tinytweets:train=1,dev=1,test=2").test)
    site.data({**shown.files, **files})
    page.evaluate("opened('/engine/worker.js', 'full')")
    for name, content in files.items():
        expected, problems = crop_array(Tweet("x", ("a",), image=content), size=32)
        assert not problems
        told, took = page.evaluate(
            """async (name) => {
                const file = await get(name), before = performance.now(), crops = await ask("/engine/worker.js", "photo", "full", file);
                return [Array.from(crops), performance.now() - before];
            }""",
            name,
        )
        assert np.array_equal(np.array(told, np.uint8), expected.ravel()), name
        if name == "phone":
            with capsys.disabled():
                print(f"\nthe crops of a photo of 4.3 megapixels in Chromium: {took:.0f} ms")
    site.data({"text": b"no picture", "empty": b"", "cut": files["png"][:60]})
    for name in ("text", "empty", "cut"):
        with pytest.raises(Exception, match="no picture that the browser can read"):
            page.evaluate("async (name) => ask('/engine/worker.js', 'decode', await get(name))", name)


def test_a_pack_opens_in_a_worker_made_from_one_script(site, page):
    posts = mgips.load_corpus("tinytweets:train=1,dev=1,test=8").test
    made = pack({name: name for name in ("tiny-full", "tiny-reads")}, posts)
    site.data(made.files)
    told = page.evaluate(
        """async () => {
            const about = JSON.parse(await (await get("posts.json")).text()), answers = {};
            const sheet = await ask("/joined.classic.js", "decode", await get(about.crops[32]));
            const all = tiles(sheet, 32, 32, 3 * about.posts.length).map((tile) => Array.from(tile.data));
            const posts = about.posts.map((post, i) => ({
                ...post, crops: post.pictured ? new Uint8Array(all.slice(3 * i, 3 * i + 3).flat()) : null }));
            for (const name of about.models) {
                await opened("/joined.classic.js", name);
                const pool = name === "tiny-reads" ? await ask("/joined.classic.js", "pool", name, posts) : null;
                answers[name] = [];
                for (const post of posts) answers[name].push((await ask("/joined.classic.js", "run", name, post, { pool })).tags);
            }
            return { answers, crops: posts.map((post) => post.crops && Array.from(post.crops)) };
        }"""
    )
    for post, crops in zip(posts, told["crops"], strict=True):
        expected, _ = crop_array(post, size=32)
        assert crops is None or np.array_equal(np.array(crops, np.uint8), expected.ravel())
    assert any(told["crops"])
    assert told["answers"]["tiny-full"] == mgips.load("tiny-full").predict(posts)
    assert told["answers"]["tiny-reads"] == mgips.load("tiny-reads").predict(posts, pool=posts)
    assert json.dumps(told["answers"]) != "{}"
    with pytest.raises(Exception, match="There is no model nobody"):
        page.evaluate("ask('/joined.classic.js', 'run', 'nobody', {words: ['a']})")

"""Crops of one's own photos: boxes cut from pictures, files of boxes, and the detectors that find them."""

import json
import signal
import string
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import corpus, encoded, picture, save_text_checkpoint
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    BertConfig,
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    SwinConfig,
)

from mgips.cli import _how_to_resume, main
from mgips.data import boxes as boxes_module
from mgips.data import crops as crops_module
from mgips.data.boxes import FILE, Box, BoxFile, PostBoxes, growing_boxes, read_boxes, with_boxes, write_boxes
from mgips.data.corpus import Corpus, Cropped, Tweet
from mgips.data.crops import crop_array, crop_cache
from mgips.data.load import load_corpus
from mgips.data.pictures import default_image, open_picture
from mgips.errors import ConfigError, DataError
from mgips.model import detector as detector_module
from mgips.model.detector import (
    Detector,
    Recipe,
    cropped,
    detect,
    find_boxes,
    load_detector,
    make_recipe,
    noun_phrases,
    type_words,
)

KINDS = ("owlv2", "grounding-dino")
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


# ---- tiny random detectors, saved as the hub has them ----


def save_owlv2(folder: Path) -> None:
    """A random OWLv2 that reads 64 × 64 pixels and texts of 16 pieces; each letter is a piece."""
    letters = [*map(chr, range(33, 127)), *map(chr, range(161, 324))]
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], pad_token="!")
    text = {**SMALL, "vocab_size": len(pieces), "max_position_embeddings": 16}
    text |= {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1}
    vision = {**SMALL, "image_size": 64, "patch_size": 16}
    model = Owlv2ForObjectDetection(Owlv2Config(text_config=text, vision_config=vision, projection_dim=16))
    for weight in [*model.box_head.parameters(), *model.class_head.parameters()]:
        weight.data *= 0.3  # boxes not all at an edge, scores not all near 1
    save(folder, model, tokenizer, image_processor_type="Owlv2ImageProcessor", size={"height": 64, "width": 64})


def save_grounding_dino(folder: Path) -> None:
    """A random Grounding DINO whose text has at most 64 pieces. [CLS], [SEP], "." and "?" have BERT's numbers, which its
    code names."""
    signs = string.ascii_lowercase + string.digits
    named = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}
    words = iter([*signs, *(f"##{sign}" for sign in signs), "cat", "dog", "person", "location"])
    vocabulary = {named.get(i) or next(words, f"[unused{i}]"): i for i in range(1030)}
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage2", "stage3", "stage4"],
    )
    text = BertConfig(**SMALL, vocab_size=1030, max_position_embeddings=64)
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text,
        d_model=32,
        encoder_layers=1,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_queries=20,
        max_text_len=64,
    )
    size = {"shortest_edge": 128, "longest_edge": 213}
    model, tokenizer = GroundingDinoForObjectDetection(config), BertTokenizer(vocab=vocabulary)
    model.model.decoder.layer_norm.weight.data *= 0.2  # scores not all near 1
    save(folder, model, tokenizer, image_processor_type="GroundingDinoImageProcessor", size=size)


def save(folder: Path, model, tokenizer, **preprocessor) -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """A tiny random detector of each kind, as a folder."""
    place = tmp_path_factory.mktemp("detectors")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_owlv2(place / "owlv2")
        save_grounding_dino(place / "grounding-dino")
    return {kind: place / kind for kind in KINDS}


@pytest.fixture(scope="session", params=KINDS)
def detector(request, folders) -> Detector:
    return load_detector(folders[request.param], device="cpu")


def photo(seed: int, width: int = 80, height: int = 60) -> Image.Image:
    """Pixels with some order in them: noise, enlarged."""
    return picture(seed, 9).resize((width, height), Image.Resampling.BICUBIC)


PHOTOS = [photo(0), photo(1, 60, 80), photo(2), photo(3, 90, 50), photo(4)]
PHRASES = [["cat", "a dog"], ["person"], ["location", "dog", "cat on a mat"], ["two cats"], ["a dog", "cat"]]


# ---- a detector's boxes, against the library one photo at a time ----


def outward(edges, width: int, height: int) -> tuple[int, ...]:
    left, upper, right, lower = (float(edge) for edge in edges)
    return (max(int(left), 0), max(int(upper), 0), min(-int(-right // 1), width), min(-int(-lower // 1), height))


def owlv2_by_library(folder: Path, image: Image.Image, phrases: list[str]) -> list[tuple[tuple, float]]:
    """Each phrase by itself, through the library's own pre- and post-processing."""
    processor, model = AutoProcessor.from_pretrained(folder), Owlv2ForObjectDetection.from_pretrained(folder).eval()
    best = []
    for phrase in phrases:
        inputs = processor(text=[[phrase]], images=image, return_tensors="pt", max_length=16, truncation=True)
        with torch.no_grad():
            output = model(**inputs)
        (found,) = processor.post_process_grounded_object_detection(
            output, threshold=0.0, target_sizes=[image.size[::-1]], text_labels=[[phrase]]
        )
        candidates = [
            (score.item(), outward(box, *image.size))
            for score, box in zip(found["scores"], found["boxes"], strict=True)
        ]
        score, box = max(c for c in candidates if c[1][0] < c[1][2] and c[1][1] < c[1][3])
        best.append((box, score))
    return best


def grounding_dino_by_library(folder: Path, image: Image.Image, phrases: list[str]) -> list[tuple[tuple, float]]:
    """All phrases at once; the pieces of each are those between two full stops."""
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval()
    inputs = processor(text=[phrases], images=image, return_tensors="pt")
    with torch.no_grad():
        output = model(**inputs)
    (found,) = processor.post_process_grounded_object_detection(
        output, threshold=-1.0, text_threshold=0.0, target_sizes=[image.size[::-1]]
    )
    ids, pieces, place = inputs["input_ids"][0].tolist(), [[] for _ in phrases], 0
    for position, piece in enumerate(ids[1:-1], 1):
        if piece == 1012:
            place += 1
        else:
            pieces[place].append(position)
    assert place == len(phrases)
    best = []
    for positions in pieces:
        candidates = []
        for query, edges in enumerate(found["boxes"]):
            box = outward(edges, *image.size)
            score = max(torch.sigmoid(output.logits[0, query, position]).item() for position in positions)
            if box[0] < box[2] and box[1] < box[3]:
                candidates.append((score, box))
        score, box = max(candidates)
        best.append((box, score))
    return best


BY_LIBRARY = {"owlv2": owlv2_by_library, "grounding-dino": grounding_dino_by_library}


def assert_alike(found: list[Box], expected: list[tuple[tuple, float]]) -> None:
    assert [box.score for box in found] == pytest.approx([score for _, score in expected], abs=2e-4)
    for box, (edges, _) in zip(found, expected, strict=True):
        assert box.box == pytest.approx(edges, abs=1) and all(isinstance(edge, int) for edge in box.box)


def test_boxes_are_those_of_the_library(detector, folders):
    found = detect(detector, PHOTOS, PHRASES, threshold=0.0)
    for image, phrases, boxes in zip(PHOTOS, PHRASES, found, strict=True):
        assert [box.phrase for box in boxes] == phrases
        assert_alike(boxes, BY_LIBRARY[detector.kind](folders[detector.kind], image, phrases))
    assert len({box.box for boxes in found for box in boxes}) > 4  # the models do distinguish


def test_a_batch_equals_one_at_a_time(detector):
    assert len({p.size for p in PHOTOS}) == 3 and len({len(p) for p in PHRASES}) == 3
    one, four = (detect(detector, PHOTOS, PHRASES, 0.0, batch_size=size) for size in (1, 4))
    for a, b in zip(one, four, strict=True):
        assert [box.phrase for box in a] == [box.phrase for box in b]
        assert_alike(b, [(box.box, box.score) for box in a])


@pytest.mark.gpu
def test_a_gpu_finds_the_same(detector, folders):
    there = load_detector(folders[detector.kind])
    assert there.model.device.type == "cuda"
    here, found = (detect(d, PHOTOS, PHRASES, 0.0) for d in (detector, there))
    for a, b in zip(here, found, strict=True):
        assert [box.score for box in b] == pytest.approx([box.score for box in a], abs=5e-3)


def test_only_boxes_above_the_threshold_are_kept(detector):
    every = [box for boxes in detect(detector, PHOTOS, PHRASES, 0.0) for box in boxes]
    middle = sorted(box.score for box in every)[len(every) // 2]
    kept = [box for boxes in detect(detector, PHOTOS, PHRASES, middle - 1e-4) for box in boxes]
    assert kept == [box for box in every if box.score > middle - 1e-4]
    assert detect(detector, PHOTOS, PHRASES, 0.99999999) == [[]] * len(PHOTOS)
    assert detector.threshold == {"owlv2": 0.1, "grounding-dino": 0.25}[detector.kind]


def test_texts_beyond_the_limits_are_cut_or_read_in_parts(detector):
    word, many = "abcdefghij" * 20, [f"{sign}{sign}{sign} {number}" for sign in "abcdef" for number in range(20)]
    (found,) = detect(detector, PHOTOS[:1], [[word, *many]], 0.0)
    assert [box.phrase for box in found][1:] == many and word.startswith(found[0].phrase)
    # What follows a full list is looked for as it would be in a text of its own.
    if detector.kind == "grounding-dino":
        pieces = [2, *[5] * len(many)]  # "aaa 1": a ##a ##a, a number of one or two digits, the full stop
        assert max(pieces) < detector.most_pieces < len(many)
    (again,) = detect(detector, PHOTOS[:1], [many[:3]], 0.0)
    assert [box.phrase for box in again] == many[:3]


@pytest.mark.parametrize(
    "odd", ["", " ", ".", "?.", "U.S. Open?", "👍", "a\tb\nc", "[SEP]", "<|endoftext|>", "Ünïcode"]
)
def test_odd_phrases_do_no_harm(detector, odd):
    (alone,) = detect(detector, PHOTOS[:1], [["cat"]], 0.0)
    (found,) = detect(detector, PHOTOS[:1], [[odd, "cat"]], 0.0)
    assert found[-1].phrase == "cat" and len(found) <= 2
    if detector.kind == "owlv2":  # whose phrases do not see each other
        assert found[-1] == alone[0]
    elif odd == "U.S. Open?":  # signs that would end a phrase are left out
        assert found == detect(detector, PHOTOS[:1], [["U S Open", "cat"]], 0.0)[0] and len(found) == 2
    assert detect(detector, PHOTOS[:1], [[]], 0.0) == [[]] and detect(detector, [], [], 0.0) == []


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (700, 2), (2, 700), (2300, 20)])
def test_photos_of_any_shape_are_looked_at(detector, size, caplog):
    (found,) = detect(detector, [photo(0, *size)], [["cat", "dog", "person"]], 0.0)
    assert "ambiguous" not in caplog.text  # preprocessing takes no side of the photo for its colours
    for box in found:
        left, upper, right, lower = box.box
        assert 0 <= left < right <= size[0] and 0 <= upper < lower <= size[1]


def test_boxes_of_a_large_photo_are_in_its_own_pixels(detector, monkeypatch):
    small, large = (Image.new("RGB", size, (200, 30, 60)) for size in ((100, 75), (800, 600)))
    monkeypatch.setattr(detector_module, "MOST_SIDE", 100)
    a, b = (detect(detector, [image], [["cat", "dog"]], 0.0)[0] for image in (small, large))
    for little, big in zip(a, b, strict=True):
        assert big.box == pytest.approx([8 * edge for edge in little.box], abs=9)
        assert big.score == pytest.approx(little.score, abs=1e-3)


# ---- loading ----


def test_what_is_no_detector_is_one_sentence(folders, tmp_path):
    bert = save_text_checkpoint(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"is of kind 'bert'; give one of kind owlv2 or grounding-dino\.$"):
        load_detector(bert)
    with pytest.raises(ConfigError, match=r"could not be loaded .*; give a folder in Hugging Face's format"):
        load_detector(tmp_path / "nowhere")
    config = json.loads((folders["owlv2"] / "config.json").read_text())
    headless = tmp_path / "headless"
    model = Owlv2ForObjectDetection(Owlv2Config(**config))
    weights = {k: v for k, v in model.state_dict().items() if "box_head" not in k}
    model.save_pretrained(headless, state_dict=weights)
    for file in folders["owlv2"].glob("*.json"):
        (headless / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"lacks \d+ weights \(box_head"):
        load_detector(headless)


def test_a_package_that_preprocessing_lacks_is_named(detector, monkeypatch):
    def lacking(*_, **__):
        raise ImportError("\nOwlv2ImageProcessor requires the scipy library but it was not found.\nMore.")

    monkeypatch.setattr(type(detector.processor.image_processor), "__call__", lacking)
    with pytest.raises(ConfigError, match=r"requires the scipy library.*pip install 'mgips\[crops\]'\.$"):
        detect(detector, PHOTOS[:1], PHRASES[:1])


# ---- recipes ----


def test_the_type_words_are_umgfs_or_the_corpuss_own():
    assert type_words(("PER", "LOC", "ORG", "MISC")) == ("location", "organization", "person", "miscellaneous")
    assert type_words(("LOC", "PER")) == ("location", "person")
    own = ("corporation", "creative-work", "PER", "Sports_Team", "GPE/City")
    assert type_words(own) == ("person", "corporation", "creative work", "sports team", "gpe city")


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("Meet me in Paris with the old golden retriever", ["Paris", "the old golden retriever"]),
        ("RT @ Nike : The new Amazon Echo is out # gadgets http://t.co/x", ["Nike", "The new Amazon Echo", "gadgets"]),
        ("A cat saw a cat in Paris with A CAT !", ["A cat", "Paris"]),
        ("he and they saw her 😂 👍 2019 !", []),
        ("see b/w photo of 7 cats", ["b/w photo", "cats"]),
        ("😂", []),
    ],
)
def test_noun_phrases_of_posts(text, phrases):
    assert noun_phrases(text.split(" ")) == phrases


def test_odd_words_break_no_noun_phrase():
    assert noun_phrases(["old", "\xa0", "cat\u2028s", "ran", ""]) == ["old cats"]
    assert noun_phrases([]) == []


def test_a_recipe_says_how_its_boxes_were_found(detector, monkeypatch):
    umgf = make_recipe("umgf", detector, ("PER", "LOC"))
    assert umgf.phrases_of(("any", "words")) == ["location", "person"]
    assert umgf.to_dict()["threshold"] == detector.threshold and umgf.to_dict()["detector"] == detector.name
    hvpnet = make_recipe("hvpnet", detector, threshold=0.5)
    assert hvpnet.phrases_of(("a", "cat")) == ["a cat"] and hvpnet.nouns.startswith("textblob ")
    assert hvpnet.threshold == 0.5 and json.loads(json.dumps(hvpnet.to_dict()))["mgips"]
    for threshold in (-0.1, 1.0, float("nan")):
        with pytest.raises(ConfigError, match="give one from 0 to less than 1"):
            make_recipe("umgf", detector, threshold=threshold)
    with pytest.raises(ConfigError, match="There is no recipe 'other'"):
        make_recipe("other", detector)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "textblob.en", None)
    with pytest.raises(ConfigError, match=r"pip install 'mgips\[crops\]'; the recipe umgf does without"):
        make_recipe("hvpnet", detector)
    make_recipe("umgf", detector)


# ---- boxes cut from pictures ----


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    box=st.tuples(st.integers(-9, 20), st.integers(-9, 20), st.integers(1, 30), st.integers(1, 30)),
    width=st.integers(1, 20),
    height=st.integers(1, 20),
)
def test_a_cropped_picture_is_pillows_crop_within_the_picture(box, width, height):
    image = photo(0, width, height)
    left, upper, right, lower = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    if left < right and upper < lower:
        assert np.array_equal(open_picture(Cropped(image, box)), image.crop((left, upper, right, lower)))
        assert np.array_equal(open_picture(Cropped(image, box)), np.asarray(image)[upper:lower, left:right])
    else:
        with pytest.raises(DataError, match=rf"is {width} × {height} pixels and has none in the box"):
            open_picture(Cropped(image, box))


def test_edges_between_pixels_are_rounded_as_pillow_does():
    image = photo(0)
    assert np.array_equal(open_picture(Cropped(image, (1.4, 2.6, 30.5, 40.51))), image.crop((1.4, 2.6, 30.5, 40.51)))
    assert np.array_equal(open_picture(Cropped(image, (-np.inf, 3, np.inf, 9))), image.crop((0, 3, 80, 9)))
    for box in ((3, 3, 3.2, 9), (5, 5, 4, 9), (float("nan"), 0, float("nan"), 9)):
        with pytest.raises(DataError, match="correct the box"):
            open_picture(Cropped(image, box))


def turned(path: Path, image: Image.Image) -> Path:
    """A file that says: turn 90° clockwise to view."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(encoded(image, exif=exif))
    return path


def test_a_box_is_of_the_upright_picture(tmp_path):
    path, image = turned(tmp_path / "turned.png", photo(0)), photo(0)
    upright = image.transpose(Image.Transpose.ROTATE_270)
    assert upright.size == (60, 80)
    assert np.array_equal(open_picture(Cropped(path, (10, 20, 50, 75))), upright.crop((10, 20, 50, 75)))


def test_a_fault_names_the_file(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.jpg is not there"):
        open_picture(Cropped(tmp_path / "nowhere.jpg", (0, 0, 1, 1)))
    (tmp_path / "a.png").write_bytes(encoded(photo(0)))
    with pytest.raises(DataError, match=r"a\.png is 80 × 60 pixels and has none in the box \[80, 0, 90, 5\]"):
        open_picture(Cropped(str(tmp_path / "a.png"), (80, 0, 90, 5)))


def post(image, *boxes, id: str = "1", words: str = "a cat") -> Tweet:
    return Tweet(id, tuple(words.split()), image=image, crops=tuple(Cropped(image, box) for box in boxes))


def square(image: Image.Image, size: int = 16) -> np.ndarray:
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))


def test_a_photo_is_decoded_once_for_all_its_boxes(tmp_path, monkeypatch):
    path, image, count = tmp_path / "a.png", photo(0), 0
    path.write_bytes(encoded(image))
    real = crops_module.decode

    def counted(source):
        nonlocal count
        count += 1
        return real(source)

    monkeypatch.setattr(crops_module, "decode", counted)
    pixels, problems = crop_array(post(path, (0, 0, 9, 9), (20, 5, 60, 50)), size=16)
    expected = [square(image.crop((0, 0, 9, 9))), square(image.crop((20, 5, 60, 50))), square(image)]
    assert np.array_equal(pixels, expected) and not problems and count == 1


def test_the_cache_tells_boxes_apart(tmp_path):
    path, image, cache = tmp_path / "a.png", photo(0), tmp_path / "cache"
    path.write_bytes(encoded(image))
    boxes = [(0, 0, 9, 9), (0, 0, 9, 10), (0.0, 0.0, 9.0, 9.0)]
    for source in (path, image):
        found = crop_cache([post(source, box) for box in boxes] + [post(source)], 16, folder=cache, progress=False)
        assert found.rows.tolist() == [0, 1, 0, 2] and found.has_image.all() and not found.problems
        for row, tweet in zip(found[:], [boxes[0], boxes[1], boxes[0], (0, 0, 80, 60)], strict=True):
            assert np.array_equal(row[0], square(image.crop(tweet)))
    names = {
        box: {file.name for file in (cache / str(i)).iterdir()}
        for i, box in enumerate(boxes)
        if crop_cache([post(path, box)], 16, folder=cache / str(i), progress=False)
    }
    assert names[boxes[0]] != names[boxes[1]]


def test_unreadable_photos_and_empty_boxes_fall_back(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "good.png").write_bytes(encoded(photo(0)))
    bad, good = post(tmp_path / "bad.jpg", (0, 0, 5, 5), (1, 1, 5, 5)), post(tmp_path / "good.png", (90, 0, 95, 5))
    found = crop_cache([bad, good], 16, folder=tmp_path / "cache", progress=False)
    assert found.has_image.tolist() == [False, True]
    assert np.array_equal(found[0][0], np.asarray(default_image(16)))
    assert np.array_equal(found[1][0], square(photo(0)))
    first, second = found.problems
    assert "bad.jpg is not a picture" in first and "good.png is 80 × 60 pixels" in second


# ---- files of boxes ----

RECIPE = Recipe("hvpnet", "someone/owl", 0.1, nouns="textblob 1").to_dict()
LINES = [
    PostBoxes("1", "1.jpg", (Box((0, 0, 5, 5), 0.5, "a cat"), Box((1, 2, 3, 4))), "a cat", (80, 60)),
    PostBoxes("2", "2.jpg", (), "go", fault="2.jpg is not there; check its name."),
    PostBoxes("3", "3.jpg", (Box((0.5, 0, 5, 5.25), 0.25, "Café 😂\u2028"),), None, (80, 60)),
]


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def test_a_file_reads_back(tmp_path):
    path = tmp_path / "new" / FILE
    boxes, add = growing_boxes(path, RECIPE)
    assert boxes.posts == {}
    for line in LINES:
        add(line)
    found = read_boxes(path)
    assert found.recipe == json.loads(json.dumps(RECIPE)) and list(found.posts.values()) == LINES
    assert len(path.read_bytes().split(b"\n")) == 5 and path.read_bytes().endswith(b"\n")
    before = path.read_bytes()
    write_boxes(path, found)
    assert path.read_bytes() == before


def test_the_later_line_counts_and_no_line_is_written_twice(tmp_path):
    _, add = growing_boxes(tmp_path / FILE, RECIPE)
    changed = replace(LINES[1], fault="", size=(9, 9))
    for line in (LINES[1], LINES[1], changed):
        add(line)
    assert list(read_boxes(tmp_path / FILE).posts.values()) == [changed] and len(lines_of(tmp_path / FILE)) == 3


def test_a_file_cut_at_any_byte_is_gone_on_with(tmp_path):
    path = tmp_path / FILE
    _, add = growing_boxes(path, RECIPE)
    for line in LINES:
        add(line)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        kept, add = growing_boxes(path, RECIPE)
        # At most the line that was cut is lost; one that lacks only its line end is whole.
        ends = [i for i, byte in enumerate(whole) if byte == ord("\n")]
        assert list(kept.posts.values()) == LINES[: max(0, sum(end <= length for end in ends) - 1)]
        for line in LINES:
            if line.key not in kept.posts:
                add(line)
        assert path.read_bytes() == whole


def test_a_file_of_another_recipe_is_refused(tmp_path):
    path = tmp_path / FILE
    _, add = growing_boxes(path, RECIPE)
    add(LINES[0])
    before = path.read_bytes()
    for name, value in (("threshold", 0.2), ("detector", "another"), ("preset", "umgf"), ("phrases", ("cat",))):
        with pytest.raises(ConfigError, match=rf"made with another {name} \(.*\); make it anew with --anew, or name"):
            growing_boxes(path, {**RECIPE, name: value})
    assert path.read_bytes() == before
    assert list(growing_boxes(path, {**RECIPE, "mgips": "9.9"})[0].posts) == [LINES[0].key]
    assert growing_boxes(path, {**RECIPE, "threshold": 0.2}, anew=True)[0].posts == {}
    assert read_boxes(path).posts == {} and read_boxes(path).recipe["threshold"] == 0.2


@pytest.mark.parametrize("content", [b"my notes", b"my\nnotes\n", b'{"id": "1", "picture": "1.jpg", "boxes": []}\n'])
def test_a_file_that_is_not_ones_own_is_left_alone(tmp_path, content):
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises((ConfigError, DataError), match="notes"):
        growing_boxes(tmp_path / "notes", RECIPE)
    assert (tmp_path / "notes").read_bytes() == content


GOOD = '{"id": "1", "picture": "1.jpg", "boxes": [{"box": [0, 0, 5, 5]}]}'


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "not a line of JSON"),
        ("[" * 100_000, "not a line of JSON"),
        ('"\udcff"', "not a line of JSON"),
        ("[1]", "expected an object with id, picture and boxes"),
        ('{"id": "1", "boxes": []}', "expected an object with id, picture and boxes"),
        ('{"recipe": {}}', "expected an object with id, picture and boxes"),
        ('{"id": 1, "picture": "1.jpg", "boxes": []}', "id is 1, and must be a text"),
        ('{"id": "1", "picture": "1.jpg", "boxes": {}}', "boxes is {}, and must be a list"),
        (GOOD.replace("]}]", ']}], "text": 3'), "text is 3"),
        (GOOD.replace("]}]", ']}], "size": [0, 3]'), "size is [0, 3], and must be the width and height"),
        (GOOD.replace("[0, 0, 5, 5]", "[0, 0, 5]"), "whose box has four numbers"),
        (GOOD.replace("[0, 0, 5, 5]", '[0, 0, 5, "5"]'), "whose box has four numbers"),
        (GOOD.replace("[0, 0, 5, 5]", "[0, 0, 5, NaN]"), "whose box has four numbers"),
        (GOOD.replace("[0, 0, 5, 5]", "[0, 0, 5, true]"), "whose box has four numbers"),
        (GOOD.replace("[0, 0, 5, 5]", "[0, 0, 1" + "0" * 400 + ", 5]"), "int too large"),
        (GOOD.replace("[0, 0, 5, 5]", "[5, 0, 5, 5]"), "holds nothing; its numbers are the left, upper, right and"),
        (GOOD.replace("5]}", '5], "score": "high"}'), "a score is"),
        (GOOD.replace("5]}", '5], "phrase": 7}'), "a phrase is 7"),
    ],
)
def test_a_damaged_line_is_named(tmp_path, line, part):
    path = tmp_path / FILE
    for content in ([GOOD, line, GOOD], [GOOD, line]):
        path.write_text("\n".join(content), encoding="utf-8", errors="surrogateescape")
        with pytest.raises(DataError) as caught:
            read_boxes(path)
        message = str(caught.value)
        assert message.startswith(f"{path}:2: ") and part in message and "remove it" in message and len(message) < 400
    with pytest.raises(DataError, match="cannot be read"):
        read_boxes(tmp_path / "nowhere")


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        growing_boxes(tmp_path / "file" / FILE, RECIPE)
    _, add = growing_boxes(tmp_path / "x" / FILE, RECIPE)
    (tmp_path / "x" / FILE).unlink()
    (tmp_path / "x").rmdir()
    with pytest.raises(DataError, match="what was found before is kept"):
        add(LINES[0])


def test_boxes_go_to_the_posts_that_they_are_of(tmp_path):
    photos = {name: tmp_path / name for name in ("1.jpg", "2.jpg")}
    one, other, third = Box((0, 0, 1, 1)), Box((0, 0, 2, 2)), Box((0, 0, 3, 3))
    listed = [
        PostBoxes("1", "1.jpg", (one,)),
        PostBoxes("1", "1.jpg", (other,), text="a dog"),
        PostBoxes("2", "1.jpg", (third,)),
        PostBoxes("3", "2.jpg", (one, other, third, one)),
    ]
    boxes = BoxFile({line.key: line for line in listed})
    tweets = [
        post(photos["1.jpg"], id="1", words="a cat"),
        post(photos["1.jpg"], id="1", words="a dog"),
        post(str(photos["2.jpg"]), id="2"),  # the line of this id is about another photo
        post(photos["2.jpg"], id="3"),
        post(photos["1.jpg"], (5, 5, 6, 6), id="1"),  # has a crop
        post(None, id="1"),
        post(photo(0), id="1"),
    ]
    found = with_boxes(tweets, boxes)
    assert [[crop.box for crop in tweet.crops] for tweet in found] == [
        [one.box],
        [other.box],
        [],
        [one.box, other.box, third.box],
        [(5, 5, 6, 6)],
        [],
        [],
    ]
    assert found[0].crops[0].source is tweets[0].image


# ---- a corpus on disk ----


@pytest.fixture
def bare(disk) -> Path:
    """The invented corpus without published crops: 24 of 32 posts have a photo, each of 40 × 40 pixels."""
    for file in disk.glob("*_dict.pth"):
        file.unlink()
    return disk


def test_boxes_made_by_hand_are_read_with_the_corpus(bare):
    before = load_corpus(bare)
    path = bare / FILE
    hand = [
        {
            "id": "0-0",
            "picture": "0-0.png",
            "boxes": [{"box": [0, 0, 20, 20]}, {"box": [5.5, 5, 30, 30], "phrase": "x"}],
        },
        {"id": "1-1", "picture": "1-1.png", "boxes": [{"box": [10, 0, 99, 40]}]},
        {"id": "1-2", "picture": "elsewhere.png", "boxes": [{"box": [0, 0, 20, 20]}]},
    ]
    path.write_text("\n\n".join(map(json.dumps, hand)), encoding="utf-8-sig")
    found = load_corpus(bare)
    assert found.notes == (
        *before.notes,
        f"3 crops by the boxes in {FILE}. 1 of its lines fit no post: id, picture or text differ.",
    )
    assert [len(tweet.crops) for tweet in found.train] == [2, *[0] * 15]
    whole = open_picture(found.train[0].image)
    pixels, problems = crop_array(found.train[0], size=16)
    expected = [square(whole.crop((0, 0, 20, 20))), square(whole.crop((5.5, 5, 30, 30))), square(whole)]
    assert np.array_equal(pixels, expected) and not problems
    assert open_picture(found.dev[1].crops[0]).size == (30, 40)  # clamped

    prints = {before.fingerprint(), found.fingerprint()}
    path.write_text(path.read_text(encoding="utf-8-sig").replace("[0, 0, 20, 20]", "[0, 0, 20, 21]"))
    assert len(prints | {load_corpus(bare).fingerprint()}) == 3
    path.write_text("{")
    with pytest.raises(DataError, match=r"boxes\.jsonl:1: this is not a line of JSON"):
        load_corpus(bare)


def test_published_crops_go_before_boxes(disk):
    before = load_corpus(disk)
    (disk / FILE).write_text(json.dumps({"id": "0-0", "picture": "0-0.png", "boxes": [{"box": [0, 0, 20, 20]}]}))
    found = load_corpus(disk)
    assert found.fingerprint() == before.fingerprint() and found.notes[1].startswith("0 crops by")


def crops(folder: Path, kind_folder: Path, *options: str) -> int:
    return main(["crops", str(folder), "--detector", str(kind_folder), "--threshold", "0", *options])


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_umgf_from_photos_to_crops(bare, folders, kind, capsys):
    assert crops(bare, folders[kind]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "24 of 32 posts have a photo and no published crops."
    assert lines[-1] == f"Next: mgips train --corpus {bare}"
    head, *rows = lines_of(bare / FILE)
    assert head["recipe"]["preset"] == "umgf" and head["recipe"]["detector"] == str(folders[kind])
    assert head["recipe"]["phrases"] == ["location", "organization", "person", "miscellaneous"]
    assert len(rows) == 24 and all(row["size"] == [40, 40] and "text" not in row for row in rows)
    for row in rows:
        scores = [box["score"] for box in row["boxes"]]
        assert scores == sorted(scores, reverse=True) and len({box["phrase"] for box in row["boxes"]}) == len(scores)
    found = load_corpus(bare)
    assert lines[-2].startswith(f"{sum(len(row['boxes'][:3]) for row in rows)} crops by boxes; ")
    one = load_detector(folders[kind], "cpu")
    tweet = found.train[1]
    phrases = [["location", "organization", "person", "miscellaneous"]]
    (alone,) = detect(one, [open_picture(tweet.image)], phrases, 0.0)
    best = sorted((box.score for box in alone), reverse=True)[:3]
    assert [box["score"] for box in rows[1]["boxes"]][:3] == pytest.approx(best, abs=2e-4)
    assert [crop.box for crop in tweet.crops] == [tuple(box["box"]) for box in rows[1]["boxes"]][:3]

    before = (bare / FILE).read_bytes()
    assert crops(bare, folders[kind]) == 0  # nothing left to do
    assert (bare / FILE).read_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_recipe_hvpnet_reads_each_posts_text(bare, folders, kind, capsys):
    train = bare / "train.txt"
    train.write_text(train.read_text() + "IMGID:0-0\nthe\tO\nold\tO\nharbour\tO\n\n")  # the same photo, another text
    assert crops(bare, folders[kind], "--recipe", "hvpnet", "--splits", "train", "test", "--batch-size", "3") == 0
    head, *rows = lines_of(bare / FILE)
    assert head["recipe"]["nouns"].startswith("textblob ") and head["recipe"]["phrases"] == []
    assert len(rows) == 19  # 12 + 1 of train, 6 of test
    found = load_corpus(bare)
    for tweet in (*found.train, *found.test):
        if tweet.image is None:
            assert not tweet.crops
            continue
        (row,) = [r for r in rows if (r["id"], r["text"]) == (tweet.id, " ".join(tweet.words))]
        asked = noun_phrases(tweet.words)
        assert [box["phrase"] for box in row["boxes"]] == [p for p in asked if p in {b["phrase"] for b in row["boxes"]}]
        assert [crop.box for crop in tweet.crops] == [tuple(box["box"]) for box in row["boxes"][:3]]
    assert found.train[-1].words == ("the", "old", "harbour")
    assert {box["phrase"] for box in rows[12]["boxes"]} <= {"the old harbour"}
    assert not any(tweet.crops for tweet in found.dev)


def boxless(tweet):
    """The tweet with a crop of its own, which stays."""
    return replace(tweet, crops=(Cropped(tweet.image, (1.0, 2.0, 3.0, 4.0)),))


def test_crops_of_one_photo_are_those_of_a_corpus(detector, tmp_path):
    path = tmp_path / "1.png"
    path.write_bytes(encoded(photo(7)))
    text = "Two old cats and a dog in Paris with Kevin Love"
    tweet = Tweet.from_text(text, path, "1")
    for preset in ("umgf", "hvpnet"):
        recipe = make_recipe(preset, detector, threshold=0.0)
        (line,) = find_boxes([tweet], detector, recipe, progress=False)
        (one, bare, same) = cropped([tweet, Tweet.from_text(text), boxless(tweet)], detector, recipe, batch_size=1)
        found = one.crops
        assert bare.crops == () and same == boxless(tweet)
        assert [crop.box for crop in found] == [box.box for box in line.boxes[:3]] and len(found) == 3
        assert all(crop.source == path for crop in found)
        (boxed,) = with_boxes([tweet], BoxFile({line.key: line}))
        assert boxed.crops == found
    lost = Tweet.from_text(text, tmp_path / "no.jpg")
    assert cropped([lost], detector, recipe) == [lost]


def test_boxes_of_a_turned_photo_are_of_the_upright_one(detector, tmp_path):
    path = turned(tmp_path / "1.png", photo(0))
    (tmp_path / "2.png").write_bytes(encoded(photo(0).transpose(Image.Transpose.ROTATE_270)))
    tweets = [Tweet(str(i), ("a", "cat"), image=tmp_path / f"{i}.png") for i in (1, 2)]
    a, b = find_boxes(tweets, detector, make_recipe("umgf", detector, threshold=0.0), progress=False)
    assert path == tweets[0].image and a.size == b.size == (60, 80) and a.boxes == b.boxes and a.boxes


def test_an_unreadable_photo_is_noted_and_tried_again(bare, folders, capsys):
    damaged = bare / "invented_images" / "0-1.png"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:50])
    for _ in range(2):
        assert crops(bare, folders["owlv2"]) == 0
        assert f"{damaged} is damaged or cut short" in capsys.readouterr().out
    rows = lines_of(bare / FILE)
    assert len(rows) == 25 and [row["id"] for row in rows[1:] if "fault" in row] == ["0-1"]
    tweet = load_corpus(bare).train[1]
    pixels, (problem,) = crop_array(tweet, size=16)
    assert not tweet.crops and np.array_equal(pixels[0], np.asarray(default_image(16))) and "0-1.png" in problem
    damaged.write_bytes(whole)
    assert crops(bare, folders["owlv2"]) == 0
    assert load_corpus(bare).train[1].crops and len(lines_of(bare / FILE)) == 26


def test_mistakes_are_one_sentence(bare, disk, folders, tmp_path, capsys):
    owl = folders["owlv2"]
    assert crops(bare, owl, "--splits", "dev") == 0
    before = (bare / FILE).read_bytes()
    capsys.readouterr()
    for arguments, message in [
        (["crops", "tinytweets", "--detector", str(owl)], "tinytweets is drawn and its crops with it"),
        (["crops", str(bare), "--detector", str(tmp_path / "no")], "could not be loaded"),
        (["crops", str(bare), "--detector", str(owl), "--threshold", "2"], "give one from 0 to less than 1"),
        (["crops", str(bare), "--detector", str(owl), "--batch-size", "0"], "batch_size is 0; it must be"),
        (
            ["crops", str(bare), "--detector", str(owl), "--threshold", "0.2"],
            "made with another threshold (0.0, now 0.2)",
        ),
        (["crops", str(bare), "--detector", str(owl), "--recipe", "hvpnet"], "made with another preset"),
    ]:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        told = [line for line in error.splitlines() if line.startswith("mgips: ")]
        assert len(told) == 1 and message in told[0] and "Traceback" not in error
    assert (bare / FILE).read_bytes() == before
    assert crops(bare, owl, "--recipe", "hvpnet", "--splits", "dev", "--anew") == 0
    assert lines_of(bare / FILE)[0]["recipe"]["preset"] == "hvpnet"
    other = tmp_path / "other.jsonl"
    assert crops(bare, owl, "--splits", "dev", "--out", str(other)) == 0
    assert f"It is read with the corpus as {bare / FILE}." in capsys.readouterr().out
    assert len(lines_of(other)) == 7


def test_published_crops_leave_nothing_to_do(disk, capsys):
    assert crops(disk, disk / "no detector is loaded") == 0
    assert capsys.readouterr().out.splitlines() == [
        "0 of 32 posts have a photo and no published crops.",
        f"Next: mgips train --corpus {disk}",
    ]
    assert not (disk / FILE).exists()


def test_a_corpus_of_other_types_looks_for_them(bare, folders):
    for file in bare.glob("*.txt"):
        file.write_text(file.read_text().replace("-ORG", "-Sports-Team").replace("-MISC", "-product"))
    assert crops(bare, folders["owlv2"], "--splits", "dev") == 0
    head, *rows = lines_of(bare / FILE)
    assert head["recipe"]["phrases"] == ["location", "person", "sports team", "product"] and len(rows) == 6


def test_a_stopped_run_says_how_to_go_on():
    told = _how_to_resume(["crops", "my posts", "--anew", "--recipe", "umgf"])
    assert told == " Boxes found so far are kept. Go on with: mgips crops 'my posts' --recipe umgf"


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_in_the_same_file(bare, folders, tmp_path):
    whole, owl = tmp_path / "whole.jsonl", folders["owlv2"]
    assert crops(bare, owl, "--out", str(whole), "--batch-size", "1") == 0
    # Each photo takes a while here, so that there is time for the kill.
    script = (
        "import sys, time, mgips.model.detector as d; from mgips.cli import main; look = d._look\n"
        "d._look = lambda *a: (time.sleep(.1), look(*a))[1]\nmain(sys.argv[1:])"
    )
    arguments = ["crops", str(bare), "--detector", str(owl), "--threshold", "0", "--batch-size", "1"]
    process = subprocess.Popen([sys.executable, "-c", script, *arguments])
    while process.poll() is None and not ((bare / FILE).exists() and (bare / FILE).read_bytes().count(b"\n") > 4):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert 4 < (bare / FILE).read_bytes().count(b"\n") < 25
    assert crops(bare, owl, "--batch-size", "1") == 0
    assert (bare / FILE).read_bytes() == whole.read_bytes()


def test_the_format_in_the_docstring_is_the_format(tmp_path):
    head, line = (
        row for row in (boxes_module.__doc__ or "").replace(",\n     ", ", ").split("\n") if row.startswith("    {")
    )
    path = tmp_path / FILE
    path.write_text(head.replace(", …", "").strip() + "\n" + line.replace(", …", "").strip() + "\n", encoding="utf-8")
    found = read_boxes(path)
    (entry,) = found.posts.values()
    assert entry.boxes == (Box((31, 12, 208, 477), 0.41, "Kevin Love"),) and found.recipe
    tweet = Tweet(entry.id, tuple((entry.text or "").split(" ")), image=entry.picture)
    assert found.of(tweet) == entry and found.of(replace(tweet, words=("other",))) is None


def test_a_corpus_without_boxes_has_the_fingerprint_it_had():
    made = corpus(4, 2)
    assert isinstance(made, Corpus) and not any(isinstance(c, Cropped) for t in made.train for c in t.crops)
    assert made.fingerprint() == corpus(4, 2).fingerprint()

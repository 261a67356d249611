"""Captions in place of pictures: padding is invisible, both towers learn, and a run with them is like any other."""

import dataclasses
import json

import pytest
import torch
from builders import (
    MODELS,
    contrast_of,
    loss_of,
    parameters_without_gradient,
    save_text_checkpoint,
    text_encoder,
    tiny_config,
    tiny_model,
    tweets,
)

from mgips.config import CAPTIONS, RANDOM, ModelConfig, TrainConfig
from mgips.data.batch import CAPTION_PIECES, TweetDataset
from mgips.data.corpus import Corpus, Tweet
from mgips.data.load import load_corpus
from mgips.errors import ConfigError, DataError, MGIPSError
from mgips.lab.gmner import key, read_marks, recall_table, visibility, visible_counts
from mgips.model.export import export_onnx
from mgips.model.mgips import MGIPS
from mgips.training import parameter_groups, train

SEEN = (
    "a man",
    "a photo of a man in a red hat",
    "two women",
    "",
    "a man near a river",
    "a dog .",
    "women in a boat",
    "",
)


def captioned(count: int = 8) -> list[Tweet]:
    """Invented posts, one in four of them without a caption."""
    return [dataclasses.replace(post, caption=SEEN[i % 8]) for i, post in enumerate(tweets(count))]


def caption_model(name: str = "full", **changes) -> MGIPS:
    """A small random model that reads captions, with the settings of a variant, in evaluation mode."""
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    settings = {key: value for key, value in MODELS[name].items() if key in fields}
    config = tiny_config(**{"image_encoder": CAPTIONS, **settings, **changes})
    return MGIPS.build(config, captioned() * 2, seed=0).eval()


READERS = ["full", "own", "reads", "unimodal", "no-mgi", "no-mutual", "no-contrast", "scalar-mean-4"]
"""Variants in which the image side's positions are read in different places."""


# ---- words to pieces ----


def test_a_caption_is_cut_or_padded_to_its_pieces():
    model = caption_model()
    tokenizer = model.batcher.tokenizer
    posts = [Tweet(str(i), ("go",), caption=text) for i, text in enumerate(("", "a man", "a man " * 20, "\ufe0f"))]
    batch = model.batcher(posts)
    assert batch.captions.shape == batch.caption_mask.shape == (4, CAPTION_PIECES)
    assert batch.caption_mask.sum(1).tolist() == [2, 4, CAPTION_PIECES, 2] and batch.crops is None
    assert batch.has_image.tolist() == [False, True, True, False]
    a, man = tokenizer("a man", add_special_tokens=False)["input_ids"]
    cls, sep, pad = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
    assert batch.captions[0].tolist() == [cls, sep, *[pad] * 18]
    assert batch.captions[1].tolist() == [cls, a, man, sep, *[pad] * 16]
    assert batch.captions[2].tolist() == [cls, *[a, man] * 9, sep]
    assert (batch.captions[~batch.caption_mask] == pad).all()


def test_a_dataset_gives_the_captions_of_the_posts_that_are_asked_for():
    model, posts = caption_model(), captioned()
    data = TweetDataset(posts, model.batcher, progress=False)
    assert data.crops is None and data.has_image.tolist() == [bool(post.caption) for post in posts]
    part = data[[5, 0, 3]]
    alone = model.batcher([posts[i] for i in (5, 0, 3)])
    for name in ("captions", "caption_mask", "has_image", "pieces"):
        assert torch.equal(getattr(part, name), getattr(alone, name))
    assert part.ids == alone.ids and len(TweetDataset([], model.batcher, progress=False).has_image) == 0


def test_only_a_model_that_reads_captions_has_them_and_their_words():
    for changes in ({}, {"image_encoder": CAPTIONS, "images": False}):
        model = MGIPS.build(tiny_config(**changes), captioned(), seed=0)
        batch = model.batcher(captioned())
        assert batch.captions is None and batch.caption_mask is None
        assert "women" not in model.batcher.tokenizer.get_vocab()
        assert len(model.batcher.tokenizer) == len(tiny_model().batcher.tokenizer)
    assert {"man", "women"} <= caption_model().batcher.tokenizer.get_vocab().keys()


# ---- the model ----


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("pads", ["others", "fewer"])
@torch.no_grad()
def test_the_padding_of_a_caption_changes_nothing(name, pads):
    model = caption_model(name)
    batch = model.batcher(captioned())
    captions, mask = batch.captions, batch.caption_mask
    if pads == "others":
        captions = torch.where(mask, captions, torch.randint_like(captions, len(model.batcher.tokenizer)))
    else:
        longest = int(mask.sum(1).max())
        captions, mask = captions[:, :longest], mask[:, :longest]
    other = dataclasses.replace(batch, captions=captions, caption_mask=mask)
    assert not torch.equal(batch.captions, other.captions)
    reads = {"read_batch": True} if model.config.read != "off" else {}
    first, second = model(batch, **reads), model(other, **reads)
    torch.testing.assert_close(second.emissions, first.emissions, atol=1e-5, rtol=0)
    if model.config.relates:
        one, two = model.contrast(first, batch), model.contrast(second, other)
        torch.testing.assert_close(two.texts, one.texts, atol=1e-5, rtol=0)
        torch.testing.assert_close(two.images, one.images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["full", "own", "scalar-mean-4"])
@torch.no_grad()
def test_a_batch_equals_its_posts_one_by_one(name):
    model, posts = caption_model(name), captioned()
    batch = model.batcher(posts)
    out = model(batch)
    images = model.contrast(out, batch).images
    for i, post in enumerate(posts):
        single = model.batcher([post])
        alone = model(single)
        words = alone.emissions.shape[1]
        torch.testing.assert_close(out.emissions[i, :words], alone.emissions[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(images[i], model.contrast(alone, single).images[0], atol=1e-5, rtol=0)


@torch.no_grad()
def test_without_exchange_the_image_side_is_a_plain_bert_on_the_caption():
    tokenizer = caption_model().batcher.tokenizer
    first, second = (text_encoder(vocab_size=len(tokenizer)) for _ in range(2))
    config = tiny_config(image_encoder=CAPTIONS, mutual_attention=False)
    model = MGIPS(config, first, second, tokenizer).eval()
    batch = model.batcher(captioned())
    expected = second(input_ids=batch.captions, attention_mask=batch.caption_mask.long()).last_hidden_state
    mask = batch.caption_mask
    torch.testing.assert_close(model(batch).towers[1][mask], expected[mask], atol=1e-5, rtol=0)


@torch.no_grad()
def test_captions_matter_and_pictures_do_not():
    model, post = caption_model(), captioned(1)[0]
    emissions = model(model.batcher([post])).emissions
    other = model(model.batcher([dataclasses.replace(post, caption="two women")])).emissions
    assert (emissions - other).abs().max() > 1e-4
    assert torch.equal(emissions, model(model.batcher([dataclasses.replace(post, image=None, crops=())])).emissions)


@torch.no_grad()
def test_posts_without_any_caption_stay_finite_and_may_be_kept_from_being_mined():
    model = caption_model(mine_missing=False, k=2)
    batch = model.batcher(tweets())
    assert not batch.has_image.any() and model(batch).emissions.isfinite().all()
    assert contrast_of(model, batch).images.isfinite().all()
    some = model.batcher(captioned())
    assert not contrast_of(model, some).positives[:, ~some.has_image].any()


@pytest.mark.parametrize("name", ["full", "own", "unimodal", "no-mutual", "scalar-mean-4"])
def test_every_parameter_is_in_one_group_and_both_towers_learn(name):
    model = caption_model(name).train()
    loss_of(model, model.batcher(captioned())).total.backward()
    assert parameters_without_gradient(model) == []
    config = TrainConfig(lr_text=1, lr_image=2, lr_fusion=3, lr_contrast=4, lr_head=5)
    groups = parameter_groups(model, config)
    assert len({id(p) for g in groups for p in g["params"]}) == len(list(model.parameters()))
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    towers = {
        **dict.fromkeys(("text_embedding", "encoder.text"), 1),
        **dict.fromkeys(("image_embedding", "encoder.image"), 2),
    }
    for prefix, expected in towers.items():
        assert {rate[id(p)] for name, p in model.named_parameters() if name.startswith(f"{prefix}.")} == {expected}


def test_padding_gets_no_gradient():
    model = caption_model().train()
    model.image_embedding.bert.word_embeddings.padding_idx = None  # which would hide it
    loss_of(model, model.batcher(captioned())).total.backward()
    rows = model.image_embedding.bert.word_embeddings.weight.grad.abs().sum(1)
    assert rows[model.batcher.tokenizer.pad_token_id] == 0 < rows[model.batcher.tokenizer.cls_token_id]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_checkpoint_starts_both_towers_and_they_part(tmp_path, family):
    folder = save_text_checkpoint(tmp_path / "text", family)
    model = MGIPS.build(tiny_config(text_encoder=str(folder), image_encoder=CAPTIONS), seed=0)
    text, image = model.text_embedding.bert.word_embeddings.weight, model.image_embedding.bert.word_embeddings.weight
    assert torch.equal(text, image) and text.data_ptr() != image.data_ptr()
    with torch.no_grad():
        image.zero_()
    assert text.abs().sum() > 0
    batch = model.eval().batcher(captioned())
    other = torch.where(batch.caption_mask, batch.captions, 7)
    with torch.no_grad():
        changed = model(dataclasses.replace(batch, captions=other)).emissions
        torch.testing.assert_close(changed, model(batch).emissions, atol=1e-5, rtol=0)


def test_an_encoder_that_is_too_short_for_a_caption_is_refused(tmp_path):
    folder = save_text_checkpoint(tmp_path / "text", max_position_embeddings=18)
    with pytest.raises(ConfigError, match="A caption has 20 pieces, .* reads at most 18"):
        MGIPS.build(tiny_config(text_encoder=str(folder), image_encoder=CAPTIONS, max_length=16))


@pytest.mark.parametrize("start", [RANDOM, "bert", "roberta"])
def test_saved_and_loaded_models_agree_to_the_bit(tmp_path, start):
    encoder = start if start == RANDOM else str(save_text_checkpoint(tmp_path / "text", start))
    model = caption_model(text_encoder=encoder)
    model.save_pretrained(tmp_path / "saved")
    loaded = MGIPS.from_pretrained(tmp_path / "saved")
    posts = captioned()
    with torch.no_grad():
        assert torch.equal(model(model.batcher(posts)).emissions, loaded(loaded.batcher(posts)).emissions)
    assert model.predict(posts) == loaded.predict(posts)


def test_export_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="reads captions cannot be exported"):
        export_onnx(caption_model(), tmp_path / "model.onnx")


def riddles(count: int, start: int, shown: bool) -> tuple[Tweet, ...]:
    """Posts of one sentence and one name: only a caption says whether it names a person or a place."""
    made = []
    for i in range(start, start + count):
        person = (i * 7919 % 13) % 2 == 0
        caption = f"a photo of a {'person' if person else 'town'} on day {i % 5}" if shown else ""
        made.append(
            Tweet(
                str(i),
                ("I", "love", "Jordan", "!"),
                ("O", "O", f"B-{'PER' if person else 'LOC'}", "O"),
                caption=caption,
            )
        )
    return tuple(made)


def test_what_only_captions_say_is_learned_from_them(tmp_path):
    rates = {f"lr_{part}": 3e-3 for part in ("text", "image", "fusion", "contrast", "head")}
    config = TrainConfig(epochs=6, batch_size=8, **rates)
    scores = {}
    for shown in (True, False):
        data = Corpus("riddles", riddles(64, 0, shown), riddles(16, 100, shown), riddles(26, 200, shown))
        run = train(data, tiny_config(image_encoder=CAPTIONS), config, tmp_path / str(shown), progress=False)
        scores[shown] = run.test.f1
    assert scores[True] > 0.9 and scores[False] < 0.7


# ---- GMNER: what the photo shows ----

POSTS = (
    Tweet("1", tuple("New  York loves St. Paul".split()), ("B-LOC", "I-LOC", "O", "B-PER", "I-PER"), caption=""),
    Tweet("2", tuple("# Bears beat Fox and fox".split()), ("B-ORG", "I-ORG", "O", "B-PER", "O", "B-PER")),
    Tweet("3", ("Rome", "and", "Sam"), ("B-LOC", "O", "B-PER")),
    Tweet("4", ("Rome",), ("B-LOC",)),
    Tweet("5", ("nothing", "here"), ("O", "O")),
)


@pytest.fixture
def marks(tmp_path):
    """Marks of four posts: "St.Paul" with other spacing, "Bears" without its #, "fox" twice; one fits no entity."""
    (tmp_path / "ids.csv").write_text("id,split\n1,train\n2,dev\n3,dev\n5,test\n9,test\n")
    boxes = [("1", "st.paul"), ("2", "Bears"), ("2", "FOX"), ("2", "fox"), ("3", "Samuel"), ("9", "elsewhere")]
    lines = [f"{id},10,10,{name},1,1,5,5" for id, name in boxes]
    (tmp_path / "boxes.csv").write_text("\n".join(["id,width,height,name,xmin,ymin,xmax,ymax", *lines]))
    return read_marks(tmp_path)


def test_entities_are_joined_by_post_and_words(marks):
    assert marks == {"1": {"st.paul"}, "2": {"bears", "fox"}, "3": {"samuel"}, "5": set(), "9": {"elsewhere"}}
    found = visibility(POSTS, marks)
    assert [[e.text for e in row] for row in found.seen] == [["St. Paul"], ["# Bears", "Fox", "fox"], [], [], []]
    assert [[e.text for e in row] for row in found.unseen] == [["New York"], [], [], [], []]
    assert (found.unsure, found.unlisted, found.marks, found.unjoined) == (2, ("4",), 4, 1)
    assert key(" @ Ada  Lovelace") == key("adalovelace")


def test_recall_is_counted_for_seen_and_unseen_apart(marks):
    gold = [post.tags for post in POSTS]
    wrong_type = [("B-ORG", "I-ORG", "O", "B-PER", "I-PER"), ("O",) * 6, *gold[2:]]
    counts = visible_counts(POSTS, wrong_type, marks)
    assert json.loads(json.dumps(counts)) == {
        "seen": [[1, 1], [0, 3], [0, 0], [0, 0], [0, 0]],
        "unseen": [[0, 1], [0, 0], [0, 0], [0, 0], [0, 0]],
        **{"unsure": 2, "unlisted": 1, "marks": 4, "unjoined": 1},
    }
    assert visible_counts(POSTS, gold, marks)["seen"] == [[1, 1], [3, 3], [0, 0], [0, 0], [0, 0]]
    with pytest.raises(MGIPSError, match="5 posts and 4 predictions"):
        visible_counts(POSTS, gold[:4], marks)


def test_the_recall_table_compares_systems_on_the_same_posts():
    def run(right: int) -> dict:
        return {"seen": [[i < right, 1] for i in range(40)], "unseen": [[1, 2]] * 40}

    table = recall_table({"text": [run(10), run(14)], "captions": [run(30), run(34)]}, "text", draws=500)
    assert [(row.system, row.group) for row in table] == [
        (system, group) for group in ("seen", "unseen") for system in ("text", "captions")
    ]
    text, captions, blind, also_blind = table
    assert text.recall.value == pytest.approx(0.3) and captions.recall.value == pytest.approx(0.8)
    assert text.recall.count == 80 and blind.recall.count == 160 and blind.recall.value == pytest.approx(0.5)
    assert text.gain is None and captions.gain.difference == pytest.approx(0.5) and captions.gain.verdict == "helps"
    assert also_blind.gain.difference == 0 and also_blind.gain.verdict == "no detectable difference"
    assert "captions" in str(captions) and "+50.0" in str(captions) and "helps" in str(captions)
    with pytest.raises(MGIPSError, match="no system 'nobody'"):
        recall_table({"text": [run(1)]}, "nobody")
    with pytest.raises(MGIPSError, match="different numbers of seeds"):
        recall_table({"text": [run(1)], "captions": [run(1), run(2)]}, "text")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.csv", None, "ids.csv cannot be read"),
        ("ids.csv", b"\xff\xfe\x00", "ids.csv cannot be read"),
        ("ids.csv", b"name\n1\n", "ids.csv is not a table of GMNER's"),
        ("boxes.csv", b"id,name\n1\n", "boxes.csv is not a table of GMNER's"),
        ("boxes.csv", b"id,name\n77,Rome\n", "marks the post '77', which ids.csv does not list"),
    ],
)
def test_damaged_marks_are_one_sentence(tmp_path, marks, name, content, message):
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_marks(tmp_path)


def test_the_real_marks(twitter_root):
    if not (twitter_root / "gmner").is_dir():
        pytest.skip(f"GMNER's marks are not in {twitter_root}")
    marks = read_marks(twitter_root / "gmner")
    assert len(marks) == 10_000 and sum(bool(names) for names in marks.values()) == 5_612
    listed, counted = {}, {}
    for name in ("twitter2015", "twitter2017"):
        for split, posts in load_corpus(name, twitter_root).splits.items():
            found = visibility(posts, marks)
            ids = [post.id for post in posts if post.id in marks]
            listed[name, split] = len(ids), sum(bool(marks[id]) for id in ids)
            counted[name, split] = sum(map(len, found.seen)), sum(map(len, found.unseen)), found.unsure, found.unjoined
            assert len(found.unlisted) == len(posts) - len(ids)
    assert listed == {
        **{("twitter2015", "train"): (2790, 1521), ("twitter2015", "dev"): (700, 413)},
        **{("twitter2015", "test"): (2237, 1188), ("twitter2017", "train"): (2994, 1747)},
        **{("twitter2017", "dev"): (637, 371), ("twitter2017", "test"): (642, 372)},
    }
    assert counted["twitter2017", "test"] == (472, 667, 6, 5)
    assert counted["twitter2015", "test"] == (1273, 2176, 145, 126)

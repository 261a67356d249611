"""What the lesson on the interweave module measures: patching by brute force, messages, walks and picked places."""

import dataclasses

import numpy as np
import pytest
import torch
from builders import tiny_model, tweets, variant_model

from mgips.data.tinytweets.posts import tinytweets
from mgips.errors import ConfigError
from mgips.lab.counterfactual import with_pictures_of
from mgips.lab.lessons import interweave

ROUNDS = 2


@pytest.fixture(scope="module")
def model():
    """A random model with two rounds; larger weights, so that a picture can turn a tag in every part."""
    made = tiny_model(interweave_encoders=ROUNDS)
    with torch.no_grad():
        made.classifier[1].weight.mul_(50)
        made.text_gate.w1.weight.mul_(20)
        for mge in (made.interweave.image_guided, made.interweave.text_guided):
            mge.image_to_text.linear.weight.mul_(20)
            mge.project[0].weight.mul_(20)
    return made


@pytest.fixture(scope="module")
def posts():
    return tweets(12)


@pytest.fixture(scope="module")
def others(posts):
    return with_pictures_of(posts, np.roll(np.arange(len(posts)), -1))


def states(model, post):
    """Every state of one post, by the equations."""
    batch = model.batcher([post])
    mask = batch.piece_mask
    text, image, _ = model.encoder(model.text_embedding(batch), model.image_embedding(batch.shown), mask, True)
    found = {"T": [text], "X": [image], "MGE image": [], "MGE text": []}
    for _ in range(ROUNDS):
        for guide, mine, yours in (("image", "X", "T"), ("text", "T", "X")):
            excavator = model.interweave.image_guided if guide == "image" else model.interweave.text_guided
            found[f"MGE {guide}"].append(excavator(found[mine][-1], found[yours][-1], mask)[0])
            found[mine].append(found[mine][-1] + found[f"MGE {guide}"][-1])
    found["I"] = gate(model, found)
    return batch, found


def gate(model, found):
    return torch.sigmoid(model.text_gate.w1(found["T"][-1]) + model.text_gate.w2(found["T"][0]))


def by_hand(model, post, other, part):
    """One post's tags with one part of another picture: the walk written out, no hook anywhere."""
    batch, own = states(model, post)
    _, theirs = states(model, other)
    mask = batch.piece_mask
    text = (theirs if part == "text state T0" else own)["T"][0]
    image = (theirs if part == "image state X0" else own)["X"][0]
    first = text
    for turn in range(ROUNDS):
        added = model.interweave.image_guided(image, text, mask)[0]
        image = image + (theirs["MGE image"][turn] if part == "image-guided passes" else added)
        added = model.interweave.text_guided(text, image, mask)[0]
        text = text + (theirs["MGE text"][turn] if part == "text-guided passes" else added)
    opened = theirs["I"] if part == "gate" else gate(model, {"T": [first, text]})
    z = opened * first + (1 - opened) * text
    scores = model.classifier(z[0, batch.first[0]])[None].float()
    (path,) = model.crf.decode(scores, batch.word_mask)
    return [model.tags[tag] for tag in path] + ["O"] * (len(post.words) - len(path))


@pytest.mark.parametrize("part", interweave.PARTS)
def test_patching_is_the_equations_with_one_part_exchanged(model, posts, others, part):
    found = interweave.patched(model, posts, others, part)
    with model.evaluating():
        assert found == [by_hand(model, post, other, part) for post, other in zip(posts, others, strict=True)]
    assert found != model.predict(posts), "the test would not see a part that is not exchanged"


def test_patching_everything_or_with_the_own_picture(model, posts, others):
    assert interweave.patched(model, posts, others, "everything") == model.predict(others)
    for part in interweave.PARTS:
        assert interweave.patched(model, posts, posts, part) == model.predict(posts)


def test_no_hook_is_left_behind_after_an_error(model, posts, others, monkeypatch):
    before = model.predict(posts)
    monkeypatch.setattr(model, "decode", lambda *_: 1 / 0)
    for part in interweave.PARTS:
        with pytest.raises(ZeroDivisionError):
            interweave.patched(model, posts, others, part)
    monkeypatch.undo()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert model.predict(posts) == before


def test_what_cannot_be_patched_says_so(model, posts, others):
    with pytest.raises(ConfigError, match="no part 'crf'"):
        interweave.patched(model, posts, others, "crf")
    with pytest.raises(ConfigError, match="other words"):
        interweave.patched(model, posts, others[::-1], "gate")
    with pytest.raises(ConfigError, match="no interweave module"):
        interweave.patched(tiny_model(mgi=False), posts, others, "gate")


def test_names_are_counted_against_what_the_pictures_show(monkeypatch):
    posts = tinytweets(1, (32, 32, 64)).test
    asked = [post for post in posts if post.truth.related and post.truth.ambiguous]
    shown = {id(post.image): post.truth.shows for post in posts}

    def reads(_, shown_posts):
        """A model that gives every ambiguous name the type that its picture shows."""
        found = []
        for post in shown_posts:
            tags = list(post.tags)
            for start, end in post.truth.ambiguous:
                tags[start:end] = [tag[:2] + shown[id(post.image)] for tag in tags[start:end]]
            found.append(tags)
        return found

    monkeypatch.setattr(interweave, "_tags", reads)
    monkeypatch.setattr(interweave, "PARTS", {})
    found = interweave.patch_all(None, posts)
    assert found.truth and 0 < found.names <= len(asked)
    assert (found.own, found.other) == ({"everything": 0.0}, {"everything": 1.0})


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(-0.1, 0.5, "a little more of T0 is kept"), (0.1, 0.3, ", more of T0"), (-0.5, -0.3, ", less of T0")],
)
def test_the_gate_is_answered_plainly(low, high, says):
    found = interweave.Gates(np.zeros(2), np.zeros(2), (low + high) / 2, low, high)
    assert says in found.says and ("holds zero" in found.says) == (low < 0 < high)


@pytest.mark.parametrize(("kept", "verdict"), [(0.98, "hardly any"), (0.8, "some"), (0.5, "about half"), (0.1, "most")])
def test_the_guess_is_answered(kept, verdict):
    own, other = {"image state X0": kept}, {"image state X0": 0.01}
    assert f"{verdict}. " in interweave.Patched(own, other, 100, truth=True).says
    says = interweave.Patched(own, other, 100, truth=False).says
    assert f"{100 * (1 - kept):.0f} % of the posts get other tags" in says


def test_messages_and_walks_by_hand(model, posts):
    shares, ratios = interweave.message(model, posts[:1]), []
    walk = interweave.walked(model, posts[:1], ROUNDS)
    with model.evaluating():
        batch, found = states(model, posts[0])
        mask = batch.piece_mask
        for excavator, guide, source in (
            (model.interweave.image_guided, found["X"][0], found["T"][0]),
            (model.interweave.text_guided, found["T"][0], found["X"][1]),
        ):
            _, weights = excavator(guide, source, mask)
            read = excavator.linear1(source)
            if excavator.guide == "text":
                read = torch.nn.functional.gelu(excavator.image_to_text(read, mask.shape[1]))
            fused = (weights.row + weights.column) * read
            if excavator.text_to_image is not None:
                fused = fused @ torch.eye(fused.shape[-1])
                fused = torch.einsum("mn,bnd->bmd", excavator.text_to_image.linear.weight[:, : mask.shape[1]], fused)
            ratios.append(((fused @ excavator.project[0].weight.T).norm(dim=-1) / guide.norm(dim=-1)).mean().item())
    assert shares[:2].tolist() == pytest.approx(ratios, rel=1e-4)
    assert len(shares) == len(interweave.passes(model)) == 2 * ROUNDS + 1
    texts = torch.stack(found["T"])[:, 0]
    assert walk.lengths.tolist() == pytest.approx(
        (texts.norm(dim=-1) / texts[0].norm(dim=-1)).mean(-1).tolist(), rel=1e-4
    )
    assert walk.cosines[0] == pytest.approx(1) and walk.steps.shape == (ROUNDS - 1,)


def test_posts_that_one_more_word_cuts_off_are_left_out(posts):
    short = tiny_model(max_length=8)
    with pytest.raises(ConfigError, match="cut at the longest length"):
        interweave.picked(short, posts)
    assert interweave.picked(tiny_model(max_length=16), posts).posts < len(posts)


def test_a_weight_that_belongs_to_a_place_stays_and_one_that_belongs_to_a_word_follows(model, posts, monkeypatch):
    def weights(place):
        def weights_of(_, asked):
            lengths = [len(model.batcher.encode(post).pieces) for post in asked]
            return [([], np.eye(n)[[place(post, n)]]) for post, n in zip(asked, lengths, strict=True)]

        return weights_of

    monkeypatch.setattr(interweave, "weights_of", weights(lambda post, n: 2))
    picks = interweave.picked(model, posts)
    assert (picks.stays.tolist(), picks.follows.tolist(), picks.most.tolist()) == ([1.0], [0.0], [1.0])
    monkeypatch.setattr(interweave, "weights_of", weights(lambda post, n: n - 1))  # [SEP] moves with the text
    picks = interweave.picked(model, posts)
    assert (picks.stays.tolist(), picks.follows.tolist(), picks.entities.tolist()) == ([0.0], [1.0], [0.0])


def test_every_picture_is_drawn_for_any_model_that_has_the_parts(posts):
    for made in (
        tiny_model(),
        tiny_model(interweave_encoders=3),
        tiny_model(column_weights="printed", ips_loss=False, cl_loss=False),
    ):
        names = interweave.passes(made)
        lengths = interweave.message(made, posts)
        untagged = [dataclasses.replace(post, tags=()) for post in posts]
        for figure, alt in (
            interweave.draw_message(names, lengths, lengths, interweave.walked(made, posts, 4)),
            interweave.draw_picks(made, posts[0], interweave.picked(made, posts)),
            interweave.draw_picks(made, posts[0], interweave.picked(made, untagged)),
            interweave.draw_patched(interweave.patch_all(made, posts)),
            interweave.walk(made.config.interweave_encoders),
        ):
            assert figure.get_suptitle() and len(alt) > 40
    with pytest.raises(ConfigError, match="no row weights"):
        interweave.picked(tiny_model(row_weights=False), posts)
    with pytest.raises(ConfigError, match="no interweave module"):
        interweave.passes(variant_model("text"))

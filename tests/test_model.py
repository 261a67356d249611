"""The assembled model: gradients reach everything, padding and neighbours change nothing, saving loses nothing."""

import dataclasses
import json
import math
from unittest.mock import Mock

import pytest
import torch
from builders import (
    MODELS,
    TEXT_MODELS,
    contrast_of,
    corpus,
    image_encoder,
    loss_of,
    parameters_without_gradient,
    picture,
    save_text_checkpoint,
    text_encoder,
    tiny_config,
    tiny_model,
    tweets,
    variant_model,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from mgips.config import RANDOM, RELEVANCE, ModelConfig, TrainConfig, preset
from mgips.data.batch import TweetDataset
from mgips.data.corpus import Tweet
from mgips.data.pictures import CLIP_MEAN, CLIP_STD
from mgips.errors import ConfigError, RunError
from mgips.model.embedding import ImageEmbedding, crop_positions
from mgips.model.export import export_onnx
from mgips.model.mgips import MGIPS
from mgips.model.pretrained import load_text_encoder, load_tokenizer
from mgips.tags import tag_set
from mgips.training import parameter_groups


@pytest.mark.released(6, 8)
@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_is_in_one_group_and_has_a_gradient(name):
    model = variant_model(name).train()
    if model.reader is not None:  # sparsemax has no slope where it reads nothing
        model.reader.config = dataclasses.replace(model.config, read="softmax")
    posts = [dataclasses.replace(post, time=i / 3) for i, post in enumerate(tweets())]  # of several days
    loss = loss_of(model, model.batcher(posts))
    loss.total.backward()
    assert parameters_without_gradient(model) == []
    groups = parameter_groups(model, TrainConfig())
    members = [id(p) for group in groups for p in group["params"]]
    assert len(members) == len(set(members)) == len(list(model.parameters()))
    torch.testing.assert_close(loss.total, sum(loss.terms.values()))
    config = model.config
    switched = {"ips": config.contrast and config.ips_loss, "cl": config.contrast and config.cl_loss}
    switched |= {"crf": config.crf, "softmax": not config.crf}
    assert set(loss.terms) == {term for term, on in switched.items() if on}


def test_the_printed_column_weights_are_never_trained():
    """Eq. 6 as printed: the softmax over one value has no slope, so its parameter gets no gradient."""
    model = tiny_model(column_weights="printed").train()
    loss_of(model, model.batcher(tweets())).total.backward()
    names = parameters_without_gradient(model)
    assert names == ["interweave.image_guided.w4", "interweave.text_guided.w4"]


def test_learning_rates_reach_their_parts():
    config = TrainConfig(lr_text=1, lr_image=2, lr_fusion=3, lr_contrast=4, lr_head=5, weight_decay=0.5)
    model = tiny_model()
    rate = {id(p): (g["lr"], g["weight_decay"]) for g in parameter_groups(model, config) for p in g["params"]}
    named = dict(model.named_parameters())
    assert rate[id(named["encoder.text.0.attention.self.query.weight"])] == (1, 0.5)
    assert rate[id(named["image_embedding.class_embedding"])] == (2, 0.0)
    assert rate[id(named["interweave.image_guided.linear1.weight"])] == (3, 0.5)
    assert rate[id(named["text_head.linear.weight"])] == (4, 0.5)
    assert rate[id(named["crf.transitions"])] == (5, 0.5)
    assert rate[id(named["classifier.1.bias"])] == (5, 0.0)


@pytest.mark.released(11)
@pytest.mark.parametrize("name", ["full", "text", "no-mgi", "no-mutual", "scalar-mean-4"])
@torch.no_grad()
def test_padding_and_batch_mates_change_nothing(name):
    model = variant_model(name)
    together = model(model.batcher(tweets()))
    for i, tweet in enumerate(tweets()):
        alone = model(model.batcher([tweet]))
        width = alone.emissions.shape[1]
        torch.testing.assert_close(together.emissions[i, :width], alone.emissions[0], atol=1e-5, rtol=0)


@pytest.mark.released(11)
@torch.no_grad()
def test_contrast_features_do_not_depend_on_padding():
    model = tiny_model(max_length=60)
    batch = model.batcher(tweets())
    pieces, mask = (torch.nn.functional.pad(x, (0, 5)) for x in (batch.pieces, batch.piece_mask))
    wider = dataclasses.replace(batch, pieces=pieces, piece_mask=mask)
    assert wider.pieces.shape[1] <= model.config.max_length
    scores = [contrast_of(model, one).relevance for one in (wider, batch)]
    torch.testing.assert_close(*scores, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_states_are_complete_and_attention_changes_nothing():
    model = tiny_model(interweave_encoders=2)
    batch = model.batcher(tweets())
    plain, out = model(batch), model(batch, attention=True)
    torch.testing.assert_close(plain.emissions, out.emissions, atol=1e-5, rtol=0)
    assert plain.attention == []
    (b, n), m = batch.pieces.shape, 49
    assert len(out.attention) == 2 and out.attention[1].image.shape == (b, 4, m, n + m)
    assert [w.guide for w in out.interwoven.weights] == ["image", "text", "image", "text", "image"]
    assert out.text_gate.shape == (b, n, 32) and out.image_gate.shape == (b, m, 32)
    assert [x.shape for x in (*out.embedded, *out.towers)] == [(b, n, 32), (b, m, 32)] * 2
    contrast = model.contrast(out, batch)
    assert contrast.relevance.shape == contrast.positives.shape == (b, b)
    assert contrast.positives.sum(1).tolist() == [3] * b


def test_what_has_no_tags_has_no_loss_and_what_contrasts_nothing_mines_nothing():
    model, text = tiny_model(), tiny_model(images=False)
    bare = model.batcher([dataclasses.replace(post, tags=()) for post in tweets(4)])
    with pytest.raises(ConfigError, match="without tags"):
        loss_of(model, bare)
    with pytest.raises(ConfigError, match="no contrastive part"):
        contrast_of(text, text.batcher(tweets(4)))


def test_evaluating_restores_the_mode_it_found():
    model = tiny_model()
    for training in (True, False):
        model.train(training)
        with pytest.raises(KeyError), model.evaluating():
            assert not model.training and not torch.is_grad_enabled()
            raise KeyError
        assert model.training == training and torch.is_grad_enabled()


@torch.no_grad()
def test_a_batch_smaller_than_k_takes_all_its_images():
    model = tiny_model(k=5)
    assert contrast_of(model, model.batcher(tweets(2))).positives.all()


def test_pictures_matter_and_text_only_has_none():
    model, text = tiny_model(), tiny_model(images=False)
    post = tweets(1)[0]
    other = dataclasses.replace(post, image=picture(99), crops=())
    batcher = model.batcher
    with torch.no_grad():
        assert (model(batcher([post])).emissions - model(batcher([other])).emissions).abs().max() > 1e-4
        assert torch.equal(text(text.batcher([post])).emissions, text(text.batcher([other])).emissions)
    assert text.image_embedding is None and text.batcher([post]).crops is None


# ---- relevance otherwise than in the paper ----


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_models_losses_against_plain_loops(symmetric):
    """Both sides of the symmetric loss, at the learned temperature; its slope by a difference."""
    model = tiny_model(**{**RELEVANCE, "symmetric": symmetric, "ips_loss": True})
    with torch.no_grad():
        model.learned_temperature.log.fill_(math.log(0.2))
    batch = model.batcher(tweets())
    contrast, losses = contrast_of(model, batch), loss_of(model, batch).terms

    def by_loops(tau):
        sim = [[cosine(t, v) for v in contrast.images.tolist()] for t in contrast.texts.tolist()]
        rows = [-math.log(math.exp(r[i] / tau) / sum(math.exp(s / tau) for s in r)) for i, r in enumerate(sim)]
        columns = list(zip(*sim, strict=True))
        other = [-math.log(math.exp(c[i] / tau) / sum(math.exp(s / tau) for s in c)) for i, c in enumerate(columns)]
        best = [sorted(row, reverse=True)[:3] for row in sim]
        mined = [-math.log(sum(math.exp(s / tau) for s in b) / sum(math.exp(s / tau) for s in r)) for b, r in zip(best, sim, strict=True)]  # fmt: skip
        cl = sum(rows) / 8 if not symmetric else (sum(rows) + sum(other)) / 16
        return cl, sum(mined) / 8

    assert [losses["cl"].item(), losses["ips"].item()] == pytest.approx(by_loops(0.2), abs=1e-4)
    (losses["cl"] + losses["ips"]).backward()
    step = 1e-4
    slope = (sum(by_loops(0.2 * math.exp(step))) - sum(by_loops(0.2 * math.exp(-step)))) / (2 * step)
    assert model.learned_temperature.log.grad.item() == pytest.approx(slope, abs=1e-3)


def test_a_fixed_temperature_has_no_parameter():
    assert tiny_model().learned_temperature is None and tiny_model().temperature == 0.5
    model = tiny_model(**{**RELEVANCE, "learned_temperature": False})
    assert model.temperature == 0.1 and not any("temperature" in name for name, _ in model.named_parameters())


def test_mining_by_csls_takes_what_hubs_do_not():
    model = tiny_model(csls=True, k=2)
    batch = model.batcher(tweets())
    found, plain = contrast_of(model, batch), contrast_of(tiny_model(k=2), batch)
    sim = found.relevance.tolist()
    assert torch.equal(found.relevance, plain.relevance), "the relevance itself, and the losses, stay the cosine"
    columns = list(zip(*sim, strict=True))
    for i, row in enumerate(sim):  # eight are fewer than ten neighbours: all count
        scores = [2 * s - sum(row) / 8 - sum(columns[j]) / 8 for j, s in enumerate(row)]
        best = set(sorted(range(8), key=lambda j: -scores[j])[:2])
        assert set(found.positives[i].nonzero().flatten().tolist()) == best
    assert not torch.equal(found.positives, plain.positives), "no hub here: the test shows nothing"


# ---- words, pieces and the cut ----


@pytest.mark.released(16)
def test_words_past_the_cut_are_predicted_o_and_gold_is_whole():
    model = tiny_model(max_length=6)
    long = Tweet("long", tuple("go Lions go Lions go Lions go Lions".split()), ("O", "B-ORG") * 4)
    (tags,) = model.predict([long])
    assert len(tags) == 8 and tags[4:] == ["O"] * 4
    batch = model.batcher([long])
    assert batch.pieces.shape[1] == 6 and batch.word_mask.sum() <= 4


def test_a_word_without_pieces_becomes_unknown():
    model = tiny_model()
    post = Tweet("emoji", ("go", "\ufe0f", "Lions"), ("O", "O", "B-ORG"))
    batch = model.batcher([post])
    go, emoji, lions = batch.first[0].tolist()
    assert (go, lions) == (1, emoji + 1)
    assert batch.pieces[0, emoji] == model.batcher.tokenizer.unk_token_id
    assert len(model.predict([post])[0]) == 3


def test_predict_keeps_the_order_whatever_the_batch_size():
    model = tiny_model()
    posts = tweets(8)
    expected = [model.predict([post])[0] for post in posts]
    for size in (1, 3, 8):
        assert model.predict(posts, batch_size=size) == expected
    assert model.predict([]) == []


def test_unlabelled_posts_can_be_predicted():
    model = tiny_model()
    bare = [dataclasses.replace(t, tags=(), image=None, crops=()) for t in tweets(3)]
    assert [len(tags) for tags in model.predict(bare)] == [len(t.words) for t in bare]
    assert model.batcher(bare).tags is None


# ---- encoders ----


@pytest.mark.released(14)
def test_position_table_starts_as_clips_grid_resized():
    table = torch.randn(1 + 49, 8)
    ours = crop_positions(table, crops=3, grid=4)
    assert ours.shape == (49, 8)
    square = table[1:].reshape(1, 7, 7, 8).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(square, (4, 4), mode="bicubic").permute(0, 2, 3, 1).reshape(16, 8)
    for crop in range(3):
        torch.testing.assert_close(ours[1 + 16 * crop : 17 + 16 * crop], resized)
    assert torch.equal(ours[0], table[0])
    assert torch.equal(crop_positions(table, 2, 7), torch.cat([table, table[1:]]))


@torch.no_grad()
def test_image_embedding_is_clips_on_one_crop():
    clip = image_encoder()
    crops = torch.randint(0, 256, (2, 1, 32, 32, 3), dtype=torch.uint8)
    pixels = crops[:, 0].permute(0, 3, 1, 2) / 255
    pixels = (pixels - torch.tensor(CLIP_MEAN)[:, None, None]) / torch.tensor(CLIP_STD)[:, None, None]
    expected = clip.pre_layrnorm(clip.embeddings(pixels))
    torch.testing.assert_close(ImageEmbedding(clip, 1, 32)(crops), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", TEXT_MODELS)
def test_loading_a_checkpoint_brings_its_weights(tmp_path, family):
    folder = save_text_checkpoint(tmp_path / "text", family)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = CLIPConfig(text_config=text, vision_config=image_encoder().config.to_dict())
    CLIPModel(whole).save_pretrained(tmp_path / "clip")
    model = MGIPS.build(tiny_config(text_encoder=str(folder), image_encoder=str(tmp_path / "clip")))
    stored = load_file(folder / "model.safetensors")
    key = model.encoder.text[1].attention.self.key.weight
    assert torch.equal(key, stored["encoder.layer.1.attention.self.key.weight"])
    assert torch.equal(model.text_embedding.bert.word_embeddings.weight, stored["embeddings.word_embeddings.weight"])
    stored = load_file(tmp_path / "clip" / "model.safetensors")
    assert torch.equal(model.encoder.image[2].mlp.fc1.weight, stored["vision_model.encoder.layers.2.mlp.fc1.weight"])
    assert torch.equal(model.image_embedding.norm.weight, stored["vision_model.pre_layrnorm.weight"])


def test_a_vision_checkpoint_alone_loads_too(tmp_path):
    save_text_checkpoint(tmp_path / "text")
    clip = image_encoder()
    clip.save_pretrained(tmp_path / "vision")
    model = MGIPS.build(tiny_config(text_encoder=str(tmp_path / "text"), image_encoder=str(tmp_path / "vision")))
    assert torch.equal(model.encoder.image[0].mlp.fc1.weight, clip.encoder.layers[0].mlp.fc1.weight)


def test_half_precision_checkpoints_are_read_in_float32(tmp_path):
    folder = save_text_checkpoint(tmp_path)
    save_file({k: v.half() for k, v in load_file(folder / "model.safetensors").items()}, folder / "model.safetensors")
    model = MGIPS.build(tiny_config(text_encoder=str(folder), images=False))
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"num_hidden_layers": 2}, "layers"),
        ({"hidden_size": 16}, "hidden units"),
        ({"num_attention_heads": 2}, "attention heads"),
    ],
)
def test_encoders_that_do_not_fit_are_refused(changes, what):
    tokenizer = load_tokenizer(tiny_config(), tweets())
    with pytest.raises(ConfigError, match=what):
        MGIPS(tiny_config(), text_encoder(vocab_size=len(tokenizer)), image_encoder(**changes), tokenizer)


def test_max_length_beyond_the_encoder_is_refused(tmp_path):
    folder = save_text_checkpoint(tmp_path, "roberta")
    with pytest.raises(ConfigError, match="at most 64 pieces"):
        MGIPS.build(tiny_config(text_encoder=str(folder), images=False, max_length=65))


def test_a_checkpoint_with_missing_weights_is_refused(tmp_path):
    folder = save_text_checkpoint(tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="lacks 1 weights"):
        MGIPS.build(tiny_config(text_encoder=str(folder), images=False))


def test_an_encoder_that_is_not_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="could not be loaded") as error:
        MGIPS.build(ModelConfig(text_encoder=str(tmp_path / "nothing")))
    assert "\n" not in str(error.value)


def test_a_model_of_another_family_is_refused(tmp_path):
    image_encoder().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="clip_vision_model"):
        load_text_encoder(tiny_config(text_encoder=str(tmp_path), images=False), 0)


# ---- settings ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k is 0"),
        ({"temperature": 0.0}, "temperature"),
        ({"row_weights": False, "column_weights": "off"}, "mgi=False"),
        ({"crop_size": 33}, "multiple"),
        ({"interweave_encoders": 0}, "interweave_encoders"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_config(**changes)


def test_unknown_presets_variants_and_settings_are_named():
    with pytest.raises(ConfigError, match="'huge'; the presets are tiny, minilm, base"):
        preset("huge")
    with pytest.raises(ConfigError, match="'half'; the variants are full, text"):
        preset("tiny", "half")
    with pytest.raises(ConfigError, match="'kk'"):
        preset("tiny", kk=3)


def test_defaults_are_the_papers():
    model, train = preset("base")
    assert (model.max_length, model.k, model.interweave_encoders, model.crop_size) == (40, 3, 1, 128)
    assert (train.lr_text, train.lr_image, train.weight_decay, train.warmup_ratio) == (5e-5, 3e-5, 1e-2, 0.06)
    assert model == ModelConfig() and train == TrainConfig()


# ---- saving ----


@pytest.mark.parametrize("start", [RANDOM, "bert", "roberta", "xlm-roberta"])
def test_saved_and_loaded_models_agree_to_the_bit(tmp_path, start):
    changes = {}
    if start != RANDOM:
        changes["text_encoder"] = str(save_text_checkpoint(tmp_path / "encoder", start))
    model = tiny_model(**changes)
    posts = tweets(8, seed=1)
    model.save_pretrained(tmp_path / "saved")
    loaded = MGIPS.from_pretrained(tmp_path / "saved")
    data, again = TweetDataset(posts, model.batcher), TweetDataset(posts, loaded.batcher)
    with torch.no_grad():
        assert torch.equal(model(data[range(8)]).emissions, loaded(again[range(8)]).emissions)
    assert loaded.predict(posts) == model.predict(posts)
    assert loaded.config == model.config and not loaded.training


def test_saving_goes_through_the_hub_mixin(tmp_path, monkeypatch):
    """A hub name is fetched by snapshot_download and read like a folder."""
    model = tiny_model()
    model.save_pretrained(tmp_path / "saved")
    fetch = Mock(return_value=str(tmp_path / "saved"))
    monkeypatch.setattr("mgips.model.pretrained.snapshot_download", fetch)
    loaded = MGIPS.from_pretrained("someone/a-model", revision="v1")
    fetch.assert_called_once_with("someone/a-model", revision="v1")
    assert loaded.predict(tweets(2)) == model.predict(tweets(2))


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a saved model"):
        MGIPS.from_pretrained(tmp_path)
    tiny_model().save_pretrained(tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    told["model"]["from_the_future"] = 1
    (tmp_path / "config.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match="from_the_future"):
        MGIPS.from_pretrained(tmp_path)


@pytest.mark.released(15)
def test_tags_are_the_nine_of_the_paper():
    assert tag_set(corpus().types) == tag_set() and len(tag_set()) == 9 and tag_set()[0] == "O"
    assert {t.tags for t in corpus().train}  # the invented corpus is labelled


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full", "text", "unimodal"])
def test_the_exported_graph_computes_what_the_model_computes(tmp_path, name):
    """With numbers of tweets, pieces and words that the export did not see."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = variant_model(name)
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for posts in (tweets(8), tweets(1), tweets(3, seed=5)):
        batch = model.batcher(posts)
        inputs = {i.name: getattr(batch, i.name).numpy() for i in session.get_inputs()}
        with torch.no_grad():
            expected = model(batch).emissions
        torch.testing.assert_close(torch.from_numpy(session.run(None, inputs)[0]), expected, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="BiLSTM"):
        export_onnx(tiny_model(images=False, bilstm=True), tmp_path / "none.onnx")

"""Encoders of every kind: parity with Hugging Face without the exchange, a plain re-reading with it, saving and loading."""

import json
import math
import string
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from builders import (
    SIZES,
    image_encoder,
    loss_of,
    parameters_without_gradient,
    save_text_checkpoint,
    text_encoder,
    tiny_config,
    tweets,
)
from packaging.version import Version
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertweetTokenizer,
    DebertaV2Config,
    Dinov2Config,
    Dinov2Model,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    ModernBertConfig,
    ModernBertModel,
    PreTrainedTokenizerFast,
    Siglip2VisionConfig,
    SiglipConfig,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
    image_utils,
)

from mgips.config import RANDOM, preset
from mgips.data.batch import Batcher
from mgips.data.corpus import Tweet
from mgips.data.crops import CROPS
from mgips.errors import ConfigError
from mgips.model import pretrained
from mgips.model.embedding import NORMALISATION, ImageEmbedding, TextEmbedding
from mgips.model.encoders import IMAGE, PAIRS, TEXT, ImageLayers, TextLayers
from mgips.model.mgips import MGIPS
from mgips.model.mutual_attention import MutualAttentionEncoder
from mgips.model.pretrained import load_image_encoder, load_text_encoder, load_tokenizer, save_tokenizer

DINOV2 = pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.18"), reason="DINOv2's layers had other names"
)
PIXELS = {"image_size": 32, "patch_size": 8}
IMAGENET = image_utils.IMAGENET_DEFAULT_MEAN, image_utils.IMAGENET_DEFAULT_STD
NORMALISED = {
    "clip_vision_model": (image_utils.OPENAI_CLIP_MEAN, image_utils.OPENAI_CLIP_STD),
    "siglip_vision_model": (image_utils.IMAGENET_STANDARD_MEAN, image_utils.IMAGENET_STANDARD_STD),
    "dinov2": IMAGENET,
    "dinov3_vit": IMAGENET,
}
NEAR = {"local_attention": 4, "max_position_embeddings": 64}  # a window of two words to each side
NEAR |= {f"{kind}_token_id": 0 for kind in ("pad", "cls", "sep", "bos", "eos")}
TEXTS = {
    "bert": lambda **changes: text_encoder("bert", **changes),
    "roberta": lambda **changes: text_encoder("roberta", **changes),
    "xlm-roberta": lambda **changes: text_encoder("xlm-roberta", **changes),
    "bertweet": lambda **changes: text_encoder("roberta", **{"max_position_embeddings": 130, **changes}),
    "modernbert": lambda **changes: ModernBertModel(ModernBertConfig(**{"vocab_size": 99, **SIZES, **NEAR, **changes})),
}
IMAGES = {
    "clip": image_encoder,
    "siglip": lambda **changes: SiglipVisionModel(SiglipVisionConfig(**{**SIZES, **PIXELS, **changes})),
    "dinov2": lambda **changes: Dinov2Model(Dinov2Config(**{**SIZES, **PIXELS, "mlp_ratio": 2, **changes})),
    "dinov2-swiglu": lambda **changes: IMAGES["dinov2"](use_swiglu_ffn=True, **changes),
    "dinov3": lambda **changes: DINOv3ViTModel(
        DINOv3ViTConfig(**{**SIZES, **PIXELS, "num_register_tokens": 2, **changes})
    ),
    "dinov3-gated": lambda **changes: IMAGES["dinov3"](use_gated_mlp=True, num_register_tokens=0, **changes),
}
IMAGE_NAMES = [pytest.param(name, marks=DINOV2 if name.startswith("dinov2") else ()) for name in IMAGES]


def shaken(model):
    """The model in evaluation mode, with no weight at its usual start: norms, scales and biases count too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def some_text(pad, length=12):
    pieces = torch.randint(5, 99, (3, length), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(length) < torch.tensor([[length], [8], [2]])
    return pieces.masked_fill(~mask, pad), mask


def some_crops(count=1, size=32):
    return torch.randint(
        0, 256, (2, count, size, size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(2)
    )


def pixels_of(crops, kind):
    """One crop each, normalised as the encoder's makers did."""
    mean, std = (torch.tensor(x)[:, None, None] for x in NORMALISED[kind])
    return (crops[:, 0].permute(0, 3, 1, 2) / 255 - mean) / std


def gradients(loss, named):
    """By name, of what the loss reaches."""
    named = {name: parameter for name, parameter in named if parameter.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}


def assert_close_gradients(ours, theirs):
    """Each within 1e-5 of its largest entry; a key's bias moves no softmax, and its gradient is rounding alone."""
    assert ours.keys() == theirs.keys() and ours
    least = 0.1 * max(gradient.abs().max().item() for gradient in theirs.values())
    for name, gradient in theirs.items():
        error = (ours[name] - gradient).abs().max().item() / max(gradient.abs().max().item(), least)
        assert error < 1e-5, (name, error)


# ---- without the exchange: Hugging Face's own forward and backward ----


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_tower_is_hugging_faces(name):
    model = shaken(TEXTS[name]())
    pieces, mask = some_text(model.config.pad_token_id)
    tower = TextLayers(model)
    embedded = TextEmbedding(model)(SimpleNamespace(pieces=pieces))
    ours = MutualAttentionEncoder(tower, None).eval()(embedded, None, mask)[0]
    theirs = model(input_ids=pieces, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    explicit = MutualAttentionEncoder(tower, None).eval()(embedded, None, mask, attention=True)[0]
    torch.testing.assert_close(explicit[mask], ours[mask], atol=1e-5, rtol=0)
    assert explicit.isfinite().all(), "padding far from all words sees nothing"
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3))[mask]
    named = list(model.named_parameters())
    assert_close_gradients(
        gradients((ours[mask] * weights).sum(), named), gradients((theirs[mask] * weights).sum(), named)
    )


@pytest.mark.parametrize("size", [32, 48])
@pytest.mark.parametrize("name", IMAGE_NAMES)
def test_an_image_tower_is_hugging_faces_on_one_crop(name, size):
    """With 48 pixels the table of positions is resized, as Hugging Face resizes it."""
    model = shaken(IMAGES[name]())
    kind, crops = model.config.model_type, some_crops(size=size)
    embedding, tower = ImageEmbedding(model, 1, size), ImageLayers(model, crops=1)
    hidden = embedding(crops)
    assert hidden.shape[1] == embedding.length == embedding.first + (size // 8) ** 2
    ours = (
        MutualAttentionEncoder(tower, None).eval().alone(tower, hidden, torch.ones(hidden.shape[:2], dtype=torch.bool))
    )
    options = {"interpolate_pos_encoding": True} if kind in ("clip_vision_model", "siglip_vision_model") else {}
    theirs = model(pixel_values=pixels_of(crops, kind), **options).last_hidden_state
    torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=0)

    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(3))
    copied = ("cls_token", "register_tokens", "position_embedding", "position_embeddings")
    named = [(n, p) for n, p in model.named_parameters() if not n.removesuffix(".weight").endswith(copied)]
    own, other = (ours * weights).sum(), (theirs * weights).sum()
    mine = gradients(own, [*named, *(("ours." + n, p) for n, p in embedding.named_parameters())])
    hers = gradients(other, model.named_parameters())
    assert_close_gradients(
        {n: g for n, g in mine.items() if not n.startswith("ours.")}, {n: hers[n] for n, _ in named if n in hers}
    )
    if embedding.registers is not None:
        torch.testing.assert_close(mine["ours.registers"], hers["embeddings.register_tokens"][0], atol=1e-3, rtol=1e-5)
    if embedding.class_embedding is not None and "embeddings.cls_token" in hers:
        torch.testing.assert_close(
            mine["ours.class_embedding"], hers["embeddings.cls_token"][0, 0], atol=1e-3, rtol=1e-5
        )
    if size == 32 and kind != "dinov3_vit":
        (table,) = [g for n, g in hers.items() if "position_embedding" in n]
        torch.testing.assert_close(mine["ours.positions"], table.view_as(mine["ours.positions"]), atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize("name", IMAGE_NAMES)
@torch.no_grad()
def test_several_crops_start_from_the_same_positions(name):
    """Crops of one content are one content: without the class token's view of all three, their patches agree."""
    model = shaken(IMAGES[name]())
    embedding = ImageEmbedding(model, CROPS, 32)
    hidden = embedding(some_crops().expand(-1, CROPS, -1, -1, -1))
    patches = ImageLayers(model).project(1, hidden)
    for x in (hidden, *(part.transpose(1, 2).flatten(2) for part in patches)):
        first, *rest = x[:, embedding.first :].chunk(CROPS, 1)
        for other in rest:
            torch.testing.assert_close(other, first, atol=1e-5, rtol=0)


@torch.no_grad()
def test_dinov3_reads_a_crop_alike_in_training_and_after():
    """Its rotary positions are rescaled at random in Hugging Face's training mode, differently in every layer's call."""
    tower = ImageLayers(shaken(IMAGES["dinov3"]()))
    hidden = torch.randn(2, 3 + CROPS * 16, 32)
    before = tower.eval().project(0, hidden)
    assert all(torch.equal(a, b) for a, b in zip(before, tower.train().project(0, hidden), strict=True))


# ---- with the exchange: eqs 2-4 read plainly, position by position ----


def turned(x, angles):
    """Pairs (x_i, x_{i + e/2}) of one vector, each turned in its plane."""
    half = len(x) // 2
    out = x.clone()
    for i, angle in enumerate(angles):
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
    return out


def modernbert_angles(place, layer, e=8):
    base = 160_000 if layer % 3 == 0 else 10_000
    return [place * base ** (-2 * i / e) for i in range(e // 2)]


def dinov3_angles(place, first, side, e=8):
    """Row and column of a patch in its crop, from -1 to 1; none for class and register tokens."""
    if place < first:
        return [0.0] * (e // 2)
    row, column = divmod((place - first) % side**2, side)
    return [
        2 * math.pi * (2 * (x + 0.5) / side - 1) * 100 ** (-4 * i / e) for x in (row, column) for i in range(e // 4)
    ]


@torch.no_grad()
def test_equations_2_to_4_with_rotary_towers_read_plainly():
    """ModernBERT and DINOv3: keys cross as they were turned, the window holds between words only."""
    text, image = shaken(TEXTS["modernbert"]()), shaken(IMAGES["dinov3"]())
    pieces, mask = some_text(0)
    side, first = 2, 3
    m = first + CROPS * side**2
    s_e, v_e = text.embeddings(input_ids=pieces), torch.randn(3, m, 32, generator=torch.Generator().manual_seed(4))
    h_t, h_v, trace = MutualAttentionEncoder(TextLayers(text), ImageLayers(image)).eval()(
        s_e, v_e, mask, attention=True
    )
    fused = MutualAttentionEncoder(TextLayers(text), ImageLayers(image)).eval()(s_e, v_e, mask)
    torch.testing.assert_close(fused[0][mask], h_t[mask], atol=1e-5, rtol=0)

    def heads_turned(x, angles):
        return torch.stack([torch.cat([turned(h, angles(place)) for h in row.split(8)]) for place, row in enumerate(x)])

    def context(q, k, v, other_k, other_v, sees):
        rows = []
        for place, query in enumerate(q):
            own = [j for j in range(len(k)) if sees(place, j)]
            keys, values = torch.cat([other_k, k[own]]), torch.cat([other_v, v[own]])
            parts = zip(query.split(8), keys.split(8, -1), values.split(8, -1), strict=True)
            rows.append(torch.cat([torch.softmax(hk @ hq / 8**0.5, 0) @ hv for hq, hk, hv in parts]))
        return torch.stack(rows)

    for b in range(3):
        text_h, image_h = s_e[b][mask[b]], v_e[b]
        k_t = v_t = text_h
        k_v = v_v = image_h
        for l in range(3):  # noqa: E741
            layer, block = text.layers[l], image.model.layer[l]
            q, k, v = layer.attn.Wqkv(layer.attn_norm(text_h)).split(32, -1)
            q, k = (heads_turned(x, lambda place, layer_index=l: modernbert_angles(place, layer_index)) for x in (q, k))
            normed, p = block.norm1(image_h), block.attention
            q_i, k_i = (
                heads_turned(x, lambda place: dinov3_angles(place, first, side))
                for x in (p.q_proj(normed), p.k_proj(normed))
            )
            v_i = p.v_proj(normed)
            near = (lambda i, j: True) if l % 3 == 0 else (lambda i, j: abs(i - j) <= 2)
            text_h = text_h + layer.attn.Wo(context(q, k, v, k_v, v_v, near))
            text_h = text_h + layer.mlp(layer.mlp_norm(text_h))
            added = p.o_proj(context(q_i, k_i, v_i, k_t, v_t, lambda i, j: True))
            image_h = image_h + block.layer_scale1.lambda1 * added
            image_h = image_h + block.layer_scale2.lambda1 * block.mlp(block.norm2(image_h))
            (k_t, v_t), (k_v, v_v) = (k, v), (k_i, v_i)
        torch.testing.assert_close(h_t[b][mask[b]], text.final_norm(text_h), atol=5e-5, rtol=0)
        torch.testing.assert_close(h_v[b], image.norm(image_h), atol=5e-5, rtol=0)
    far = (torch.arange(12)[:, None] - torch.arange(12)).abs() > 2
    assert (trace[0].text[..., m:] * far)[0].sum() > 0 and (trace[1].text[..., m:] * far).sum() == 0
    assert (trace[1].text[:, :, :, :m] > 0).all(), "a near-sighted layer sees all of the image"


@pytest.mark.parametrize("image_name", IMAGE_NAMES)
@pytest.mark.parametrize("text_name", ["bert", "modernbert"])
@torch.no_grad()
def test_the_exchange_ignores_padding(text_name, image_name):
    text, image = shaken(TEXTS[text_name]()), shaken(IMAGES[image_name]())
    pieces, mask = some_text(0)
    towers = MutualAttentionEncoder(TextLayers(text), ImageLayers(image)).eval()
    hidden = ImageEmbedding(image, CROPS, 32)(some_crops(CROPS))[[0, 1, 0]]
    together = towers(text.embeddings(input_ids=pieces), hidden, mask)
    for b, length in enumerate(mask.sum(1)):
        alone = towers(
            text.embeddings(input_ids=pieces[b : b + 1, :length]), hidden[b : b + 1], mask[b : b + 1, :length]
        )
        torch.testing.assert_close(together[0][b, :length], alone[0][0], atol=3e-5, rtol=0)
        torch.testing.assert_close(together[1][b], alone[1][0], atol=3e-5, rtol=0)
    apart = towers(text.embeddings(input_ids=pieces), hidden, mask, exchange=False)
    assert (apart[0][mask] - together[0][mask]).abs().max() > 1e-3 < (apart[1] - together[1]).abs().max()


# ---- whole models ----


def save_text(folder: Path, name: str) -> Path:
    """A random text encoder and its tokenizer, in the hub's format."""
    if name == "bertweet":
        return save_bertweet(folder)
    if name != "modernbert":
        return save_text_checkpoint(folder, name)
    save_text_checkpoint(folder)  # the tokenizer
    tokenizer = load_tokenizer(tiny_config(text_encoder=str(folder)))
    (folder / "model.safetensors").unlink()
    shaken(TEXTS[name](vocab_size=len(tokenizer))).save_pretrained(folder)
    return folder


def save_bertweet(folder: Path) -> Path:
    """A small BERTweet: letters, a few merges, 130 positions, and files as on the hub: no tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = string.ascii_letters + string.digits + "@#':.,!/-"
    merges = ["d o</w>", "J o", "r d", "rd a", "rda n</w>", "Jo rdan</w>", "n '", "n' t</w>", "' s</w>", "@ U", "@U S"]
    merges += ["@US E", "@USE R</w>", "H T", "HT T", "HTT P", "HTTP U", "HTTPU R", "HTTPUR L</w>"]
    pieces = [*(f"{c}@@" for c in letters), *letters, "@USER", "HTTPURL", "n't", "'s", "do", "Jordan", "Jo@@", "rdan"]
    (folder / "vocab.txt").write_text("".join(f"{piece} 1\n" for piece in pieces))
    (folder / "bpe.codes").write_text("".join(f"{merge} 1\n" for merge in merges))
    model = shaken(TEXTS["bertweet"](vocab_size=len(pieces) + 5, tokenizer_class="BertweetTokenizer"))
    model.save_pretrained(folder)
    return folder


def built(tmp_path, text=RANDOM, image=RANDOM, **changes):
    """A whole model on saved encoders, in evaluation mode."""
    if text != RANDOM:
        text = str(save_text(tmp_path / "text", text))
    if image != RANDOM:
        shaken(IMAGES[image](**({} if text != RANDOM else {"num_hidden_layers": 2}))).save_pretrained(
            tmp_path / "image"
        )
        image = str(tmp_path / "image")
    return MGIPS.build(tiny_config(text_encoder=text, image_encoder=image, **changes), tweets(), seed=0).eval()


@pytest.mark.filterwarnings("ignore:BERTweet reads emoji")
@pytest.mark.parametrize(
    ("text", "image"),
    [
        *(
            ("bert", name) if not name.startswith("dinov2") else pytest.param("bert", name, marks=DINOV2)
            for name in IMAGES
        ),
        ("modernbert", RANDOM),
        ("bertweet", "siglip"),
        ("modernbert", "dinov3"),
    ],
)
def test_a_whole_model_learns_in_all_its_parts_and_is_saved_to_the_bit(tmp_path, text, image):
    model = built(tmp_path, text, image)
    loss_of(model.train(), model.batcher(tweets())).total.backward()
    assert parameters_without_gradient(model) == []
    model.eval().save_pretrained(tmp_path / "saved")
    loaded = MGIPS.from_pretrained(tmp_path / "saved")
    with torch.no_grad():
        assert torch.equal(model(model.batcher(tweets())).emissions, loaded(loaded.batcher(tweets())).emissions)
    assert loaded.predict(tweets()) == model.predict(tweets())
    assert torch.equal(loaded.image_embedding.mean, model.image_embedding.mean)


@pytest.mark.parametrize("image", IMAGE_NAMES)
def test_a_loaded_encoder_has_its_checkpoints_weights(tmp_path, image):
    """Its own class's checkpoint, found by name; nothing is left at random."""
    model = shaken(IMAGES[image]())
    model.save_pretrained(tmp_path)
    text = text_encoder()
    loaded = load_image_encoder(tiny_config(image_encoder=str(tmp_path)), text.config)
    assert type(loaded) is type(model)
    for (name, ours), (_, theirs) in zip(loaded.named_parameters(), model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name


def test_siglip_is_taken_out_of_a_whole_siglip(tmp_path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    whole = shaken(SiglipModel(SiglipConfig(text_config=sizes, vision_config=IMAGES["siglip"]().config.to_dict())))
    whole.save_pretrained(tmp_path)
    vision = load_image_encoder(tiny_config(image_encoder=str(tmp_path)), text_encoder().config)
    assert torch.equal(vision.post_layernorm.weight, whole.vision_model.post_layernorm.weight)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "vision_model.head" not in k}, tmp_path / "model.safetensors")
    load_image_encoder(tiny_config(image_encoder=str(tmp_path)), text_encoder().config)  # its pooling head is not read
    save_file({k: v for k, v in weights.items() if "vision_model.post" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigError, match=r"lacks 2 weights \(post_layernorm.bias"):
        load_image_encoder(tiny_config(image_encoder=str(tmp_path)), text_encoder().config)


@pytest.mark.parametrize("name", ["clip", "siglip", "dinov3"])
def test_pixels_are_normalised_as_the_encoders_makers_did(tmp_path, name):
    """By its kind, or by its own preprocessor's file; and a saved model remembers."""
    folder, other = tmp_path / "image", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    model = built(tmp_path, "bert", name)
    kind = IMAGES[name]().config.model_type
    mean, std = (255 * torch.tensor(x).view(3, 1, 1) for x in NORMALISED[kind])
    assert torch.equal(model.image_embedding.mean, mean) and torch.equal(model.image_embedding.std, std)
    assert "image_mean" not in model.encoder_configs["image"]
    usual = dict(zip(("image_mean", "image_std"), NORMALISED[kind], strict=True))
    for written, stored in ((usual, False), (other, True)):
        (folder / "preprocessor_config.json").write_text(json.dumps(written))
        model = MGIPS.build(model.config, tweets(), seed=0)
        assert ("image_mean" in model.encoder_configs["image"]) == stored
    model.save_pretrained(tmp_path / "saved")
    (folder / "preprocessor_config.json").unlink()
    for read in (model, MGIPS.from_pretrained(tmp_path / "saved")):
        torch.testing.assert_close(read.image_embedding.mean.flatten(), 255 * torch.tensor([0.1, 0.2, 0.3]))
        torch.testing.assert_close(read.image_embedding.std.flatten(), 255 * torch.tensor([0.4, 0.5, 0.6]))
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5]}))
    with pytest.raises(ConfigError, match="1 numbers as image_mean"):
        MGIPS.build(model.config, tweets())


@pytest.mark.parametrize("text", ["bert", "modernbert"])
@pytest.mark.parametrize("image", ["siglip", "dinov3"])
def test_half_precision_runs(tmp_path, text, image):
    model = built(tmp_path, text, image).train()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(model, model.batcher(tweets())).total
    loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None) and loss.isfinite()


def test_modernberts_words_are_marked_as_words(tmp_path):
    """Its tokenizer reads bytes, and a space begins a word; words come one by one, and none is glued to the one before."""
    bytewise = Tokenizer(models.BPE(unk_token="[UNK]"))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    trainer = trainers.BpeTrainer(
        special_tokens=list(special.values()), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bytewise.train_from_iterator([" hello world" * 9], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, **special)
    tokenizer.save_pretrained(tmp_path)
    TEXTS["modernbert"](vocab_size=len(tokenizer)).save_pretrained(tmp_path)
    read = load_tokenizer(tiny_config(text_encoder=str(tmp_path)))
    save_tokenizer(read, tmp_path / "again")
    for one in (read, transformers.AutoTokenizer.from_pretrained(tmp_path / "again")):
        pieces = Batcher(one, tiny_config()).encode(Tweet("t", ("hello", "world", "hello"))).pieces
        assert pieces[1:-1] == tokenizer(" hello world hello", add_special_tokens=False)["input_ids"]


# ---- what does not fit ----


@pytest.mark.parametrize(("image", "first"), [("siglip", 0), pytest.param("dinov2", 1, marks=DINOV2), ("dinov3", 3)])
def test_attention_is_shown_whatever_stands_before_the_patches(tmp_path, image, first):
    """SigLIP has no class token, DINOv3 also registers: every share has a place, and the first patch can be asked."""
    from mgips.lab.widgets.attention import PICTURE, AttentionInspector

    model = built(tmp_path, image=image)
    inspector = AttentionInspector(model, tweets())
    assert inspector.places.first == first
    for direction in inspector.direction.options:
        inspector.direction.value = direction
        for query in range(min(len(inspector.word.names), first + 2)):
            inspector.word.value = query
            shares = inspector.shares()
            total = shares.patches.sum() + shares.class_token + shares.words.sum() + shares.special
            assert total == pytest.approx(1, abs=1e-5) and (shares.class_token == 0) == (first == 0)
    assert inspector.direction.value == PICTURE
    labels = inspector.word.names
    assert labels[first] == "crop 1, row 1, col 1" and len(labels) == model.image_embedding.length
    inspector.word.value = first
    inspector.as_html()


def test_pairs_that_do_not_fit_name_some_that_do():
    """A base text encoder with a large image encoder; the sizes are those of the published ones."""
    bert = text_encoder(vocab_size=99, hidden_size=768, num_attention_heads=12, intermediate_size=8).config
    bert.num_hidden_layers = 12
    clip = image_encoder().config
    with pytest.raises(
        ConfigError, match=r"32\. .* an image encoder that fits \(openai/clip-vit-base-patch32, .*dinov3"
    ):
        pretrained.check_fit(bert, clip, _of(clip, num_hidden_layers=12))
    with pytest.raises(ConfigError, match=r'choose others, or image_encoder="random"'):
        pretrained.check_fit(text_encoder(num_hidden_layers=2).config, clip, tiny_config())


def _of(clip, **changes):
    for name, value in changes.items():
        setattr(clip, name, value)
    return tiny_config()


def test_the_table_of_pairs_is_of_published_sizes():
    """Written down by depth, width and heads; a name stands in one place."""
    names = [name for sides in PAIRS.values() for side in sides for name in side]
    assert len(names) == len(set(names))
    model, _ = preset("base")
    assert (model.text_encoder, model.image_encoder) == tuple(side[0] for side in PAIRS[12, 768, 12])
    for name, shape in (("bertweet", (12, 768, 12)), ("large", (24, 1024, 16))):
        model, train = preset(name)
        assert model.text_encoder in PAIRS[shape][0] and model.image_encoder in PAIRS[shape][1]
    assert model.crop_size % 14 == 0 and (train.lr_text, train.lr_image) == (7e-6, 7e-6)
    assert preset("bertweet", max_length=128)[0].max_length == 128


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (DebertaV2Config(hidden_size=32), "between a word and a patch there is none"),
        (Siglip2VisionConfig(hidden_size=32), "NaFlex"),
    ],
)
def test_a_kind_that_cannot_be_taken_apart_is_refused_with_the_reason(tmp_path, config, reason):
    config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=reason) as error:
        if "deberta" in config.model_type:
            load_text_encoder(tiny_config(text_encoder=str(tmp_path)), 0)
        else:
            load_image_encoder(tiny_config(image_encoder=str(tmp_path)), text_encoder().config)
    assert "\n" not in str(error.value) and all(kind in str(error.value) for kind in (TEXT if "deb" in reason else ()))
    assert set(IMAGE) == set(NORMALISATION)


def test_crops_that_do_not_fit_the_patches_say_which_do(tmp_path):
    IMAGES["dinov3"](patch_size=14, image_size=28).save_pretrained(tmp_path / "image")
    config = tiny_config(image_encoder=str(tmp_path / "image"), num_layers=3, crop_size=128, patch_size=32)
    with pytest.raises(ConfigError, match="patch size 14; use crop_size=126"):
        MGIPS.build(config, tweets())


def test_dinov2_by_its_older_names_is_refused():
    """As transformers before 5.18 builds it."""
    model = IMAGES["dinov2"]()
    if hasattr(model.encoder.layer[0].attention, "q_proj"):
        del model.encoder.layer[0].attention.q_proj
    with pytest.raises(ConfigError, match="needs transformers 5.18"):
        ImageLayers(model)


# ---- BERTweet ----


@pytest.mark.filterwarnings("ignore:BERTweet reads emoji")
def test_bertweet_reads_at_most_128_pieces(tmp_path):
    folder = str(save_bertweet(tmp_path / "text"))
    with pytest.raises(ConfigError, match="max_length is 129, but .* reads at most 128 pieces"):
        MGIPS.build(tiny_config(text_encoder=folder, images=False, max_length=129))
    model = MGIPS.build(tiny_config(text_encoder=folder, images=False, max_length=128))
    long = Tweet("long", ("abc",) * 100, ("O",) * 100)
    assert model.batcher([long]).pieces.shape == (1, 128) and len(model.predict([long])[0]) == 100


@pytest.mark.filterwarnings("ignore:BERTweet reads emoji")
def test_bertweets_words_are_normalised_as_its_tweets_were(tmp_path):
    """Word by word the same pieces as the whole tweet by its own tokenizer, and each word's first piece is known."""
    tokenizer = load_tokenizer(tiny_config(text_encoder=str(save_bertweet(tmp_path))))
    assert type(tokenizer) is BertweetTokenizer
    words = ("@bob", "don't", "do", "Jordan's", "http://t.co/Ab", "www.x.org", "3-1", "…", "I'm", "!", "can't", "ok")
    batcher = Batcher(tokenizer, tiny_config(max_length=64))
    encoded = batcher.encode(Tweet("t", words))
    whole = BertweetTokenizer(str(tmp_path / "vocab.txt"), str(tmp_path / "bpe.codes"), normalization=True)
    assert encoded.pieces == whole(" ".join(words))["input_ids"]
    first = tokenizer.convert_ids_to_tokens([encoded.pieces[i] for i in encoded.first])
    assert first[:6] == ["@USER", "do", "do", "Jordan", "HTTPURL", "HTTPURL"]
    assert len(encoded.first) == len(words)


@pytest.mark.filterwarnings("ignore:BERTweet reads emoji")
def test_bertweets_tokenizer_survives_saving_twice(tmp_path):
    """Its class saves merges that it cannot read again; then every word would fall apart into letters."""
    tokenizer = load_tokenizer(tiny_config(text_encoder=str(save_bertweet(tmp_path / "0"))))
    for i in (1, 2):
        save_tokenizer(tokenizer, tmp_path / str(i))
        tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / str(i))
        assert tokenizer.tokenize("Jordan do n't") == ["Jordan", "do", "n't"]
    assert (tmp_path / "1" / "bpe.codes").read_text() == (tmp_path / "2" / "bpe.codes").read_text()


def test_bertweet_reads_emoji_by_name_or_says_that_it_cannot(tmp_path, monkeypatch):
    folder = save_bertweet(tmp_path)
    config = tiny_config(text_encoder=str(folder))
    monkeypatch.setitem(sys.modules, "emoji", None)  # as if it were not installed
    with pytest.warns(UserWarning, match="pip install emoji"):
        load_tokenizer(config)
    monkeypatch.setitem(sys.modules, "emoji", SimpleNamespace(demojize=lambda text: {"🔥": "do"}.get(text, text)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer = load_tokenizer(config)
    encoded = Batcher(tokenizer, config).encode(Tweet("t", ("🔥", "ok")))
    assert tokenizer.convert_ids_to_tokens(encoded.pieces)[1] == "do"

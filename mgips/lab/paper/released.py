"""What the authors' released code does, item by item, beside the paper and this package.

Facts read in the code, or measured by running it with random weights. They say nothing about why, and not how the
paper's numbers were made: see `PROVENANCE`. `mgips.lab.integrity` builds the variants that the grids "switches" and
"protocol" measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mgips.errors import ConfigError

REPOSITORY = "https://github.com/chenchenhtd/MGIPS-CL"
COMMIT = "34f605c"
EARLIER = "https://github.com/sssaid3688/MCIPSCLModel"

PROVENANCE = (
    f"The items describe {REPOSITORY} at commit {COMMIT}, which is built on DeepKE's IFAFormer. Whether the reported "
    f"runs used exactly this state is not known. An earlier public version by the same authors, {EARLIER} (April "
    "2024), reads clean splits and selects the epoch on dev, so items 1 and 2 do not show how the paper's numbers were "
    "made."
)
"""To be said wherever an item is cited."""


@dataclass(frozen=True)
class Item:
    """One topic in the paper, in the released code and here."""

    number: int
    topic: str
    paper: str
    place: str
    """Where the paper says it, or where it could have."""
    released: str
    mgips: str
    home: str
    """The module, function or setting that does it."""
    switches: tuple[str, ...] = ()
    """Rows of the grids "switches" and "protocol" that measure what it changes; τ is a row of "table3"."""
    tests: tuple[str, ...] = ()
    """Tests that pin what mgips does."""


ITEMS: tuple[Item, ...] = (
    Item(
        1,
        "training data",
        "Separate train, dev and test splits.",
        "§4.1, Table 1",
        "The reader for training appends the dev file and then the test file, dropping only the last 653 rows each "
        "time. Twitter-2017: 70 dev and 70 of 723 test tweets (9.7 %) are trained on. Twitter-2015: 347 dev and 2,604 "
        "of 3,257 test tweets (80 %); with the other offsets named in a comment there (870 and 3000), 130 dev and 257 "
        "test tweets (7.9 %).",
        "Trains on the train split alone, and refuses a corpus whose dev or test posts are in it.",
        "mgips.training.train",
        ("leak-7.9", "leak-9.7", "leak-80"),
        (
            "test_the_test_split_is_scored_once_and_never_seen_before",
            "test_a_broken_split_fails_the_test_and_is_refused_by_train",
        ),
    ),
    Item(
        2,
        "model selection",
        "Not stated.",
        "§4.3",
        "Test F1 is computed after every epoch; the checkpoint with the best one is saved, and that F1 is what "
        "training returns.",
        "Dev F1 chooses the epoch; test is scored once, with the chosen weights.",
        "mgips.training.train",
        ("clean",),
        ("test_the_test_split_is_scored_once_and_never_seen_before",),
    ),
    Item(
        3,
        "seeds",
        'Results are "the average of random five times".',
        "Table 2, caption",
        "One fixed seed (1234).",
        "Five seeds for the ablation and three for the curves, every run in a file of its own; each seeds weights, "
        "batches and, for TinyTweets, the corpus.",
        "mgips.lab.grids.GRIDS",
        (),
        ("test_every_grid_has_several_seeds", "test_the_same_seed_gives_the_same_weights_and_another_seed_others"),
    ),
    Item(
        4,
        "column weights",
        "M4 of d × 1 and a softmax over the last axis, which has one entry: a constant 1.",
        "Eq. 6",
        "A linear map over the 40 positions, and a softmax over the 64 features of each head.",
        "A map over the text's positions, and a softmax over all d features; the printed form is a switch.",
        "mgips.model.interweave.column_weights; ModelConfig.column_weights",
        ("printed-column",),
        ("test_column_weights_by_hand", "test_equation_6_as_printed_is_constant"),
    ),
    Item(
        5,
        "image-guided column weights",
        "A softmax and nothing more.",
        "Eq. 6",
        "A constant 0.05 is subtracted after the softmax.",
        "Nothing is subtracted: the weights are positive and sum to 1.",
        "mgips.model.interweave.column_weights",
        ("column-shift",),
        ("test_column_weights_by_hand", "test_mge_is_equations_5_to_9"),
    ),
    Item(
        6,
        "image-guided MGE",
        "A part of the model; nothing says that it is not trained.",
        "§3.3.1",
        "Its inputs and its output pass through torch.tensor(...), which detaches them: its query, key and value "
        "projections, both weight maps and both length maps (about 1.79 M parameters, 12.6 % of the fusion module) get "
        "no gradient, measured. They stay at their random start.",
        "Trained like everything else: every parameter has a gradient and one optimiser group.",
        "mgips.model.interweave.InterweaveEncoder",
        ("frozen-image-mge",),
        ("test_every_parameter_is_in_one_group_and_has_a_gradient",),
    ),
    Item(
        7,
        "pre-post gate, its width",
        "W1 and W2 of d × d: one gate per feature.",
        "Eq. 12",
        "W of d × 1: one number per token.",
        "One gate per feature; one number per token is a switch.",
        "mgips.model.interweave.PrePostGate; ModelConfig.gate",
        ("scalar-gate",),
        ("test_gate_is_equations_12_and_13",),
    ),
    Item(
        8,
        "pre-post gate, its training",
        'A "learnable parameter".',
        "§3.3.3",
        "Its parameters match none of the optimiser's name filters, so no optimiser group holds them. It stays at its "
        "random start.",
        "Both gates are in the fusion group; a parameter in no group stops training before it begins.",
        "mgips.training.parameter_groups",
        ("frozen-gate",),
        ("test_every_parameter_is_in_one_group_and_has_a_gradient",),
    ),
    Item(
        9,
        "text attention",
        "V = [V^v, V^t]: the image's values in front of the text's.",
        "Eq. 2",
        "The image's keys are put in front of the text's values.",
        "Keys with keys, values with values.",
        "mgips.model.mutual_attention.MutualAttentionEncoder",
        (),
        ("test_equations_2_to_4_read_plainly",),
    ),
    Item(
        10,
        "image attention",
        "Attention with 12 heads.",
        "§4.3",
        "Queries are reshaped to heads without a transpose, so heads and positions mix; the first layer reshapes the "
        "raw text embeddings the same way.",
        "Every head sees its own d / 12 features of every position.",
        "mgips.model.pretrained.split_heads",
        (),
        ("test_equations_2_to_4_read_plainly",),
    ),
    Item(
        11,
        "text padding",
        "Not mentioned.",
        "§3.2",
        "Not masked in the image encoder's attention, nor in the length maps and poolings over a fixed 40 positions: "
        "results depend on padding.",
        "Masked on both sides, in the MGEs and in pooling: more padding changes nothing.",
        "mgips.model.mutual_attention; mgips.model.interweave; mgips.model.contrastive.ContrastHead",
        ("unmasked-pads",),
        (
            "test_padding_and_batch_mates_change_nothing",
            "test_contrast_features_do_not_depend_on_padding",
            "test_more_padding_changes_nothing",
        ),
    ),
    Item(
        12,
        "contrastive losses",
        "Two losses; K images per text. No value for τ.",
        "Eqs 15-17, 19",
        "One loss: rows are images, so K texts per image, with the own pair appended to the numerator. τ = 0.5.",
        "Two losses; rows are texts, K images per text. τ = 0.5, from this code.",
        "mgips.model.contrastive; ModelConfig.temperature",
        ("one-loss", "tau-0.1"),
        ("test_rows_are_texts", "test_against_plain_loops"),
    ),
    Item(
        13,
        "embedding noise",
        "Not mentioned.",
        "§3.1",
        "NEFTune noise (α = 5) on the image embeddings and on the segment embeddings.",
        "None.",
        "mgips.model.embedding",
        ("neftune",),
        ("test_without_dropout_a_training_pass_is_not_random",),
    ),
    Item(
        14,
        "positions of patches",
        "The class embedding and the patches are summed with a position embedding.",
        "§3.1.2",
        "The crops get a new random table of 48 rows, and the class token gets none: CLIP's positions are not used.",
        "A learned row for each of the 49 positions, which starts from CLIP's table, resized to a crop's grid.",
        "mgips.model.embedding.crop_positions",
        (),
        ("test_position_table_starts_as_clips_grid_resized",),
    ),
    Item(
        15,
        "labels",
        'The "label schema is BIO".',
        "§4.1",
        "12 CRF tags, with [CLS], [SEP] and X; every piece of a word carries the word's tag in the loss.",
        "9 CRF tags; a word is tagged once, at its first piece.",
        "mgips.data.corpus.TAGS; mgips.data.batch.Batcher",
        (),
        ("test_tags_are_the_nine_of_the_paper", "test_a_word_of_many_pieces_is_tagged_once"),
    ),
    Item(
        16,
        "truncation",
        "A maximum length of 40.",
        "§4.3",
        "Gold past the cut leaves the evaluation too: recall is counted on a shortened gold.",
        "Words past the cut are predicted O, and their entities count as missed.",
        "mgips.model.mgips.MGIPS.predict_dataset",
        (),
        ("test_words_past_the_cut_are_predicted_o_and_gold_is_whole",),
    ),
    Item(
        17,
        "loading",
        "Three crops of 128 × 128; no whole image.",
        "§3.1.2",
        "The whole image of 224 pixels is decoded and processed for every sample, and never used.",
        "The whole image is opened only where it fills a missing crop; every picture is decoded once and cached.",
        "mgips.data.crops.crop_cache",
        (),
        (
            "test_the_whole_image_is_not_opened_where_nothing_needs_it",
            "test_an_epoch_after_the_build_touches_no_picture",
        ),
    ),
    Item(
        18,
        "training step",
        "Not mentioned.",
        "§3.5",
        "The CRF decodes in every training forward.",
        "It decodes for predictions alone.",
        "mgips.model.mgips.MGIPS.forward",
        (),
        ("test_a_training_step_decodes_nothing",),
    ),
    Item(
        19,
        "contrastive numerator",
        "The own pair is the positive of a loss of its own.",
        "Eq. 17",
        "The own pair is appended to the K mined ones even when it is among them, so it can count twice and the loss "
        "can be negative.",
        "Positives are a set: a pair counts once, and neither loss falls below 0.",
        "mgips.model.contrastive.mine, ips_loss",
        ("one-loss",),
        ("test_against_plain_loops",),
    ),
    Item(
        20,
        "batch size",
        "Not stated; K = 3.",
        "§4.3",
        "The shipped configuration has batch size 1 with K = 3, which stops in top-K: it cannot run as shipped.",
        "32 by default; a K larger than the batch is refused before anything is computed.",
        "TrainConfig.batch_size; mgips.training.check_corpus",
        (),
        ("test_k_larger_than_the_batch_is_refused_before_anything_is_computed",),
    ),
    Item(
        21,
        "heat maps",
        "Not mentioned.",
        "§4.9",
        "The shipped script for attention maps replaces the map that it computed by a literal array before drawing.",
        "What is drawn is the attention of the model's own forward pass.",
        "mgips.lab.widgets.attention",
        (),
        ("test_attention_is_the_models_own_and_sums_to_one",),
    ),
)
"""All differences, numbered as everywhere in this repository."""


def leak_gain(share: float, f1: float) -> float:
    """An ESTIMATE, by arithmetic, of what trained-on test posts can add to F1, in points.

    It assumes that the model predicts those posts perfectly and the rest as well as before, and that they hold the
    same share of all entities, gold and predicted, as of all posts; F1 over all is then the mean of 100 and `f1` by
    that share. Models rarely learn their training posts perfectly, so this is an upper end; what was measured is in
    the grid "protocol".

    Args:
        share: of the test posts that are trained on, in [0, 1].
        f1: on test posts that are not, in percent.

    >>> round(leak_gain(0.097, 87.4), 1)
    1.2
    """
    return share * (100 - f1)


def rows(effects: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    """The items as rows of a table: number, topic, paper, released code, mgips, and with `effects` also measured.

    Args:
        effects: one of the items' `switches` → a sentence that says what it measured.

    Raises:
        ConfigError: a name that no item has.
    """
    known = {name for item in ITEMS for name in item.switches}
    unknown = sorted(set(effects or ()) - known)
    if unknown:
        raise ConfigError(f"No item is measured by {unknown[0]!r}; the rows are {', '.join(sorted(known))}.")
    table = []
    for item in ITEMS:
        row = {
            "#": str(item.number),
            "topic": item.topic,
            "paper": f"{item.paper} ({item.place})",
            "released code": item.released,
            "mgips": f"{item.mgips} ({item.home})",
        }
        if effects is not None:
            told = [effects[name] for name in item.switches if name in effects]
            row["measured"] = " ".join(told) or ("not yet measured" if item.switches else "-")
        table.append(row)
    return table


def markdown(effects: Mapping[str, str] | None = None) -> str:
    """`rows` as a Markdown table."""
    table = rows(effects)
    lines = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

"""Every setting says what it may hold, and refuses the rest: in Python, on the command line, and read from disk."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mgips.cli import main, train_defaults
from mgips.config import PRESETS, RANDOM, VARIANTS, WORDS, ModelConfig, TrainConfig, preset
from mgips.errors import ConfigError
from mgips.lab.grids import GRIDS

INF = math.inf


def names(text: str, *bounds) -> dict[str, tuple]:
    return dict.fromkeys(text.split(), bounds)


# What each field may hold: whole numbers from a to b - 1; numbers from a (or, open, above it) to below b; or choices.
MODEL = {
    "types": (tuple,),
    **names("text_encoder image_encoder", str),
    **names("hidden_size num_heads intermediate_size crop_size patch_size", int, 1, 100_000),
    **names("num_layers interweave_encoders", int, 1, 1000),
    **names("k", int, 1, INF),
    **names("max_length", int, 3, 100_000),
    **names("overlap", int, 0, INF),
    **names("dropout", float, 0, 1),
    **names("mge_ffn_ratio temperature", "open", 0, INF),
    **names("read_days", int, 0, INF, None),
    **names("images bilstm crf mutual_attention mgi row_weights ips_loss cl_loss mine_missing bio_constraint", bool),
    **names("contrast_norm symmetric learned_temperature csls read_time read_null read_own read_learned", bool),
    "column_weights": ("feature", "printed", "off"),
    "weight_scale": ("sum", "mean"),
    "gate": ("vector", "scalar"),
    "contrast_on": ("fused", "unimodal"),
    "pooling": ("mean", "attention"),
    "read": ("off", "softmax", "top", "sparsemax"),
    **names("read_by read_what", "image", "text"),
}
TRAIN = {
    **names("epochs", int, 1, 1_000_000),
    **names("batch_size accumulate log_every length_window", int, 1, INF),
    **names("patience ips_warmup memory checkpoint_every num_workers", int, 0, INF),
    **names("seed", int, 0, 2**32),
    **names("lr_text lr_image lr_fusion lr_contrast lr_head weight_decay max_grad_norm", float, 0, INF),
    **names("warmup_ratio strangers", float, 0, 1),
    **names("cpu tensorboard gradient_checkpointing", bool),
    "precision": ("no", "bf16"),
}
CASES = [(ModelConfig, name, spec) for name, spec in MODEL.items()]
CASES += [(TrainConfig, name, spec) for name, spec in TRAIN.items()]


def allowed(spec: tuple, value: object) -> bool:
    kind, *rest = spec
    if value is None:
        return None in rest
    if kind in (int, float, "open"):
        whole = type(value) is int
        low, high = rest[:2]
        return (whole or (type(value) is float and kind is not int)) and (
            low <= value < high and (kind != "open" or value > low)
        )
    if kind in (bool, str):
        return type(value) is kind
    if kind is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    return type(value) is str and value in spec


def test_every_field_is_in_the_table():
    """A new field needs a range here, and gets its cases below."""
    for config, table in ((ModelConfig, MODEL), (TrainConfig, TRAIN)):
        assert {field.name for field in dataclasses.fields(config)} == set(table)


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-2, 5),
    st.floats(),
    st.floats(-2, 2),
    st.sampled_from([0, 1, 0.0, 1.0, -0.0, 2**32 - 1, 2**32, math.nan, INF, -INF, "", "1", "1e-3", "off", "image"]),
    st.text(max_size=5),
    st.lists(st.text("ab", min_size=1, max_size=3), max_size=2, unique=True).map(tuple),
    st.sampled_from([(1,), {}, b"no", Path("x"), np.int64(3), np.float32(0.5), ["no"]]),
)


@pytest.mark.parametrize(("config", "name", "spec"), CASES, ids=[name for _, name, _ in CASES])
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_field_takes_what_it_may_hold_and_nothing_else(config, name, spec, data):
    value = data.draw(st.one_of(ANYTHING, st.sampled_from([x for x in spec if isinstance(x, str)] or [0])))
    if name == "types" and isinstance(value, list):
        return  # what JSON makes of a tuple
    try:
        held = getattr(config(**{name: value}), name)
    except ConfigError as error:
        refused = str(error).startswith(f"{name} is ") and "; it must be " in str(error)
        if allowed(spec, value):  # then it only does not fit another field
            assert not refused, error
        else:
            assert refused and str(error).endswith(".") and "\n" not in str(error), error
    else:
        assert allowed(spec, value), f"{name} took {value!r}"
        assert held is value


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        (TrainConfig, {"lr_text": -1e-5}, "lr_text is -1e-05; it must be a number in [0, inf)."),
        (TrainConfig, {"lr_head": math.nan}, "lr_head is nan; it must be a number in [0, inf)."),
        (TrainConfig, {"weight_decay": INF}, "weight_decay is inf; it must be a number in [0, inf)."),
        (TrainConfig, {"epochs": 2.0}, "epochs is 2.0; it must be a whole number in [1, 1000000)."),
        (TrainConfig, {"epochs": True}, "epochs is True; it must be a whole number in [1, 1000000)."),
        (TrainConfig, {"lr_image": "1e-3"}, "lr_image is '1e-3'; it must be a number in [0, inf)."),
        (TrainConfig, {"cpu": 1}, "cpu is 1; it must be True or False."),
        (TrainConfig, {"precision": "fp16"}, 'precision is \'fp16\'; it must be "no" or "bf16".'),
        (ModelConfig, {"read_days": -1}, "read_days is -1; it must be a whole number in [0, inf) or None."),
        (ModelConfig, {"temperature": 0}, "temperature is 0; it must be a number in (0, inf)."),
        (ModelConfig, {"types": "PER"}, "types is 'PER'; it must be a tuple of text."),
        (ModelConfig, {"overlap": 38}, "overlap is 38; at max_length 40 it must be in [0, 38)."),
        (
            ModelConfig,
            {"images": False, "text_encoder": WORDS, "bilstm": True, "hidden_size": 33, "num_heads": 1},
            "hidden_size is 33; a BiLSTM needs an even one, half for each direction.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_the_field_its_value_and_its_range(config, changes, sentence):
    with pytest.raises(ConfigError) as error:
        config(**changes)
    assert str(error.value) == sentence
    with pytest.raises(ConfigError):
        dataclasses.replace(config(), **changes)


def test_settings_pass_through_json_and_whole_numbers_stand_for_any():
    for model, train in PRESETS.values():
        for config in (model, train):
            again = type(config)(**json.loads(json.dumps(dataclasses.asdict(config))))
            assert again == config
    assert TrainConfig(lr_text=1, weight_decay=0, warmup_ratio=0).lr_text == 1
    assert ModelConfig(dropout=0, temperature=1, types=["PER", "LOC"]).types == ("PER", "LOC")


def test_no_preset_variant_or_row_of_a_grid_is_refused():
    for name in PRESETS:
        for variant in VARIANTS:
            preset(name, variant)
    rows = [(grid, row) for grid in GRIDS.values() for row in grid.rows]
    for grid, row in rows:
        preset(grid.base, row.variant, **{**row.settings, **row.changes, "seed": max(grid.seeds)})
    assert len(rows) > 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr-text", "-1"], "lr_text is -1.0; it must be a number in [0, inf)."),
        (["--lr-head", "nan"], "lr_head is nan; it must be a number in [0, inf)."),
        (["--max-grad-norm", "inf"], "max_grad_norm is inf; it must be a number in [0, inf)."),
        (["--warmup-ratio", "1"], "warmup_ratio is 1.0; it must be a number in [0, 1)."),
        (["--batch-size", "0"], "batch_size is 0; it must be a whole number in [1, inf)."),
        (["--read-days", "-2"], "read_days is -2; it must be a whole number in [0, inf) or None."),
    ],
)
def test_a_number_out_of_range_on_the_command_line(arguments, message, capsys):
    assert main(["train", *arguments]) == 2
    assert capsys.readouterr().err == f"mgips: {message}\n"


@pytest.mark.parametrize("arguments", [["--lr-text", "much"], ["--epochs", "1.5"], ["--gate", "none"], ["--k", "True"]])
def test_what_is_no_number_on_the_command_line(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments])
    told = capsys.readouterr()
    assert stopped.value.code == 2 and arguments[0] in told.out + told.err and "Traceback" not in told.err


def test_help_shows_the_ranges(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    for option in ("--lr-text [0, inf)", "--epochs [1, 1000000)", "--dropout [0, 1)", "--temperature (0, inf)"):
        assert option in told
    assert train_defaults([]).model.text_encoder == RANDOM  # and the types of the fields are still read

"""The lessons' machinery attacked: answers of any kind, functions that do anything, functions in a model's place, runs."""

import dataclasses
import functools
import math
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from builders import tiny_model, tweets
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as tables

import mgips
from mgips.data.corpus import Corpus
from mgips.errors import ConfigError, MGIPSError, RunError
from mgips.lab.lessons import exercises as machinery
from mgips.lab.lessons.contents import CONTENTS, lesson_of
from mgips.lab.lessons.exercises import Exercise, Verdict, judge
from mgips.lab.lessons.opened import Opened, start
from mgips.lab.lessons.rebuild import PLACES, rebuild, replaced
from mgips.model import interweave

CASES = ((torch.tensor([[1.0, 2.0], [3.0, 5.0]]),), (torch.tensor([[0.5, -2.0]]),))
KINDS = {
    "number": Exercise(lambda: 0.5, {"Half of it.": lambda: 0.25}),
    "count": Exercise(lambda: 7, {"One too few.": lambda: 6}),
    "table": Exercise(lambda: torch.tensor([[1.0, 2.0]]), {"The other way round.": lambda: torch.tensor([[2.0, 1.0]])}),
    "ragged": Exercise(lambda: [torch.ones(2), torch.ones(3)], {"All of one length.": lambda: torch.ones(2, 3)}),
    "infinite": Exercise(lambda: [math.inf, 1.0, -math.inf], {"Signs.": lambda: [-math.inf, 1.0, math.inf]}),
    "text": Exercise(lambda: "T3", {"Too early.": lambda: "T1"}),
    "texts": Exercise(lambda: ["O", "B-PER"], {"Swapped.": lambda: ["B-PER", "O"]}),
    "yes": Exercise(lambda: True, {"No.": lambda: False}),
    "parts": Exercise(lambda: (7, "T3"), {"Six.": lambda: (6, "T3")}),
    "set": Exercise(lambda: {"a", "b"}, {"One is missing.": lambda: {"a"}}),
    "dict": Exercise(lambda: {"a": 1.0, "b": 2.0}, {"Swapped.": lambda: {"a": 2.0, "b": 1.0}}),
    "function": Exercise(lambda x: x.softmax(-1), {"The other axis.": lambda x: x.softmax(0)}, CASES),
}


class Evil:
    """Whatever is done with it raises."""

    __hash__ = None

    def _no(self, *_, **__):
        raise RuntimeError("evil")

    __eq__ = __repr__ = __str__ = __array__ = __len__ = __iter__ = __bool__ = __float__ = __index__ = _no


class EvilError(Exception):
    def __str__(self):
        raise RuntimeError("evil")


def endless():
    rows = []
    rows.append(rows)
    return rows


def evil_table():
    table = np.array([1.0, 2.0], dtype=object)
    table[0] = Evil()
    return table


def generates(*_):
    yield 1.0


async def awaits(*_):
    return 1.0


def recurses(*arguments):
    return recurses(*arguments)


def raises(error):
    def function(*_):
        raise error

    return function


ODD = (
    lambda: None,
    lambda: ...,
    Evil,
    lambda: [Evil(), 1.0],
    lambda: {"a": Evil()},
    endless,
    generates,
    lambda: generates,
    lambda: awaits,
    lambda: recurses,
    lambda: raises(SystemExit),
    lambda: raises(GeneratorExit()),
    lambda: raises(EvilError()),
    lambda: raises(ValueError("a\ud800b" * 1000)),
    lambda: Evil,
    lambda: int,
    lambda: len,
    lambda: torch.add,
    lambda: np.sin,
    lambda: math,
    lambda: functools.partial(recurses, 1),
    lambda: torch.nn.Linear(2, 2),
    lambda: lambda: 1,
    lambda: lambda *_: ...,
    lambda: 1j,
    lambda: torch.tensor([[1 + 1j, 2]]),
    lambda: 10**400,
    lambda: [10**400, 1],
    lambda: "\ud800",
    lambda: "a" * 10**5,
    lambda: b"T3",
    lambda: memoryview(b"ab"),
    lambda: Fraction(1, 3),
    lambda: Decimal("nan"),
    lambda: np.datetime64("2020"),
    lambda: np.array([None, 1.0], dtype=object),
    evil_table,
    lambda: np.zeros(2, dtype=[("a", int)]),
    lambda: np.ma.array([[1.0, 9.0]], mask=[[False, True]]),
    lambda: torch.ones(2, device="meta"),
    lambda: torch.eye(2).to_sparse(),
    lambda: torch.empty(0),
    lambda: torch.zeros(1000),
    lambda: torch.full((1, 2), math.nan),
    lambda: torch.tensor(0.5, requires_grad=True) * 2,
    lambda: [[1.0], [1.0, 2.0]],
    lambda: [torch.ones(2), "a", None],
    lambda: iter([1]),
    lambda: range(2),
    lambda: {1: 2}.values(),
)
SCALARS = st.one_of(
    st.none(), st.just(...), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), st.text(), st.binary()
)
ANSWERS = st.one_of(
    st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(st.text(max_size=2), inner)
        ),
        max_leaves=8,
    ),
    st.frozensets(st.one_of(st.integers(), st.text())),
    st.sampled_from(ODD),  # hypothesis looks at what it draws, which some of them do not allow
    tables.arrays(
        st.one_of(tables.scalar_dtypes(), st.just(np.dtype(object))),
        tables.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        fill=st.nothing(),
    ),
    tables.arrays(
        st.sampled_from(["float32", "int64", "bool", "complex64"]), tables.array_shapes(min_side=0, max_side=3)
    ).map(torch.from_numpy),
)


def made(answer):
    """An odd answer from what makes it; any other as it is."""
    return answer() if any(answer is make for make in ODD) else answer


def judged(exercise, answer, *numbers):
    """A verdict that can be printed, in few words."""
    verdict = judge(exercise, answer, *numbers)
    assert isinstance(verdict, Verdict) and verdict.right in (True, False, None)
    assert len(str(verdict).encode("utf-8")) < 700
    return verdict


@pytest.mark.hypothesis
@pytest.mark.filterwarnings("error")
@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(KINDS)), ANSWERS)
def test_any_answer_gets_a_verdict(kind, answer):
    judged(KINDS[kind], made(answer))


@pytest.mark.filterwarnings("ignore")  # of what the library thinks of such an answer
@pytest.mark.parametrize("make", ODD)
def test_every_odd_answer_gets_a_verdict_and_none_is_right(make):
    for name, exercise in KINDS.items():
        assert not judged(exercise, make()).right, name
        assert not judged(exercise, lambda *_, made=make: made()).right, name


def test_stopping_by_hand_is_no_answer():
    with pytest.raises(KeyboardInterrupt):
        judge(KINDS["function"], raises(KeyboardInterrupt))


NUMBERS = tables.arrays(
    np.float64, tables.array_shapes(min_dims=0, max_dims=3, max_side=4), elements=st.integers(-50, 50).map(float)
)
AS = {
    "float64": torch.from_numpy,
    "float32": lambda x: torch.from_numpy(x).float(),
    "half": lambda x: torch.from_numpy(x).half(),
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "int64": lambda x: torch.from_numpy(x).long(),
    "int8": lambda x: torch.from_numpy(x).to(torch.int8),
    "with a gradient": lambda x: torch.from_numpy(x).requires_grad_() * 1,
    "numpy": lambda x: x,
    "numpy, float16": lambda x: x.astype(np.float16),
    "numpy, int": lambda x: x.astype(int),
    "numpy, objects": lambda x: x.astype(object),
    "complex without imaginary parts": lambda x: torch.from_numpy(x).to(torch.complex64),
    "sparse": lambda x: torch.from_numpy(x).to_sparse(),
    "not contiguous": lambda x: torch.from_numpy(np.stack([x, x], -1))[..., 0],
    "list": lambda x: x.tolist(),
    "list of tensors": lambda x: list(torch.from_numpy(x)) if x.ndim else torch.from_numpy(x),
    "fractions": lambda x: np.vectorize(Fraction, otypes=[object])(x),
}


@pytest.mark.hypothesis
@settings(max_examples=200, deadline=None)
@given(NUMBERS, st.sampled_from(sorted(AS)), st.sampled_from(sorted(AS)))
def test_a_right_answer_is_right_in_any_dress(numbers, worn, expected):
    more = np.asarray(numbers + 1)
    exercise = Exercise(lambda: AS[expected](numbers), {"It is one more.": lambda: more})
    assert judged(exercise, AS[worn](numbers)).right
    verdict = judged(exercise, AS[worn](more))
    assert verdict.right is False and verdict.says == "It is one more."
    function = Exercise(lambda x: x, {"It is one more.": lambda x: x + 1}, ((numbers,), (numbers[..., None],)))
    assert judged(function, AS[worn]).right
    assert judged(function, lambda x: AS[worn](np.asarray(x + 1))).says == "It is one more."


def test_half_precision_is_no_mistake_and_hides_none():
    weights = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).softmax(-1)
    other = weights.flip(0)
    exercise = Exercise(lambda: weights, {"The rows are in the wrong order.": lambda: other})
    for kind in (torch.float16, torch.bfloat16):
        assert judged(exercise, weights.to(kind)).right
        assert judged(exercise, other.to(kind)).says == "The rows are in the wrong order."
        assert judged(exercise, (1.05 * weights).to(kind)).right is False
    assert judged(exercise, weights + 2e-4).right is False


@pytest.mark.hypothesis
@settings(max_examples=200, deadline=None)
@given(NUMBERS, NUMBERS, st.sampled_from(sorted(AS)))
def test_other_numbers_or_another_shape_are_never_right(numbers, others, worn):
    exercise = Exercise(lambda: numbers, {"These are others.": lambda: others})
    same = numbers.shape == others.shape and (numbers == others).all()
    assert judged(exercise, AS[worn](others)).right is bool(same)
    verdict = judged(exercise, AS[worn](numbers[None]))
    assert verdict.right is False and ("shape" in verdict.says or verdict.says == "These are others.")


@pytest.mark.hypothesis
@settings(max_examples=100, deadline=None)
@given(NUMBERS.filter(lambda x: x.ndim > 0), st.sampled_from([math.nan, math.inf, -math.inf, 1e300, 51.0]), st.data())
def test_one_wrong_number_is_seen(numbers, wrong, data):
    other = numbers.copy()
    other.flat[data.draw(st.integers(0, other.size - 1))] = wrong
    exercise = Exercise(lambda: numbers, {"All are one more.": lambda: numbers + 1})
    verdict = judged(exercise, other)
    assert verdict.right is False
    assert ("NaN" in verdict.says) == math.isnan(wrong)


def test_what_makes_no_difference_in_texts_and_parts():
    for answer in ("T3", " t3 ", "T_3", "$T_3$", "$T_{3}$", np.str_("T3")):
        assert judged(KINDS["text"], answer).right
    assert not judged(KINDS["text"], "T13").right and not judged(KINDS["text"], ["T3"]).right
    assert judged(KINDS["parts"], [7.0, "t3"]).right and judged(KINDS["parts"], (torch.tensor(7), "T3")).right
    assert judged(KINDS["parts"], (6, "T3")).says == "Six."
    assert judged(KINDS["parts"], (8, "T3")).says == "Part 1 of 2: 8 is too high."
    assert judged(KINDS["parts"], (7, ...)).right is None
    for answer in (True, np.True_, torch.tensor(True), "true"):
        assert judged(KINDS["yes"], answer).right
    assert not judged(KINDS["yes"], 1).right and not judged(KINDS["yes"], torch.tensor([True])).right
    for answer in ({"a", "b"}, ["b", "a"], ("A", "b"), np.array(["a", "b"])):
        assert judged(KINDS["set"], answer).right
    assert not judged(KINDS["set"], "ab").right and not judged(KINDS["set"], {"a": 1, "b": 2}).right
    assert judged(KINDS["dict"], {"b": 2, "a": torch.tensor(1)}).right
    assert judged(KINDS["dict"], {"a": 2.0, "b": 1.0}).says == "Swapped."
    assert not judged(KINDS["dict"], {"a": 1.0}).right and not judged(KINDS["dict"], [1.0, 2.0]).right
    assert judged(KINDS["texts"], np.array(["O", "B-PER"])).right
    assert judged(KINDS["ragged"], (np.ones(2), [1, 1, 1])).right
    assert judged(KINDS["number"], "0.5").right and not judged(KINDS["number"], "half").right
    assert "a single number is asked for" in judged(KINDS["number"], [0.5]).says


def test_what_was_wrong_with_a_function_is_said():
    exercise = KINDS["function"]

    def writes(x):
        return x.exp_().div_(x.sum(-1, keepdim=True))

    buffer = torch.empty(4)

    def reuses(x):
        buffer[: x.numel()] = x.softmax(-1).flatten()
        return buffer[: x.numel()].view_as(x)

    for right in (writes, reuses, torch.nn.Softmax(-1), functools.partial(torch.softmax, dim=-1)):
        assert judged(exercise, right).right
    assert judged(exercise, lambda x: x.softmax(-1)).right, "the cases are as they were"
    assert judged(exercise, lambda x: x.softmax(0)).says == "The other axis."
    assert "hand over a function without calling it" in judged(exercise, torch.ones(2, 2).softmax(-1)).says
    assert "print in place of return" in judged(exercise, lambda x: print(x.softmax(-1))).says
    assert "generator" in judged(exercise, generates).says and "coroutine" in judged(exercise, awaits).says
    assert "takes 0 positional arguments" in judged(exercise, lambda: 1).says

    def stops(x):
        y = x + 1
        return y.no_such_thing

    assert "in line 3 of it: AttributeError" in judged(exercise, stops).says
    assert "RecursionError" in judged(exercise, recurses).says
    assert judged(exercise, raises(SystemExit(3))).says == "Your function stopped in line 2 of it: SystemExit: 3"

    def half_done(x):
        return None if len(x) == 1 else x.softmax(-1)

    assert judged(exercise, half_done).right is False


def test_numbers_that_an_answer_was_not_worked_out_from():
    double = Exercise(lambda x: 2 * x, {"Half.": lambda x: x / 0 if x else x}, ((torch.tensor([3.0]),),))
    assert judged(double, 4.0, 2.0).right and not judged(double, 5.0, 2.0).right, "a mistake that stops is passed over"
    assert judged(double, 4.0, 1.0, 2.0).right is None
    kept = torch.tensor([1.0, 2.0])
    spoils = Exercise(lambda x: x.mul_(2), {"None.": lambda x: x.mul_(0)})
    assert judged(spoils, [2.0, 4.0], kept).right and kept.tolist() == [1.0, 2.0]


EXERCISES = machinery.exercises()


@pytest.mark.filterwarnings("ignore")  # of what the library thinks of such an answer
@pytest.mark.hypothesis
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(EXERCISES)), ANSWERS)
def test_the_course_s_own_exercises_judge_any_answer(name, answer):
    exercise = EXERCISES[name]
    numbers = () if len(exercise.cases) > 1 else exercise.cases[0]
    judged(exercise, made(answer), *numbers)
    judged(exercise, lambda *_: made(answer))


@pytest.mark.parametrize("name", sorted(EXERCISES))
def test_no_mistake_of_the_course_is_right_in_any_dress(name):
    exercise = EXERCISES[name]
    functions = len(exercise.cases) > 1
    numbers = () if functions else exercise.cases[0]
    for dress in (lambda x: x, lambda x: x.double() if isinstance(x, torch.Tensor) else x, machinery._plain):
        for gives, wanted in ((exercise.right, True), *((wrong, False) for wrong in exercise.mistakes.values())):
            answer = (lambda *case, g=gives, d=dress: d(g(*case))) if functions else dress(gives(*exercise.cases[0]))
            assert judged(exercise, answer, *numbers).right is wanted


# --- in the model's place


@pytest.fixture(scope="module")
def model():
    return tiny_model()


def place_of(name):
    place, attribute, _ = PLACES[name]
    return getattr(place if isinstance(place, type) else sys.modules[place], attribute)


def test_a_wrong_function_never_enters_the_model(monkeypatch, capsys):
    def entered(*_):
        raise AssertionError("the model was asked")

    monkeypatch.setattr(sys.modules[rebuild.__module__], "measured", entered)
    for name in PLACES:
        for answer in (lambda *_: 0.0, lambda *_: ..., generates, recurses, raises(SystemExit), ..., 3.0, None):
            rebuild(name, answer, None, tweets(2))
            printed = capsys.readouterr().out
            assert printed.startswith(("✗", "○")) and len(printed.splitlines()) == 1


def test_a_right_function_is_measured_and_taken_out_again(model, capsys):
    before = {name: place_of(name) for name in PLACES}
    for name in ("interweave.row_weights", "interweave.column_weights"):
        rebuild(name, EXERCISES[name].right, model, tweets(4))
        printed = capsys.readouterr().out
        assert printed.startswith("✓ Right") and "✗" not in printed and printed.count("with yours") >= 2
    assert {name: place_of(name) for name in PLACES} == before


def test_a_function_that_stops_in_the_model_says_so_and_is_taken_out(model, capsys):
    ours, small = interweave.row_weights, max(len(m) for m, _, _ in EXERCISES["interweave.row_weights"].cases)
    before = model.predict(tweets(8))

    def only_small(m, w, mask):
        assert len(m) <= small, "too large"
        return ours(m, w, mask)

    rebuild("interweave.row_weights", only_small, model, tweets(8))
    assert "stopped in the trained model" in (printed := capsys.readouterr().out) and "too large" in printed
    assert interweave.row_weights is ours and model.predict(tweets(8)) == before
    rebuild("interweave.row_weights", lambda m, w, mask: ours(m, w, mask).tolist(), model, tweets(8))
    assert "stopped in the trained model" in capsys.readouterr().out and interweave.row_weights is ours
    for name in PLACES:
        kept = place_of(name)
        with pytest.raises(KeyboardInterrupt), replaced(name, lambda *_: 0):
            assert place_of(name) is not kept
            raise KeyboardInterrupt
        assert place_of(name) is kept


def test_a_model_or_posts_that_a_function_cannot_be_tried_on(model, capsys):
    rebuild("interweave.row_weights", interweave.row_weights, tiny_model(mgi=False), tweets(4))
    assert "no such part" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="no part of the model"):
        rebuild("interweave.walk", lambda: 7, model, tweets(4))
    for posts in ((), [tweet.__class__(tweet.id, tweet.words) for tweet in tweets(2)]):
        with pytest.raises(ConfigError, match="posts with tags"):
            rebuild("interweave.row_weights", interweave.row_weights, model, posts)


# --- what a lesson opens


@pytest.fixture
def runs(tmp_path, model, monkeypatch):
    for name in ("MGIPS_RUN", "MGIPS_PRESET", "MGIPS_DATA", "MGIPS_CORPUS"):
        monkeypatch.delenv(name, raising=False)
    model.save_pretrained(tmp_path / "full")
    tiny_model(images=False).save_pretrained(tmp_path / "text")
    return tmp_path


def opened(monkeypatch, *named):
    monkeypatch.setenv("MGIPS_RUN", ":".join(map(str, named)))
    monkeypatch.setattr("os.pathsep", ":")
    return Opened(lesson_of("04"))


def test_two_runs_in_either_order(runs, monkeypatch):
    for order in (("full", "text"), ("text", "full")):
        lesson = opened(monkeypatch, *(runs / name for name in order), "")
        assert lesson.own and lesson.tiny and len(lesson.runs) == 2
        assert lesson.model.config.images and not lesson.text.config.images
        assert lesson.model is lesson.model
    one = opened(monkeypatch, runs / "text")
    with pytest.raises(RunError, match="reads the text alone, and this lesson is about pictures"):
        one.model  # noqa: B018
    assert not one.text.config.images
    shipped = opened(monkeypatch, "tiny-full")
    assert shipped.model.config.images


@pytest.mark.parametrize("missing", ["/no/such/run", "no/such/run", "tiny-ful", "~/no-such-run", "a file"])
def test_a_missing_run_gives_one_sentence(runs, monkeypatch, missing):
    (runs / "a file").write_text("")
    named = runs / missing if missing == "a file" else missing
    for order in ((named,), (runs / "full", named), (named, runs / "full")):
        with pytest.raises(RunError) as error:
            opened(monkeypatch, *order)
        says = str(error.value)
        assert "MGIPS_RUN" in says and "\n" not in says and len(says) < 400 and "hub" not in says


def test_a_missing_run_is_told_before_anything_is_shown(runs, monkeypatch, capsys):
    monkeypatch.setenv("MGIPS_RUN", "/no/such/run")
    for lesson in CONTENTS:
        with pytest.raises(RunError, match="no folder"):
            start(lesson.name)
    assert capsys.readouterr().out == ""


def saved_posts(folder, count=40, **changed):
    """A corpus on disk, a split three times."""
    posts = [
        dataclasses.replace(post, **changed)
        for post in mgips.load_corpus(f"tinytweets:train={count},dev=1,test=1").train
    ]
    mgips.save_corpus(Corpus("own", tuple(posts), tuple(posts), tuple(posts)), folder)
    return folder


def test_posts_that_a_lesson_cannot_work_with_are_said_in_one_sentence(runs, monkeypatch, capsys):
    def says(name, **env):
        for variable, value in env.items():
            monkeypatch.setenv(variable, str(value))
        with pytest.raises(MGIPSError) as error:
            start(name)
        assert "\n" not in str(error.value)
        return str(error.value)

    few, bare = saved_posts(runs / "few", 12), saved_posts(runs / "bare", image=None, crops=())
    assert "has 12 test posts, and a lesson needs 30" in says("06", MGIPS_CORPUS=few)
    assert "have no pictures" in says("06", MGIPS_CORPUS=bare)
    text = mgips.load("tiny-text")
    text.save_pretrained(runs / "words")
    assert "reads the text alone" in says("10", MGIPS_CORPUS=saved_posts(runs / "posts"), MGIPS_RUN=runs / "words")
    renamed = [
        tuple(tag.replace("PER", "CAFE") for tag in post.tags)
        for post in mgips.load_corpus("tinytweets:train=40,dev=1,test=1").train
    ]
    posts = [
        dataclasses.replace(post, tags=tags)
        for post, tags in zip(mgips.load_corpus("tinytweets:train=40,dev=1,test=1").train, renamed, strict=True)
    ]
    mgips.save_corpus(Corpus("cafes", tuple(posts), tuple(posts), tuple(posts)), runs / "cafes")
    assert "knows no CAFE" in says("04", MGIPS_CORPUS=runs / "cafes", MGIPS_RUN="tiny-full")
    start("12")  # it reads committed results, whatever the posts are
    capsys.readouterr()


def test_a_function_may_write_into_what_it_gets(capsys):
    def mine(relevance, k):
        chosen = torch.zeros_like(relevance, dtype=torch.bool)
        for _ in range(k):
            best = relevance.argmax(1)
            chosen[range(len(best)), best] = True
            relevance[range(len(best)), best] = -2
        return chosen

    rebuild(
        "pair_mining.mine", mine, mgips.load("tiny-full"), mgips.load_corpus("tinytweets:train=1,dev=1,test=40").test
    )
    assert "✗" not in capsys.readouterr().out

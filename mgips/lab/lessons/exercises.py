"""Exercises that are checked: an answer is right, wrong in a way that has a name, or not there yet.

A lesson's module has `EXERCISES`, by name. What is asked is a value or a function; the check works the right answer
out from the same numbers, and does the same for each typical mistake, so that a mistake is told by what it is.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import inspect
import io
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any

import numpy as np
import torch

from mgips.errors import ConfigError
from mgips.lab.lessons.contents import CONTENTS, lesson_of

MARKS = {True: "✓", False: "✗", None: "○"}
"""Right, wrong, not yet answered."""


@dataclass(frozen=True)
class Exercise:
    """What is asked, and how it goes wrong."""

    right: Callable[..., Any]
    """Gives the right answer from the numbers of the exercise."""
    mistakes: Mapping[str, Callable[..., Any]]
    """A sentence that says what went wrong, and what gives such an answer from the same numbers."""
    cases: Sequence[tuple[Any, ...]] = ((),)
    """Numbers for it. A function is tried on each of them; a value comes with its own, and these serve the tests."""
    praise: str = ""
    """What a right answer shows, in one sentence."""
    within: float = 1e-4
    """How far a number may be off."""

    def __post_init__(self) -> None:
        if not self.mistakes:
            raise ConfigError("An exercise names at least one typical mistake.")


@dataclass(frozen=True)
class Verdict:
    """What a check says."""

    right: bool | None
    """None where nothing was answered."""
    says: str

    def __str__(self) -> str:
        return f"{MARKS[self.right]} {self.says}"


def exercises() -> dict[str, Exercise]:
    """All exercises of the course: "crf.forward" and so on."""
    found = {}
    for lesson in CONTENTS:
        module = importlib.import_module(f"mgips.lab.lessons.{lesson.topic}")
        found |= {f"{lesson.topic}.{name}": each for name, each in module.EXERCISES.items()}
    return found


def exercise_of(name: str) -> Exercise:
    """An exercise by lesson and name: "crf.forward", or "05.forward".

    Raises:
        ConfigError: there is none.
    """
    place, _, short = name.partition(".")
    known = importlib.import_module(f"mgips.lab.lessons.{lesson_of(place).topic}").EXERCISES
    if short not in known:
        raise ConfigError(f"There is no exercise {name!r}; this lesson has {', '.join(known)}.")
    return known[short]


def check(name: str, answer: Any, *given: Any) -> None:
    """Print whether an answer is right; if not, what is wrong with it.

    Args:
        name: the exercise, for example "interweave.row_weights".
        answer: a value, or a function, which is called with several inputs. `...` is no answer yet.
        given: what the answer was worked out from, in the order that the exercise names.
    """
    print(judge(exercise_of(name), answer, *given))


def judge(exercise: Exercise, answer: Any, *given: Any) -> Verdict:
    """What `check` prints. Whatever the answer is, this is a verdict; only the reader's own Ctrl-C gets through."""
    try:
        return _judge(exercise, answer, given)
    except Exception as error:  # an answer may do anything when it is looked at
        return Verdict(False, f"This answer cannot be read: {told(error)}")


def _judge(exercise: Exercise, answer: Any, given: tuple[Any, ...]) -> Verdict:
    if inspect.isroutine(answer) or (callable(answer) and not given and len(exercise.cases) > 1):
        return _judge_function(exercise, answer)
    if _blank(answer):
        return Verdict(None, "Not yet answered.")
    if not given and _needs_numbers(exercise.right):
        return Verdict(
            False,
            f"{_shown(answer)} cannot be checked alone: hand over a function without calling it, or a value and the "
            "numbers that it was worked out from.",
        )
    try:
        expected = exercise.right(*_copied(given))
    except Exception as error:
        return Verdict(None, f"This cannot be checked with the numbers behind the answer: {told(error)}")
    says = _difference(answer, expected, exercise.within)
    if says is None:
        return _right(exercise)
    return Verdict(False, _mistake(exercise, [(answer, given)]) or says)


def _needs_numbers(function: Callable[..., Any]) -> bool:
    """Whether it cannot be called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return True
    except ValueError:  # a builtin that does not say
        return False
    return False


def _judge_function(exercise: Exercise, function: Callable[..., Any]) -> Verdict:
    """The same of a function: a mistake is what agrees with it on every case."""
    answers = []
    printed = io.StringIO()
    for case in exercise.cases:
        try:
            with contextlib.redirect_stdout(printed):
                answers.append(_kept(function(*_copied(case))))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # the reader's own code: whatever it raises is said
            return Verdict(False, f"Your function stopped{_line(function, error.__traceback__)}: {told(error)}")
    if all(map(_blank, answers)):
        if printed.getvalue():
            return Verdict(False, "Your function returns nothing; does it print in place of return?")
        return Verdict(None, "Not yet answered.")
    pairs = list(zip(answers, exercise.cases, strict=True))
    says = [_difference(given, exercise.right(*_copied(case)), exercise.within) for given, case in pairs]
    if not any(says):
        return _right(exercise)
    return Verdict(False, _mistake(exercise, pairs) or next(filter(None, says)))


def _mistake(exercise: Exercise, pairs: Sequence[tuple[Any, tuple[Any, ...]]]) -> str | None:
    """The sentence of the first mistake that gives all of these answers from their numbers; None where none does."""
    for mistake, wrong in exercise.mistakes.items():
        try:
            # Closer than a right answer has to be: a guess that is allowed to be rough makes no rough mistakes.
            within = min(exercise.within, 1e-3)
            if not any(_difference(given, wrong(*_copied(case)), within) for given, case in pairs):
                return mistake
        except Exception:  # a mistake that these numbers do not allow
            continue
    return None


def _line(function: Callable[..., Any], trace: TracebackType | None) -> str:
    """Where in a function an error came from; "" where it cannot be said."""
    code = getattr(function, "__code__", None)
    while trace is not None:
        if trace.tb_frame.f_code is code:
            return f" in line {trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno + 1} of it"
        trace = trace.tb_next
    return ""


def _right(exercise: Exercise) -> Verdict:
    return Verdict(True, f"Right. {exercise.praise}".strip())


def _blank(answer: Any, depth: int = 20) -> bool:
    """Whether an answer still has its blank."""
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        answer = answer.flatten().tolist()
    if isinstance(answer, dict):
        answer = list(answer.values())
    if isinstance(answer, (list, tuple)):
        return depth > 0 and any(_blank(each, depth - 1) for each in answer)
    return answer is None or answer is ...


def _copied(case: tuple[Any, ...]) -> tuple[Any, ...]:
    """A case that a function may write into."""
    return tuple(map(_copy, case))


def _copy(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.clone()
    if isinstance(x, (np.ndarray, list, tuple, dict, set)):
        try:
            return copy.deepcopy(x)
        except Exception:  # tensors inside a graph cannot be copied deeply
            return x
    return x


def _kept(answer: Any) -> Any:
    """A function's answer as it is now: it may go on writing into what it has returned."""
    if inspect.iscoroutine(answer):
        answer.close()
    return _copy(answer)


def told(error: BaseException) -> str:
    """An error in one short line."""
    try:
        says = " ".join(str(error).split())
    except Exception:
        says = ""
    says = says.encode("utf-8", "backslashreplace").decode()
    says = says if len(says) <= 200 else f"{says[:199]}…"
    return f"{type(error).__name__}: {says}" if says else type(error).__name__


def _shown(answer: Any) -> str:
    """An answer in a few characters, or its type where it cannot be written."""
    if inspect.isgenerator(answer) or inspect.iscoroutine(answer):
        return f"a {type(answer).__name__}"
    if isinstance(answer, (torch.Tensor, np.ndarray)) and answer.size != () and np.prod(tuple(answer.shape)) > 6:
        return f"a table of shape {tuple(answer.shape)}"
    try:
        short = reprlib.Repr()
        short.maxother = short.maxstring = short.maxlong = 60
        says = " ".join(short.repr(answer).split())
    except Exception:
        return f"a {type(answer).__name__}"
    says = says.encode("utf-8", "backslashreplace").decode()
    return says if len(says) <= 120 else f"{says[:119]}…"


def _difference(answer: Any, right: Any, within: float) -> str | None:
    """What an answer has that the right one has not, in a sentence; None where they agree."""
    no = f"{_shown(answer)} is not it."
    try:
        return _compared(answer, right, within, no)
    except (Exception, RecursionError):  # it does not compare with the right one
        return no


def _compared(answer: Any, right: Any, within: float, no: str) -> str | None:
    if isinstance(right, (bool, np.bool_)):
        read = _numbers(answer)
        same = _text(answer) == _text(right)
        if read is not None and not isinstance(answer, (int, float)):
            same = not read.dim() and _is_bool(answer) and bool(read) == bool(right)
        return None if same else no
    if isinstance(right, str) or right is None:
        return None if isinstance(answer, str) == isinstance(right, str) and _text(answer) == _text(right) else no
    if isinstance(right, (set, frozenset)):
        return None if _members(answer) == _members(right) else "These are not all, or too many."
    if isinstance(right, dict):
        if not isinstance(answer, dict) or {*map(_text, answer)} != {*map(_text, right)}:
            return no
        theirs = {_text(key): value for key, value in answer.items()}
        differs = (_difference(theirs[_text(key)], value, within) for key, value in right.items())
        return next(filter(None, differs), None)
    if inspect.isgenerator(answer) or inspect.iscoroutine(answer):
        return f"This is {_shown(answer)}; give the numbers themselves."
    expected = _numbers(right)
    if expected is None:  # texts, or parts of several kinds
        if not isinstance(right, (list, tuple)):
            return None if type(answer) is type(right) and _text(answer) == _text(right) else no
        answer = answer.tolist() if isinstance(answer, (np.ndarray, torch.Tensor)) else answer
        if not isinstance(answer, (list, tuple)) or len(answer) != len(right):
            return no
        if all(isinstance(each, str) for each in right):
            return None if all(_difference(a, b, within) is None for a, b in zip(answer, right, strict=True)) else no
        for number, given, wanted in zip(count(1), answer, right, strict=False):
            if says := _difference(given, wanted, within):
                return f"Part {number} of {len(right)}: {says}"
        return None
    answered = _numbers(float(answer) if isinstance(answer, str) else answer)
    if answered is None:
        return no
    return _numbers_differ(answered, expected, max(within, _coarse(answer, expected)))


def _numbers_differ(answered: torch.Tensor, expected: torch.Tensor, within: float) -> str | None:
    if answered.shape != expected.shape:
        flat = answered.numel() == expected.numel() and torch.allclose(
            answered.flatten(), expected.flatten(), atol=within, rtol=0, equal_nan=True
        )
        numbers = "The numbers are right, the shape is not" if flat else "The shape is not right"
        wanted = tuple(expected.shape) or "a single number"
        return f"{numbers}: it is {tuple(answered.shape) or 'a single number'}, and {wanted} is asked for."
    if (answered.isnan() & ~expected.isnan()).any():
        return "There are numbers that are no numbers (NaN) in it: is something divided by 0, or a log of 0?"
    same = (answered == expected) | (answered.isnan() & expected.isnan())  # equal infinities are equal
    off = torch.where(same, 0.0, (answered - expected).abs()).nan_to_num(torch.inf, torch.inf)
    if not off.numel() or off.max() <= within:
        return None
    if not off.dim():
        given, wanted = float(answered), float(expected)
        for factor, says in ((100, "That is in per cent; a share is asked for."), (0.01, "That is a share; per cent is asked for.")):  # fmt: skip
            if wanted and abs(given - factor * wanted) <= 0.01 * abs(factor * wanted):
                return says
        if abs(given - wanted) <= 0.002 * abs(wanted):
            return f"{given:.6g} is nearly it; give it unrounded."
        side = "high" if answered > expected else "low"
        return f"{float(answered):.4g} is too {side}." if not expected.isnan() else f"{float(answered):.4g} is not it."
    place = tuple(int(i) for i in np.unravel_index(int(off.argmax()), off.shape))
    wrong = int((off > within).sum())
    return f"{wrong} of {off.numel()} numbers are off, most of all at {list(place)}: there you have {float(answered[place]):.4g}."


def _numbers(x: Any) -> torch.Tensor | None:
    """Numbers of any kind, in tables or lists of lists, as float64; None where it is something else."""
    try:
        table = np.asarray(_plain(x))
        if table.dtype.kind == "c" and not np.imag(table).any():
            table = np.real(table)
        if table.dtype.kind not in "biufO":
            return None
        if table.dtype.kind == "O" and any(isinstance(each, (str, bytes)) for each in table.flat):
            return None
        return torch.from_numpy(np.array(table, dtype=np.float64))
    except (TypeError, ValueError, OverflowError, RuntimeError, NotImplementedError, RecursionError):
        return None


def _plain(x: Any) -> Any:
    """Tensors as arrays, in lists too; what a masked array hides is no number."""
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu()
        x = x.dequantize() if x.is_quantized else x.to_dense() if x.layout != torch.strided else x
        return (x.float() if x.dtype == torch.bfloat16 else x.resolve_conj().resolve_neg()).numpy()
    if isinstance(x, np.ma.MaskedArray):
        return np.ma.filled(x.astype(np.float64), np.nan)
    return [_plain(each) for each in x] if isinstance(x, (list, tuple)) else x


def _coarse(answer: Any, expected: torch.Tensor) -> float:
    """How far an answer in half precision is off although nothing is wrong with it."""
    kind = answer.dtype if isinstance(answer, torch.Tensor) else torch.float16 if getattr(answer, "dtype", None) == np.float16 else None  # fmt: skip
    if kind not in (torch.float16, torch.bfloat16) or not expected.numel():
        return 0.0
    finite = expected[expected.isfinite()]
    return float(torch.finfo(kind).eps * finite.abs().max()) if finite.numel() else 0.0


def _is_bool(x: Any) -> bool:
    return getattr(x, "dtype", None) in (torch.bool, np.dtype(bool))


def _text(x: Any) -> str:
    """A text without what makes no difference: capitals, spaces around it, and the marks of formulas."""
    return str(x).strip().lower().translate({ord(mark): None for mark in "$_{}"})


def _members(x: Any) -> set[Any] | None:
    """What a set, list or table of single things holds; None where it is something else."""
    if isinstance(x, (torch.Tensor, np.ndarray)):
        x = np.atleast_1d(_plain(x)).flatten().tolist()
    if not isinstance(x, (set, frozenset, list, tuple, range)):
        return None
    plain = (_plain(each) for each in x)
    return {_text(each) if isinstance(each, str) else each.item() if isinstance(each, (np.ndarray, np.generic)) else each for each in plain}  # fmt: skip

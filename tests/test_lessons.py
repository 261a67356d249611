"""The course: its form, its exercises filled in rightly and wrongly, and prose that cannot drift from its numbers."""

import ast
import contextlib
import copy
import io
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from mgips.errors import ConfigError
from mgips.lab.lessons import facts
from mgips.lab.lessons.contents import CONTENTS, PARTS, STAGES, lesson_of
from mgips.lab.lessons.exercises import Exercise, exercise_of, exercises, judge
from mgips.lab.lessons.rebuild import PLACES

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "notebooks"
DATA = ROOT / "figures" / "data"
LESSONS = {lesson.name: lesson for lesson in CONTENTS}
ASKS = re.compile(r"lessons\.(?:check|rebuild)\(\s*\"([\w.]+)\"")
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>\s*```python\n(.*?)```", re.S)


@pytest.fixture(params=LESSONS, scope="module")
def lesson(request):
    return nbformat.read(FOLDER / f"{request.param}.ipynb", as_version=4)


def source(cells, kind):
    return [cell.source for cell in cells if cell.cell_type == kind]


def asked(cells):
    """The exercises of a notebook: the cell's number, and what it is called."""
    return [(i, name) for i, cell in enumerate(cells) if cell.cell_type == "code" for name in ASKS.findall(cell.source)]


def filled(cells, number):
    """An exercise's cell with its solution in the place of all but the check."""
    solution = next(
        (SOLUTION.search(cell.source) for cell in cells[number + 1 : number + 3] if cell.cell_type == "markdown"), None
    )
    assert solution, f"cell {number} has no folded solution behind it"
    tree = ast.parse(cells[number].source)
    checks = [ast.unparse(line) for line in tree.body if ASKS.search(ast.unparse(line).replace("'", '"'))]
    assert checks and isinstance(tree.body[-1], ast.Expr), f"cell {number} does not end in its check"
    kept = [ast.unparse(line) for line in tree.body if isinstance(line, (ast.Import, ast.ImportFrom))]
    return "\n".join([*kept, solution[1], *checks])


def names(code):
    """What code makes, and what it takes from elsewhere."""
    tree = ast.parse(code)
    made = {alias.asname or alias.name.split(".")[0] for line in ast.walk(tree)
            if isinstance(line, (ast.Import, ast.ImportFrom)) for alias in line.names}  # fmt: skip
    made |= {x.name for x in ast.walk(tree) if isinstance(x, (ast.FunctionDef, ast.ClassDef))}
    made |= {x.id for x in ast.walk(tree) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Store)}
    inside = {
        x.id
        for loop in ast.walk(tree)
        if isinstance(loop, ast.comprehension)
        for x in ast.walk(loop.target)
        if isinstance(x, ast.Name)
    }
    return made, {x.id for x in ast.walk(tree) if isinstance(x, ast.Name) and isinstance(x.ctx, ast.Load)} - inside


def needed(cells, number, code):
    """The code cells before an exercise that its solution needs, in order."""
    wanted, taken = names(code)[1], []
    for cell in reversed(cells[:number]):
        if cell.cell_type != "code" or ASKS.search(cell.source):
            continue
        made, takes = names(cell.source)
        if made & wanted:
            taken.append(cell.source)
            wanted |= takes
    return list(reversed(taken))


def executed(parts, monkeypatch):
    """What code prints, run from the notebooks' folder."""
    monkeypatch.chdir(FOLDER)
    said, space = io.StringIO(), {"__name__": "lesson"}
    for part in parts:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(part, "<cell>", "exec"), space)
    return said.getvalue()


def test_the_contents_are_the_notebooks():
    assert sorted(LESSONS) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    assert [lesson.name[:2] for lesson in CONTENTS] == [f"{i:02d}" for i in range(len(CONTENTS))]
    assert [part for part in PARTS if part not in {lesson.part for lesson in CONTENTS}] == []
    before = set()
    for lesson in CONTENTS:
        assert set(lesson.stages) <= set(STAGES) and set(lesson.needs) <= before, lesson.name
        before.add(lesson.name)
    assert lesson_of("05") is lesson_of("crf") is lesson_of("05_crf")
    with pytest.raises(ConfigError, match="no lesson '99'"):
        lesson_of("99")


def test_the_form(lesson, request):
    name = request.node.callspec.params["lesson"]
    cells, about = lesson.cells, LESSONS[name]
    first = cells[0].source
    assert first.startswith(f"# {name[:2]} · {about.title}\n"), first[:60]
    assert "guess" in first.lower() and "**You will" in first
    for earlier in about.needs:
        assert f"({earlier}.ipynb)" in first, f"it does not say that it needs {earlier}"
    assert f'lessons.start("{name}")' in cells[1].source
    assert f"about {about.seconds} seconds" in json.dumps(cells[1].outputs, ensure_ascii=False), "run it again"
    assert 12 <= len(cells) <= 25, len(cells)
    code = source(cells, "code")
    assert max(len(c.splitlines()) for c in code) <= 20, "a cell is too long"
    assert max(len(line) for c in code for line in c.splitlines()) <= 100, "a line is too long"
    lines = sum(len(c.splitlines()) for c in code)
    words = sum(len(re.sub(r"```.*?```", "", text, flags=re.S).split()) for text in source(cells, "markdown"))
    assert words / lines >= 8, f"{words} words for {lines} lines of code"
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell.get("outputs", [])) >= 3
    assert len(asked(cells)) >= 3 and not re.search(r"^class |^import matplotlib", "\n".join(code), re.M)


def test_every_exercise_is_asked_and_solved(lesson, monkeypatch):
    for number, name in asked(lesson.cells):
        cell = lesson.cells[number]
        blanks = sum(isinstance(x, ast.Constant) and x.value is ... for x in ast.walk(ast.parse(cell.source)))
        assert blanks >= len(ASKS.findall(cell.source)), f"{name} has no blank"
        told = "".join(o.get("text", "") for o in cell.outputs)
        assert told.count("○ Not yet answered") == len(ASKS.findall(cell.source)) and not {"✓", "✗"} & set(told), name
        code = filled(lesson.cells, number)
        printed = executed([*needed(lesson.cells, number, code), code], monkeypatch)
        assert "✓" in printed and "✗" not in printed and "○" not in printed, f"{name}: {printed}"


def test_no_cell_uses_an_answer(lesson):
    """A notebook with its blanks runs to its end."""
    answers: set[str] = set()
    for number, cell in enumerate(lesson.cells):
        if cell.cell_type != "code":
            continue
        here: set[str] = set()  # what this cell has made so far
        for line in ast.parse(cell.source).body:
            made, takes = names(ast.unparse(line))
            takes |= (
                {line.target.id} if isinstance(line, ast.AugAssign) and isinstance(line.target, ast.Name) else set()
            )
            assert not (takes - here) & answers, f"cell {number} uses {takes & answers}"
            here |= made
        answers = answers | here if ASKS.search(cell.source) else answers - here


def test_numbers_in_prose_come_from_somewhere(lesson):
    for number, cell in enumerate(lesson.cells):
        if cell.cell_type == "markdown":
            assert facts.wrong(cell.source, DATA) == []
            assert facts.loose(cell.source) == [], f"cell {number}: say them with lessons.say, or tag them as facts"
        elif "lessons.say(" in cell.source or re.search(r"\bsay\(", cell.source):
            assert cell.source.startswith("# NBVAL_CHECK_OUTPUT"), f"cell {number} says numbers that nothing checks"


def test_a_changed_number_is_seen():
    text = 'Text only reaches {}<!-- fact: f1("table3", "text") --> and the full model {}<!-- fact: gain("table3", "text") -->.'
    right = facts.f1("table3", "text", folder=DATA), facts.gain("table3", "text", folder=DATA)
    assert facts.wrong(text.format(f"{right[0]:.1f}", f"{right[1]:+.1f}"), DATA) == []
    assert len(facts.wrong(text.format(f"{right[0] + 0.1:.1f}", f"{right[1]:+.1f}"), DATA)) == 1
    assert len(facts.wrong(text.format(f"{right[0]:.1f}", f"{right[1] - 1:+.1f}"), DATA)) == 1
    assert facts.loose("F1 rises by 3 points to 85.0, or 12 %, 12 per cent; p = .03.") == [
        "3 points",
        "85.0",
        "12 %",
        "12 per cent",
        "= .03",
    ]
    for broken in (
        '85 <!-- fact: f1("table3", "text") -->',
        '85<!--fact: f1("table3", "text") -->',
        "85.0<!-- facts: x -->",
    ):
        assert facts.wrong(broken, DATA), broken
    assert facts.wrong('85.0<!-- fact: 0*f1("table3", "text")+85.0 -->', DATA)
    assert facts.loose("§3.2, eq. 5, `0.25`, $0.5$, [a](b-1.5.md), Table 3, 12 words, in 2017, lesson 04.") == []


def test_links_to_lessons_and_glossary_lead_somewhere(lesson):
    text = (FOLDER / "glossary.md").read_text(encoding="utf-8")
    heads = [
        re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in re.findall(r"^#+ (.*)", text, re.M)
    ]
    assert len(heads) == len(set(heads))
    for cell in [*lesson.cells, nbformat.from_dict({"cell_type": "markdown", "source": text})]:
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            place, _, anchor = target.partition("#")
            if place and not target.startswith("https://"):
                assert (FOLDER / place).exists(), target
                ignored = subprocess.run(["git", "check-ignore", "-q", place], cwd=FOLDER, check=False)
                assert ignored.returncode, f"{target} is here, but git ignores it: a fresh checkout lacks it"
            assert place != "glossary.md" or not anchor or anchor in heads, target


EXERCISES = exercises()


def test_every_exercise_stands_in_one_lesson():
    seen = [name for each in LESSONS for _, name in asked(nbformat.read(FOLDER / f"{each}.ipynb", as_version=4).cells)]
    assert sorted(seen) == sorted(EXERCISES)
    assert set(PLACES) <= set(seen)


@pytest.mark.parametrize("name", EXERCISES)
def test_each_mistake_has_its_own_diagnosis(name):
    exercise = EXERCISES[name]
    assert len(exercise.mistakes) >= 2
    told = [judge(exercise, answer(exercise, exercise.right), *given(exercise))]
    assert told[0].right, told[0]
    for mistake, wrong in exercise.mistakes.items():
        verdict = judge(exercise, answer(exercise, wrong), *given(exercise))
        assert verdict.right is False and verdict.says == mistake, f"{mistake!r} is told as {verdict}"
    assert judge(exercise, ..., *given(exercise)).right is None


def is_function(exercise):
    """An exercise whose answer is a function is tried on several cases; one whose answer is a value has one."""
    return len(exercise.cases) > 1


def given(exercise):
    return () if is_function(exercise) else exercise.cases[0]


def answer(exercise, gives):
    return (lambda *case: gives(*case)) if is_function(exercise) else gives(*exercise.cases[0])


def test_a_blank_and_a_broken_answer():
    double = Exercise(lambda x: 2 * x, {"That is half.": lambda x: x / 2}, ((3.0,), (4.0,)))
    assert judge(double, lambda x: 2 * x).right and judge(double, lambda x: x / 2).says == "That is half."
    assert judge(double, lambda x: ...).right is None and judge(double, lambda x: None).right is None
    assert judge(double, lambda x: x / 0).says == (
        "Your function stopped in line 1 of it: ZeroDivisionError: float division by zero"
    )
    assert "too high" in judge(double, lambda x: 3 * x).says
    with pytest.raises(ConfigError, match="no exercise 'crf.nothing'"):
        exercise_of("crf.nothing")


def test_each_fault_of_form_is_seen():
    book = {"cells": [{"cell_type": "code", "source": "x = ...\nlessons.check(\"crf.forward\", x)", "outputs": []},
                      {"cell_type": "markdown", "source": "<details>\n<summary>Solution</summary>\n\n```python\nx = 1\n```\n\n</details>"}]}  # fmt: skip
    cells = nbformat.from_dict(copy.deepcopy(book))["cells"]
    assert filled(cells, 0) == "x = 1\n\nlessons.check('crf.forward', x)"
    cells[1].source = "no solution"
    with pytest.raises(AssertionError, match="no folded solution"):
        filled(cells, 0)
    assert json.dumps(book)

"""The set-up and the front door: one list of dependencies, one version of each tool; what the pages say is there and true."""

import ast
import json
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement

import mgips
from mgips.data.tinytweets.truth import oracle
from mgips.lab.cases import RULES, load_answers, tally
from mgips.lab.demo import DayRead, Demo
from mgips.lab.figures.dials import BORROWED, NOISE, PARTS_DIALS, READS_DIALS, STORIES, dial_gains, point
from mgips.lab.figures.grids import compare, inflation
from mgips.lab.figures.probe import average
from mgips.lab.figures.reading import ceilings, paired, pool_counts, pool_differences, settled, what_was_read
from mgips.lab.paper.tables import TABLE2
from mgips.lab.pools import POOLS
from mgips.lab.precision import MiningPrecision
from mgips.lab.results import load_results, missing
from mgips.lab.stats import corrected, counts_f1, p_value, paired_bootstrap, t_difference
from mgips.lab.weights import cards

ROOT = Path(__file__).parent.parent
DATA = ROOT / "figures/data"
TWITTER = ("twitter2015", "twitter2017")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINNED = dict(line.split("==") for line in LINES if line and not line.startswith("#"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    return normal(re.match(r"[\w.-]+", requirement)[0])


def test_environment_yml_points_at_pyproject_and_lists_nothing_again():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert [d for d in environment["dependencies"] if isinstance(d, str)] == ["python=3.12", "pip"]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["-c constraints.txt", "-e .[lab]"]
    assert {"lab", "dev"} <= EXTRAS.keys()
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["image"] == "python:3.12" and container["forwardPorts"] == [8888]
    assert container["postCreateCommand"] == "make .venv/.installed"


def test_the_workflow_runs_what_has_to_pass():
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    assert workflow[True].keys() >= {"push", "pull_request", "schedule"}  # YAML reads the key "on" as true
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.13"] and job["timeout-minutes"]
    pinned, newest = (step for step in job["steps"] if "run" in step)
    assert (pinned["if"], pinned["run"]) == ("github.event_name != 'schedule'", ".ci/run")
    assert (newest["if"], newest["run"]) == ("github.event_name == 'schedule'", "CONSTRAINTS= .ci/run")
    makefile = (ROOT / "Makefile").read_text()
    assert "CONSTRAINTS ?= -c constraints.txt" in makefile and "pip install --quiet" in makefile
    assert re.search(r"pip install .*\$\(CONSTRAINTS\)", makefile)


def test_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / ".github/CHANGELOG.md").read_text()
    assert citation["version"] == re.search(r"^## (.+)$", changelog, re.M)[1] == mgips.__version__
    assert citation["cff-version"] == "1.2.0" and citation["references"][0]["title"].startswith("MGIPS-CL")


def test_constraints_pin_every_dependency_within_its_bounds():
    pinned = {normal(name): version for name, version in PINNED.items()}
    wanted = [*PROJECT["project"]["dependencies"], *EXTRAS["lab"], *(r for r in EXTRAS["dev"] if named(r) != "mgips")]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[normal(requirement.name)]), requirement
    assert pinned["torch"] == "2.13.0"


def test_no_dependency_is_listed_twice():
    names = [named(r) for r in (*PROJECT["project"]["dependencies"], *(r for extra in EXTRAS.values() for r in extra))]
    assert len(names) == len(set(names))


def test_one_version_of_ruff():
    hook = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]
    assert hook["rev"] == f"v{PINNED['ruff']}" and f"ruff=={PINNED['ruff']}" in EXTRAS["dev"]


def test_what_is_imported_is_declared():
    """Every third-party module that the method imports comes with `mgips`, and every other one with `mgips[lab]`."""
    homes = {
        "PIL": "pillow",
        "torchcrf": "pytorch-crf",
        "sklearn": "scikit-learn",
        "faiss": "faiss-cpu",
        "IPython": "ipywidgets",
    }
    homes |= {"mpl_toolkits": "matplotlib", "cycler": "matplotlib", "markupsafe": "jinja2"}
    method = {named(r) for r in PROJECT["project"]["dependencies"]}
    method |= {named(r) for extra in ("tracking", "hub", "crops", "onnx", "scale", "faiss") for r in EXTRAS[extra]}
    lab = method | {named(r) for r in EXTRAS["lab"]}
    for path in (ROOT / "mgips").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            for module in modules:
                top = module.split(".")[0]
                if top not in sys.stdlib_module_names and top != "mgips":
                    assert normal(homes.get(top, top)) in (lab if "lab" in path.parts else method), f"{path}: {module}"


def test_the_tree_names_no_machine_and_no_registry():
    try:
        listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, text=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    path = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/[\w.-]+|--index-url|--extra-index")
    for name in listed.splitlines():
        if (
            name.endswith((".png", ".svg", ".webp", ".safetensors"))
            or name == "tests/test_project.py"
            or not (ROOT / name).exists()
        ):
            continue
        found = path.search((ROOT / name).read_text(encoding="utf-8"))
        assert not found, f"{name}: {found and found[0]}"


PAGES = [ROOT / "README.md", ROOT / "figures/README.md", *sorted((ROOT / ".github").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_pictures_and_names_on_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for picture, label, target in re.findall(r"(!?)\[([^\]]*)\]\(([^)#]+)\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
        assert not picture or len(label) > 40, f"{target} has no alternative text"
    # the changelog's left column names what is gone
    current = re.sub(r"^\|[^|]*`mgips\.[^|]*\|", "|", text, flags=re.M)
    names = set(re.findall(r"\bmgips(?:\.[A-Za-z_]\w*)+", current))
    for module, imported in re.findall(r"from (mgips[\w.]*) import ([\w, ]+)", text):
        names |= {f"{module}.{name}" for name in imported.split(", ")}
    for name in names:
        pkgutil.resolve_name(name)  # an AttributeError names what is missing


def test_the_readme_is_short_and_its_tree_is_the_tree():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    tree, folder = text.split("## The tree")[1].split("```")[1], ""
    for indent, name in re.findall(r"^( *)(\S+)", tree, re.M):
        folder = folder if indent else name
        assert (ROOT / folder / name if indent else ROOT / name).exists(), name
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"[{notebook.stem}](notebooks/{notebook.name})" in text


def test_the_readme_shows_what_the_demo_prints():
    """The demo's two runs are those of seed 0 in the grids, and the card of tiny-full, which is one of them rounded, has
    of their mining what the grid has not; the model that reads is the one with a card."""
    results, probe = load_results("table3", folder=DATA), load_results("probe", folder=DATA)
    full, f1 = results["full"][0], {c["name"]: c["f1"]["value"] for c in probe["full"][0].record["probe"]["conditions"]}
    corpus, paper, reader = mgips.load_corpus("tinytweets"), cards()["tiny-full"], cards()["tiny-reads"]
    assert paper["before_rounding"]["test"] == full.f1
    ceilings, mining = oracle(corpus.test), MiningPrecision(**{**paper["scores"]["mining"], **full.record["mining"]})
    k, text, reading = full.record["model"]["k"], results["text"][0].f1, reader["scores"]["reading"]
    mined, day = MiningPrecision(**reader["scores"]["mining"]), reading["day"]
    read = DayRead(reader["posts"]["train"], reading["none"]["f1"], day["f1"], day["pictures"], mined)
    trained_on = len(corpus.train)
    shown = Demo(0, ceilings, text, full.f1, f1["blank"], f1["shuffled"], mining, k, 63, trained_on, read)
    end = "63 seconds. The runs are in runs/demo/text and runs/demo/full."
    assert f"```\n{shown}\n\n{end}\n```" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_results_page_repeats_the_committed_runs():
    """Every row of its tables of measurements, and what the README takes from it, computed anew from figures/data."""

    def mean(runs):
        return 100 * sum(run.f1 for run in runs) / len(runs)

    def gain(first, second):
        return paired_bootstrap([run.counts for run in first], [run.counts for run in second])

    table3, text = load_results("table3", folder=DATA), {c: load_results("table2-text", c, DATA) for c in TWITTER}
    rows = [" / ".join(f"{100 * run.f1:.1f}" for run in table3[row][:3]) for row in ("text", "full")]
    rows += [" / ".join(f"{100 * run.f1:.2f}" for run in results["bert-crf"]) for results in text.values()]
    ablation = compare("table3", folder=DATA)
    for row, d in ablation.items():
        p = "< .001" if d.p < 0.001 else f"{d.p:.3f}"[1:]
        label = table3[row][0].record["label"]
        rows.append(f"{label} | {mean(table3[row]):.1f} | {d} | {100 * d.detectable:.1f} | {p}")
    left = gain(table3["text"], table3["no-mutual"])
    rows.append(f"brings in {left} over")
    corners = [table3["full"], table3["no-mgi"], table3["no-mutual"], load_results("neither", folder=DATA)["neither"]]
    full, no_mgi, no_mutual, neither = ([run.f1 for run in runs] for runs in corners)
    both = t_difference([a - b - c + d for a, b, c, d in zip(full, no_mgi, no_mutual, neither, strict=True)])
    beside, alone = gain(corners[1], corners[0]), gain(corners[3], corners[2])
    rows += [
        f"both F1 is {mean(corners[3]):.1f},",
        f"{alone} without mutual attention, and {beside} beside it",
        f"is {both} (t-",
    ]
    for row, runs in text["twitter2015"].items():
        label = runs[0].record["label"]
        rows.append(label + "".join(f" | {mean(text[c][row]):.2f} | {TABLE2[label].scores[c].f1:.2f}" for c in TWITTER))
    for row, runs in load_results("fig6", folder=DATA).items():
        shares = ("precision", "chance", "others", "others_chance")
        mined = [[run.record["mining"][share] for run in runs] for share in shares]
        rows.append(row[1:] + "".join(f" | {100 * sum(x) / len(x):.1f} %" for x in mined))
    fig8 = load_results("fig8", folder=DATA)
    for share in (10, 20, 30, 40, 50, 100):
        first, second = fig8[f"text-{share}"], fig8[f"full-{share}"]
        rows.append(f"{share} % | {mean(first):.1f} | {mean(second):.1f} | {gain(first, second)}")
    for c in average([run.record["probe"] for run in load_results("probe", folder=DATA)["full"]])["conditions"][1:]:
        d = {end: 100 * c["difference"][end] for end in ("difference", "low", "high")}
        change = "{difference:+.1f} [{low:+.1f}, {high:+.1f}]".format(**d)
        rows.append(f"{c['name']} | {100 * c['f1']['value']:.1f} | {change} | {100 * c['flips']['value']:.0f} %")
    leaks, protocol = inflation(folder=DATA), load_results("protocol", folder=DATA)
    rows += [f"{s} % | {leaks[f'leak-{s}, by_dev']} | {leaks[f'leak-{s}, by_test']}" for s in ("7.9", "9.7", "80")]
    for share, posts, end in ((7.9, 24, "for 24 posts"), (9.7, 29, "for 29"), (80, 240, "for 240")):
        leaked = [[run.counts[:posts] for run in protocol[row]] for row in ("clean", f"leak-{share}")]
        rows.append(f"{paired_bootstrap(*leaked)} {end}")
    answers, alone = load_answers(folder=DATA), []
    for rule in RULES[:2]:
        count = tally(rule, answers)
        alone.append((count.like, count.reverse, count.of))
    rows.append("{} are right only with IPS-CL and {} only without it".format(*alone[0]))
    rows.append("{} are right only with MGI and {} only without it".format(*alone[1]))
    runs = [run.record["representation"]["trained"] for run in load_results("fig11", folder=DATA)["full"]]
    purity = [[run[step]["purity"] for run in runs] for step in ("embedding", "mutual attention", "MGI")]
    steps = [t_difference([b - a for a, b in zip(*pair, strict=True)]) for pair in (purity[:2], purity[1:])]
    rows += [f"{100 * sum(purity[0]) / len(runs):.0f} % share its type", "adds {} points; MGI {}.".format(*steps)]
    reads, gains = load_results("reads", folder=DATA), compare("reads", folder=DATA)
    for grid in ("reads", "reads-controls"):
        differences = compare(grid, folder=DATA)
        p = corrected(differences)
        for row, runs in load_results(grid, folder=DATA).items():
            d = differences.get(row)
            compared = f"{d} | {100 * d.detectable:.1f} | {p_value(p[row])}" if d else "reference | |"
            label = runs[0].record["label"]
            rows.append(f"| {label} | {mean(runs):.1f} | {compared} | {' | '.join(what_was_read(runs))} |")
    by_pool = pool_differences(reads["sparsemax"])
    for pool, label in POOLS.items():
        counts = pool_counts(reads["sparsemax"], pool).values()
        f1 = sum(map(counts_f1, counts)) / len(counts)
        rows.append(f"| {label} | {100 * f1:.1f} | {by_pool.get(pool, 'reference')} |")
    own, best = {run.seed: run.counts for run in reads["own"]}, ceilings(reads["own"])
    rows.append(f"the own picture only: {paired(own, pool_counts(reads['sparsemax'], 'train'))}")
    rows.append(
        "own picture is {own_image:.1f}, with the day's pictures {mined:.1f}.".format(
            **{name: 100 * share for name, share in best.items()}
        )
    )
    rows.append("of sparsemax: " + ", ".join(f"{100 * run.f1:.1f}" for run in reads["sparsemax"]))
    captions, words = load_results("captions", "twitter2017", DATA), text["twitter2017"]["bert-crf"]
    read = compare("captions", "twitter2017", DATA)["reads"]
    for row in ("own", "reads"):
        marks = {g: [run.record["visible"][g] for run in captions[row]] for g in ("seen", "unseen")}
        recall = [100 * np.mean([np.sum(c, 0)[0] / np.sum(c, 0)[1] for c in marks[g]]) for g in marks]
        scores = " / ".join(f"{100 * run.f1:.2f}" for run in captions[row])
        compared = "reference |" if row == "own" else f"{read} | {100 * read.detectable:.1f}"
        rows.append(f"| {scores} | {compared} | {recall[0]:.1f} | {recall[1]:.1f} |")
    rows.append(f"is at {mean(words):.2f}: the own caption adds {gain(words, captions['own'])}, own and others' "
                f"{gain(words, captions['reads'])}. The trained model reads {what_was_read(captions['reads'])[0]} captions a post; "
                f"taking the pool away from it changes F1 by {pool_differences(captions['reads'])['none']}.")  # fmt: skip
    done = sum(map(len, captions.values()))
    rows.append(f"in part: {done} of {done + len(missing('captions', 'twitter2017', DATA))} runs")
    by_row = {row: reads[other] for row, other in BORROWED.items()}
    by_row |= {row: runs for row, runs in load_results("reads-dials", folder=DATA).items() if runs}
    stories = dial_gains(by_row, READS_DIALS, STORIES, "own", "reads")
    p = corrected(stories)
    named = {(row.variant, point(row, STORIES)): row.name for row in READS_DIALS}
    for place, d in stories.items():
        without, reading = (by_row[named[variant, place]] for variant in ("own", "reads"))
        possible = ceilings(without)
        room = 100 * (possible["mined"] - possible["own_image"])
        rows.append(f"| {100 * place[0]:.3g} % | {place[1]:g} | {mean(without):.1f} | {mean(reading):.1f} | {d} | {100 * d.detectable:.1f} | "
                    f"{p_value(p[place])} | {room:+.1f} | {len(without)} |")  # fmt: skip
    run = sum(map(len, load_results("reads-dials", folder=DATA).values()))
    left = sum(name.rsplit("-s", 1)[0] not in BORROWED for name in missing("reads-dials", folder=DATA))
    rows.append(f"in part: {run} of {run + left} runs")
    dials = load_results("parts-dials", folder=DATA)
    for label, variant in (("pictures", "text"), ("interweave and its gate", "no-mgi"), ("IPS-CL", "no-ips")):
        found = dial_gains(dials, PARTS_DIALS, NOISE, variant, "full")
        helps = sum(d.verdict == "helps" for d in settled(found).values())
        d = sorted(100 * d.difference for d in found.values())
        detectable = sorted(100 * d.detectable for d in found.values())
        rows.append(
            f"| {label} | {helps or 'none'} | {d[0]:+.1f}, {d[-1]:+.1f} | {detectable[0]:.1f} to {detectable[-1]:.1f} |"
        )
    misled = [mean(dials[f"full-0.338-{share}"]) for share in (1, 0)]
    rows.append("unambiguous names misleading F1 is {:.1f}, with none {:.1f} (33.8 %".format(*misled))
    for size in json.loads((ROOT / "tests/benchmarks/real_sizes.json").read_text()):
        whole, resumed = size["whole"], size["resumed"]
        assert whole["step"] == 10 and whole["sha256"] == resumed["sha256"]
        rows.append(f"{whole['weights'] / 1e6:.1f} M parameters, {whole['cpu_seconds_per_step']:.1f} seconds of CPU time a "
                    f"step, {whole['peak_memory_gib']:.1f} GiB at its peak")  # fmt: skip
        if size["preset"] == "large":
            rows.append(f"less so took {size['cut']['cpu_seconds_per_step']:.1f} seconds each")
            rows.append(f"is {12 * whole['weights'] / 1e9:.1f} GB")
    gpu = json.loads((ROOT / "tests/benchmarks/gpu_step.json").read_text())
    times = [1000 * batch / gpu[f"batch {batch}"]["samples_per_second"] for batch in (32, 64, 128)]
    rows.append(
        "On an {} a step in bf16 took {:.0f}, {:.0f} and {:.0f} ms".format(
            gpu["device"].removeprefix("NVIDIA "), *times
        )
    )
    files = list(DATA.rglob("*.json"))
    hours = sum(json.loads(file.read_bytes())["seconds"] for file in files) / 3600
    rows.append(f"({len(files)} of them, {hours:.1f} hours")
    page, readme = (" ".join((ROOT / name).read_text("utf-8").split()) for name in ("figures/README.md", "README.md"))
    assert [row for row in rows if row not in page] == []

    lost, left = compare("table3", folder=DATA)["no-mutual"], gain(table3["text"], table3["no-mutual"])
    lost, left = 100 * lost.difference, 100 * left.difference
    found = [f"attention {lost:+.1f} points, still {left:+.1f} over text only (5 seeds)"]
    found += [f"{alone[0][0]} of {alone[0][2]} posts are right only with IPS-CL, {alone[0][1]} only"]
    found += ["mutual attention, {1:+.1f} by MGI".format(*(100 * d.difference for d in steps))]
    found += [f"reading other posts' pictures adds {gains['sparsemax']} (5 seeds)"]
    found += [f"80 % of test in training: F1 {100 * leaks['leak-80, by_dev'].difference:+.1f}"]
    assert [finding for finding in found if finding not in readme] == []


def test_makefile_targets_are_described():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())
    assert {"demo", "test", "lab", "figures", "bench"} <= targets
    assert targets == set(re.findall(r"^([a-z-]+):.*##", makefile, re.M))

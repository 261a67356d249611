"""The set-up: one list of dependencies, one version of each tool, everything that the files name is there."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
PINNED = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line and not line.startswith("#")
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement: str) -> str:
    return normal(re.match(r"[\w.-]+", requirement)[0])


def test_environment_yml_points_at_pyproject_and_lists_nothing_again():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert [d for d in environment["dependencies"] if isinstance(d, str)] == ["python>=3.11", "pip"]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["-c constraints.txt", "-e .[dev]"]
    assert {"lab", "dev"} <= EXTRAS.keys()
    assert PROJECT["project"]["requires-python"] == ">=3.11"


def test_constraints_pin_every_dependency_within_its_bounds():
    from packaging.requirements import Requirement

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
    import ast
    import sys

    homes = {"PIL": "pillow", "torchcrf": "pytorch-crf", "sklearn": "scikit-learn", "IPython": "ipywidgets"}
    method = {named(r) for r in (*PROJECT["project"]["dependencies"], *EXTRAS["tracking"])}
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
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    path = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/[\w.-]+|--index-url|--extra-index")
    for name in listed.stdout.splitlines():
        if name.endswith((".png", ".svg")) or name == "tests/test_project.py" or not (ROOT / name).exists():
            continue
        found = path.search((ROOT / name).read_text(encoding="utf-8"))
        assert not found, f"{name}: {found and found[0]}"


def test_makefile_targets_are_described():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.search(r"\.PHONY: (.*)", makefile)[1].split())
    assert {"demo", "test", "lab", "figures", "bench"} <= targets
    assert targets == set(re.findall(r"^([a-z-]+):.*##", makefile, re.M))

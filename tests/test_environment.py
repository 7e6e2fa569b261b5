"""The ways to the environment say the same: lock, pyproject, conda, CI, hooks."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import bootstrap

ROOT = Path(__file__).resolve().parent.parent
COURSE = bootstrap.Place(ROOT)


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


BLOCKS = re.split(r"\n(?=[A-Za-z0-9])", text("requirements.lock").strip())


def test_the_lock_pins_and_hashes_everything():
    assert len(BLOCKS) > 50
    for block in BLOCKS:
        lines = [line for line in block.splitlines() if not line.strip().startswith("#")]
        assert re.match(r"[a-z0-9][a-z0-9._-]*==\S+( ; .+)? \\$", lines[0]), lines[0]
        assert len(lines) > 1, f"no hash: {lines[0]}"
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[1:]), block


def test_the_lock_names_no_address():
    lock = text("requirements.lock")
    assert "://" not in lock and "@" not in lock and "--index" not in lock and "--find-links" not in lock
    assert not re.search(r"\b[\w-]+\.(org|com|net|io|dev)\b", lock)


def locked(name):
    """The versions of a package in the lock (several where they depend on the Python)."""
    return [re.match(r"[^=]+==([^\s;\\]+)", block).group(1) for block in BLOCKS if block.startswith(f"{name}==")]


@pytest.mark.parametrize("line", bootstrap.requirements(COURSE))
def test_the_lock_covers_what_the_project_asks_for(line):
    name, least = re.fullmatch(r"([a-z0-9-]+)>=([0-9.]+)", line).groups()
    assert locked(name), f"{name} is not in the lock: make it again (pyproject.toml says how)"
    assert all(bootstrap.numbers(version) >= bootstrap.numbers(least) for version in locked(name))


def test_the_lock_is_one_line_per_package_for_what_must_agree():
    for name in ("torch", "torchvision", "uv"):
        assert len(locked(name)) == 1


def test_one_oldest_python_everywhere():
    project = tomllib.loads(text("pyproject.toml"))
    assert project["project"]["requires-python"] == ">=3.11" and bootstrap.OLDEST == (3, 11)
    assert "--python-version 3.11" in text("pyproject.toml")
    assert "- python>=3.11" in text("environment.yml")
    assert 'python: "3.11"' in text(".github/workflows/ci.yml")
    assert "OLDEST = (3, 11)" in text("course.py") and "OLDEST_PYTHON = (3, 11)" in text("helpers/doctor.py")


def test_conda_takes_the_same_lock_and_nothing_else():
    lines = [line.strip() for line in text("environment.yml").splitlines() if line.strip().startswith("-")]
    assert lines == ["- conda-forge", "- python>=3.11", "- pip", "- pip:", "- -r requirements.lock"]


def test_ci_runs_what_people_run():
    workflow, script = text(".github/workflows/ci.yml"), text(".ci/run")
    assert re.search(r"^python3 course\.py test\b", script, re.M)
    runs = re.findall(r"^\s*- run: (.+)$", workflow, re.M)
    assert runs == ["python course.py test"]
    assert {"ubuntu-latest", "macos-latest", "windows-latest"} <= set(re.findall(r"os: ([\w-]+)", workflow))
    assert "hashFiles('requirements.lock')" in workflow
    assert "test" in bootstrap.COMMANDS and (ROOT / "authoring" / "test.py").exists()


def test_the_ci_script_is_a_script():
    assert text(".ci/run").startswith("#!/usr/bin/env bash\n") and "set -eu" in text(".ci/run")
    if os.name == "posix":
        assert os.access(ROOT / ".ci" / "run", os.X_OK)
        assert subprocess.run(["bash", "-n", str(ROOT / ".ci" / "run")], check=False).returncode == 0


def test_hooks_are_local():
    hooks = text(".pre-commit-config.yaml")
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]
    entries = re.findall(r"entry: (.+)", hooks)
    assert entries == ["python -m ruff check", "python course.py build --check", "python -m authoring.lint"]
    assert (ROOT / "authoring" / "lint.py").exists() and (ROOT / "authoring" / "build.py").exists()


def test_the_readme_gives_the_two_commands():
    readme = text("README.md")
    assert "course.py lab" in readme and "course.py test" in readme


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git to say what is ignored")
@pytest.mark.parametrize(
    "path, ignored",
    [
        (".venv/bin/python", True), (".venv-setup.log", True), ("work/00_start_here.ipynb", True),
        ("data/cache/mnist.gz", True), (".course-cache/x", True), ("helpers/__pycache__/a.pyc", True),
        ("x.egg-info/PKG-INFO", True), ("notebooks/.ipynb_checkpoints/a.ipynb", True), ("uv.lock", True),
        ("notebooks/00_start_here.ipynb", False), ("data/README.md", False), ("requirements.lock", False),
        ("helpers/lessons/start_here.py", False), ("authoring/build.py", False), ("tests/fixtures/work/a.py", False),
    ],
)  # fmt: skip
def test_git_ignores_what_it_should(path, ignored):
    done = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
    assert (done.returncode == 0) == ignored

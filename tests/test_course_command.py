"""course.py: what it decides, with nothing installed and no network."""

from __future__ import annotations

import ast
import json
import os
import sys
from pathlib import Path

import pytest

import bootstrap
import course
from bootstrap import Machine, Place, Trouble

ROOT = Path(__file__).resolve().parent.parent
LINUX = dict(
    system="Linux", machine="x86_64", bits=64, implementation="CPython", version=(3, 11), free_threaded=False,
    musl=False, glibc="2.36", macos="",
)  # fmt: skip
LOCK = """\
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa
    # via torch
nvidia-cublas==13.4 ; sys_platform == 'linux' \\
    --hash=sha256:bb
cuda-toolkit==13.2 ; sys_platform == 'linux' \\
    --hash=sha256:cc
torch==2.15.0 \\
    --hash=sha256:dd
torchvision==0.29.2 \\
    --hash=sha256:ee
triton==3.9.0 ; sys_platform == 'linux' \\
    --hash=sha256:ff
uv==0.13.9 \\
    --hash=sha256:11 \\
    --hash=sha256:22
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of the course with a lock, one lesson and nothing else; no command leaves it."""
    for name in ("COURSE_ENV", "COURSE_WORK", "SUDO_UID"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / "00_start_here.ipynb").write_text("first", encoding="utf-8")
    (root / "requirements.lock").write_text(LOCK, encoding="utf-8")
    project = '[project]\ndependencies = ["numpy>=2"]\n[project.optional-dependencies]\nauthoring = ["uv>=0.9"]\n'
    (root / "pyproject.toml").write_text(project, encoding="utf-8")
    return Place(root)


@pytest.fixture
def handed(monkeypatch):
    """What would be started, instead of starting it."""
    calls = []
    monkeypatch.setattr(bootstrap, "hand_over", lambda command, folder, env: calls.append((command, folder, env)) or 0)
    monkeypatch.setattr(bootstrap, "ensure", lambda *arguments, **words: None)
    return calls


# -- old Pythons -------------------------------------------------------------------------------------------------------


def test_course_py_is_readable_for_old_pythons():
    text = (ROOT / "course.py").read_text(encoding="ascii")
    tree = ast.parse(text)
    new = (ast.JoinedStr, ast.NamedExpr, ast.Match, ast.AnnAssign, ast.Starred, ast.Nonlocal, ast.AsyncFunctionDef)
    assert not [node for node in ast.walk(tree) if isinstance(node, new)]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert functions and not any(f.returns or any(a.annotation for a in f.args.args) or f.args.kwonlyargs for f in functions)
    assert "__future__" not in text and "print(" not in text.split('"""')[2]


def test_an_old_python_is_told_what_to_do(tmp_path):
    message = course.too_old((3, 8, 18), [str(tmp_path)], ["lab"])
    assert "3.11" in message and "3.8" in message and "python.org" in message and "py course.py lab" in message
    assert course.too_old((3, 11, 0), [], []) is None and course.too_old((3, 15), [], []) is None
    assert course.too_old((2, 7, 18), [], []) and course.too_old((3, 10, 9), [], [])


@pytest.mark.skipif(os.name == "nt", reason="names of Pythons on the path are those of POSIX")
def test_an_old_python_names_the_newer_one_that_is_there(tmp_path):
    for name in ("python3.10", "python3.12", "python3.11"):
        (tmp_path / name).write_text("", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    assert "python3.12 course.py lab --no-browser" in course.too_old((3, 8), [str(tmp_path)], ["lab", "--no-browser"])


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(version=(3, 10)), "3.11"),
        (dict(implementation="PyPy"), "PyPy"),
        (dict(free_threaded=True), "free-threaded"),
        (dict(bits=32), "32-bit"),
        (dict(musl=True), "musl"),
        (dict(glibc="2.17"), "2.17"),
        (dict(machine="armv7l"), "armv7l"),
        (dict(system="Darwin", machine="x86_64", macos="15.1"), "Intel"),
        (dict(system="Darwin", machine="arm64", macos="13.6"), "macOS 14"),
        (dict(system="Windows", machine="ARM64"), "Windows on Arm"),
        (dict(system="FreeBSD"), "FreeBSD"),
    ],
)
def test_a_machine_without_wheels_is_refused_by_name(change, words):
    assert words in bootstrap.refusal(Machine(**(LINUX | change)))


@pytest.mark.parametrize(
    "change",
    [
        {},
        dict(machine="aarch64", version=(3, 14)),
        dict(glibc=""),
        dict(system="Darwin", machine="arm64", macos="14.0"),
        dict(system="Windows", machine="AMD64"),
    ],
)
def test_a_machine_with_wheels_is_taken(change):
    assert bootstrap.refusal(Machine(**(LINUX | change))) is None


def test_a_refusal_comes_before_anything_is_written(place, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "refusal", lambda machine: "no wheels here")
    before = sorted(place.root.rglob("*"))
    assert bootstrap.main(["lab"], place) == 1
    assert "no wheels here" in capsys.readouterr().err
    assert sorted(place.root.rglob("*")) == before


def test_too_little_disk_is_said_before_downloading(place, monkeypatch, capsys):
    linux = Machine(**LINUX)
    monkeypatch.setattr(bootstrap, "Machine", lambda: linux)
    monkeypatch.setattr(bootstrap, "free_space", lambda folder: 5e9)
    monkeypatch.setattr(bootstrap, "make_venv", lambda *a: pytest.fail("nothing may be installed"))
    assert bootstrap.main(["lab"], place) == 1
    said = capsys.readouterr().err
    assert "8 GB" in said and "5.0" in said and "--cpu" in said and "clean" in said
    assert not place.venv.exists()


def test_space_that_is_enough_for_the_cpu_build(place, monkeypatch):
    monkeypatch.setattr(bootstrap, "free_space", lambda folder: 5e9)
    bootstrap.check_space(place, Machine(**LINUX), cpu=True)
    bootstrap.check_space(place, Machine(**(LINUX | dict(system="Darwin"))), cpu=False)
    with pytest.raises(Trouble):
        bootstrap.check_space(place, Machine(**LINUX), cpu=False)


def test_debian_without_venv_is_told_the_package(place, monkeypatch):
    monkeypatch.setattr(bootstrap.importlib.util, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(Trouble, match=r"sudo apt install python3\.\d+-venv"):
        bootstrap.make_venv(place, None)


# -- the stamp ---------------------------------------------------------------------------------------------------------


def test_plan(place):
    want = bootstrap.wanted(place, cpu=False)
    good = want | {"python": "3.11.7"}

    def planned(stamp, exists=True, version="3.11.9", cpu=False):
        return bootstrap.plan(exists, stamp, bootstrap.wanted(place, cpu), version)[0]

    assert planned(good) == "keep"
    assert planned(None, exists=False, version=None) == "create"
    assert planned(good, version=None) == "create"  # deleted or broken Python
    assert planned(good, version="3.12.1") == "create"  # the system's Python went on to another minor version
    assert planned(good, version="3.10.1") == "create"
    assert planned(None) == "update"  # made by hand: completed, not thrown away
    assert planned(good | {"state": "making"}) == "create"
    assert planned(good | {"root": "/elsewhere"}) == "update"
    assert planned(good | {"lock": "0"}) == "update"
    assert planned(good | {"project": "0"}) == "update"
    assert planned(good, cpu=True) == "create"
    assert planned(good | {"cpu": True}, cpu=True) == "keep"


def test_the_stamp_follows_lock_and_project_but_not_line_ends(place):
    before = bootstrap.wanted(place, cpu=False)
    lock = place.root / "requirements.lock"
    lock.write_bytes(LOCK.replace("\n", "\r\n").encode())
    assert bootstrap.wanted(place, cpu=False) == before
    lock.write_text(LOCK.replace("0.13.9", "0.14.0"), encoding="utf-8")
    assert bootstrap.wanted(place, cpu=False)["lock"] != before["lock"]
    project = place.root / "pyproject.toml"
    project.write_text("# a remark\n" + project.read_text(encoding="utf-8"), encoding="utf-8")
    assert bootstrap.wanted(place, cpu=False)["project"] == before["project"]
    project.write_text(project.read_text(encoding="utf-8").replace("numpy>=2", "numpy>=3"), encoding="utf-8")
    assert bootstrap.wanted(place, cpu=False)["project"] != before["project"]


@pytest.mark.parametrize("text", ["", "not json", "[1]", "{"])
def test_a_damaged_stamp_counts_as_none(place, text):
    place.venv.mkdir()
    place.stamp.write_text(text, encoding="utf-8")
    assert bootstrap.read_stamp(place) is None


def test_an_environment_made_with_cpu_stays_so(place, monkeypatch):
    monkeypatch.setattr(bootstrap.platform, "system", lambda: "Linux")
    monkeypatch.setattr(bootstrap, "python_version", lambda python: "3.11.7")
    place.venv.mkdir()
    bootstrap.write_stamp(place, bootstrap.wanted(place, cpu=True) | {"python": "3.11.7"})
    assert bootstrap.look(place, cpu=False)[0] == "keep"
    bootstrap.write_stamp(place, bootstrap.wanted(place, cpu=True) | {"state": "making"})
    what, _, want = bootstrap.look(place, cpu=False)
    assert what == "create" and want["cpu"]


@pytest.fixture
def pretended(place, monkeypatch):
    """ensure() with an installer that only notes what it was asked for; it fails if ``fail`` is set."""
    done = {"steps": [], "fail": None}

    def make_venv(where, holder):
        done["steps"].append("venv")
        where.python.parent.mkdir(parents=True, exist_ok=True)
        where.python.write_text("", encoding="utf-8")

    def install(where, cpu, holder=None):
        done["steps"].append(("install", cpu, bootstrap.read_stamp(where)["state"]))
        if done["fail"]:
            raise done["fail"]

    monkeypatch.setattr(bootstrap, "make_venv", make_venv)
    monkeypatch.setattr(bootstrap, "install", install)
    monkeypatch.setattr(bootstrap, "refusal", lambda machine: None)
    monkeypatch.setattr(bootstrap, "check_space", lambda *arguments: None)
    monkeypatch.setattr(bootstrap, "python_version", lambda python: "3.11.7" if Path(python).exists() else None)
    return done


def test_the_first_start_makes_the_second_does_nothing(place, pretended, capsys):
    bootstrap.ensure(place)
    assert pretended["steps"] == ["venv", ("install", False, "making")]
    capsys.readouterr()
    bootstrap.ensure(place)
    assert len(pretended["steps"]) == 2 and capsys.readouterr().out == ""


def test_a_cut_off_set_up_starts_afresh(place, pretended):
    pretended["fail"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        bootstrap.ensure(place)
    rubbish = place.venv / "half-made"
    rubbish.write_text("", encoding="utf-8")
    pretended["fail"] = None
    bootstrap.ensure(place)
    assert not rubbish.exists() and bootstrap.read_stamp(place)["state"] == "ready"
    assert pretended["steps"].count("venv") == 2


def test_a_deleted_python_starts_afresh(place, pretended):
    bootstrap.ensure(place)
    place.python.unlink()
    bootstrap.ensure(place)
    assert pretended["steps"].count("venv") == 2


def test_repair_makes_it_anew(place, pretended):
    bootstrap.ensure(place)
    bootstrap.ensure(place, repair=True)
    assert pretended["steps"].count("venv") == 2


def test_an_update_that_fails_leaves_the_environment_as_it_was(place, pretended):
    bootstrap.ensure(place)
    before = bootstrap.read_stamp(place)
    (place.root / "requirements.lock").write_text(LOCK + "# changed\n", encoding="utf-8")
    pretended["fail"] = Trouble("no network")
    with pytest.raises(Trouble):
        bootstrap.ensure(place)
    assert bootstrap.read_stamp(place) == before
    pretended["fail"] = None
    bootstrap.ensure(place)
    assert bootstrap.read_stamp(place)["lock"] != before["lock"] and pretended["steps"].count("venv") == 1


def test_offline_lab_goes_on_with_the_older_environment(place, pretended, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "hand_over", lambda *arguments: 0)
    bootstrap.ensure(place)
    (place.root / "requirements.lock").write_text(LOCK + "# changed\n", encoding="utf-8")
    pretended["fail"] = Trouble("No network")
    assert bootstrap.main(["lab"], place) == 0
    out = capsys.readouterr().out
    assert "No network" in out and "as it was" in out


def test_a_moved_folder_gets_its_scripts_mended(place):
    if os.name == "nt":
        pytest.skip("scripts are programs there")
    scripts = place.python.parent
    scripts.mkdir(parents=True)
    (scripts / "jupyter").write_bytes(b"#!/old/place/.venv/bin/python3\nprint(1)\n")
    (scripts / "other").write_bytes(b"#!/usr/bin/env bash\n")
    (scripts / "program").write_bytes(b"\x7fELF\x00\n")
    bootstrap.move_scripts(place)
    assert (scripts / "jupyter").read_bytes() == b"#!" + os.fsencode(place.python) + b"\nprint(1)\n"
    assert (scripts / "other").read_bytes() == b"#!/usr/bin/env bash\n"
    assert (scripts / "program").read_bytes() == b"\x7fELF\x00\n"


def test_two_set_ups_take_turns(place):
    with bootstrap.one_at_a_time(place), open(place.root / ".venv-setup.lock", "a+b") as second:
        assert not bootstrap._try_lock(second.fileno())
    with open(place.root / ".venv-setup.lock", "a+b") as third:
        assert bootstrap._try_lock(third.fileno())


def test_a_folder_that_cannot_be_written_is_explained(place, monkeypatch):
    def refuse(*arguments, **words):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(Trouble, match="COURSE_ENV=current"), bootstrap.one_at_a_time(place):
        pass


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_an_environment_that_cannot_be_written_is_explained(place, pretended, capsys, error):
    bootstrap.ensure(place)
    (place.root / "requirements.lock").write_text(LOCK + "# changed\n", encoding="utf-8")
    pretended["fail"] = error
    assert bootstrap.main(["lab"], place) == 1
    said = capsys.readouterr().err
    assert ".venv" in said and ("COURSE_ENV=current" in said or "No space left" in said)


# -- installing --------------------------------------------------------------------------------------------------------


def test_lock_blocks():
    blocks = bootstrap.lock_blocks(LOCK)
    assert list(blocks) == ["numpy", "nvidia-cublas", "cuda-toolkit", "torch", "torchvision", "triton", "uv"]
    assert "".join(blocks.values()) == LOCK
    assert blocks["uv"].count("--hash") == 2
    assert bootstrap.locked_version(LOCK, "numpy") == "2.4.6" and bootstrap.locked_version(LOCK, "uv") == "0.13.9"
    assert list(bootstrap.lock_blocks(bootstrap.without_cuda(LOCK))) == ["numpy", "uv"]


def test_the_real_lock_without_cuda_keeps_all_the_rest():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    gone = set(bootstrap.lock_blocks(text)) - set(bootstrap.lock_blocks(bootstrap.without_cuda(text)))
    assert {"torch", "torchvision", "triton"} < gone
    assert all(name in ("torch", "torchvision", "triton") or name.startswith(("nvidia-", "cuda-")) for name in gone)


def test_install_commands():
    python, lock = Path("/env/bin/python"), Path("/tmp/lock")
    plain = bootstrap.install_commands(python, lock, LOCK, cpu=False)
    assert len(plain) == 1 and "--require-hashes" in plain[0] and "--torch-backend" not in plain[0]
    first, second = bootstrap.install_commands(python, lock, LOCK, cpu=True)
    assert first == plain[0]
    assert second[second.index("--torch-backend") + 1] == "cpu" and "--require-hashes" not in second
    assert second[-2:] == ["torch==2.15.0", "torchvision==0.29.2"]


@pytest.mark.parametrize(
    "output, what",
    [
        ("error: Failed to fetch: `https://x`\n  Caused by: error sending request\n tcp connect error", "network"),
        ("NewConnectionError: Failed to establish a new connection: [Errno 111] Connection refused", "network"),
        ("Could not fetch URL: Cannot connect to proxy.", "network"),
        ("dns error: failed to lookup address information: Temporary failure in name resolution", "network"),
        ("failed to copy file: No space left on device (os error 28)", "disk"),
        ("Hash mismatch for `torch==2.15.0`", "hash"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "hash"),
        ("error sending request: invalid peer certificate: UnknownIssuer", "certificate"),
        ("Permission denied (os error 13)", "permission"),
        ("something else", "other"),
    ],
)
def test_the_cause_of_a_failed_set_up(output, what):
    assert bootstrap.cause(output) == what
    message = bootstrap.explain(what, output, Path("/x/.venv-setup.log"))
    assert output.splitlines()[-1].strip() in message and ".venv-setup.log" in message


class FakeInstaller:
    """Stands for Install: answers each command by the first rule whose words are in it."""

    def __init__(self, rules):
        self.rules, self.commands, self.output = rules, [], ""

    def __call__(self, place, holder=None):
        self.place = place
        return self

    def run(self, *command, quiet=False):
        line = " ".join(map(str, command))
        self.commands.append(line)
        for words, output in self.rules:
            if words in line:
                self.output = output
                return False
        return True


def installing(place, monkeypatch, cpu=False, rules=()):
    fake = FakeInstaller(rules)
    monkeypatch.setattr(bootstrap, "Install", fake)
    bootstrap.install(place, cpu)
    return fake.commands


def test_install_uses_uv_then_adds_the_course(place, monkeypatch):
    commands = installing(place, monkeypatch)
    assert "pip install --require-hashes --no-deps" in commands[0]  # uv itself, by its hashes
    assert "-m uv pip install" in commands[2] and "--require-hashes" in commands[2]
    assert commands[-1].endswith(f"-e {place.root}") and "--no-deps --no-build-isolation" in commands[-1]


def test_pip_takes_over_where_uv_does_not_run(place, monkeypatch):
    commands = installing(place, monkeypatch, rules=[("-m uv", "Illegal instruction")])
    assert any("-m pip install --require-hashes -r" in line for line in commands)
    assert "-m pip install" in commands[-1] and "-e" in commands[-1]


def test_no_network_ends_at_the_first_step(place, monkeypatch):
    with pytest.raises(Trouble, match=r"^No network"):
        installing(place, monkeypatch, rules=[("pip install", "Failed to establish a new connection")])


def test_a_full_disk_is_not_tried_again_with_pip(place, monkeypatch):
    with pytest.raises(Trouble, match="disk is full"):
        installing(place, monkeypatch, rules=[("uv pip", "No space left on device")])


def test_cpu_without_uv_is_refused(place, monkeypatch):
    with pytest.raises(Trouble, match="--cpu needs uv"):
        installing(place, monkeypatch, cpu=True, rules=[("-m uv", "Illegal instruction")])


def test_installers_keep_mirrors_and_ignore_what_would_change_the_lock(monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "a mirror")
    for name in ("PIP_TARGET", "PIP_USER", "PIP_CONSTRAINT", "UV_CONSTRAINT", "PYTHONPATH"):
        monkeypatch.setenv(name, "elsewhere")
    env = bootstrap.installer_environment()
    assert env["PIP_INDEX_URL"] == "a mirror" and "elsewhere" not in env.values()
    assert env["PIP_USER"] == "0" and env["PIP_CONSTRAINT"] == os.devnull
    assert bootstrap.clean_environment()["PIP_TARGET"] == "elsewhere"  # a student's own %pip is theirs


def test_a_real_command_goes_to_screen_and_log(place, capsys):
    runner = bootstrap.Install(place)
    assert runner.run(sys.executable, "-c", "print('Resolved 2'); print(' + numpy==2.4.6')")
    assert runner.run(sys.executable, "-c", "print('Requirement already satisfied: numpy')")
    assert not runner.run(sys.executable, "-c", "import sys; print('bad', file=sys.stderr); sys.exit(3)")
    assert not runner.run(place.root / "no-such-program")
    out, log = capsys.readouterr().out, place.log.read_text(encoding="utf-8")
    assert "Resolved 2" in out and "bad" in out and "numpy" not in out
    assert "numpy==2.4.6" in log and "bad" in log and "no-such-program" in log


# -- COURSE_ENV=current ------------------------------------------------------------------------------------------------


def test_missing():
    have = {"numpy": "2.4.6", "torch": "2.9.1+cu130", "jupyterlab": "4.4"}.get
    required = ["numpy>=2", "torch>=2.11", "jupyterlab>=4.4", "tqdm>=4.66"]
    assert bootstrap.missing(required, have) == ["torch>=2.11", "tqdm>=4.66"]


def test_current_names_what_is_missing_in_one_command(place, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_ENV", "current")
    monkeypatch.setattr(bootstrap, "installed", lambda name: None)
    monkeypatch.setattr(bootstrap, "ensure", lambda *a, **k: pytest.fail("installs nothing"))
    assert bootstrap.main(["lab"], place) == 1
    said = capsys.readouterr().err
    assert '-m pip install "numpy>=2"' in said and "uv" not in said
    assert not place.venv.exists()


def test_current_runs_the_running_python_with_the_course_on_its_path(place, monkeypatch, handed):
    monkeypatch.setenv("COURSE_ENV", "current")
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.setattr(bootstrap, "installed", lambda name: "99")
    assert bootstrap.main(["lab", "--no-browser"], place) == 0
    (command, _, env), = handed  # fmt: skip
    assert command[0] == sys.executable and env["PYTHONPATH"] == os.pathsep.join([str(place.root), "mine"])


def test_the_environment_does_not_inherit_another_python(place, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/ros/python3.10")
    python, env = bootstrap.running_environment(place, current=False)
    assert python == str(place.python) and "PYTHONPATH" not in env
    assert env["PATH"].startswith(str(place.python.parent))


def test_an_unknown_course_env_is_said(place, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_ENV", "curent")
    assert bootstrap.main(["lab"], place) == 1
    assert "curent" in capsys.readouterr().err


# -- the student's folder ----------------------------------------------------------------------------------------------


def test_decide():
    assert bootstrap.decide("n", None, None, None) == "copy"
    assert bootstrap.decide("n", None, "n", None) == "copy"  # deleted to start over
    assert bootstrap.decide("n", "n", None, None) == "keep"
    assert bootstrap.decide("n", "mine", "n", None) == "keep"  # the lesson has not changed
    assert bootstrap.decide("n", "o", "o", None) == "replace"
    assert bootstrap.decide("n", "mine", "o", None) == "offer"
    assert bootstrap.decide("n", "mine", "o", "n") == "keep"  # offered once
    assert bootstrap.decide("n", "o", None, None) == "offer"  # no record: nothing counts as untouched


@pytest.fixture
def lessons(tmp_path):
    source, work = tmp_path / "notebooks", tmp_path / "work"
    source.mkdir()
    (source / "00_start_here.ipynb").write_text("v1", encoding="utf-8")
    (source / "01_perceptron.ipynb").write_text("p1", encoding="utf-8")
    return source, work


def read(folder):
    return {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.ipynb")}


def test_fill_copies_and_then_is_silent(lessons):
    source, work = lessons
    assert len(bootstrap.fill(source, work)) == 1
    assert read(work) == {"00_start_here.ipynb": "v1", "01_perceptron.ipynb": "p1"}
    assert bootstrap.fill(source, work) == []


def test_an_untouched_lesson_is_replaced_a_touched_one_is_kept(lessons):
    source, work = lessons
    bootstrap.fill(source, work)
    (work / "01_perceptron.ipynb").write_text("my work", encoding="utf-8")
    for name in ("00_start_here.ipynb", "01_perceptron.ipynb"):
        (source / name).write_text("v2", encoding="utf-8")
    lines = bootstrap.fill(source, work)
    assert len(lines) == 2 and "01_perceptron.new.ipynb" in lines[1]
    assert read(work) == {
        "00_start_here.ipynb": "v2", "01_perceptron.ipynb": "my work", "01_perceptron.new.ipynb": "v2",
    }  # fmt: skip
    assert bootstrap.fill(source, work) == []
    (work / "01_perceptron.new.ipynb").unlink()  # not wanted: it does not come back
    assert bootstrap.fill(source, work) == [] and "01_perceptron.new.ipynb" not in read(work)
    (source / "01_perceptron.ipynb").write_text("v3", encoding="utf-8")
    assert len(bootstrap.fill(source, work)) == 1 and read(work)["01_perceptron.new.ipynb"] == "v3"


def test_a_new_file_that_was_worked_in_stays(lessons):
    source, work = lessons
    bootstrap.fill(source, work)
    (work / "01_perceptron.ipynb").write_text("my work", encoding="utf-8")
    (source / "01_perceptron.ipynb").write_text("v2", encoding="utf-8")
    bootstrap.fill(source, work)
    (work / "01_perceptron.new.ipynb").write_text("my work, continued", encoding="utf-8")
    (source / "01_perceptron.ipynb").write_text("v3", encoding="utf-8")
    bootstrap.fill(source, work)
    assert read(work)["01_perceptron.new.ipynb"] == "my work, continued" and read(work)["01_perceptron.new2.ipynb"] == "v3"


@pytest.mark.parametrize(
    "record",
    [None, "", "{", "[]", '{"delivered": 3}', '{"delivered": {"00_start_here.ipynb": 5}}', "\x00\xff", '{"offered": []}'],
)
def test_a_damaged_record_never_leads_to_an_overwrite(lessons, record):
    source, work = lessons
    bootstrap.fill(source, work)
    if record is None:
        (work / ".course.json").unlink()
    else:
        (work / ".course.json").write_bytes(record.encode("latin-1"))
    (work / "00_start_here.ipynb").write_text("my work", encoding="utf-8")
    (source / "00_start_here.ipynb").write_text("v2", encoding="utf-8")
    bootstrap.fill(source, work)
    assert read(work)["00_start_here.ipynb"] == "my work" and read(work)["00_start_here.new.ipynb"] == "v2"
    assert bootstrap.fill(source, work) == []


def test_a_stop_between_file_and_record_is_no_harm(lessons, monkeypatch):
    source, work = lessons
    bootstrap.fill(source, work)
    old = (work / ".course.json").read_text(encoding="utf-8")
    (source / "00_start_here.ipynb").write_text("v2", encoding="utf-8")
    bootstrap.fill(source, work)
    (work / ".course.json").write_text(old, encoding="utf-8")  # the file was replaced, the record was not
    assert bootstrap.fill(source, work) == []
    assert json.loads((work / ".course.json").read_text(encoding="utf-8")) != json.loads(old)


def test_no_lessons_is_said(tmp_path):
    assert "not complete" in bootstrap.fill(tmp_path / "notebooks", tmp_path / "work")[0]


def test_a_deleted_lesson_comes_back_and_other_files_stay(lessons):
    source, work = lessons
    bootstrap.fill(source, work)
    (work / "00_start_here.ipynb").unlink()
    (work / "my_own.ipynb").write_text("own", encoding="utf-8")
    bootstrap.fill(source, work)
    assert read(work) == {"00_start_here.ipynb": "v1", "01_perceptron.ipynb": "p1", "my_own.ipynb": "own"}


# -- lab ---------------------------------------------------------------------------------------------------------------


def test_lab_passes_flags_through_and_keeps_its_own(place, handed, capsys):
    assert bootstrap.main(["lab", "--cpu", "--no-browser", "--port", "9999", "--ip=0.0.0.0"], place) == 0
    (command, folder, env), = handed  # fmt: skip
    assert command[:3] == [str(place.python), "-m", "jupyterlab"] and folder == place.root / "work"
    assert command[-4:] == ["--no-browser", "--port", "9999", "--ip=0.0.0.0"] and "--cpu" not in command
    assert f"--ServerApp.root_dir={place.root / 'work'}" in command
    assert "--LabApp.default_url=/lab/tree/00_start_here.ipynb" in command
    assert env["COURSE_WORK"] == str(place.root / "work")
    settings = Path(env["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0])
    server = json.loads((settings / "jupyter_server_config.d" / "course.json").read_text(encoding="utf-8"))
    assert not any(server["ServerApp"]["jpserver_extensions"].values())
    page = json.loads((settings / "labconfig" / "page_config.json").read_text(encoding="utf-8"))
    assert page["disabledExtensions"]["@jupyter/nbgrader"] is True


def test_root_gets_the_flag_that_jupyterlab_asks_for():
    assert "--allow-root" in bootstrap.lab_command("python", Path("work"), [], as_root=True)
    assert "--allow-root" not in bootstrap.lab_command("python", Path("work"), [], as_root=False)


def test_course_work_names_another_folder(place, handed, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_WORK", str(tmp_path / "mine"))
    assert bootstrap.main(["lab"], place) == 0
    assert (tmp_path / "mine" / "00_start_here.ipynb").exists() and not (place.root / "work").exists()


def test_a_work_folder_that_cannot_be_written_is_explained(place, handed, capsys):
    (place.root / "work").write_text("a file in its place", encoding="utf-8")
    assert bootstrap.main(["lab"], place) == 1
    assert "COURSE_WORK=" in capsys.readouterr().err and handed == []


# -- the command line --------------------------------------------------------------------------------------------------


def test_help_lists_only_what_is_there(place, capsys):
    (place.root / "authoring").mkdir()
    (place.root / "authoring" / "build.py").write_text("", encoding="utf-8")
    assert bootstrap.main(["--help"], place) == 0
    shown = capsys.readouterr().out
    assert "build" in shown and "lab" in shown and "clean" in shown and "slides" not in shown and "export" not in shown


def test_a_command_of_a_later_version_says_so(place, handed, capsys):
    assert bootstrap.main(["slides", "01"], place) == 2
    assert "not part of this version yet" in capsys.readouterr().err and handed == []


def test_an_unknown_command_gets_a_suggestion(place, capsys):
    assert bootstrap.main(["claen"], place) == 2
    said = capsys.readouterr().err
    assert "Did you mean clean?" in said and "lab" in said


def test_a_module_gets_its_arguments(place, handed):
    (place.root / "authoring").mkdir()
    (place.root / "authoring" / "test.py").write_text("", encoding="utf-8")
    assert bootstrap.main(["test", "--only", "01", "--cpu"], place) == 0
    (command, folder, _), = handed  # fmt: skip
    assert command == [str(place.python), "-m", "authoring.test", "--only", "01"] and folder == place.root


def test_doctor_sets_nothing_up(place, handed, monkeypatch):
    (place.root / "helpers").mkdir()
    (place.root / "helpers" / "doctor.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(bootstrap, "ensure", lambda *a, **k: pytest.fail("doctor installs nothing"))
    assert bootstrap.main(["doctor"], place) == 0
    assert handed[0][0][0] == sys.executable  # there is no .venv: the Python that is there looks


def test_ctrl_c_is_quiet(place, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "run", stop)
    assert bootstrap.main(["lab"], place) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="a process is replaced on POSIX only")
def test_exit_codes_come_through(place):
    import subprocess

    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import bootstrap, os; from pathlib import Path; "
    code += "sys.exit(bootstrap.hand_over([sys.executable, '-c', 'import sys; sys.exit(7)'], Path('.'), os.environ))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


# -- clean -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def full(place):
    for name in (
        ".venv/lib/x", "data/cache/mnist.gz", "data/own.csv", ".course-cache/a", "helpers/__pycache__/a.pyc", "work/mine.ipynb",
        "work/__pycache__/b.pyc", "work/progress.json", "solutions/s.ipynb",
    ):  # fmt: skip
        path = place.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("12345", encoding="utf-8")
    return place


def files(place):
    return {path.relative_to(place.root).as_posix() for path in place.root.rglob("*") if path.is_file()}


def test_clean_alone_deletes_nothing(full, capsys):
    before = files(full)
    assert bootstrap.main(["clean"], full) == 0 and bootstrap.main(["clean", "caches"], full) == 0
    assert files(full) == before
    assert ".venv" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--yes"], ["--yes", "work"], ["--yes", "caches", "everything"]])
def test_clean_deletes_nothing_that_is_not_named(full, arguments):
    before = files(full)
    assert bootstrap.main(["clean", *arguments], full) == 2
    assert files(full) == before


def test_clean_never_touches_work(full):
    before = files(full)
    assert bootstrap.main(["clean", "--yes", ".venv", "downloads", "build-cache", "caches"], full) == 0
    gone = {".venv/lib/x", "data/cache/mnist.gz", ".course-cache/a", "helpers/__pycache__/a.pyc"}
    assert files(full) == before - gone


def test_size_of(full):
    assert bootstrap.size_of(full.venv) == 5 and bootstrap.size_of(full.root / "data") == 10

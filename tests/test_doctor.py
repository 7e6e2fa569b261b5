"""The environment report: each fault of a set-up broken on purpose is found and names its command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

module = import_module("helpers.doctor")
ROOT = Path(__file__).resolve().parent.parent


class Fake(module.Probe):
    """A healthy machine with the course set up in ``root``; a test breaks one thing of it."""

    windows = False

    def __init__(self, root: Path):
        self.root, self.env = root, {}
        (root / ".venv").mkdir()
        (root / "work").mkdir()
        (root / "helpers").mkdir()
        self.versions = {"torch": "2.15.0", "torchvision": "0.29.2", "numpy": "2.4.6", "matplotlib": "3.11.2"}
        self.versions |= dict.fromkeys(module.SMALL_PACKAGES, "1.0")
        self.facts = {"threads": 2, "cuda_build": "13.0", "cuda": 0, "gpu": "", "mps": False}
        self.folders = [root / "work"]
        self.broken = set()
        self.notebook = False
        self.values = {
            "python": (3, 12, 1), "prefix": root / ".venv", "backend": "", "free_disk": 50e9, "has_gpu_driver": False,
            "cores": 4, "network": True, "sources": [("mnist", "stand-in", "drawn by the course")],
        }  # fmt: skip

    def python(self):
        return self.values["python"]

    def prefix(self):
        return self.values["prefix"]

    def executable(self):
        return str(self.root / ".venv" / "bin" / "python")

    def in_notebook(self):
        return self.notebook

    def version(self, package):
        return self.versions.get(package)

    def requires(self, package):
        return ["numpy", "torch==2.15.0", "pillow!=8.3.*,>=5.3.0"] if package == "torchvision" else []

    def torch(self, seconds=60):
        return self.facts

    def backend(self):
        return self.values["backend"]

    def helpers_folder(self):
        return self.root / "helpers"

    def search_path(self):
        return self.folders

    def writable(self, folder):
        return folder not in self.broken

    def free_disk(self):
        return self.values["free_disk"]

    def has_gpu_driver(self):
        return self.values["has_gpu_driver"]

    def cores(self):
        return self.values["cores"]

    def network(self):
        return self.values["network"]

    def sources(self):
        return self.values["sources"]


@pytest.fixture
def fake(tmp_path):
    return Fake(tmp_path)


def bad(fake, **words):
    """{item: (status, command)} of everything that is not OK."""
    return {f.item: (f.status, f.command) for f in module.report(fake, **words) if f.status != "OK"}


def test_data_settings_that_lead_nowhere(fake, tmp_path):
    fake.env["COURSE_DATA_DIR"] = str(tmp_path / "nowhere")
    assert bad(fake) == {"data": ("WARN", "unset COURSE_DATA_DIR")}
    fake.env["COURSE_DATA"] = "fake"
    assert bad(fake) == {"data": ("FIX", "unset COURSE_DATA")}
    fake.env = {"COURSE_DATA_DIR": str(tmp_path), "COURSE_DATA": "standin"}
    assert bad(fake) == {}


def test_small_packages_that_are_missing_are_one_line(fake):
    del fake.versions["filelock"], fake.versions["tqdm"]
    assert bad(fake) == {"packages": ("FIX", REPAIR)}
    fake.env["COURSE_ENV"] = "current"
    assert bad(fake) == {"packages": ("FIX", 'python -m pip install --force-reinstall "tqdm" "filelock"')}


def test_helpers_that_are_installed_as_a_package(fake, monkeypatch, tmp_path):
    """On a class's hub there is no course.py, no .venv and no work folder, and none of them is missed."""
    fake.packaged = lambda: True
    fake.root = tmp_path / "site-packages"
    assert bad(fake) == {}
    texts = {f.item: f.text for f in module.report(fake)}
    assert "as a package" in texts["kernel"] and "data cache" not in texts
    monkeypatch.chdir(tmp_path)
    assert fake.work() == tmp_path
    fake.broken, fake.values["free_disk"] = {tmp_path}, 1e9
    fake.versions["torchvision"] = None
    found = module.report(fake)
    assert not [f for f in found if "course.py" in f"{f.text} {f.command}"]
    assert {f.item: f.status for f in found if f.status != "OK"} == {"torch": "FIX", "work folder": "WARN", "disk": "WARN"}
    assert "folder of the course" not in module.verdict(found, packaged=True)
    fake.values["sources"] = [("mnist", "download on request", "")]
    assert any("python -m helpers.data get NAME" in f.text for f in module.report(fake))


LAB, REPAIR = "python3 course.py lab", "python3 course.py lab --repair"


def test_a_healthy_machine_has_no_complaint(fake):
    findings = module.report(fake)
    assert [f for f in findings if f.status != "OK"] == []
    assert all(f.command == "" for f in findings)
    assert {f.item for f in findings} >= {
        "Python", "kernel", "torch", "NumPy", "matplotlib", "helpers", "device", "mode", "threads", "work folder", "disk",
        "data",
    }  # fmt: skip
    assert module.verdict(findings) == "All is well."


def test_an_old_python(fake):
    fake.values["python"] = (3, 10, 4)
    assert bad(fake) == {"Python": ("FIX", "python3.12 course.py lab --repair")}


NMS = "RuntimeError: operator torchvision::nms does not exist"


@pytest.mark.parametrize(
    "versions, facts",
    [
        ({"torch": "2.11.0"}, {}),  # torchvision is built for another
        ({"torch": "2.15.0+cpu"}, {"error": NMS}),
        ({}, {"error": NMS}),
        ({"torch": "2.15.0+cpu"}, {"error": "OSError: libcudart.so.13: cannot open shared object file"}),
        ({}, {"error": "ImportError: libtorch.so: no such file"}),
        ({"torchvision": None}, {"error": "ModuleNotFoundError: No module named 'torchvision'"}),
        ({"torch": None, "torchvision": None}, {"error": "ModuleNotFoundError: No module named 'torch'"}),
    ],
)
def test_torch_and_torchvision_that_do_not_belong_together(fake, versions, facts):
    fake.versions |= versions
    fake.facts = facts or fake.facts
    assert bad(fake) == {"torch": ("FIX", REPAIR)}
    fake.env["COURSE_ENV"] = "current"
    command = 'python -m pip install --force-reinstall "torch" "torchvision"'
    assert bad(fake) == {"torch": ("FIX", command)}


def test_different_builds_are_named(fake):
    fake.versions["torch"] = "2.15.0+cpu"
    fake.facts = {"error": NMS}
    text = next(f.text for f in module.report(fake) if f.item == "torch")
    assert "torch from the cpu build" in text and "torchvision from the default build" in text and "nms" in text


def test_a_pair_of_cpu_builds_is_fine(fake):
    fake.versions |= {"torch": "2.15.0+cpu", "torchvision": "0.29.2+cpu"}
    assert bad(fake) == {}


def test_a_torch_that_hangs(fake):
    fake.facts = {"slow": 60}
    assert bad(fake) == {"torch": ("WARN", "python3 course.py doctor")}


@pytest.mark.parametrize("version", [None, "1.26.4"])
def test_an_old_numpy(fake, version):
    fake.versions["numpy"] = version
    assert bad(fake) == {"NumPy": ("FIX", REPAIR)}


def test_matplotlib(fake):
    fake.notebook = True
    fake.values["backend"] = "module://matplotlib_inline.backend_inline"
    assert bad(fake) == {}
    fake.values["backend"] = "tkagg"
    assert bad(fake) == {"matplotlib": ("WARN", "%matplotlib inline")}
    fake.notebook = False
    assert bad(fake) == {}
    fake.versions["matplotlib"] = None
    assert bad(fake) == {"matplotlib": ("FIX", REPAIR)}


def test_the_wrong_kernel(fake, tmp_path):
    fake.values["prefix"] = tmp_path / "conda"
    assert bad(fake) == {"kernel": ("FIX", LAB)}
    fake.env["COURSE_ENV"] = "current"
    assert bad(fake) == {}
    fake.env["COURSE_PYTHON"] = str(tmp_path / "other" / "python")
    assert bad(fake) == {"kernel": ("FIX", "COURSE_ENV=current python course.py lab")}
    fake.env["COURSE_PYTHON"] = fake.executable()
    assert bad(fake) == {}


def test_no_environment_yet(fake, tmp_path):
    (tmp_path / ".venv").rmdir()
    fake.values["prefix"] = tmp_path / "system"
    assert bad(fake) == {"kernel": ("FIX", LAB)}


def test_an_environment_that_does_not_match_the_lock(fake, tmp_path):
    (tmp_path / "requirements.lock").write_bytes(b"a==1\r\n")
    stamp = {"state": "ready", "lock": hashlib.sha256(b"a==1\n").hexdigest()[:16]}
    path = tmp_path / ".venv" / "course-stamp.json"
    path.write_text(json.dumps(stamp), encoding="utf-8")
    assert bad(fake) == {}
    for change in ({"state": "making"}, {"lock": "0"}):
        path.write_text(json.dumps(stamp | change), encoding="utf-8")
        assert bad(fake) == {"kernel": ("WARN", LAB)}


def test_the_doctor_reads_the_stamp_that_course_py_writes(fake, tmp_path):
    import bootstrap

    (tmp_path / "requirements.lock").write_text("a==1\n", encoding="utf-8")
    project = '[project]\ndependencies = []\n[project.optional-dependencies]\nauthoring = []\n'
    (tmp_path / "pyproject.toml").write_text(project, encoding="utf-8")
    place = bootstrap.Place(tmp_path)
    bootstrap.write_stamp(place, bootstrap.wanted(place, cpu=False))
    kernel = next(f for f in module.report(fake) if f.item == "kernel")
    assert kernel.status == "OK" and "made from requirements.lock" in kernel.text


@pytest.mark.parametrize("name", ["helpers.py", "helpers"])
def test_a_stray_helpers(fake, tmp_path, name):
    stray = tmp_path / "work" / name
    stray.mkdir() if name == "helpers" else stray.write_text("", encoding="utf-8")
    assert bad(fake) == {"helpers": ("FIX", f'mv "work/{name}" "work/my_{name}"')}
    fake.windows = True
    assert bad(fake) == {"helpers": ("FIX", f'move "work/{name}" "work/my_{name}"')}


def test_our_own_helpers_are_no_stray(fake, tmp_path):
    fake.folders = [tmp_path, tmp_path / "work", tmp_path / "helpers"]
    assert bad(fake) == {}


@pytest.mark.parametrize(
    "wanted, facts, good",
    [
        ("cpu", {}, True),
        ("cuda", {"cuda": 1}, True),
        ("cuda:1", {"cuda": 2}, True),
        ("cuda:1", {"cuda": 1}, False),
        ("cuda", {}, False),
        ("mps", {"mps": True}, True),
        ("mps", {}, False),
        ("gpu", {"cuda": 1}, False),
    ],
)
def test_course_device(fake, wanted, facts, good):
    fake.env["COURSE_DEVICE"] = wanted
    fake.facts |= facts
    assert bad(fake) == ({} if good else {"device": ("FIX", "unset COURSE_DEVICE")})
    fake.notebook = True
    assert bad(fake) == ({} if good else {"device": ("FIX", "%env COURSE_DEVICE=")})


def text_of(fake, item):
    return next(f.text for f in module.report(fake) if f.item == item)


def test_device_without_a_wish(fake):
    assert text_of(fake, "device").startswith("cpu") and text_of(fake, "mode").startswith("fast")
    fake.facts |= {"mps": True}
    assert "on request" in text_of(fake, "device") and text_of(fake, "mode").startswith("fast")
    fake.facts |= {"cuda": 1, "gpu": "NVIDIA H100"}
    assert text_of(fake, "device") == "cuda (NVIDIA H100)" and text_of(fake, "mode").startswith("full")


def test_a_gpu_that_torch_does_not_see(fake):
    fake.values["has_gpu_driver"] = True
    assert bad(fake) == {"device": ("WARN", "nvidia-smi")}
    fake.facts["cuda_build"] = ""
    assert bad(fake) == {"device": ("WARN", "python3 course.py clean --yes .venv")}


def test_mode(fake):
    fake.env["COURSE_MODE"] = "fast"
    assert bad(fake) == {} and text_of(fake, "mode").startswith("fast")
    fake.env["COURSE_MODE"] = "full"
    fake.facts["cuda"] = 1
    assert bad(fake) == {} and text_of(fake, "mode").startswith("full")
    fake.env["COURSE_MODE"] = "quick"
    assert bad(fake) == {"mode": ("FIX", "unset COURSE_MODE")}


def test_full_mode_on_a_cpu(fake):
    fake.env["COURSE_MODE"] = "full"
    assert bad(fake) == {"mode": ("WARN", "unset COURSE_MODE")}
    fake.notebook = True
    assert bad(fake) == {"mode": ("WARN", "%env COURSE_MODE=")}
    fake.facts |= {"cuda": 1, "mps": True}
    fake.env["COURSE_DEVICE"] = "cpu"
    assert bad(fake) == {"mode": ("WARN", "%env COURSE_MODE=")}
    for device in ("cuda", "mps"):
        fake.env["COURSE_DEVICE"] = device
        assert bad(fake) == {}


def test_full_mode_where_nobody_knows_the_gpu(fake):
    fake.env["COURSE_MODE"] = "full"
    fake.facts = {"slow": 60}
    assert "mode" not in bad(fake)


def test_no_write_permission(fake):
    fake.broken = {fake.work()}
    assert bad(fake) == {"work folder": ("FIX", "COURSE_WORK=~/course python3 course.py lab")}
    fake.broken = {fake.root / "data" / "cache"}
    assert bad(fake) == {} and "cannot be written" in text_of(fake, "data cache")


def test_little_disk(fake):
    fake.values["free_disk"] = 7.9e9
    assert bad(fake) == {"disk": ("WARN", "python3 course.py clean")}


def test_too_many_threads(fake):
    fake.facts["threads"] = 8
    assert bad(fake) == {"threads": ("WARN", "export OMP_NUM_THREADS=4")}
    fake.env["OMP_NUM_THREADS"] = "8"
    assert bad(fake) == {"threads": ("WARN", "unset OMP_NUM_THREADS")}


def test_data_and_network_are_information(fake):
    fake.values |= {"network": False, "sources": None}
    assert bad(fake, network=True) == {}
    assert "not reachable" in next(f.text for f in module.report(fake, network=True) if f.item == "network")
    assert not [f for f in module.report(fake) if f.item == "network"]


def test_data_are_grouped_by_source(fake):
    fake.values["sources"] = [
        ("points", "your folder", "MIT (Udacity)"), ("anna", "stand-in", "not in COURSE_DATA_DIR; used by a later lesson"),
        ("mnist", "download on request", "11.6 MB, CC BY-SA 3.0"), ("flowers", "your folder", "CC BY 2.0"),
        ("cifar10", "cache", "none stated"), ("words", "a shelf", ""),
    ]  # fmt: skip
    assert [f.text for f in module.report(fake) if f.item == "data"] == [
        "your folder (COURSE_DATA_DIR): points, flowers", "downloaded already: cifar10",
        "download on request (python3 course.py data get NAME): mnist", "stand-in, made by the course: anna", "a shelf: words",
    ]  # fmt: skip


def test_every_data_set_of_the_course_is_named(fake, monkeypatch):
    from helpers import data

    monkeypatch.setenv("COURSE_DATA", "standin")
    fake.values["sources"] = data.sources()
    (line,) = (str(f) for f in module.report(fake) if f.item == "data")
    assert set(line.partition("course:")[2].replace(",", " ").split()) == set(data.DATASETS)
    assert all(len(part) <= module.WIDTH for part in line.splitlines())


def test_nothing_raises_whatever_breaks(tmp_path):
    class Broken(Fake):
        def __getattribute__(self, name):
            if name in ("windows", "env", "root") or name.startswith("__"):
                return object.__getattribute__(self, name)
            raise RuntimeError("broken")

    findings = module.report(Broken.__new__(Broken), network=True)
    assert len(findings) >= len(module._ITEMS) and all(f.status in ("WARN", "FIX", "OK") for f in findings)
    assert sum("could not be looked at" in f.text for f in findings) >= len(module._ITEMS) - 3


def test_every_complaint_has_a_command_and_a_sign(fake):
    fake.versions = {}
    fake.values |= {"python": (3, 8, 1), "prefix": fake.root, "free_disk": 1e9}
    fake.env |= {"COURSE_DEVICE": "tpu", "COURSE_MODE": "slow"}
    findings = module.report(fake)
    complaints = [f for f in findings if f.status != "OK"]
    assert len(complaints) >= 7 and all(f.command for f in complaints)
    assert all(f"✗ {f.item}" in str(f) and f.command in str(f) for f in complaints if f.status == "FIX")
    assert str(module.Finding("OK", "disk", "9 GB free")) == "OK   ✓ disk: 9 GB free"
    assert "to repair" in module.verdict(findings)


def test_main_says_by_its_exit_code_whether_to_repair(fake, monkeypatch, capsys):
    monkeypatch.setattr(module, "Probe", lambda: fake)
    assert module.main([]) == 0 and "network" in capsys.readouterr().out
    fake.values["free_disk"] = 1e9
    assert module.main(["--no-network"]) == 0
    fake.versions["numpy"] = "1.26"
    assert module.main([]) == 1
    assert module.main(["--help"]) == 0 and module.main(["--nonsense"]) == 2


def test_doctor_prints_and_returns_nothing(fake, monkeypatch, capsys):
    monkeypatch.setattr(module, "Probe", lambda: fake)
    assert module.doctor() is None
    out = capsys.readouterr().out
    assert out.startswith("Looking at your set-up") and out.endswith("All is well.\n")


def test_a_long_line_is_wrapped_and_a_command_is_not():
    finding = module.Finding("WARN", "data", "word " * 38, "python3 course.py " + "x" * 150)
    *text, command = str(finding).splitlines()
    assert len(text) == 2 and all(len(line) <= module.WIDTH for line in text) and text[1].startswith("         word")
    assert command == "         → " + finding.command


@pytest.fixture
def nothing_tried(monkeypatch):
    """A kernel in which torch has been neither imported nor tried."""
    monkeypatch.setattr(module, "_tried", {})
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_torch_is_tried_once_until_doctor_is_asked_again(fake, nothing_tried, monkeypatch, capsys):
    runs = []

    def run(command, **options):
        runs.append(command)
        return subprocess.CompletedProcess(command, 0, 'facts:{"threads": 2, "cuda": 0}\n', "")

    monkeypatch.delattr(Fake, "torch")  # the real one
    monkeypatch.setattr(module, "Probe", lambda: fake)
    monkeypatch.setattr(module.subprocess, "run", run)
    module.doctor()
    module.report()
    module.report()
    assert len(runs) == 1 and "All is well." in capsys.readouterr().out
    module.doctor()
    assert len(runs) == 2


def test_torch_that_dies_in_the_other_process_is_an_error_not_a_crash(nothing_tried, monkeypatch):
    monkeypatch.setattr(module, "_TRY_TORCH", "import os; os._exit(11)")
    assert "11" in module.Probe().torch()["error"]
    module._tried.clear()
    monkeypatch.setattr(module, "_TRY_TORCH", "import time; time.sleep(60)")
    assert module.Probe().torch(seconds=0.5) == {"slow": 0.5}


def test_a_broken_torch_is_seen_by_the_real_probe(tmp_path, nothing_tried, monkeypatch):
    """A torchvision that fails as a mixed pair does: the real other process reports it."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "class _A:\n  def __getattr__(self, n): return self\n  def __call__(self, *a): return 0\n"
        "get_num_threads = lambda: 1\nversion = cuda = backends = _A()\nversion.cuda = version.hip = ''\n",
        encoding="utf-8",
    )
    (tmp_path / "torchvision.py").write_text(f"raise RuntimeError({NMS.partition(': ')[2]!r})\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert module.Probe().torch()["error"] == NMS


def test_the_file_runs_on_a_bare_python():
    """Nothing but the standard library is imported, and no other module of ours."""
    code = "import sys, runpy; sys.argv = ['doctor', '--help']; runpy.run_path(sys.orig_argv[-1], run_name='__main__')"
    command = [sys.executable, "-I", "-S", "-c", code, str(ROOT / "helpers" / "doctor.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout

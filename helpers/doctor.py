"""Looks at the set-up and names, for whatever is wrong, the one command that repairs it.

In a notebook: ``from helpers.doctor import doctor``, then ``doctor()``. In a terminal: ``python course.py doctor``. Nothing is
changed and nothing raises. This file needs the standard library alone and torch is tried in another process, so that the
report also comes out where torch itself is broken.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIGNS = {"OK": "✓", "WARN": "!", "FIX": "✗"}
ENOUGH_DISK = 8e9
WIDTH = 110  # of a line of the report
OLDEST_PYTHON = (3, 11)
SMALL_PACKAGES = ("ipykernel", "ipywidgets", "anywidget", "tqdm", "filelock", "platformdirs")


@dataclass(frozen=True)
class Finding:
    """One line of the report: status OK, WARN or FIX; the item, what was found, and the command that repairs it."""

    status: str
    item: str
    text: str
    command: str = ""

    def __str__(self) -> str:
        line = f"{self.status:<4} {SIGNS[self.status]} {self.item}: {self.text}"
        lines = textwrap.wrap(line, WIDTH, subsequent_indent=" " * 9, break_long_words=False, break_on_hyphens=False)
        return "\n".join([*lines, f"         → {self.command}"] if self.command else lines)


# What the other process does: one import of each, and everything that is to be known about them.
_TRY_TORCH = """
import json
facts = {}
try:
    import torch
    facts["threads"] = torch.get_num_threads()
    facts["cuda_build"] = torch.version.cuda or torch.version.hip or ""
    facts["cuda"] = torch.cuda.device_count() if torch.cuda.is_available() else 0
    facts["gpu"] = torch.cuda.get_device_name(0) if facts["cuda"] else ""
    facts["mps"] = torch.backends.mps.is_available()
    import torchvision
except BaseException as error:
    facts["error"] = f"{type(error).__name__}: {error}"
print("facts:" + json.dumps(facts))
"""


# What the other process found, so that a second look in the same kernel does not wait for it again; doctor() forgets it.
_tried: dict[str, dict] = {}


class Probe:
    """The facts about this machine. Tests replace it by one that is broken on purpose."""

    env = os.environ
    windows = os.name == "nt"
    root = ROOT

    def python(self) -> tuple[int, ...]:
        return tuple(sys.version_info[:3])

    def prefix(self) -> Path:
        return Path(sys.prefix)

    def executable(self) -> str:
        return sys.executable or "python"

    def packaged(self) -> bool:
        """Whether the helpers were installed as a package, as for a class on a JupyterHub: then there is no course.py."""
        return not (ROOT / "course.py").is_file()

    def in_notebook(self) -> bool:
        return "ipykernel" in sys.modules

    def version(self, package: str) -> str | None:
        """The installed version of a package, read without importing it."""
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    def requires(self, package: str) -> list[str]:
        try:
            return importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            return []

    def torch(self, seconds: float = 60) -> dict:
        """threads, cuda_build, cuda (how many GPUs), gpu (its name), mps; ``error`` if an import failed."""
        if "torch" in sys.modules:  # it works in this kernel: another process would cost seconds
            lines: list[str] = []
            exec(_TRY_TORCH, {"print": lines.append})
            return json.loads(lines[-1].removeprefix("facts:"))
        python = self.executable()
        if python not in _tried:
            _tried[python] = self._try_torch(python, seconds)
        return _tried[python]

    def _try_torch(self, python: str, seconds: float) -> dict:
        try:
            command = [python, "-c", _TRY_TORCH]
            done = subprocess.run(
                command, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            return {"slow": seconds}
        except OSError as error:
            return {"error": str(error)}
        for line in done.stdout.splitlines():
            if line.startswith("facts:"):
                return json.loads(line.removeprefix("facts:"))
        last = (done.stderr.strip().splitlines() or [f"Python ended with code {done.returncode}"])[-1]
        return {"error": last}

    def backend(self) -> str:
        """The name of matplotlib's back end as far as it is known without choosing one; "" if it is still open."""
        matplotlib = sys.modules.get("matplotlib")
        if matplotlib is not None:
            try:
                return str(matplotlib.get_backend(auto_select=False) or "")
            except TypeError:  # before matplotlib 3.10
                return str(matplotlib.get_backend())
        return self.env.get("MPLBACKEND", "")

    def helpers_folder(self) -> Path:
        return ROOT / "helpers"

    def search_path(self) -> list[Path]:
        """Where ``import helpers`` looks, in order; the student's folder too, as a notebook there looks in it first."""
        return [Path.cwd(), self.work(), *(Path(entry) if entry else Path.cwd() for entry in sys.path)]

    def work(self) -> Path:
        folder = Path.cwd() if self.packaged() else self.root / "work"
        return Path(self.env.get("COURSE_WORK") or folder).expanduser()

    def writable(self, folder: Path) -> bool:
        """Whether a file can be made there, or where the folder would be made. Trying is the only test that is right."""
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        try:
            with tempfile.TemporaryFile(dir=folder):
                return True
        except OSError:
            return False

    def free_disk(self) -> float:
        """Bytes."""
        return shutil.disk_usage(self.root).free

    def has_gpu_driver(self) -> bool:
        return shutil.which("nvidia-smi") is not None

    def cores(self) -> int:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def network(self) -> bool:
        """Whether a name server and a web server answer within a moment."""
        try:
            with socket.create_connection(("python.org", 443), timeout=3):
                return True
        except OSError:
            return False

    def sources(self) -> list[tuple[str, str, str]] | None:
        """(data set, source, note) from the data module; None where it cannot be loaded."""
        if str(self.root) not in sys.path:
            sys.path.append(str(self.root))
        try:
            import helpers.data as data

            return data.sources()
        except ImportError:
            return None


# ---------------------------------------------------------------------------------------------------------------------
# Commands. They are given for the folder of the course, so that no path of this machine ends up in a saved notebook.


def _course(probe: Probe, words: str) -> str:
    """A command of course.py; without it, that of the module behind it, or none."""
    if probe.packaged():
        name = words.partition(" ")[0]
        return f"python -m helpers.{words}" if name in ("doctor", "data", "progress") else ""
    return ("py course.py " if probe.windows else "python3 course.py ") + words


def _own_environment(probe: Probe) -> bool:
    """Whether the environment is not the course's to repair: the person's own (COURSE_ENV=current), or a class's."""
    return probe.env.get("COURSE_ENV") == "current" or probe.packaged()


def _reinstall(probe: Probe, *packages: str) -> str:
    if not _own_environment(probe):
        return _course(probe, "lab --repair")
    python = "py" if probe.windows else "python"
    return f"{python} -m pip install --force-reinstall " + " ".join(f'"{package}"' for package in packages)


def _unset(probe: Probe, name: str) -> str:
    if probe.in_notebook():
        return f"%env {name}="
    return f"set {name}=" if probe.windows else f"unset {name}"


def _release(version: str) -> tuple[int, ...]:
    """"2.15.0+cpu" -> (2, 15, 0)"""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


# ---------------------------------------------------------------------------------------------------------------------
# The items, each a function from the probe to its findings


def _python(probe: Probe, torch: dict) -> Iterable[Finding]:
    version = ".".join(map(str, probe.python()))
    if probe.python()[:2] < OLDEST_PYTHON:
        command = "python3.12 course.py lab --repair" if not probe.windows else "py -3.12 course.py lab --repair"
        yield Finding("FIX", "Python", f"{version}, and 3.11 is the oldest that works; install a newer one", command)
    else:
        yield Finding("OK", "Python", version)


def _kernel(probe: Probe, torch: dict) -> Iterable[Finding]:
    prefix = probe.prefix()
    if _own_environment(probe):
        expected = probe.env.get("COURSE_PYTHON", "")
        if expected and not _same(Path(expected), Path(probe.executable())):
            yield Finding(
                "FIX", "kernel", "is not the Python that started the course", "COURSE_ENV=current python course.py lab"
            )
        else:
            asked = "as COURSE_ENV=current asks" if not probe.packaged() else "which has the helpers as a package"
            yield Finding("OK", "kernel", f"the running Python, {asked}")
        return
    venv = probe.root / ".venv"
    if _same(prefix, venv):
        yield from _stamp(probe, venv)
    elif not venv.exists():
        yield Finding("FIX", "kernel", "the course's environment (.venv) is not made yet", _course(probe, "lab"))
    else:
        text = "runs in another Python than the course's; close this, and start from the folder of the course"
        yield Finding("FIX", "kernel", text, _course(probe, "lab"))


def _stamp(probe: Probe, venv: Path) -> Iterable[Finding]:
    """The environment is the right one; does it still fit the lock?"""
    try:
        stamp = json.loads((venv / "course-stamp.json").read_text(encoding="utf-8"))
        lock = (probe.root / "requirements.lock").read_bytes().replace(b"\r\n", b"\n")
    except (OSError, ValueError):
        yield Finding("OK", "kernel", "the course's environment (.venv)")
        return
    if stamp.get("state") != "ready" or stamp.get("lock") != hashlib.sha256(lock).hexdigest()[:16]:
        text = "the course's environment (.venv), but it does not match requirements.lock"
        yield Finding("WARN", "kernel", text, _course(probe, "lab"))
    else:
        yield Finding("OK", "kernel", "the course's environment (.venv), made from requirements.lock")


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.normcase(os.path.abspath(one)) == os.path.normcase(os.path.abspath(other))


def _torch(probe: Probe, torch: dict) -> Iterable[Finding]:
    """Both are there, belong together, and can be imported."""
    versions = {name: probe.version(name) for name in ("torch", "torchvision")}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        yield Finding("FIX", "torch", f"{' and '.join(absent)} not installed", _reinstall(probe, "torch", "torchvision"))
        return
    pair = " and ".join(f"{name} {version}" for name, version in versions.items())
    command = _reinstall(probe, "torch", "torchvision")
    local = {name: version.partition("+")[2] for name, version in versions.items()}
    pinned = next((m.group(1) for r in probe.requires("torchvision") if (m := re.match(r"torch\s*\(?==\s*([\d.]+)", r))), None)
    error = str(torch.get("error", ""))
    if pinned and _release(pinned) != _release(versions["torch"]):
        text = f"{pair} do not belong together: this torchvision is built for torch {pinned}"
        yield Finding("FIX", "torch", text, command)
    elif "torchvision::nms" in error or (error and local["torch"] != local["torchvision"]):
        builds = " and ".join(f"{name} from the {build or 'default'} build" for name, build in local.items())
        text = f"{pair} come from different builds ({builds}), so torchvision cannot be loaded: {_short(error)}"
        yield Finding("FIX", "torch", text, command)
    elif error:
        yield Finding("FIX", "torch", f"{pair} cannot be loaded: {_short(error)}", command)
    elif "slow" in torch:
        text = f"{pair}; loading them took more than {torch['slow']:.0f} s, so it was not seen whether they work"
        yield Finding("WARN", "torch", text, _course(probe, "doctor"))
    else:
        yield Finding("OK", "torch", f"{pair} belong together")


def _short(error: str) -> str:
    return error if len(error) <= 160 else error[:157] + "..."


def _numpy(probe: Probe, torch: dict) -> Iterable[Finding]:
    version = probe.version("numpy")
    if version is None or _release(version) < (2,):
        text = f"{version or 'not installed'}, and the lessons are written for NumPy 2"
        yield Finding("FIX", "NumPy", text, _reinstall(probe, "numpy>=2"))
    else:
        yield Finding("OK", "NumPy", version)


def _matplotlib(probe: Probe, torch: dict) -> Iterable[Finding]:
    version = probe.version("matplotlib")
    if version is None:
        yield Finding("FIX", "matplotlib", "not installed", _reinstall(probe, "matplotlib>=3.9"))
        return
    backend = probe.backend()
    shows = re.search(r"inline|ipympl|widget|nbagg", backend.lower())
    if probe.in_notebook() and backend and not shows:
        text = f"{version} draws with {backend}, which shows nothing inside a notebook"
        yield Finding("WARN", "matplotlib", text, "%matplotlib inline")
    else:
        yield Finding("OK", "matplotlib", f"{version}, back end {backend.rpartition('.')[2] or 'chosen at the first figure'}")


def _others(probe: Probe, torch: dict) -> Iterable[Finding]:
    """Small packages that the helpers import; only what is missing is worth a line."""
    absent = [name for name in SMALL_PACKAGES if probe.version(name) is None]
    if absent:
        yield Finding("FIX", "packages", f"not installed: {', '.join(absent)}", _reinstall(probe, *absent))


def _shadows(probe: Probe, torch: dict) -> Iterable[Finding]:
    """A file or folder named helpers that ``import helpers`` finds before ours."""
    ours, seen, found = probe.helpers_folder(), set(), False
    for folder in probe.search_path():
        if folder in seen or _same(folder, ours):
            continue
        seen.add(folder)
        for name in ("helpers.py", "helpers"):
            stray = folder / name
            there = stray.is_dir() if name == "helpers" else stray.is_file()
            if not there or _same(stray, ours):
                continue
            found = True
            where = _shown(probe, stray)
            new = _shown(probe, stray.with_name("my_" + name))
            command = f'move "{where}" "{new}"' if probe.windows else f'mv "{where}" "{new}"'
            yield Finding("FIX", "helpers", f"{where} hides the course's helpers; give it another name", command)
    if not found:
        yield Finding("OK", "helpers", "the course's own; nothing of that name hides it")


def _shown(probe: Probe, path: Path) -> str:
    """A path as seen from the folder of the course."""
    try:
        return path.resolve().relative_to(probe.root.resolve()).as_posix()
    except ValueError:
        return str(path)


def _device(probe: Probe, torch: dict) -> Iterable[Finding]:
    wanted = probe.env.get("COURSE_DEVICE", "").strip().lower()
    gpus = int(torch.get("cuda") or 0)
    if wanted:
        kind, _, number = wanted.partition(":")
        known = re.fullmatch(r"cpu|mps|cuda(:\d+)?", wanted) is not None
        there = {"cpu": True, "mps": bool(torch.get("mps")), "cuda": int(number or 0) < gpus if known else False}
        if not known:
            text = f"COURSE_DEVICE={wanted} is no device; there are cpu, cuda, cuda:1 and mps"
            yield Finding("FIX", "device", text, _unset(probe, "COURSE_DEVICE"))
        elif not there[kind]:
            text = f"COURSE_DEVICE={wanted}, but torch sees no such device here"
            yield Finding("FIX", "device", text, _unset(probe, "COURSE_DEVICE"))
        else:
            note = "; on MPS results differ in more than the last digits" if kind == "mps" else ""
            yield Finding("OK", "device", f"{wanted}, as COURSE_DEVICE asks{note}")
    elif gpus:
        yield Finding("OK", "device", f"cuda ({torch.get('gpu')})")
    elif torch.get("mps"):
        yield Finding("OK", "device", "cpu; Apple's MPS is used on request (COURSE_DEVICE=mps), as results there differ")
    elif probe.has_gpu_driver() and torch and "error" not in torch and "slow" not in torch:
        if torch.get("cuda_build"):
            text = "cpu; an NVIDIA driver is here, but torch sees no GPU: see whether the driver is too old"
            yield Finding("WARN", "device", text, "nvidia-smi")
        elif _own_environment(probe):
            text = "cpu; an NVIDIA driver is here, but this torch is a CPU build"
            yield Finding("WARN", "device", text, _reinstall(probe, "torch", "torchvision"))
        else:
            text = "cpu; an NVIDIA driver is here, but .venv was made with --cpu. Delete it, and the next lab makes another"
            yield Finding("WARN", "device", text, _course(probe, "clean --yes .venv"))
    else:
        yield Finding("OK", "device", "cpu; every lesson runs on it in fast mode")


def _permission(probe: Probe, torch: dict) -> Iterable[Finding]:
    if probe.writable(probe.work()):
        yield Finding("OK", "work folder", "can be written")
    elif probe.packaged():
        yield Finding("WARN", "work folder", "cannot be written: save your notebook somewhere else")
    else:
        command = _course(probe, "lab")
        command = f"set COURSE_WORK=C:\\another\\folder && {command}" if probe.windows else f"COURSE_WORK=~/course {command}"
        yield Finding("FIX", "work folder", "cannot be written, so your work would be lost; name another", command)
    if probe.packaged():
        return  # downloads go to the person's own cache folder
    if probe.writable(probe.root / "data" / "cache"):
        yield Finding("OK", "data cache", "can be written")
    else:
        text = "data/cache cannot be written; downloads go to your own cache folder instead"
        yield Finding("OK", "data cache", text)


def _disk(probe: Probe, torch: dict) -> Iterable[Finding]:
    free = probe.free_disk()
    text = f"{free / 1e9:.1f} GB free"
    if free < ENOUGH_DISK:
        more = "" if probe.packaged() else "; see what can be deleted"
        yield Finding("WARN", "disk", f"{text}, less than 8{more}", _course(probe, "clean"))
    else:
        yield Finding("OK", "disk", text)


def _mode(probe: Probe, torch: dict) -> Iterable[Finding]:
    wanted = probe.env.get("COURSE_MODE", "").strip().lower()
    if wanted not in ("", "fast", "full"):
        text = f"COURSE_MODE={wanted} is no mode; there are fast and full"
        yield Finding("FIX", "mode", text, _unset(probe, "COURSE_MODE"))
        return
    device = probe.env.get("COURSE_DEVICE", "").strip().lower()
    gpu = device != "cpu" if device else bool(torch.get("cuda"))
    if wanted == "full" and not gpu and (device or "cuda" in torch):
        text = "full, as COURSE_MODE asks, but on a CPU: a lesson may take hours, in fast mode about a minute"
        yield Finding("WARN", "mode", text, _unset(probe, "COURSE_MODE"))
    elif wanted:
        yield Finding("OK", "mode", f"{wanted}, as COURSE_MODE asks")
    else:
        yield Finding("OK", "mode", "full, as there is a GPU" if gpu else "fast, as for every CPU")


def _threads(probe: Probe, torch: dict) -> Iterable[Finding]:
    cores, threads = probe.cores(), torch.get("threads")
    text = f"{threads or '?'} for torch, {cores} cores" if cores != 1 else f"{threads or '?'} for torch, 1 core"
    setting = probe.env.get("OMP_NUM_THREADS", "")
    if threads and threads > cores:
        text += ": more threads than cores make it slow"
        if setting:
            yield Finding("WARN", "threads", text, _unset(probe, "OMP_NUM_THREADS"))
        else:
            yield Finding("WARN", "threads", text, f"%env OMP_NUM_THREADS={cores}" if probe.in_notebook() else
                          f"{'set' if probe.windows else 'export'} OMP_NUM_THREADS={cores}")  # fmt: skip
    else:
        yield Finding("OK", "threads", text + (f" (OMP_NUM_THREADS={setting})" if setting else ""))


def _data(probe: Probe, torch: dict) -> Iterable[Finding]:
    """Information only: without any of them, the stand-ins keep the lessons whole."""
    wanted, folder = probe.env.get("COURSE_DATA", "").strip(), probe.env.get("COURSE_DATA_DIR", "").strip()
    if wanted.lower() not in ("", "auto", "standin"):
        text = f"COURSE_DATA={wanted} is not known; there is standin, or none at all"
        yield Finding("FIX", "data", text, _unset(probe, "COURSE_DATA"))
        return
    if folder and not Path(folder).expanduser().is_dir():
        text = f"COURSE_DATA_DIR={folder} is not a folder that can be read"
        yield Finding("WARN", "data", text, _unset(probe, "COURSE_DATA_DIR"))
    rows = probe.sources()
    if rows is None:
        yield Finding("OK", "data", "not known, as packages are missing")
        return
    names: dict[str, list[str]] = {}
    for name, source, _ in rows:
        names.setdefault(source, []).append(name)
    explained = {
        "your folder": "your folder (COURSE_DATA_DIR)",
        "cache": "downloaded already",
        "download on request": f"download on request ({_course(probe, 'data get NAME')})",
        "stand-in": "stand-in, made by the course",
    }
    for source in dict.fromkeys([*explained, *names]):
        if source in names:
            yield Finding("OK", "data", f"{explained.get(source, source)}: {', '.join(names[source])}")


def _network(probe: Probe, torch: dict) -> Iterable[Finding]:
    yield Finding("OK", "network", "reachable" if probe.network() else "not reachable; once set up, the course needs none")


_ITEMS: list[tuple[str, Callable[[Probe, dict], Iterable[Finding]]]] = [
    ("Python", _python),
    ("kernel", _kernel),
    ("torch", _torch),
    ("NumPy", _numpy),
    ("matplotlib", _matplotlib),
    ("packages", _others),
    ("helpers", _shadows),
    ("device", _device),
    ("mode", _mode),
    ("threads", _threads),
    ("work folder", _permission),
    ("disk", _disk),
    ("data", _data),
]


def report(probe: Probe | None = None, network: bool = False) -> list[Finding]:
    """Everything that was found, in the order of the report. Never raises: an item that cannot be looked at says so."""
    probe = probe or Probe()
    try:
        torch = probe.torch() if probe.version("torch") else {}
    except Exception as error:
        torch = {"error": f"{type(error).__name__}: {error}"}
    findings = []
    for item, look in [*_ITEMS, ("network", _network)] if network else _ITEMS:
        try:
            findings += look(probe, torch)
        except Exception as error:
            text = f"could not be looked at ({type(error).__name__}: {_short(str(error))})"
            command = ""
            if "ipykernel" in sys.modules:  # not asked of the probe, which may be what fails
                text, command = f"{text}; in a terminal it may say more", "python -m helpers.doctor"
            findings.append(Finding("WARN", item, text, command))
    return findings


def verdict(findings: list[Finding], packaged: bool = False) -> str:
    """The last line of the report."""
    fixes, warnings = (sum(f.status == status for f in findings) for status in ("FIX", "WARN"))
    if not fixes and not warnings:
        return "All is well."
    place = "" if packaged else " in the folder of the course"
    where = f"The commands are for a terminal{place}; those with % are for a cell."
    count = f"{fixes} to repair, {warnings} to know about."
    return f"{count} {where}" if fixes else f"Nothing to repair, {warnings} to know about. {where}"


def _print_report(network: bool) -> list[Finding]:
    print("Looking at your set-up (up to 15 s) ...", flush=True)
    findings = report(network=network)
    print("\n".join(str(finding) for finding in findings))
    print(verdict(findings, Probe().packaged()))
    return findings


def doctor(network: bool = False) -> None:
    """Print the report on this set-up: a line per item, OK, WARN or FIX, and the one command that repairs it.

    It looks anew each time, as something may have been repaired; ``report`` after it does not try torch once more.

    Args:
        network: also see whether the internet is reachable (takes up to 3 seconds; the course itself needs none).
    """
    _tried.clear()
    _print_report(network)


def main(arguments: list[str] | None = None) -> int:
    """The command: exit code 1 if there is something to repair."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments != ["--no-network"]:
        print("python course.py doctor [--no-network]   looks at the set-up and names the command that repairs it")
        return 0 if arguments[0] in ("-h", "--help") else 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    findings = _print_report(network=not arguments)
    return int(any(finding.status == "FIX" for finding in findings))


if __name__ == "__main__":
    # started as a file, so that a broken environment cannot stop it; then only the folder above belongs on the path
    sys.path[0] = str(ROOT)
    sys.exit(main())

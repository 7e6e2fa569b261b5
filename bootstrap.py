"""What ``course.py`` does: make the environment, fill ``work/``, hand over. Standard library only, Python 3.11 or newer.

The environment is ``.venv`` beside this file. A stamp in it says from which lock it was made; ``plan`` compares the two and
decides between nothing, an update in place, and a fresh start. A set-up that was cut off leaves the stamp at "making", and
the next start begins afresh: what was downloaded so far is in the installer's cache and is not downloaded twice.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

OLDEST = (3, 11)
GB = 1e9
START = "00_start_here.ipynb"
# name: (Python module that does it, line in the help); a command is offered once its module is there
COMMANDS = {
    "lab": ("", "set up, fill work/, and open JupyterLab at the start notebook"),
    "test": ("authoring.test", "run everything that CI runs"),
    "build": ("authoring.build", "make the exercise notebooks out of the solutions (--check: only compare)"),
    "slides": ("authoring.slides", "the slides of a lesson in one file"),
    "doctor": ("helpers.doctor", "look at the set-up and name the one command that repairs it"),
    "data": ("helpers.data", "the data sets: list them, or get one"),
    "progress": ("helpers.progress", "how far you have come"),
    "export": ("authoring.export", "the lessons as an nbgrader course"),
    "clean": ("", "list what can be deleted, and delete it"),
}


class Trouble(Exception):
    """Something that the person at the keyboard can repair: shown as it is, without a traceback."""


class Outdated(Trouble):
    """An update failed, and the environment still is what it was before: lessons can go on in it."""


@dataclass(frozen=True)
class Place:
    """Where things are, all from the folder of the course."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        return self.venv / "course-stamp.json"

    @property
    def log(self) -> Path:
        return self.root / ".venv-setup.log"

    @property
    def work(self) -> Path:
        chosen = os.environ.get("COURSE_WORK")
        return Path(chosen).expanduser().absolute() if chosen else self.root / "work"


HERE = Place(Path(__file__).resolve().parent)


def say(text: str = "") -> None:
    print(text, flush=True)


def launcher() -> str:
    """How this machine starts the course: for messages."""
    return "py course.py" if os.name == "nt" else "python3 course.py"


# ---------------------------------------------------------------------------------------------------------------------
# What the course runs on


@dataclass(frozen=True)
class Machine:
    """The facts that decide whether there are PyTorch wheels; tests make up their own."""

    system: str = field(default_factory=platform.system)
    machine: str = field(default_factory=platform.machine)
    bits: int = 64 if sys.maxsize > 2**32 else 32
    implementation: str = field(default_factory=platform.python_implementation)
    version: tuple[int, int] = sys.version_info[:2]
    free_threaded: bool = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    musl: bool = any("musl" in str(sysconfig.get_config_var(name)) for name in ("SOABI", "HOST_GNU_TYPE", "MULTIARCH"))
    glibc: str = field(default_factory=lambda: platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "")
    macos: str = field(default_factory=lambda: platform.mac_ver()[0])


def numbers(version: str) -> tuple[int, ...]:
    """"2.15.0+cu130" -> (2, 15, 0): the release part, as far as it is numbers."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


def refusal(machine: Machine) -> str | None:
    """Why the environment cannot be made on this machine; None where it can."""
    other = (
        f"Ways out: another computer, a JupyterHub or a container; or an environment of your own with PyTorch in it, "
        f"used with COURSE_ENV=current {launcher()} lab."
    )
    arch = machine.machine.lower()
    if machine.version < OLDEST:
        return "This course needs Python 3.11 or newer; this one is {}.{}.".format(*machine.version)
    if machine.implementation != "CPython":
        return f"PyTorch runs on the usual Python (CPython); this one is {machine.implementation}. Get one from python.org."
    if machine.free_threaded:
        return "This is a free-threaded Python (its name ends in t); not all packages run on it. Take the usual build."
    if machine.bits == 32:
        return f"This is a 32-bit Python, and PyTorch is built for 64 bits only. Install the 64-bit Python. {other}"
    if machine.system == "Darwin":
        if arch != "arm64":
            return (
                "PyTorch is no longer built for Macs with an Intel processor. (If this Mac has an Apple chip, this is an "
                f"Intel build of Python: install the one for Apple silicon from python.org.) {other}"
            )
        if machine.macos and numbers(machine.macos) < (14,):
            return f"PyTorch needs macOS 14 or newer; this is {machine.macos}. {other}"
    elif machine.system == "Windows":
        if arch not in ("amd64", "x86_64"):
            return f"PyTorch as the course pins it is not built for Windows on Arm. Linux inside WSL works there. {other}"
    elif machine.system == "Linux":
        if machine.musl:
            return f"PyTorch is not built for Linux with musl (Alpine and its like); it needs glibc. {other}"
        if arch not in ("x86_64", "amd64", "aarch64", "arm64"):
            return f"PyTorch is not built for Linux on {machine.machine}. {other}"
        if machine.glibc and numbers(machine.glibc) < (2, 28):
            return f"PyTorch needs a Linux with glibc 2.28 or newer; this one has {machine.glibc}. {other}"
    else:
        return f"PyTorch is not built for {machine.system}. {other}"
    return None


def space_needed(machine: Machine, cpu: bool) -> float:
    """Bytes that must be free: the CUDA build of PyTorch makes 5.6 GB of it, the CPU builds about 2."""
    return 8 * GB if machine.system == "Linux" and not cpu else 3 * GB


def free_space(folder: Path) -> float:
    """Bytes free on the disk that holds ``folder`` (or would hold it)."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_space(place: Place, machine: Machine, cpu: bool) -> None:
    need, free = space_needed(machine, cpu), free_space(place.root)
    if free < need:
        smaller = ""
        if need > 3 * GB:
            smaller = f" Without a GPU,  {launcher()} lab --cpu  gets by with {3:.0f} GB."
        raise Trouble(
            f"Too little disk space: setting up needs {need / GB:.0f} GB free, and {free / GB:.1f} GB are.{smaller}\n"
            f"What the course itself can give back:  {launcher()} clean"
        )


# ---------------------------------------------------------------------------------------------------------------------
# The lock and the stamp


def _digest(data: bytes) -> str:
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()[:16]


def requirements(place: Place, authoring: bool = True) -> list[str]:
    """What pyproject.toml asks for, such as "numpy>=2"."""
    project = tomllib.loads((place.root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + (project["optional-dependencies"]["authoring"] if authoring else [])


def wanted(place: Place, cpu: bool) -> dict:
    """The stamp of an environment that fits this folder as it is now."""
    return {
        "state": "ready",
        "lock": _digest((place.root / "requirements.lock").read_bytes()),
        "project": _digest(json.dumps(requirements(place)).encode()),
        "root": str(place.root),
        "cpu": cpu,
    }


def read_stamp(place: Place) -> dict | None:
    try:
        stamp = json.loads(place.stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def write_text(path: Path, text: str) -> None:
    """All of it or nothing: a kill in between leaves the old file."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def write_stamp(place: Place, stamp: dict) -> None:
    write_text(place.stamp, json.dumps(stamp, indent=1) + "\n")


def python_version(python: Path) -> str | None:
    """"3.11.7" when that interpreter runs, else None."""
    try:
        command = [str(python), "-I", "-S", "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def plan(exists: bool, stamp: dict | None, want: dict, version: str | None) -> tuple[str, str]:
    """("keep" | "update" | "create", why), from what is on disk. ``version`` is that of the environment's own Python.

    Which Python runs course.py plays no part: the lock fits all of them, and a machine has several.
    """
    if not exists:
        return "create", "first start"
    if version is None:
        return "create", "its Python is gone"
    if numbers(version)[:2] < OLDEST:
        return "create", f"its Python is {version}"
    if stamp is None:
        return "update", "it has not been checked against the lock"
    if stamp.get("state") != "ready":
        return "create", "the last set-up was cut off"
    if numbers(str(stamp.get("python", "")))[:2] != numbers(version)[:2]:
        return "create", f"its Python has become {version}"
    if bool(stamp.get("cpu")) != want["cpu"]:
        return "create", "--cpu asks for another PyTorch"
    if stamp.get("root") != want["root"]:
        return "update", "the folder was moved"
    if stamp.get("lock") != want["lock"] or stamp.get("project") != want["project"]:
        return "update", "the lock has changed"
    return "keep", ""


def lock_blocks(text: str) -> dict[str, str]:
    """The lock, package by package: name -> its lines (markers and hashes included)."""
    blocks: dict[str, str] = {}
    name = ""
    for line in text.splitlines(keepends=True):
        started = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)==", line)
        if started:
            name = started.group(1).lower()
        if name:
            blocks[name] = blocks.get(name, "") + line
    return blocks


def locked_version(text: str, name: str) -> str:
    return re.match(r"[^=]+==([^\s;\\]+)", lock_blocks(text)[name]).group(1)


def without_cuda(text: str) -> str:
    """The lock without PyTorch and what only its CUDA build needs."""
    gone = re.compile(r"torch$|torchvision$|triton$|nvidia-|cuda-")
    return "".join(block for name, block in lock_blocks(text).items() if not gone.match(name))


# ---------------------------------------------------------------------------------------------------------------------
# Installing


_CAUSES = [
    ("disk", r"no space left|os error 28|errno 28|disk quota|os error 122|not enough space on the disk"),
    ("hash", r"hash mismatch|do not match the hashes"),
    ("certificate", r"certificate_verify_failed|unknownissuer|invalid peer certificate|self.signed certificate"),
    (
        "network",
        (
            r"error sending request|dns error|failed to lookup|name resolution|getaddrinfo|tcp connect error|"
            r"connection (refused|reset|timed out|aborted|error)|network is unreachable|network connectivity|"
            r"newconnectionerror|connecttimeout|readtimeout|max retries exceeded|cannot connect to proxy|"
            r"proxyerror|failed to establish|operation timed out|request failed after|failed to fetch"
        ),
    ),
    ("permission", r"permission denied|os error 13|errno 13|read-only file system|access is denied"),
]


def cause(output: str) -> str:
    """What an installer's output complains about: disk, hash, certificate, network, permission or other."""
    text = output.lower()
    return next((name for name, pattern in _CAUSES if re.search(pattern, text)), "other")


def explain(what: str, output: str, log: Path) -> str:
    """One paragraph for a set-up that failed, then the installer's last words."""
    text = {
        "disk": f"The disk is full. Make room ({launcher()} clean lists what the course can give back) and start again.",
        "hash": "A package that arrived is not the one that the lock names: a broken download, or something between here "
        "and the package index that changes files. Start again; if it stays, try another network.",
        "certificate": "The package index was reached, but its certificate was not accepted: usually a company's or "
        "school's proxy. Ask for its certificate file and start again with SSL_CERT_FILE set to it.",
        "network": "No network: the package index could not be reached, and the first set-up (like every changed lock) has "
        "to download. Connect, or set HTTPS_PROXY if you are behind a proxy, and start again: what has arrived already is "
        "kept. Once set up, the course works offline.",
        "permission": "A file could not be written. Copy the course to a folder of your own and start there; on Windows, "
        "close JupyterLab first.",
    }.get(what, "The set-up failed. Start again; if it stays, the log says more.")
    last = [line for line in output.splitlines() if line.strip()][-8:]
    return "\n".join([text, "", *(f"    {line.rstrip()[:160]}" for line in last), "", f"The whole log: {log.name}"])


# uv lists every package that it installs, pip every one that it passes: 145 lines that go to the log alone
_CHATTER = re.compile(r"\s*[+~-] \S|\s*(Requirement already satisfied|Ignoring \S+: markers|Looking in )")


class Install:
    """Runs installers: their output goes to the screen and to the log, and a sign of life appears when they are silent."""

    def __init__(self, place: Place, holder: int | None = None):
        self.place = place
        self.output = ""
        self.holder = holder  # a lock that the installer keeps too: if we are killed, nobody starts while it runs on
        self.free = free_space(place.root)
        with contextlib.suppress(OSError):
            place.log.write_text("", encoding="utf-8")

    def run(self, *command: str | os.PathLike, quiet: bool = False) -> bool:
        """True if the command ended well."""
        words = [str(word) for word in command]
        self.output, started = "", time.monotonic()
        spoke = [started]
        extra = {"pass_fds": [self.holder]} if self.holder is not None and os.name == "posix" else {}
        with open(self.place.log, "a", encoding="utf-8", newline="\n") as log:
            log.write(f"$ {' '.join(words)}\n")
            try:
                process = subprocess.Popen(
                    words, cwd=self.place.root, env=installer_environment(), stdin=subprocess.DEVNULL, encoding="utf-8",
                    errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **extra,
                )  # fmt: skip
            except OSError as error:
                self.output = f"{words[0]}: {error}"
                log.write(self.output + "\n")
                return False
            done = threading.Event()
            threading.Thread(target=self._sign_of_life, args=(started, spoke, done), daemon=True).start()
            try:
                for line in process.stdout:
                    self.output += line
                    log.write(line)
                    if not quiet and line.strip() and not _CHATTER.match(line):
                        say(f"    {line.rstrip()}")
                        spoke[0] = time.monotonic()
                return process.wait() == 0
            except BaseException:
                process.terminate()
                process.wait()
                raise
            finally:
                done.set()

    def _sign_of_life(self, started: float, spoke: list[float], done: threading.Event) -> None:
        while not done.wait(1):
            now = time.monotonic()
            if now - spoke[0] >= 10:
                spoke[0] = now
                with contextlib.suppress(OSError):
                    written = max(0.0, self.free - free_space(self.place.root)) / GB
                    say(f"    ... {now - started:.0f} s, {written:.1f} GB written so far")


def clean_environment() -> dict[str, str]:
    """The environment variables for anything that runs inside .venv: nothing of another Python leaks in."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}


def installer_environment() -> dict[str, str]:
    """The same for pip and uv: mirrors and proxies stay, but nothing may send packages elsewhere or pick other versions."""
    others = ("PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "UV_SYSTEM_PYTHON", "UV_CONSTRAINT", "UV_OVERRIDE")
    env = {name: value for name, value in clean_environment().items() if name not in others}
    # an empty PIP_CONSTRAINT would not win over a constraints file that the machine's pip configuration names
    fixed = {"PIP_USER": "0", "PIP_CONSTRAINT": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    return env | fixed | {"UV_PYTHON_DOWNLOADS": "never"}


def install_commands(python: Path, lock: Path, text: str, cpu: bool) -> list[list[str]]:
    """What uv is told: the lock, then (with ``cpu``) PyTorch's CPU build, which has hashes of its own that no lock knows."""
    uv = [str(python), "-m", "uv", "pip", "install", "--python", str(python)]
    commands = [[*uv, "--require-hashes", "-r", str(lock)]]
    if cpu:
        pair = [f"{name}=={locked_version(text, name)}" for name in ("torch", "torchvision")]
        commands.append([*uv, "--torch-backend", "cpu", "--no-deps", *pair])
    return commands


def install(place: Place, cpu: bool, holder: int | None = None) -> None:
    """Bring everything in the lock, and the course itself, into .venv. Raises Trouble with the reason."""
    runner, python = Install(place, holder), place.python
    text = (place.root / "requirements.lock").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        lock = Path(folder, "requirements.lock")
        lock.write_text(without_cuda(text) if cpu else text, encoding="utf-8", newline="\n")
        has_uv = _bring_uv(runner, text, Path(folder))
        if cpu:
            say("  PyTorch comes as its CPU build (--cpu): smaller, no GPU, and outside the hashes of the lock.")
        good = has_uv and all(runner.run(*command) for command in install_commands(python, lock, text, cpu))
        if not good and has_uv and cause(runner.output) in ("disk", "permission", "hash"):
            raise Trouble(explain(cause(runner.output), runner.output, place.log))
        if not good and cpu:
            raise Trouble("--cpu needs uv. " + explain(cause(runner.output), runner.output, place.log))
        if not good:
            say("  uv did not do it; pip tries (slower, the same lock).")
            if not runner.run(python, "-m", "pip", "install", "--require-hashes", "-r", lock):
                raise Trouble(explain(cause(runner.output), runner.output, place.log))
    say("  Adding the course itself.")
    here = ["--no-deps", "--no-build-isolation", "-e", str(place.root)]
    uv = [python, "-m", "uv", "pip", "install", "--python", python]
    good = has_uv and runner.run(*uv, *here, quiet=True)
    if not good and not runner.run(python, "-m", "pip", "install", *here, quiet=True):
        raise Trouble(explain(cause(runner.output), runner.output, place.log))


def _bring_uv(runner: Install, text: str, folder: Path) -> bool:
    """Install the locked uv with pip; False where it cannot be had or does not run."""
    python, version = runner.place.python, locked_version(text, "uv")
    if not list(runner.place.venv.glob(f"**/site-packages/uv-{version}.dist-info/RECORD")):
        say("  Installing uv, which installs the rest.")
        only = folder / "uv.lock.txt"
        only.write_text(lock_blocks(text)["uv"], encoding="utf-8", newline="\n")
        pip = [python, "-m", "pip", "install", "--require-hashes", "--no-deps", "--retries", "2", "--timeout", "15"]
        if not runner.run(*pip, "-r", only, quiet=True):
            if cause(runner.output) in ("network", "disk"):
                raise Trouble(explain(cause(runner.output), runner.output, runner.place.log))
            return False
    return runner.run(python, "-m", "uv", "--version", quiet=True)


def make_venv(place: Place, holder: int | None) -> None:
    """An empty .venv with pip in it."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        name = "python{}.{}-venv".format(*sys.version_info[:2])
        raise Trouble(f"This Python cannot make environments yet. On Debian and Ubuntu:  sudo apt install {name}")
    runner = Install(place, holder)
    if not runner.run(sys.executable, "-m", "venv", place.venv, quiet=True):
        raise Trouble(explain(cause(runner.output), runner.output, place.log))


def move_scripts(place: Place) -> None:
    """After the folder was moved: the scripts in .venv name their Python by its full path, so write the new one."""
    if os.name == "nt":
        return  # they are programs there; the course starts everything as python -m
    for script in place.python.parent.iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        start, newline, rest = script.read_bytes().partition(b"\n")
        if re.fullmatch(rb"#!.*/\.venv/bin/python[0-9.]*", start):
            script.write_bytes(b"#!" + os.fsencode(place.python) + newline + rest)


def delete(folder: Path) -> None:
    """Remove a folder; raises Trouble where something in it is in use or protected."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise Trouble(
            f"{folder.name} cannot be deleted: {error.strerror} ({error.filename}). Close JupyterLab and every notebook of "
            "the course; if it is not yours, copy the course to a folder of your own."
        ) from None


@contextlib.contextmanager
def one_at_a_time(place: Place) -> Iterator[int]:
    """Only one set-up per folder; the others wait. The lock ends with its process, so a kill leaves nothing behind."""
    try:
        handle = open(place.root / ".venv-setup.lock", "a+b")  # noqa: SIM115 (closed by the with below)
    except OSError:
        raise Trouble(
            f"The environment must be set up, but the folder of the course cannot be written: {place.root}\n"
            f"Copy the course to a folder of your own, or use an environment of yours:  COURSE_ENV=current {launcher()} lab"
        ) from None
    with handle:
        waited = False
        while not _try_lock(handle.fileno()):
            if not waited:
                say("Another course.py is setting up in this folder; waiting for it.")
                waited = True
            time.sleep(0.3)
        yield handle.fileno()


def _try_lock(number: int) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks: better unguarded than not at all
    return True


def look(place: Place, cpu: bool) -> tuple[str, str, dict]:
    """(what to do, why, the stamp to reach). Once made with --cpu, an environment stays so."""
    stamp = read_stamp(place)
    want = wanted(place, (cpu or bool(stamp and stamp.get("cpu"))) and platform.system() == "Linux")
    return *plan(place.venv.exists(), stamp, want, python_version(place.python)), want


def ensure(place: Place, cpu: bool = False, repair: bool = False) -> None:
    """Make .venv match the lock. Says nothing and takes a blink when it does already."""
    if cpu and platform.system() != "Linux":
        say("--cpu changes nothing here: outside Linux, PyTorch comes without CUDA anyway.")
    if not repair and look(place, cpu)[0] == "keep":
        return
    refused = refusal(Machine())
    if refused:
        raise Trouble(refused)
    with one_at_a_time(place) as holder:
        what, why, want = look(place, cpu)
        if repair:
            what, why = "create", "--repair"
        if what == "keep":  # the other one, for which we waited, has made it
            return
        old = read_stamp(place)
        try:
            if what == "create":
                _create(place, why, want, holder)
            else:
                _update(place, why, want, old, holder)
        except PermissionError as error:
            raise Trouble(
                f"The environment must change, but {error.filename or place.venv} cannot be written.\nCopy the course to a "
                f"folder of your own, or use an environment of yours:  COURSE_ENV=current {launcher()} lab"
            ) from None
        except OSError as error:
            raise Trouble(f"The set-up stopped: {error.strerror} ({error.filename or place.venv}).") from None
        want["python"] = python_version(place.python) or ""
        write_stamp(place, want)
        say("The environment is ready.\n")


def _create(place: Place, why: str, want: dict, holder: int) -> None:
    if place.venv.exists() or place.venv.is_symlink():
        say(f"The environment in .venv has to be made again: {why}.")
        place.venv.unlink() if place.venv.is_symlink() or place.venv.is_file() else delete(place.venv)
    check_space(place, Machine(), want["cpu"])
    size = "5.6 GB" if space_needed(Machine(), want["cpu"]) > 3 * GB else "about 2 GB"
    say(f"Setting up the environment in .venv ({size}; the first time it is downloaded, which takes a few minutes).")
    place.venv.mkdir()
    write_stamp(place, dict(want, state="making"))
    make_venv(place, holder)
    install(place, want["cpu"], holder)


def _update(place: Place, why: str, want: dict, old: dict | None, holder: int) -> None:
    say(f"Bringing the environment in .venv up to date: {why}.")
    write_stamp(place, dict(want, state="making"))
    try:
        if old is not None and old.get("root") != want["root"]:
            move_scripts(place)
        install(place, want["cpu"], holder)
    except Trouble as trouble:
        # installers download everything before they change anything: what was there is as good as before
        if old is None:
            place.stamp.unlink(missing_ok=True)
            raise
        write_stamp(place, old)
        raise Outdated(str(trouble)) from None


def missing(required: list[str], version_of: Callable[[str], str | None]) -> list[str]:
    """The requirements ("numpy>=2") that an environment does not meet."""
    short = []
    for line in required:
        name, _, least = line.partition(">=")
        found = version_of(name)
        if found is None or numbers(found) < numbers(least):
            short.append(line)
    return short


def installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_current(place: Place, authoring: bool) -> None:
    """COURSE_ENV=current: the running Python has what the course needs, or one command that brings it."""
    short = missing(requirements(place, authoring), installed)
    if short:
        quoted = " ".join(f'"{line}"' for line in short)
        raise Trouble(
            f"COURSE_ENV=current: this Python ({sys.executable}) lacks {len(short)} of the packages that the course needs, or "
            f"has them too old. One command brings them:\n    {sys.executable} -m pip install {quoted}"
        )


# ---------------------------------------------------------------------------------------------------------------------
# The student's folder


def file_hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def read_record(path: Path) -> dict:
    """{"delivered": {name: hash}, "offered": {name: hash}}; damaged or missing: empty, so that nothing counts as untouched."""
    record: dict[str, dict[str, str]] = {"delivered": {}, "offered": {}}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return record
    for part in record:
        entries = read.get(part) if isinstance(read, dict) else None
        if isinstance(entries, dict):
            record[part] = {k: v for k, v in entries.items() if isinstance(k, str) and isinstance(v, str)}
    return record


def decide(new: str, mine: str | None, delivered: str | None, offered: str | None) -> str:
    """What to do with one lesson: "copy", "keep", "replace" or "offer". All four are hashes, None where there is none."""
    if mine is None:
        return "copy"
    if mine == new or delivered == new or offered == new:
        return "keep"
    if delivered is not None and mine == delivered:
        return "replace"
    return "offer"


def copy_file(source: Path, target: Path) -> None:
    beside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(source.read_bytes())
        os.replace(beside, target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def offer_name(target: Path, new: str, offered: str | None) -> tuple[Path, bool]:
    """(NN_name.new.ipynb or the next free name, whether it is there already). A .new file that was worked in stays."""
    number = 1
    while True:
        path = target.with_name(f"{target.stem}.new{'' if number == 1 else number}.ipynb")
        there = file_hash(path)
        if there == new:
            return path, True
        if not path.exists() or there == offered:
            return path, False
        number += 1


def fill(source: Path, work: Path) -> list[str]:
    """Bring the lessons from ``source`` to ``work`` and never overwrite what was worked there. Returns lines to print."""
    lines = []
    work.mkdir(parents=True, exist_ok=True)
    place = work / ".course.json"
    record = read_record(place)
    before = json.dumps(record)
    lessons = sorted(source.glob("*.ipynb"))
    if not lessons:
        lines.append(f"There are no lessons in {source.name}/: this copy of the course is not complete.")
    fresh = []
    for lesson in lessons:
        name, target, new = lesson.name, work / lesson.name, file_hash(lesson)
        if new is None:
            lines.append(f"{name} cannot be read and was left out.")
            continue
        mine = file_hash(target)
        if mine is None and target.exists():
            lines.append(f"{name} in {work.name}/ cannot be read and was left as it is.")
            continue
        offered = record["offered"].get(name)
        what = decide(new, mine, record["delivered"].get(name), offered)
        if what in ("copy", "replace"):
            copy_file(lesson, target)
            fresh.append(name)
            if what == "replace":
                lines.append(f"{name} has a new version; you had not changed yours, so it was replaced.")
        elif what == "offer":
            path, there = offer_name(target, new, offered)
            if not there:
                copy_file(lesson, path)
                lines.append(f"{name} has a new version. Yours stays as it is; the new one is beside it: {path.name}")
            record["offered"][name] = new
        if what in ("copy", "replace") or mine == new:
            record["delivered"][name] = new
    if json.dumps(record) != before or not place.exists():
        write_text(place, json.dumps(record, indent=1, sort_keys=True) + "\n")
    if fresh and len(fresh) == len(lessons):
        lines.append(f"{len(fresh)} lesson{'s' if len(fresh) > 1 else ''} copied to {work.name}/: work there, it is yours.")
    return lines


LAB_SETTINGS = {
    # nbgrader is there for authors; its panels and its handlers have no business in a student's lab
    "jupyter_server_config.d/course.json": {
        "ServerApp": {
            "jpserver_extensions": {
                f"nbgrader.server_extensions.{name}": False
                for name in ("formgrader", "validate_assignment", "assignment_list", "course_list")
            }
        }
    },
    # and no question about news from the makers of JupyterLab before the first cell
    "labconfig/page_config.json": {
        "disabledExtensions": {"@jupyter/nbgrader": True, "@jupyterlab/apputils-extension:announcements": True}
    },
}


def lab_settings(folder: Path) -> None:
    """Write the settings of the student's JupyterLab; JUPYTER_CONFIG_PATH points to them."""
    for name, content in LAB_SETTINGS.items():
        path, text = folder / name, json.dumps(content, indent=1) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, text)


def lab_command(python: Path | str, work: Path, arguments: list[str], as_root: bool) -> list[str]:
    """The command that starts JupyterLab; the person's own arguments come last and so win."""
    start = f"/lab/tree/{START}" if (work / START).exists() else "/lab"
    own = [f"--ServerApp.root_dir={work}", f"--LabApp.default_url={start}"]
    if as_root:
        own.append("--allow-root")
    return [str(python), "-m", "jupyterlab", *own, *arguments]


# ---------------------------------------------------------------------------------------------------------------------
# Commands


def use_current() -> bool:
    setting = os.environ.get("COURSE_ENV", "")
    if setting not in ("", "venv", "current"):
        raise Trouble(f"COURSE_ENV is {setting!r}; it can be current (use the running Python) or unset (use .venv).")
    return setting == "current"


def running_environment(place: Place, current: bool) -> tuple[str, dict[str, str]]:
    """(Python, environment variables) for what runs in the course's environment."""
    if current:
        env = dict(os.environ)
        env["PYTHONPATH"] = os.pathsep.join([str(place.root), *filter(None, [env.get("PYTHONPATH")])])
        env["COURSE_PYTHON"] = sys.executable
        return sys.executable, env
    env = clean_environment()
    env["VIRTUAL_ENV"] = str(place.venv)
    env["PATH"] = os.pathsep.join([str(place.python.parent), env.get("PATH", "")])
    env["COURSE_PYTHON"] = str(place.python)
    return str(place.python), env


def hand_over(command: list[str], folder: Path, env: Mapping[str, str]) -> int:
    """Become that command (on Windows, which cannot: wait for it)."""
    os.chdir(folder)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "posix":
        os.execve(command[0], command, dict(env))
    process = subprocess.Popen(command, env=dict(env))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # it got the Ctrl-C as well, and knows how to end


def offered(place: Place) -> list[str]:
    """The commands whose machinery is there."""
    return [name for name, (module, _) in COMMANDS.items() if not module or module_file(place, module).exists()]


def module_file(place: Place, module: str) -> Path:
    return place.root.joinpath(*module.split(".")).with_suffix(".py")


def usage(place: Place) -> str:
    width = max(len(name) for name in COMMANDS)
    listed = [f"  {name:<{width}}  {COMMANDS[name][1]}" for name in offered(place)]
    return "\n".join(
        [
            "Deep Learning with PyTorch, done by hand.",
            "",
            f"{launcher()} COMMAND",
            *listed,
            "",
            f"New here?  {launcher()} lab",
            "lab --cpu      PyTorch without CUDA: 2 GB instead of 5.6 (Linux)",
            "lab --repair   make the environment anew; all other words go to JupyterLab, such as --no-browser --port 9999",
            "COURSE_ENV=current   use the running Python as it is (conda, JupyterHub, containers)",
        ]
    )


def lab(place: Place, arguments: list[str]) -> int:
    cpu, repair = "--cpu" in arguments, "--repair" in arguments
    rest = [word for word in arguments if word not in ("--cpu", "--repair")]
    current, work = use_current(), place.work
    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if as_root and os.environ.get("SUDO_UID", "0") != "0":
        raise Trouble(f"Start without sudo:  {launcher()} lab  (else the files in {work.name}/ would belong to root).")
    if current:
        check_current(place, authoring=False)
    else:
        try:
            ensure(place, cpu, repair)
        except Outdated as trouble:
            say(f"\n{trouble}\n\nThe environment stays as it was, and the lessons start in it.\n")
    try:
        lines = fill(place.root / "notebooks", work)
        settings = work / ".course"
        lab_settings(settings)
    except OSError as error:
        where = "COURSE_WORK=/another/folder " + launcher() if os.name != "nt" else "set COURSE_WORK=C:\\another\\folder"
        raise Trouble(
            f"The folder for your work cannot be written: {error.filename or work} ({error.strerror}).\n"
            f"Name another one:  {where}{' lab' if os.name != 'nt' else ', then ' + launcher() + ' lab'}"
        ) from None
    for line in lines:
        say(line)
    python, env = running_environment(place, current)
    env["COURSE_WORK"] = str(work)
    env["JUPYTER_CONFIG_PATH"] = os.pathsep.join([str(settings), *filter(None, [env.get("JUPYTER_CONFIG_PATH")])])
    env["JUPYTER_PREFER_ENV_PATH"] = "1"  # a kernel of the same name in the home folder must not win
    if as_root:
        say("You are root, so JupyterLab is started with --allow-root.")
    say("Starting JupyterLab; Ctrl-C here ends it.")
    return hand_over(lab_command(python, work, rest, as_root), work, env)


def doctor(place: Place, arguments: list[str]) -> int:
    """Never sets anything up: it must also work when the environment is what is broken."""
    current = use_current() or python_version(place.python) is None
    python, env = running_environment(place, current)
    return hand_over([python, str(module_file(place, "helpers.doctor")), *arguments], Path.cwd(), env)


def module(place: Place, name: str, arguments: list[str]) -> int:
    """Run the module behind a command inside the environment."""
    cpu = "--cpu" in arguments
    rest = [word for word in arguments if word != "--cpu"]
    current = use_current()
    if current:
        check_current(place, authoring=COMMANDS[name][0].startswith("authoring"))
    else:
        ensure(place, cpu)
    python, env = running_environment(place, current)
    return hand_over([python, "-m", COMMANDS[name][0], *rest], place.root, env)


def can_be_deleted(place: Place) -> dict[str, list[Path]]:
    """name -> what ``clean`` may delete. The student's work, the lessons and the progress record are never among it."""
    caches: list[Path] = []
    for folder in ("helpers", "authoring", "tests", "classroom"):
        caches += (place.root / folder).rglob("__pycache__")
    caches += [place.root / name for name in ("__pycache__", ".pytest_cache", ".ruff_cache", "build")]
    caches += place.root.glob("*.egg-info")
    items = {
        ".venv": [place.venv, place.log, place.root / ".venv-setup.lock"],
        "downloads": [place.root / "data" / "cache"],
        "slides": [place.root / "slides"],
        "build-cache": [place.root / ".course-cache"],
        "caches": caches,
    }
    return {name: [path for path in paths if path.exists()] for name, paths in items.items()}


def size_of(path: Path) -> int:
    """Bytes under a path, links not followed."""
    if path.is_file() or path.is_symlink():
        return path.lstat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def clean(place: Place, arguments: list[str]) -> int:
    items = can_be_deleted(place)
    names = [word for word in arguments if word != "--yes"]
    unknown = [word for word in names if word not in items]
    if unknown:
        raise Usage(f"clean knows {', '.join(items)}; not {', '.join(unknown)}. Nothing was deleted.")
    if "--yes" in arguments and not names:
        raise Usage(f"Name what to delete:  {launcher()} clean --yes {' '.join(n for n in items if items[n]) or '.venv'}")
    what = {
        ".venv": "the environment; the next start makes it again",
        "downloads": "data sets that were downloaded",
        "slides": "slides that were made of the lessons",
        "build-cache": "what build and test keep to be faster",
        "caches": "compiled Python, caches of tools",
    }
    for name in names or items:
        size = sum(size_of(path) for path in items[name])
        say(f"{name:<12} {size / 1e6:>9,.1f} MB  {what[name]}")
    if "--yes" not in arguments:
        say(f"\nNothing was deleted. To delete:  {launcher()} clean --yes NAME ...")
        say("Your work, the lessons and your progress are never touched.")
        return 0
    for name in names:
        for path in items[name]:
            path.unlink() if path.is_file() or path.is_symlink() else delete(path)
    say("Deleted.")
    if ".venv" in names:
        say("The installer keeps its downloads in a cache of its own, for the next time:  uv cache clean  empties that.")
    return 0


class Usage(Trouble):
    """A command that was typed wrong: exit code 2."""


def run(place: Place, arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        say(usage(place))
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, offered(place), n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise Usage(f"{name!r} is not a command of course.py.{hint}\n\n{usage(place)}")
    if name not in offered(place):
        raise Usage(f"{name} is not part of this version yet.")
    if name in ("lab", "clean") and rest and rest[0] in ("-h", "--help"):
        say(usage(place))
        return 0
    special = {"lab": lab, "clean": clean, "doctor": doctor}
    return special[name](place, rest) if name in special else module(place, name, rest)


def main(arguments: list[str], place: Place = HERE) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a console that lacks a sign must not stop us
    try:
        return run(place, arguments)
    except Trouble as trouble:
        print(f"\n{trouble}" if not isinstance(trouble, Usage) else str(trouble), file=sys.stderr)
        return 2 if isinstance(trouble, Usage) else 1
    except KeyboardInterrupt:
        say("\nStopped. The next start goes on from here.")
        return 130

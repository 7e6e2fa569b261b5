"""Faults of networks, disks and files: nothing is lost, and each gets one clear line.

| fault | tests here | and in |
|---|---|---|
| download cut in the middle | a_cut_download_goes_on, cut_again_and_again, ctrl_c_keeps_what_has_arrived | |
| wrong checksum | a_wrong_checksum_is_no_file, a_part_of_something_else_is_begun_anew | test_data: files in folder and cache |
| mirror answers 503 | mirrors_that_do_not_give_the_file, mnist_survives | |
| captive portal | mirrors_that_do_not_give_the_file, a_portal_does_not_spoil_a_part, mnist_survives | test_data: a page |
| no answer, or a stalled one | no_answer_within_the_time, a_stalled_download_goes_on, a_name_that_hangs | test_data: proxy |
| read-only data folder | a_class_folder_is_never_written, a_folder_that_cannot_be_written | test_data: read-only course |
| two processes fetch at once | two_processes_fetch_once, another_program_takes_too_long | test_data: a lock; test_progress |
| full disk | too_little_room_is_said_before, a_disk_that_fills_up, progress_on_a_full_disk | |
| large download | large_downloads_are_asked_for | test_data: the command |
| archive that points outside | archives_that_are_refused, links_and_devices_are_refused, links_in_a_zip_are_refused | |
| archive that is damaged or huge | damaged_archives, a_bomb_is_refused, unpack_is_whole_or_nothing | |
| weights with program code | program_code_in_weights_never_runs, a_whole_model_is_refused | |
| weights cut off or foreign | files_that_are_no_weights | |

The only server is one on 127.0.0.1. A kernel killed while it writes progress: test_progress. A broken set-up: test_doctor.
"""

import contextlib
import errno
import gzip
import hashlib
import http.server
import io
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import data, downloads, progress, weights
from helpers.downloads import Unusable, fetch, unpack
from helpers.notebooks import ROOT

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
SUM = hashlib.sha256(CONTENT).hexdigest()
PAGE = b"\n<!DOCTYPE html><html>Welcome to our network. Please log in.</html>"


# --- a server with faults ---


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /FAULT/anything with the server's content and that fault."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body: bool = True):
        server = self.server
        fault = "portal" if self.path == "/portal/login" else server.fault or self.path.split("/")[1]
        content = server.files.get(self.path.rsplit("/", 1)[1], CONTENT)
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        if body:
            server.asked.append((fault, first))
        if fault in ("503", "404") or (fault == "416" and first):
            return self.reply(int(fault), b"", {})
        if fault == "portal":
            return self.reply(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        if fault == "redirect":
            return self.reply(302, b"", {"Location": "/portal/login"})
        if fault == "plainpage":  # says that it is anything, and not how long
            return self.reply(200, PAGE + b" " * len(content), {"Content-Length": None})
        if fault == "silent":
            return server.stop.wait(20)
        if fault == "wrong":
            content = bytes(len(content))
        if fault == "other":
            content = content[:1000]
        if fault == "norange":
            first = 0
        headers, status = {}, 200
        if first:
            status, headers["Content-Range"] = 206, f"bytes {first}-{len(content) - 1}/{len(content)}"
        if fault == "badrange" and first:
            headers["Content-Range"] = f"bytes 0-{len(content) - 1}/{len(content)}"
        sent = content[first:]
        if fault in ("cut", "stall", "slow") and first == 0:
            self.reply(status, sent, headers, only=len(sent) // 2, body=body)
            if fault == "stall":
                server.stop.wait(20)
            if fault == "slow":
                time.sleep(0.3)
                self.wfile.write(sent[len(sent) // 2:])
            return None
        if fault == "cutagain":
            return self.reply(status, sent, headers, only=10 if first else len(sent) // 2, body=body)
        return self.reply(status, sent, headers, body=body)

    def reply(self, status: int, content: bytes, headers: dict, only: int | None = None, body: bool = True):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        if body:
            self.wfile.write(content[:only])
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, int]] = []
        self.files: dict[str, bytes] = {}
        self.fault = ""
        self.stop = threading.Event()

    def handle_error(self, *_):
        pass  # the other side went away: that is the test

    def at(self, fault: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{fault}/file.bin"


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.stop.set()
        running.shutdown()


def get(target: Path, *addresses: str, **changes) -> Path:
    return fetch(addresses, target, **{"size": len(CONTENT), "sha256": SUM, "title": "numbers", **changes})


def refused(target: Path, *addresses: str, **changes) -> str:
    """The one line that fetch raises; the target is not there, or as it was."""
    before = target.read_bytes() if target.is_file() else None
    with pytest.raises(Unusable) as caught:
        get(target, *addresses, **changes)
    assert (target.read_bytes() if target.is_file() else None) == before
    line = str(caught.value)
    assert "\n" not in line and len(line) < 250 and "numbers" in line
    return line


def part_of(target: Path) -> bytes | None:
    part = target.with_name(target.name + ".part")
    return part.read_bytes() if part.exists() else None


# --- fetch ---


def test_a_whole_file_is_fetched_once(server, tmp_path):
    target = tmp_path / "new" / "numbers.bin"
    assert get(target, server.at("ok")) == target and target.read_bytes() == CONTENT
    assert part_of(target) is None
    assert get(target, server.at("503")) == target and len(server.asked) == 1
    other = tmp_path / "md5.bin"
    get(other, server.at("ok"), sha256="", md5=hashlib.md5(CONTENT).hexdigest().upper())
    assert other.read_bytes() == CONTENT
    with pytest.raises(ValueError, match="checksum"):
        get(tmp_path / "x", server.at("ok"), sha256="")


def test_a_cut_download_goes_on(server, tmp_path):
    target = tmp_path / "numbers.bin"
    get(target, server.at("cut"))
    assert target.read_bytes() == CONTENT
    assert server.asked == [("cut", 0), ("cut", len(CONTENT) // 2)]


@pytest.mark.parametrize("fault", ["ok", "norange", "badrange"])
def test_a_part_from_yesterday_is_used(server, tmp_path, fault):
    """Also where the server begins anew, or cannot be trusted with ranges and the next mirror is asked."""
    target = tmp_path / "numbers.bin"
    target.with_name("numbers.bin.part").write_bytes(CONTENT[:1234])
    get(target, server.at(fault), server.at("ok"))
    assert target.read_bytes() == CONTENT
    assert server.asked == [(fault, 1234)] + [("ok", 1234)] * (fault == "badrange")


def test_cut_again_and_again(server, tmp_path):
    target = tmp_path / "numbers.bin"
    line = refused(target, server.at("cutagain"))
    assert "was cut off" in line and "which are kept" in line
    assert part_of(target) == CONTENT[: len(CONTENT) // 2 + 10 * downloads.TRIES]
    get(target, server.at("ok"))
    assert server.asked[-1][1] == len(CONTENT) // 2 + 10 * downloads.TRIES and target.read_bytes() == CONTENT


def test_a_stalled_download_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.2)
    target = tmp_path / "numbers.bin"
    get(target, server.at("stall"))
    assert target.read_bytes() == CONTENT and len(server.asked) == 2


def test_ctrl_c_keeps_what_has_arrived(server, tmp_path, monkeypatch):
    target = tmp_path / "numbers.bin"
    real, seen = downloads._bar, []

    def interrupting(*words):
        bar = real(*words)
        update = bar.update

        def stop(n):
            seen.append(n)
            if len(seen) == 2:
                raise KeyboardInterrupt
            update(n)

        bar.update = stop
        return bar

    monkeypatch.setattr(downloads, "_bar", interrupting)
    with pytest.raises(KeyboardInterrupt):
        get(target, server.at("ok"))
    monkeypatch.setattr(downloads, "_bar", real)
    kept = part_of(target)
    assert kept == CONTENT[: sum(seen)] and not target.exists()
    get(target, server.at("ok"))
    assert server.asked[-1] == ("ok", len(kept)) and target.read_bytes() == CONTENT


def test_a_wrong_checksum_is_no_file(server, tmp_path):
    target = tmp_path / "numbers.bin"
    assert "wrong checksum" in refused(target, server.at("wrong"))
    assert part_of(target) is None and len(server.asked) == 1
    target.write_bytes(b"an older version")
    assert "wrong checksum" in refused(target, server.at("wrong"))  # which also sees that the old one is still there
    get(target, server.at("wrong"), server.at("ok"))
    assert target.read_bytes() == CONTENT


def test_a_part_of_something_else_is_begun_anew(server, tmp_path):
    target = tmp_path / "numbers.bin"
    target.with_name("numbers.bin.part").write_bytes(b"x" * 5000)
    get(target, server.at("ok"))
    assert target.read_bytes() == CONTENT and server.asked == [("ok", 5000), ("ok", 0)]


@pytest.mark.parametrize(("fault", "words"), [
    ("503", "answers 503 Service Unavailable"), ("404", "answers 404"), ("portal", "sent a web page in place of the file"),
    ("redirect", "sent a web page"), ("plainpage", "sent a web page"), ("other", "has another file (1,000 bytes"),
])
def test_mirrors_that_do_not_give_the_file(server, tmp_path, fault, words):
    target = tmp_path / "numbers.bin"
    assert words in refused(target, server.at(fault))
    assert part_of(target) is None
    get(target, server.at(fault), server.at("ok"))
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["503", "portal", "redirect", "plainpage", "other", "badrange"])
def test_a_portal_does_not_spoil_a_part(server, tmp_path, fault):
    target = tmp_path / "numbers.bin"
    target.with_name("numbers.bin.part").write_bytes(CONTENT[:777])
    refused(target, server.at(fault))
    assert part_of(target) == CONTENT[:777]


def test_a_server_that_cannot_go_on(server, tmp_path):
    target = tmp_path / "numbers.bin"
    target.with_name("numbers.bin.part").write_bytes(CONTENT[:777])
    get(target, server.at("416"))
    assert target.read_bytes() == CONTENT and server.asked == [("416", 777), ("416", 0)]


def test_no_answer_within_the_time(server, tmp_path, monkeypatch):
    assert downloads.CONNECT_SECONDS == 5
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.1)
    line = refused(tmp_path / "numbers.bin", server.at("silent"), "http://127.0.0.1:9/x")
    assert "cannot be reached" in line and "127.0.0.1:9" in line


def test_a_name_that_hangs(tmp_path, monkeypatch):
    """Looking up a name has no timeout of its own."""
    never = threading.Event()
    monkeypatch.setattr(downloads, "CONNECT_SECONDS", 0.01)
    monkeypatch.setattr(downloads.urllib.request, "urlopen", lambda *_, **__: never.wait(30) and io.BytesIO())
    assert "no answer" in refused(tmp_path / "numbers.bin", "http://a/b")
    never.set()


@pytest.mark.parametrize("address", ["no address", "ftp//x", "http://127.0.0.1:99999/x", "http://\x00/"])
def test_an_address_that_is_none(tmp_path, address):
    assert "not downloaded" in refused(tmp_path / "numbers.bin", address)


# --- folders, processes, disks ---


def test_a_folder_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").touch()  # nothing can be made below a file: as good as read-only, for every user
    assert "cannot be written" in refused(tmp_path / "file" / "numbers.bin", server.at("ok"))
    target = tmp_path / "numbers.bin"
    target.mkdir()  # a folder of the file's name
    assert "cannot be written" in refused(target, server.at("ok"))
    assert server.asked[-1:] != [] and target.is_dir()


FETCHER = """
import sys
from pathlib import Path
from helpers.downloads import fetch
fetch([sys.argv[1]], Path(sys.argv[2]), size=int(sys.argv[3]), sha256=sys.argv[4])
"""


def test_two_processes_fetch_once(server, tmp_path):
    target = tmp_path / "numbers.bin"
    words = [sys.executable, "-c", FETCHER, server.at("slow"), str(target), str(len(CONTENT)), SUM]
    both = [subprocess.Popen(words, cwd=ROOT) for _ in range(2)]
    assert [p.wait(60) for p in both] == [0, 0]
    assert target.read_bytes() == CONTENT and server.asked == [("slow", 0)]


def test_another_program_takes_too_long(server, tmp_path, monkeypatch):
    import filelock

    monkeypatch.setattr(downloads, "LOCK_SECONDS", 0.01)
    target = tmp_path / "numbers.bin"
    with filelock.FileLock(tmp_path / "numbers.bin.lock"):
        assert "another program" in refused(target, server.at("ok"))
    assert server.asked == []


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A folder on a disk of its own with 200 kB. Where none can be made, writing fails after as many bytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    can = sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount")
    mounted = bool(can) and subprocess.run(command, capture_output=True, check=False).returncode == 0
    if not mounted:
        monkeypatch.setattr("helpers.downloads.Path.open", _limited(folder, 200_000))
        monkeypatch.setattr("helpers.progress.tempfile.mkstemp", _no_room)
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


def room(free: int):
    """A disk with so many bytes free, in place of ``shutil.disk_usage``."""
    return lambda _: SimpleNamespace(free=free)


def _no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def _limited(folder: Path, size: int):
    real = Path.open

    def limited(self, mode="r", *words, **named):
        file = real(self, mode, *words, **named)
        if folder in self.parents and mode in ("ab", "wb"):
            write = file.write

            class Limited(io.RawIOBase):
                def write(self, piece):
                    return _no_room() if file.tell() + len(piece) > size else write(piece)

                def truncate(self, where):
                    return file.truncate(where)

                def close(self):
                    file.close()

            return Limited()
        return file

    return limited


def test_too_little_room_is_said_before(server, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads.shutil, "disk_usage", room(100_000))
    line = refused(tmp_path / "numbers.bin", server.at("ok"))
    assert "needs 0.3 MB more" in line and "0.1 MB are free" in line and server.asked == []
    (tmp_path / "numbers.bin.part").write_bytes(CONTENT[:250_000])  # what is here need not fit again
    get(tmp_path / "numbers.bin", server.at("ok"))


def test_a_disk_that_fills_up(server, small_disk, monkeypatch):
    """Other programs write too: there was room enough when it began."""
    monkeypatch.setattr(downloads.shutil, "disk_usage", room(10**12))
    keep = small_disk / "notebook.ipynb"
    keep.write_bytes(b"mine")
    line = refused(small_disk / "numbers.bin", server.at("ok"))
    assert "disk is full" in line
    assert part_of(small_disk / "numbers.bin") is None  # so that the notebook can be saved
    keep.write_bytes(b"mine, with more in it")


def test_progress_on_a_full_disk(small_disk, tmp_path, monkeypatch, capsys):
    place = small_disk / "progress.json"
    monkeypatch.setenv("COURSE_PROGRESS", str(place))
    progress._told.clear()
    mounted = os.path.ismount(small_disk)
    if mounted:
        progress.record("exercises", "01.1", attempts=+1)
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as file:
            while True:
                file.write(bytes(4096))
                file.flush()
    else:
        place.write_text('{"exercises": {"01.1": {"attempts": 1}}}')
    before = place.read_bytes()
    assert progress.record("exercises", "01.1", attempts=+1) == {}
    assert place.read_bytes() == before and progress.read()["exercises"]["01.1"]["attempts"] == 1
    assert capsys.readouterr().out.count("not recorded") == 1
    assert [p.name for p in small_disk.iterdir() if p.name.startswith(".progress-")] == []


# --- large downloads ---


def test_large_downloads_are_asked_for(server, tmp_path, monkeypatch, capsys):
    target = tmp_path / "numbers.bin"
    monkeypatch.setattr(downloads, "ASK_ABOVE_MB", 0.2)
    monkeypatch.delenv(downloads.ALLOW, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # a notebook
    assert "need your consent" in refused(target, server.at("ok")) and server.asked == []
    said = capsys.readouterr().out
    assert f"%env {downloads.ALLOW}=1" in said and "numbers is a download of 0 MB" in said
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    for reply in ("n", "", "no"):
        monkeypatch.setattr("builtins.input", lambda _, reply=reply: reply)
        refused(target, server.at("ok"))
    monkeypatch.setattr("builtins.input", lambda _: (_ for _ in ()).throw(EOFError))
    refused(target, server.at("ok"))
    assert server.asked == []
    monkeypatch.setattr("builtins.input", lambda _: "y")
    get(target, server.at("ok"))
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("not to be asked"))
    get(target, server.at("ok"))  # it is there: nothing to ask
    target.unlink()
    get(target, server.at("ok"), yes=True)
    target.unlink()
    monkeypatch.setenv(downloads.ALLOW, "1")
    get(target, server.at("ok"))


# --- a data set, from the lesson's side ---


@pytest.fixture
def mnist(server, tmp_path, monkeypatch) -> Path:
    """A course folder of its own whose only mirror of MNIST (here 12 and 5 images) is the server with faults; its cache."""
    for name in ("COURSE_DATA_DIR", "COURSE_DATA", "COURSE_OFFLINE", "COURSE_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_MODE", "fast")
    house = tmp_path / "course"
    house.mkdir()
    (house / "pyproject.toml").touch()
    rng = np.random.default_rng(0)
    shapes = [(12, 28, 28), (12,), (5, 28, 28), (5,)]
    files = {}
    for file, shape in zip(data.MNIST_FILES, shapes, strict=True):
        head = bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)
        files[file] = gzip.compress(head + rng.integers(0, 10, shape, dtype=np.uint8).tobytes(), mtime=0)
    server.files = {file.rsplit("/", 1)[1]: raw for file, raw in files.items()}
    monkeypatch.setattr(data, "MNIST_FILES", {f: (hashlib.md5(raw).hexdigest(), len(raw)) for f, raw in files.items()})
    monkeypatch.setattr(data, "MNIST_MIRRORS", (server.at("ok").removesuffix("file.bin"),))
    monkeypatch.setattr(data, "REPOSITORY", house)
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "user-cache"))
    monkeypatch.setattr(data, "_loaded", {})
    drawn = data.standins.digits(50, 20)
    monkeypatch.setattr(data.standins, "digits", lambda *_, **__: drawn)
    return house / "data" / "cache"


@pytest.mark.parametrize(("fault", "words"), [
    ("503", "answers 503"), ("portal", "web page"), ("redirect", "web page"), ("wrong", "wrong checksum"),
    ("other", "another file"), ("cutagain", "cut off"),
])
def test_mnist_survives(mnist, server, monkeypatch, capsys, fault, words):
    """One line says what is wrong, the stand-in takes its place, and when the fault is over, the download works."""
    if fault == "other":
        server.files = {name: raw + bytes(9) for name, raw in server.files.items()}
    server.fault = "ok" if fault == "other" else fault
    assert data.mnist().source == "standin"
    first, second = capsys.readouterr().out.splitlines()
    assert words in first and "stand-in" in first and len(first) < 250 and second.startswith("MNIST digits: stand-in")
    assert not (mnist / "MNIST").exists()
    if fault == "other":
        server.files = {name: raw[:-9] for name, raw in server.files.items()}
    server.fault = ""
    monkeypatch.setattr(data, "_loaded", {})
    assert data.mnist().source == "download"
    assert sorted(p.name for p in mnist.iterdir()) == ["MNIST", "MNIST.lock"]
    if fault == "cutagain":
        assert server.asked[-4][1] > 0  # it went on where it was cut


def test_a_class_folder_is_never_written(mnist, server, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "class"
    for file in data.MNIST_FILES:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(server.files[file.rsplit("/", 1)[1]])
    damaged = folder / list(data.MNIST_FILES)[0]
    whole = damaged.read_bytes()
    places = [folder, *folder.rglob("*")]
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    for content, source in ((whole, "folder"), (whole[:99], "download")):
        damaged.write_bytes(content)
        for place in places:
            place.chmod(0o555 if place.is_dir() else 0o444)
        before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in places}
        monkeypatch.setattr(data, "_loaded", {})
        assert data.mnist().source == source
        assert {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in [folder, *folder.rglob("*")]} == before
        for place in places:
            place.chmod(0o755 if place.is_dir() else 0o644)
    assert "is cut off after 99 of" in capsys.readouterr().out


# --- archives ---


def tar_of(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                packed.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


GOOD = {"photos/cat/1.jpg": b"cat", "photos/dog/2.jpg": b"dog" * 1000, "photos/..readme": b"dots in a name are fine"}


@pytest.mark.parametrize("name", ["a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.zip"])
def test_unpack(tmp_path, name):
    archive = tmp_path / name
    zip_of(archive, GOOD) if name == "a.zip" else tar_of(archive, GOOD, "w:" + name.split(".")[-1].replace("tar", ""))
    folder = unpack(archive, tmp_path / "deep" / "data")
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == GOOD
    assert os.access(folder, os.R_OK | os.X_OK) and [p.name for p in folder.parent.iterdir() if p.is_dir()] == ["data"]
    archive.unlink()
    assert unpack(archive, folder) == folder  # it is there: nothing to do


def link(name: str, target: str, kind=tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("way/out")
    info.external_attr = 0o120777 << 16
    return info


OUTSIDE = ["../evil", "/evil", "a/../../evil", "..\\evil", "C:\\evil", "C:evil", "\\evil", "\\\\server\\evil", "a/.."]


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("name", OUTSIDE)
def test_archives_that_are_refused(tmp_path, kind, name):
    members = {**GOOD, name: b"harm"}
    archive = (tar_of if kind == "tar" else zip_of)(tmp_path / f"a.{kind}", members)
    _refused_whole(archive, tmp_path, "place outside its folder")


@pytest.mark.parametrize("member", [
    link("photos/way", ".."), link("photos/way", "/"), link("photos/way", "../../x", tarfile.LNKTYPE),
    link("photos/inside", "cat/1.jpg"), link("pipe", "", tarfile.FIFOTYPE), link("disk", "", tarfile.BLKTYPE),
], ids=["up", "root", "hard", "inside", "pipe", "device"])
def test_links_and_devices_are_refused(tmp_path, member):
    archive = tar_of(tmp_path / "a.tar.gz", {**GOOD, member.name: member, "photos/way/evil": b"harm"})
    _refused_whole(archive, tmp_path, "holds a link" if member.type in (tarfile.SYMTYPE, tarfile.LNKTYPE) else "special file")


def test_links_in_a_zip_are_refused(tmp_path):
    archive = zip_of(tmp_path / "a.zip", {**GOOD, zip_link(): b"/etc"})
    _refused_whole(archive, tmp_path, "holds a link")


def test_a_bomb_is_refused(tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "a.tar.xz", {"zeros": bytes(3_000_000)}, "w:xz")
    assert archive.stat().st_size < 10_000
    with pytest.raises(Unusable, match="more than the 2 MB"):
        unpack(archive, tmp_path / "data", limit_mb=2)
    monkeypatch.setattr(downloads.shutil, "disk_usage", room(1_000_000))
    _refused_whole(archive, tmp_path, "needs 3.0 MB")


def _refused_whole(archive: Path, folder: Path, words: str) -> None:
    """Unpacking ends with the words, in one line, and nothing was written anywhere."""
    before = sorted(p for p in folder.rglob("*") if p.suffix != ".lock")
    with pytest.raises(Unusable) as caught:
        unpack(archive, folder / "data")
    line = str(caught.value)
    assert words in line and archive.name in line and "\n" not in line and len(line) < 250
    assert sorted(p for p in folder.rglob("*") if p.suffix != ".lock") == before
    assert not Path("/evil").exists() and not (folder.parent / "evil").exists()


def _locked_zip(path: Path) -> Path:
    raw = bytearray(zip_of(path, {"a": b"secret"}).read_bytes())
    raw[6] |= 1  # the flag "encrypted", in the file's header and in the directory
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("damage", ["tar cut", "xz cut", "zip cut", "zip changed", "text", "empty", "page", "locked",
                                    "missing"])
def test_damaged_archives(tmp_path, damage):
    archive = tmp_path / "a.bin"
    content = {"a/1": os.urandom(20_000), "a/2": os.urandom(20_000)}
    kind, _, how = damage.partition(" ")
    if kind == "tar":
        tar_of(archive, content)
    elif kind == "xz":
        tar_of(archive, content, "w:xz")
    elif kind == "zip":
        zip_of(archive, content)
    else:
        archive.write_bytes({"text": b"hello" * 300, "empty": b"", "page": PAGE}.get(kind, b""))
    if how == "cut":
        archive.write_bytes(archive.read_bytes()[:25_000])
    elif how == "changed":
        raw = bytearray(archive.read_bytes())
        raw[10_000] ^= 255
        archive.write_bytes(raw)
    elif kind == "locked":
        _locked_zip(archive)
    elif kind == "missing":
        archive.unlink()
    _refused_whole(archive, tmp_path, "is missing" if kind == "missing" else "damaged or no archive")


def test_unpack_is_whole_or_nothing(tmp_path, monkeypatch):
    archive = tar_of(tmp_path / "a.tar.gz", GOOD)
    (tmp_path / ".data.unpacking").mkdir()
    (tmp_path / ".data.unpacking" / "left by a killed kernel").touch()
    with monkeypatch.context() as patch:
        patch.setattr(downloads.os, "replace", _no_room)
        with pytest.raises(Unusable, match="disk is full"):
            unpack(archive, tmp_path / "data")
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix != ".lock") == ["a.tar.gz"]
    assert sorted(p.name for p in unpack(archive, tmp_path / "data").iterdir()) == ["photos"]
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="cannot be unpacked"):
        unpack(archive, tmp_path / "file" / "data")


# --- weights ---


class Harm:
    """A pickle that runs code when it is loaded: it makes a file."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.system, (f"echo ran > {self.place}",)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def one_line(path: Path) -> str:
    with pytest.raises(weights.UnusableWeights) as caught:
        weights.load_weights(path)
    line = str(caught.value)
    assert path.name in line and "\n" not in line and len(line) < 300
    assert caught.value._render_traceback_() == [f"✗ {line}"]
    return line


def test_weights_are_loaded(torch, tmp_path):
    net = torch.nn.Linear(3, 2)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    torch.save({"net": net.state_dict(), "epoch": 3}, tmp_path / "checkpoint.pt")
    loaded = weights.load_weights(str(tmp_path / "net.pt"))
    assert all(torch.equal(loaded[name], value) for name, value in net.state_dict().items()) and len(loaded) == 2
    assert weights.load_weights(tmp_path / "checkpoint.pt")["epoch"] == 3


@pytest.mark.parametrize("form", ["torch", "old torch", "pickle 2", "pickle 4"])
def test_program_code_in_weights_never_runs(torch, tmp_path, form):
    place, path = tmp_path / "ran", tmp_path / "gift.pt"
    content = {"weight": torch.ones(2), "more": Harm(place)}
    if form.startswith("pickle"):
        path.write_bytes(pickle.dumps(Harm(place), protocol=int(form[-1])))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "torch")
    line = one_line(path)
    assert not place.exists()
    if form != "pickle 4":  # which torch does not even read
        assert "program code" in line and "system" in line and "none of it was run" in line.lower()
    pickle.loads(pickle.dumps(Harm(place)))
    assert place.exists()  # so the harm was real


def test_a_whole_model_is_refused(torch, tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(3, 2)), tmp_path / "model.pt")
    line = one_line(tmp_path / "model.pt")
    assert "holds a whole model" in line and "state_dict" in line


@pytest.mark.parametrize(("name", "words"), [
    ("missing", "is not here"), ("empty", "is empty"), ("cut", "cut off or damaged"), ("changed", "cut off or damaged"),
    ("old cut", "damaged"), ("page", "a web page"), ("text", "no file of weights"), ("json", "a text file"),
    ("npz", "no file of weights"), ("npy", "a NumPy array"), ("zip", "no file of weights"), ("noise", "no file of weights"),
    ("tensor", "holds a Tensor"),
    ("list", "holds a list"), ("nothing", "an empty dict"), ("numbers", "not a state_dict"), ("lfs", "Git LFS"),
    ("safetensors", "a safetensors file"), ("folder", "cannot be read"),
])
def test_files_that_are_no_weights(torch, tmp_path, name, words):
    path = tmp_path / "net.pt"
    state = {"weight": torch.arange(5000.0), "bias": torch.ones(7)}
    objects = {"tensor": torch.ones(3), "list": [1, 2], "nothing": {}, "numbers": {"a": 3}}
    raw = {"empty": b"", "page": PAGE, "text": b"hello world\n" * 9, "json": b'{"a": 1}',
           "noise": np.random.default_rng(0).bytes(3000), "lfs": b"version https://git-lfs.github.com/spec/v1\n",
           "safetensors": (20).to_bytes(8, "little") + b'{"a":{"dtype":"F32"}}'}
    if name in objects or name in ("cut", "changed", "old cut"):
        torch.save(objects.get(name, state), path, _use_new_zipfile_serialization=name != "old cut")
    elif name in raw:
        path.write_bytes(raw[name])
    elif name == "npz":
        with path.open("wb") as file:
            np.savez(file, a=np.ones(3))
    elif name == "npy":
        with path.open("wb") as file:
            np.save(file, np.ones(3))
    elif name == "zip":
        zip_of(path, {"a.txt": b"x"})
    elif name == "folder":
        path.mkdir()
    if name.endswith("cut"):
        path.write_bytes(path.read_bytes()[:9000])
    elif name == "changed":
        damaged = bytearray(path.read_bytes())
        damaged[-200:-100] = bytes(100)
        path.write_bytes(damaged)
    assert words in one_line(path)

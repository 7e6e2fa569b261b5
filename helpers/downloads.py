"""Get a file from the network and unpack it, so that nothing half, wrong or harmful ever takes the place of the real thing.

``fetch`` downloads one file: it waits 5 seconds for an answer, goes on where a cut download stopped, checks the checksum, and
only then gives the file its name. ``unpack`` takes an archive apart inside one folder and nowhere else. Both raise Unusable
with one line that says what is the matter. ``helpers.data`` uses them for the data sets of the lessons.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PureWindowsPath

CONNECT_SECONDS = 5.0  # until an address answers, and then between two pieces
LOCK_SECONDS = 300.0  # while another program downloads the same file
ASK_ABOVE_MB = 50
TRIES = 3  # at one address, each going on where the last was cut
PIECE = 1 << 16
ALLOW = "COURSE_ALLOW_LARGE"


class Unusable(Exception):
    """A file is not there or not what it should be; the message names it and says why, in one line."""


class _Elsewhere(Unusable):
    """This address does not give the file; another one may."""


# --- Large downloads are asked for ---


def agreed(title: str, size_mb: float, yes: bool = False) -> bool:
    """Whether a download may start: up to 50 MB always, above that only if the user says so.

    A terminal asks. A notebook cannot be asked while "Run all" runs: it says how to allow it, and the answer is no.
    """
    if size_mb <= ASK_ABOVE_MB or yes or os.environ.get(ALLOW, "").strip().lower() in ("1", "yes", "true"):
        return True
    if not sys.stdin or not sys.stdin.isatty():
        print(f"{title} is a download of {size_mb:.0f} MB. To allow it, run this line in a cell of its own, then go on:\n"
              f"    %env {ALLOW}=1", flush=True)
        return False
    try:
        answer = input(f"{title} is a download of {size_mb:.0f} MB. Go on? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


# --- One file ---


def fetch(addresses: Sequence[str], target: Path, *, size: int, sha256: str = "", md5: str = "", title: str = "",
          yes: bool = False) -> Path:
    """Download one file to ``target``, unless it is there already and whole; returns ``target``.

    Args:
        addresses: where the file is published, best first.
        size: bytes of the published file.
        sha256, md5: the checksum, in hexadecimal digits; one of the two is needed. The first eight or more digits of a
            sha256 will do: torchvision's file names carry no more.
        title: how messages name it (default: the file's name).
        yes: do not ask before more than 50 MB.

    The part that has arrived lies in ``target.part`` and is used by the next try, after Ctrl-C too. A ``target`` that was
    there stays as it is until the new file is whole and checked. Raises Unusable if the file cannot be had.
    """
    if not sha256 and not md5:
        raise ValueError("fetch needs a checksum")
    import filelock

    title = title or target.name
    part = target.with_name(target.name + ".part")
    try:
        if is_whole(target, size, sha256, md5):
            return target
        if not agreed(title, size / 1e6, yes):
            raise Unusable(f"{title} was not downloaded: {size / 1e6:.0f} MB need your consent")
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_name(target.name + ".lock"), timeout=LOCK_SECONDS):
            if is_whole(target, size, sha256, md5):
                return target  # another program was quicker
            _room_for(target.parent, size - _length(part), title)
            problems = []
            for address in addresses:
                try:
                    _get_whole(address, part, size, sha256, md5, title)
                    os.replace(part, target)
                    return target
                except _Elsewhere as problem:
                    problems.append(str(problem))
            raise Unusable(f"{title} was not downloaded: {'; '.join(dict.fromkeys(problems)) or 'no address is known'}")
    except filelock.Timeout:
        raise Unusable(f"{title}: another program has been downloading it for minutes") from None
    except OSError as problem:
        raise Unusable(_disk_trouble(problem, target, part, title)) from None


def is_whole(file: Path, size: int, sha256: str = "", md5: str = "") -> bool:
    """Whether the file is there, has this many bytes, and has the checksum."""
    if _length(file) != size or not file.is_file():
        return False
    name, wanted = ("sha256", sha256) if sha256 else ("md5", md5)
    digest = hashlib.new(name, usedforsecurity=False)
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    found = digest.hexdigest()
    return found.startswith(wanted.lower()) if sha256 and len(wanted) >= 8 else found == wanted.lower()


def size_of(address: str, title: str = "") -> int:
    """Bytes of a published file, as its server says, at most 5 seconds later; raises Unusable if it does not say."""
    title = title or address.rsplit("/", 1)[-1]
    request = urllib.request.Request(address, headers={"User-Agent": "deep-learning-done-by-hand"}, method="HEAD")
    try:
        with _open(request) as answer:
            if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
                raise Unusable(f"{title} was not downloaded: {_page(address)}")
            length = answer.headers.get("Content-Length", "")
    except urllib.error.HTTPError as problem:
        raise Unusable(f"{title} was not downloaded: {_host(address)} answers {problem.code}") from None
    except (OSError, ValueError, _http_trouble()) as problem:
        raise Unusable(f"{title} was not downloaded: {_host(address)} cannot be reached ({_why(problem)})") from None
    if not length.isdigit():
        raise Unusable(f"{title} was not downloaded: {_host(address)} does not say how large it is")
    return int(length)


def _length(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _room_for(folder: Path, missing: int, title: str) -> None:
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise Unusable(f"{title} needs {missing / 1e6:.1f} MB more on the disk, and {free / 1e6:.1f} MB are free; "
                       "`python course.py clean` shows what can be deleted")


def _disk_trouble(problem: OSError, target: Path, part: Path, title: str) -> str:
    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        # A full disk would also keep notebooks from being saved: give the room back.
        with contextlib.suppress(OSError):
            part.unlink()
        return f"{title}: the disk is full; what had arrived was removed, and everything else is as before"
    reason = problem.strerror or type(problem).__name__
    return f"{title}: {problem.filename or target.parent} cannot be written ({reason})"


def _get_whole(address: str, part: Path, size: int, sha256: str, md5: str, title: str) -> None:
    """Fill ``part`` from one address until it is whole and right. Raises _Elsewhere if that does not work out."""
    fresh_start, tries = False, 0
    while True:
        if _length(part) >= size:
            if is_whole(part, size, sha256, md5):
                return
            part.unlink()  # not a piece of this file: no more tries can make it right
            if fresh_start:
                raise _Elsewhere(f"{_host(address)} sent something else (wrong checksum)")
            tries = 0
        fresh_start = fresh_start or _length(part) == 0
        before = _length(part)
        problem = _get_some(address, part, size, title)
        if _length(part) < size:
            tries = 0 if _length(part) - before > size // 100 else tries + 1
            if tries >= TRIES:
                raise _Elsewhere(f"{_host(address)} {problem} (after {_length(part):,} of {size:,} bytes, which are kept)")


def _get_some(address: str, part: Path, size: int, title: str) -> str:
    """Append to ``part`` what one request gives; returns how the transfer ended early, or nothing.

    Raises _Elsewhere, with ``part`` as it was, when the answer is not the file.
    """
    have = _length(part)
    # identity: a server that packs the file for the way would make byte positions mean something else
    headers = {"User-Agent": "deep-learning-done-by-hand", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        answer = _open(urllib.request.Request(address, headers=headers))
    except urllib.error.HTTPError as problem:
        if problem.code == 416 and have:
            part.unlink()
            return "refused to go on where the last try stopped"
        reason = " ".join(str(problem.reason).split())[:60]  # a server's own words may be long
        raise _Elsewhere(f"{_host(address)} answers {problem.code} {reason}".rstrip()) from None
    except (OSError, ValueError, _http_trouble()) as problem:
        raise _Elsewhere(f"{_host(address)} cannot be reached ({_why(problem)})") from None
    with answer:
        first = _checked_start(answer, address, have, size)
        try:
            piece = answer.read(PIECE)
        except (OSError, _http_trouble()):
            return "was cut off"
        if first == 0 and piece.lstrip()[:1] == b"<" and size > len(piece):
            _refuse_page(address, piece)
        with part.open("ab") as file, _bar(title, size, first) as bar:
            file.truncate(first)
            while piece:
                file.write(piece)
                bar.update(len(piece))
                try:
                    piece = answer.read(PIECE)
                except (OSError, _http_trouble()):
                    return "was cut off"
    return "was cut off" if _length(part) < size else ""


def _checked_start(answer, address: str, have: int, size: int) -> int:
    """At which byte the answer begins: ``have`` if it goes on, 0 if it begins again. _Elsewhere if it is another file."""
    kind = answer.headers.get_content_type()
    if kind in ("text/html", "application/xhtml+xml"):
        raise _Elsewhere(_page(address))
    if answer.status == 206:
        first, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if first.partition("-")[0] != str(have) or total not in (str(size), "*"):
            raise _Elsewhere(f"{_host(address)} has another file ({total or 'no'} bytes)")
        return have
    length = answer.headers.get("Content-Length", "")
    if length.isdigit() and int(length) != size:
        raise _Elsewhere(f"{_host(address)} has another file ({int(length):,} bytes in place of {size:,})")
    return 0


def _refuse_page(address: str, piece: bytes) -> None:
    start = piece.lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<script", b"<meta")):
        raise _Elsewhere(_page(address))


def _page(address: str) -> str:
    return f"{_host(address)} sent a web page in place of the file (a network that wants you to log in first?)"


def _host(address: str) -> str:
    return urllib.request.urlparse(address).netloc or address


def _http_trouble() -> type[Exception]:
    import http.client  # slow to load, and only needed once there is something to download

    return http.client.HTTPException


def _why(problem: Exception) -> str:
    reason = getattr(problem, "reason", problem)
    text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return " ".join(str(text).split())[:120]


def _open(request: urllib.request.Request):
    """Like urlopen, and at most CONNECT_SECONDS: looking up a name has no timeout of its own, so a thread does it."""
    found: list = []
    given_up = threading.Event()

    def ask() -> None:
        try:
            answer = urllib.request.urlopen(request, timeout=CONNECT_SECONDS)
        except Exception as problem:
            found.append(problem)
            return
        found.append(answer)
        if given_up.is_set():
            answer.close()

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECT_SECONDS + 0.5)
    if not found:
        given_up.set()
        raise TimeoutError(errno.ETIMEDOUT, f"no answer within {CONNECT_SECONDS:g} s")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _bar(title: str, size: int, first: int):
    from tqdm import tqdm

    # Short downloads are over before anyone has read the bar.
    return tqdm(total=size, initial=first, desc=title, unit="B", unit_scale=True, leave=False, disable=size < 1_000_000)


# --- Archives ---


def unpack(archive: Path, folder: Path, limit_mb: float = 2_000) -> Path:
    """Unpack a .tar (also .gz, .bz2, .xz) or .zip so that ``folder`` appears whole or not at all; returns ``folder``.

    A folder that is there already is left as it is. Refused, before anything is written: a file that would land outside
    the folder, a link, a device, and more than ``limit_mb`` unpacked. Raises Unusable.
    """
    import filelock

    if folder.exists():
        return folder
    temporary = folder.with_name(f".{folder.name}.unpacking")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder.with_name(folder.name + ".lock"), timeout=LOCK_SECONDS):
            if folder.exists():
                return folder  # another program was quicker
            shutil.rmtree(temporary, ignore_errors=True)  # what a killed program left
            try:
                with _opened(archive) as (members, extract):
                    total = _checked_members(archive.name, members, limit_mb)
                    _room_for(folder.parent, total, archive.name)
                    temporary.mkdir()
                    extract(temporary)
                os.replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except filelock.Timeout:
        raise Unusable(f"{archive.name}: another program has been unpacking it for minutes") from None
    except FileNotFoundError as problem:
        raise Unusable(f"{problem.filename or archive.name} is missing") from None
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unusable(f"{archive.name}: the disk is full; nothing was unpacked") from None
        raise Unusable(f"{archive.name} cannot be unpacked ({problem.strerror or problem})") from None
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, RuntimeError, ValueError) as problem:
        # RuntimeError: a zip with a password, or packed in a way that this Python does not know
        raise Unusable(f"{archive.name} is damaged or no archive ({_why(problem)})") from None
    return folder


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[list[tuple[str, str, int]], object]]:
    """The members of an archive as (name, "file", "folder" or what else it is, bytes), and a function that unpacks it."""
    import lzma

    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                yield [(i.filename, _kind_in_zip(i), i.file_size) for i in packed.infolist()], packed.extractall
        else:
            with tarfile.open(archive) as packed:
                kept = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # since 3.11.4; ours is stricter
                yield ([(m.name, _kind_in_tar(m), m.size) for m in packed.getmembers()],
                       lambda where: packed.extractall(where, **kept))
    except lzma.LZMAError as problem:
        raise tarfile.ReadError(str(problem)) from None


def _kind_in_zip(member: zipfile.ZipInfo) -> str:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link" if kind == stat.S_IFLNK else "a special file"
    return "folder" if member.is_dir() else "file"


def _kind_in_tar(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "file"
    if member.isdir():
        return "folder"
    return "a link" if member.issym() or member.islnk() else "a special file"


def _checked_members(name: str, members: list[tuple[str, str, int]], limit_mb: float) -> int:
    """Bytes of all files. Raises Unusable for a member that a data set has no need of."""
    for member, kind, _ in members:
        if kind not in ("file", "folder"):
            raise Unusable(f"{name} holds {kind} ({member!r}) and was not unpacked")
        place = PureWindowsPath(member)  # which takes / and \ for separators, and knows drives: the stricter of the two
        if place.drive or place.root or ".." in place.parts:
            raise Unusable(f"{name} holds a file for a place outside its folder ({member!r}) and was not unpacked")
    total = sum(size for _, _, size in members)
    if total > limit_mb * 1e6:
        raise Unusable(f"{name} would unpack to {total / 1e6:,.0f} MB, more than the {limit_mb:,.0f} MB that are expected")
    return total

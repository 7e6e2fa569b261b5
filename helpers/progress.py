"""What you have done so far, in one small file on your own machine, without names.

The file is ``progress.json`` in the ``work`` folder (where that cannot be written: in your user data folder).
``COURSE_PROGRESS=off`` switches the record off, ``COURSE_PROGRESS=/some/file.json`` moves it. Delete the file to start
again. Nothing leaves your machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

ROOT = Path(__file__).resolve().parent.parent
_LOCK_SECONDS = 2.0
_told: set[str] = set()


def path() -> Path | None:
    """Where the record is kept; None when it is switched off."""
    setting = os.environ.get("COURSE_PROGRESS", "")
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return None  # the answers of a whole class do not belong into the record of the person who grades
    if setting.lower() in ("off", "0", "no"):
        return None
    if setting:
        return Path(setting).expanduser()
    work = Path(os.environ.get("COURSE_WORK") or ROOT / "work")
    if work.is_dir() and os.access(work, os.W_OK):
        return work / "progress.json"
    import platformdirs

    return platformdirs.user_data_path("deep-learning-done-by-hand", appauthor=False) / "progress.json"


def read() -> dict:
    """The record: ``{"exercises": {"01.1": {...}}, "quiz": {"01.3": {...}}}``. Missing or damaged: an empty one."""
    place = path()
    if place is None:
        return _empty()
    try:
        return _checked(json.loads(place.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return _empty()


def record(kind: str, key: str, **changes) -> dict:
    """Change one entry and return it. ``attempts=+1`` is added; of ``hints=2`` the larger stays, old or new.

    The change is atomic: a kernel that is killed here leaves the old file or the new one, and two notebooks that write at
    once take turns. A record that cannot be written is said once and never an error.
    """
    place = path()
    if place is None:
        return {}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(place) + ".lock", timeout=_LOCK_SECONDS):
            data = _load_for_change(place)
            entry = data[kind].setdefault(key, {})
            for name, value in changes.items():
                if name == "attempts":
                    value += entry.get(name, 0)
                elif name == "hints":
                    value = max(value, entry.get(name, 0))
                entry[name] = value
            _write(place, data)
            return dict(entry)
    except (OSError, Timeout) as problem:
        _say_once(f"○ Progress is not recorded ({type(problem).__name__}: {place}). Everything else works.")
        return {}


def _load_for_change(place: Path) -> dict:
    try:
        return _checked(json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return _empty()
    except ValueError:
        damaged = place.with_suffix(".damaged.json")
        with contextlib.suppress(OSError):
            os.replace(place, damaged)
        _say_once(f"○ The progress record was damaged; it is kept as {damaged.name}, and a new one begins.")
        return _empty()


def _write(place: Path, data: dict) -> None:
    handle, temporary = tempfile.mkstemp(dir=place.parent, prefix=".progress-", suffix=".json")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            json.dump(data, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _empty() -> dict:
    return {"version": 1, "exercises": {}, "quiz": {}}


def _checked(data) -> dict:
    """Raise ValueError unless ``data`` has the form of a record."""
    if not isinstance(data, dict):
        raise ValueError("not a record")
    for kind in ("exercises", "quiz"):
        entries = data.setdefault(kind, {})
        if not isinstance(entries, dict) or not all(isinstance(e, dict) for e in entries.values()):
            raise ValueError("not a record")
        for entry in entries.values():
            if not all(isinstance(entry.get(name, 0), int) for name in ("attempts", "hints")):
                raise ValueError("not a record")
    return data


def _say_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        print(text, file=sys.stdout)


def progress(full_path: bool = False) -> None:
    """Print one row a lesson: exercises passed, attempts, hints, solutions looked at, quiz answers right.

    ``full_path`` says in full where the record is; a notebook is shared, and a path may hold a person's name.
    """
    from helpers import lessons

    data = read()
    width = max(len(f"{lesson.number} {lesson.title}") for lesson in lessons.LESSONS)
    print(f"{'lesson':<{width}}{'passed':>8}  {'attempts':>10}{'hints':>7}{'solutions':>11}{'quiz':>7}")
    for lesson in lessons.LESSONS:
        if not lesson.is_here():
            continue
        module = lesson.module()
        exercises = lessons.exercises(module)
        rows = [data["exercises"].get(e.id, {}) for e in exercises]
        passed = sum(bool(r.get("passed")) for r in rows)
        questions = len(getattr(module, "quiz", ()))
        right = sum(bool(data["quiz"].get(f"{lesson.number}.{n}", {}).get("right")) for n in range(1, questions + 1))
        full = "✓" if exercises and passed == len(exercises) else " "
        print(f"{lesson.number + ' ' + lesson.title:<{width}}{f'{passed}/{len(exercises)} {full}':>10}"
              f"{sum(r.get('attempts', 0) for r in rows):>10}{sum(r.get('hints', 0) for r in rows):>7}"
              f"{sum(bool(r.get('solution')) for r in rows):>11}{f'{right}/{questions}':>7}")
    where = path()
    if where is None:
        print("The record is switched off (COURSE_PROGRESS=off).")
    elif trouble := _trouble(where):
        print(f"{where.name} in {where.parent.name}/ {trouble}")
    else:
        print(f"Kept in {where if full_path else f'{where.name} in {where.parent.name}/'}, on this machine only.")


def _trouble(place: Path) -> str:
    """What keeps the record from being read; nothing where it is whole, or not begun yet."""
    try:
        _checked(json.loads(place.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ""
    except OSError as problem:
        return f"cannot be read ({problem.strerror or type(problem).__name__})."
    except ValueError:
        return f"is damaged. The next check keeps it as {place.with_suffix('.damaged.json').name} and begins a new one."
    return ""


if __name__ == "__main__":
    progress(full_path=True)

#!/usr/bin/env python3
"""The one command of the course: ``python course.py lab`` (``py course.py lab`` on Windows).

This file must stay readable for every Python, 2.7 too, so that an old one is told what is wrong instead of
stopping at a syntax error. Everything else is in ``bootstrap.py`` beside it.
"""

import os
import sys

OLDEST = (3, 11)


def newer_python(folders):
    """The name of the newest Python that is new enough in ``folders``, or None."""
    for minor in range(19, OLDEST[1] - 1, -1):
        name = "python3." + str(minor)
        for folder in folders:
            if os.access(os.path.join(folder, name), os.X_OK):
                return name
    return None


def too_old(version, folders, arguments):
    """What to say to a Python that is too old; None when it is new enough."""
    if tuple(version[:2]) >= OLDEST:
        return None
    lines = ["This course needs Python 3.11 or newer; this one is " + ".".join(map(str, version[:2])) + "."]
    other = newer_python(folders)
    if other:
        lines.append("A newer one is on this machine:  " + other + " course.py " + " ".join(arguments))
    else:
        lines.append("Get one from https://www.python.org/downloads/ (on Linux from your package manager), open a")
        lines.append("new terminal in this folder, and type:")
        lines.append("    Linux, macOS:  python3 course.py lab")
        lines.append("    Windows:       py course.py lab")
    return "\n".join(lines)


if __name__ == "__main__":
    message = too_old(sys.version_info, os.environ.get("PATH", "").split(os.pathsep), sys.argv[1:])
    if message:
        sys.stderr.write(message + "\n")
        sys.exit(1)
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from bootstrap import main

    sys.exit(main(sys.argv[1:]))

"""Find the cells of a lesson's notebooks: the stub of an exercise, its solution, and the solution as an object."""

from __future__ import annotations

import ast
import json
import linecache
import os
import re
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


class NoSolution(Exception):
    """The notebook that holds the solution is not here, as in a hand-out of a class."""


def solution_path(number: str) -> Path:
    """The solution notebook of lesson ``number`` ("01"); raises NoSolution where there is none.

    While nbgrader runs a student's notebook there is none either, as in the hand-out that the student had: the machine
    that grades may hold the solutions, and no cell may earn its points with them.
    """
    if os.environ.get("NBGRADER_EXECUTION"):
        raise NoSolution("nbgrader is grading")
    return _find("solutions", f"{number}_*_solution.ipynb")


def exercise_path(number: str) -> Path:
    """The exercise notebook of lesson ``number`` ("01"); raises NoSolution where there is none."""
    return _find("notebooks", f"{number}_*.ipynb")


def _find(folder: str, pattern: str) -> Path:
    found = sorted((ROOT / folder).glob(pattern))
    if not found:
        raise NoSolution(f"{folder}/{pattern}")
    return found[0]


def code_cells(path: Path) -> list[str]:
    """The sources of all code cells, in order."""
    return list(_code_cells(path, path.stat().st_mtime_ns))


@lru_cache(maxsize=64)
def _code_cells(path: Path, stamp: int) -> tuple[str, ...]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return tuple("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def defined_names(source: str) -> set[str]:
    """Names that the top level of a cell defines by def, class or assignment."""
    try:
        body = ast.parse(_without_magics(source)).body
    except SyntaxError:
        return set()
    return {name for node in body for name in _names_of(node)}


def _names_of(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [t.id for t in node.targets if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _without_magics(source: str) -> str:
    return re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", source)


def exercise_cell(path: Path, name: str) -> str:
    """The source of the cell in which exercise ``name`` is written (the first one that defines it)."""
    cells = code_cells(path)
    marked = [c for c in cells if BEGIN in c] or cells
    for source in [*marked, *cells]:
        if name in defined_names(source):
            return source
    raise NoSolution(f"{path.name} defines no {name}")


def without_marks(source: str) -> str:
    """A cell as a reader wants it: the lines that mark the solution region left out."""
    lines = source.splitlines()
    return "\n".join(line for line in lines if line.strip() not in (BEGIN, END)).strip("\n")


def solved_namespace(path: Path, name: str, override: str | None = None) -> dict:
    """Run what exercise ``name`` needs of a solution notebook, and nothing else; returns the namespace.

    That is: the imports of all cells, the cell of the exercise, and the functions, classes and plain constants that it
    refers to, directly or through another. ``override`` replaces the exercise's own cell (for testing the checks).
    """
    cells = code_cells(path)
    trees = []
    for source in cells:
        try:
            trees.append((source, ast.parse(_without_magics(source))))
        except SyntaxError:
            continue
    imports = [n for _, tree in trees for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    own = override if override is not None else exercise_cell(path, name)
    own_tree = ast.parse(_without_magics(own))

    definers: dict[str, tuple[int, ast.stmt, str]] = {}
    for place, (source, tree) in enumerate(trees):
        for node in tree.body:
            if BEGIN in source or _is_plain(node):
                for defined in _names_of(node):
                    definers.setdefault(defined, (place, node, source))
    needed: dict[int, tuple[int, ast.stmt, str]] = {}
    open_names, seen = _used_names(own_tree), set(defined_names(own))
    while open_names:
        wanted = open_names.pop()
        if wanted in seen or wanted not in definers:
            continue
        seen.add(wanted)
        place, node, source = definers[wanted]
        needed[id(node)] = (place * 100_000 + node.lineno, node, source)
        open_names |= _used_names(node)

    namespace: dict = {"__name__": "__main__"}
    exec(compile(ast.Module(imports, []), f"<{path.stem}: imports>", "exec"), namespace)
    for _, node, source in sorted(needed.values(), key=lambda item: item[0]):
        exec(_compiled(ast.Module([node], []), source, f"<{path.stem}: {' '.join(_names_of(node))}>"), namespace)
    exec(_compiled(own_tree, own, f"<{path.stem}: {name}>"), namespace)
    return namespace


def _is_plain(node: ast.stmt) -> bool:
    """A definition, or a constant such as ``EPSILON = 1e-8``: running it has no effect but the name."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return True
    if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
        try:
            ast.literal_eval(node.value)
            return True
        except ValueError:
            return False
    return False


def _used_names(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _compiled(tree: ast.Module, source: str, filename: str):
    # With the source in linecache, a message about an error can show the line.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return compile(tree, filename, "exec")

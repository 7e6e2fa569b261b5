"""One-step mutants of a solution: the slips of a hand that a check must notice.

Each mutant is the cell with one node of its syntax tree changed: an operator, a constant, a sign, a comparison, an axis,
a condition, a bound, a function swapped for its neighbor, two arguments swapped, a statement dropped. Only nodes between
the marks of a solution region are changed. The order is that of the text, so that every run gives the same mutants.
"""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from helpers.notebooks import BEGIN, END

Change = tuple[str, ast.AST | list[ast.stmt]]  # what the change is called, and what stands in the node's place
Marks = dict[int, str]                         # id(node) -> what to know about it, from the nodes around it


@dataclass(frozen=True)
class Mutant:
    """A changed cell: the line that changed (from 1 in the cell), its text, the change, and the cell's new tree."""

    line: int
    text: str
    change: str
    tree: ast.Module = field(repr=False, compare=False)

    @property
    def key(self) -> str:
        """Its name in a list of equivalent mutants. It has no line number, so edits elsewhere in the cell keep it."""
        return f"{self.text} | {self.change}"


def mutants(source: str, limit: int = 120) -> tuple[list[Mutant], int]:
    """The mutants of a cell, and how many there were before ``limit`` (more are thinned out evenly).

    Mutants with the same text as an earlier one, or as the cell itself, are left out.
    """
    tree = ast.parse(source)
    lines = source.splitlines()
    marks = _marks(tree)
    texts, keys, found = {ast.unparse(tree)}, {}, []
    for node in _inside(tree, _regions(lines)):
        for change, replacement in _changes(node, marks):
            mutated = _with(tree, node, replacement)
            ast.fix_missing_locations(mutated)
            text = ast.unparse(mutated)
            if text in texts:
                continue
            texts.add(text)
            line = lines[node.lineno - 1].strip()
            count = keys[line, change] = keys.get((line, change), 0) + 1
            found.append(Mutant(node.lineno, line, change if count == 1 else f"{change} ({count})", mutated))
    if len(found) <= limit:
        return found, len(found)
    return [found[k * len(found) // limit] for k in range(limit)], len(found)


# ------------------------------------------------------------------------------------------------ where

def _regions(lines: list[str]) -> list[range]:
    """The line numbers between each pair of marks."""
    regions, start = [], None
    for number, line in enumerate(lines, 1):
        if line.strip() == BEGIN:
            start = number + 1
        elif line.strip() == END and start is not None:
            regions.append(range(start, number))
            start = None
    return regions


def _inside(tree: ast.AST, regions: list[range]) -> Iterator[ast.AST]:
    """Nodes that lie in a region, in the order of the text; not docstrings, annotations, f-strings and error texts."""
    for child in ast.iter_child_nodes(tree):
        where = getattr(child, "lineno", None)
        if where is not None and any(where in r and child.end_lineno in r for r in regions):
            yield child
        if isinstance(child, ast.JoinedStr | ast.Raise | ast.arg):
            continue
        if isinstance(child, ast.AnnAssign):
            child = ast.Module([child.value] if child.value else [], [])
        yield from _inside(child, regions)


def _with(tree: ast.AST, target: ast.AST, replacement: ast.AST | list[ast.stmt]):
    """A copy of ``tree`` in which ``replacement`` stands for ``target``. Parts that do not change are shared."""
    if tree is target:
        return replacement
    new = copy.copy(tree)
    for name, value in ast.iter_fields(tree):
        if isinstance(value, ast.AST):
            setattr(new, name, _with(value, target, replacement))
        elif isinstance(value, list):
            items = []
            for item in value:
                item = _with(item, target, replacement) if isinstance(item, ast.AST) else item
                items += item if isinstance(item, list) else [item]
            setattr(new, name, items)
    return new


# ------------------------------------------------------------------------------------------------ what is around a node

AXES = {"axis", "dim", "axes", "dims", "dim0", "dim1"}
TAKES_AXIS = {
    "sum", "mean", "prod", "std", "var", "max", "min", "amax", "amin", "argmax", "argmin", "any", "all", "median", "norm",
    "softmax", "log_softmax", "logsumexp", "cumsum", "cumprod", "sort", "argsort", "topk", "cat", "concatenate", "stack",
    "squeeze", "unsqueeze", "expand_dims", "size", "flatten", "flip", "gather", "index_select", "transpose", "unbind",
    "swapaxes", "permute", "chunk", "split", "nansum", "nanmean", "count_nonzero",
}


def _marks(tree: ast.AST) -> Marks:
    """Constants that name an axis, that stand behind a minus, and returns that end a function."""
    marks: Marks = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            inside = [k.value for k in node.keywords if k.arg in AXES]
            if isinstance(node.func, ast.Attribute) and node.func.attr in TAKES_AXIS:
                inside += node.args
            for value in inside:
                for item in [value, *(value.elts if isinstance(value, ast.Tuple | ast.List) else [])]:
                    if _whole(item) is not None:
                        marks[id(item)] = "axis"
        elif isinstance(node, ast.Subscript):
            if isinstance(node.value, ast.Attribute) and node.value.attr == "shape" and _whole(node.slice) is not None:
                marks[id(node.slice)] = "axis"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            marks[id(node.body[-1])] = "last"
    for node in ast.walk(tree):
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            marks[id(node.operand)] = "part of an axis" if marks.get(id(node)) == "axis" else "negated"
    return marks


def _whole(node: ast.AST) -> int | None:
    """The value of an integer literal, with or without a minus; None for anything else."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _whole(node.operand)
        return None if value is None else -value
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    return None


# ------------------------------------------------------------------------------------------------ the changes

def _changes(node: ast.AST, marks: Marks) -> Iterator[Change]:
    mark = marks.get(id(node), "")
    if mark == "axis":
        yield from _named(node, _other_axes(_whole(node)))
        return
    for kinds, change in _RULES:
        if isinstance(node, kinds):
            yield from change(node, mark)


def _named(node: ast.AST, replacements) -> Iterator[Change]:
    for new in replacements:
        yield f"{_short(node)} -> {_short(new)}", new


def _short(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:40] + " ... " + text[-15:]


def _int(value: int) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _other_axes(axis: int) -> list[ast.expr]:
    # One neighbor each: for a matrix 1 and -1 are the same axis, so a change of sign would change nothing.
    new = {0: 1, 1: 0, -1: -2, -2: -1}.get(axis, axis - 1 if axis > 0 else axis + 1)
    return [_int(new)]


def _constant(node: ast.Constant, mark: str) -> Iterator[Change]:
    value = node.value
    if mark == "part of an axis":
        return
    if isinstance(value, bool):
        yield from _named(node, [ast.Constant(not value)])
    elif type(value) in (int, float):
        flipped = [] if mark == "negated" else [-value]  # the minus in front is dropped elsewhere
        new = dict.fromkeys(v for v in [value + 1, value - 1, *flipped, type(value)(0)] if v != value)
        yield from _named(node, [ast.Constant(v) if v >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-v)) for v in new])
    elif isinstance(value, str) and value in _SWAPS:
        yield from _named(node, [ast.Constant(other) for other in _SWAPS[value]])


_OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add, ast.Div), ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
}
_LEFT_AND_RIGHT_DIFFER = (ast.Sub, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)


def _binary(node: ast.BinOp, mark: str) -> Iterator[Change]:
    yield from _named(node, [ast.BinOp(node.left, op(), node.right) for op in _OPERATORS.get(type(node.op), ())])
    if isinstance(node.op, _LEFT_AND_RIGHT_DIFFER):
        yield from _named(node, [ast.BinOp(node.right, node.op, node.left)])
    yield from _named(node, [node.left, node.right])


def _unary(node: ast.UnaryOp, mark: str) -> Iterator[Change]:
    yield from _named(node, [node.operand])


_COMPARISONS: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}


def _compare(node: ast.Compare, mark: str) -> Iterator[Change]:
    for place, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            ops = [*node.ops[:place], other(), *node.ops[place + 1:]]
            yield from _named(node, [ast.Compare(node.left, ops, node.comparators)])


def _boolean(node: ast.BoolOp, mark: str) -> Iterator[Change]:
    other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    yield from _named(node, [ast.BoolOp(other, node.values)])
    for place in range(len(node.values)):
        rest = node.values[:place] + node.values[place + 1:]
        yield from _named(node, [rest[0] if len(rest) == 1 else ast.BoolOp(node.op, rest)])


def _negated(test: ast.expr) -> list[ast.expr]:
    """The opposite condition; none where changing the comparison itself (== to !=) gives just that."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return [test.operand]
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and len(_COMPARISONS[type(test.ops[0])]) == 1:
        return []
    return [ast.UnaryOp(ast.Not(), test)]


def _conditional(node: ast.IfExp, mark: str) -> Iterator[Change]:
    yield from _named(node, [ast.IfExp(test, node.body, node.orelse) for test in _negated(node.test)])
    yield from _named(node, [node.body, node.orelse])


def _if(node: ast.If, mark: str) -> Iterator[Change]:
    test = _short(node.test)
    for new in (*_negated(node.test), ast.Constant(True), ast.Constant(False)):
        yield f"if {test} -> if {_short(new)}", ast.If(new, node.body, node.orelse)


def _while(node: ast.While, mark: str) -> Iterator[Change]:
    yield f"while {_short(node.test)} -> while False", ast.While(ast.Constant(False), node.body, node.orelse)


def _comprehension(node, mark: str) -> Iterator[Change]:
    for place, part in enumerate(node.generators):
        for number, test in enumerate(part.ifs):
            for new in (*([opposite] for opposite in _negated(test)), []):
                tests = part.ifs[:number] + new + part.ifs[number + 1:]
                parts = list(node.generators)
                parts[place] = ast.comprehension(part.target, part.iter, tests, part.is_async)
                changed = copy.copy(node)
                changed.generators = parts
                yield f"if {_short(test)} -> " + (f"if {_short(new[0])}" if new else "dropped"), changed


_PAIRS = """
min max | argmin argmax | amin amax | minimum maximum | sum mean | zeros ones | zeros_like ones_like | sqrt square
exp log | log log1p | exp expm1 | log2 log | floor ceil | train eval | any all | sin cos | tanh sigmoid | std var
add_ sub_ | mul_ div_ | rand randn | random normal | softmax log_softmax | hstack vstack | cat stack | concatenate stack
append extend | logical_and logical_or | upper lower | union intersection | argsort sort | cumsum cumprod | triu tril
nanmin nanmax | nansum nanmean | eye ones | MaxPool2d AvgPool2d | max_pool2d avg_pool2d | ReLU Sigmoid | relu sigmoid
"""
_SWAPS: dict[str, list[str]] = {}
for _one, _other in (pair.split() for pair in re.split(r"[|\n]", _PAIRS) if pair.strip()):
    _SWAPS.setdefault(_one, []).append(_other)
    _SWAPS.setdefault(_other, []).append(_one)
# Calls whose first two arguments can trade places and change nothing.
_SYMMETRIC = {
    "min", "max", "minimum", "maximum", "gcd", "lcm", "dot", "inner", "vdot", "isclose", "allclose", "add", "multiply", "mul",
    "hypot", "logical_and", "logical_or", "logical_xor", "equal", "transpose", "swapaxes", "array_equal", "print", "mse_loss",
}
# Calls without which a value goes on unprotected: a copy, a cut in the graph, a sign.
_DROPPED_METHODS = {"copy", "clone", "detach", "abs"}
_DROPPED_FUNCTIONS = {"abs", "sorted", "reversed"}


def _call(node: ast.Call, mark: str) -> Iterator[Change]:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    for other in _SWAPS.get(name, []):
        if isinstance(node.func, ast.Attribute):
            new = ast.Attribute(node.func.value, other, node.func.ctx)
        else:
            new = ast.Name(other, node.func.ctx)
        yield f"{name} -> {other}", ast.Call(new, node.args, node.keywords)
    if name not in _SYMMETRIC:
        for args in _swapped(node.args):
            yield from _named(node, [ast.Call(node.func, args, node.keywords)])
    for keyword in node.keywords:
        if keyword.arg is not None:
            rest = [k for k in node.keywords if k is not keyword]
            yield f"{_short(node.func)}: {_short(keyword)} dropped", ast.Call(node.func, node.args, rest)
    if name in _DROPPED_METHODS and isinstance(node.func, ast.Attribute) and not node.args:
        yield from _named(node, [node.func.value])
    if name in _DROPPED_FUNCTIONS | _DROPPED_METHODS and len(node.args) == 1:
        yield from _named(node, [node.args[0]])
    if name == "range":
        yield from _range(node)


def _swapped(items: list[ast.expr]) -> Iterator[list[ast.expr]]:
    for k in range(len(items) - 1):
        if not any(isinstance(item, ast.Starred) for item in items[k:k + 2]):
            yield [*items[:k], items[k + 1], items[k], *items[k + 2:]]


def _range(node: ast.Call) -> Iterator[Change]:
    for place, bound in enumerate(node.args[:2]):
        if _whole(bound) is None:  # literals are changed as constants
            for new in _one_off(bound):
                yield from _named(node, [ast.Call(node.func, [*node.args[:place], new, *node.args[place + 1:]], [])])
    if len(node.args) == 1:
        yield from _named(node, [ast.Call(node.func, [ast.Constant(1), *node.args], [])])


def _one_off(bound: ast.expr) -> list[ast.expr]:
    return [ast.BinOp(bound, ast.Add(), ast.Constant(1)), ast.BinOp(bound, ast.Sub(), ast.Constant(1))]


def _slice(node: ast.Slice, mark: str) -> Iterator[Change]:
    for name in ("lower", "upper", "step"):
        bound = getattr(node, name)
        if bound is None:
            continue
        parts = {"lower": node.lower, "upper": node.upper, "step": node.step}
        one_off = _one_off(bound) if name != "step" and _whole(bound) is None else []
        yield from _named(node, [ast.Slice(**{**parts, name: new}) for new in [None, *one_off]])


def _subscript(node: ast.Subscript, mark: str) -> Iterator[Change]:
    if isinstance(node.slice, ast.Tuple):
        for items in _swapped(node.slice.elts):
            yield from _named(node, [ast.Subscript(node.value, ast.Tuple(items, node.slice.ctx), node.ctx)])


def _attribute(node: ast.Attribute, mark: str) -> Iterator[Change]:
    if node.attr in ("T", "mT"):
        yield from _named(node, [node.value])


def _return(node: ast.Return, mark: str) -> Iterator[Change]:
    if isinstance(node.value, ast.Tuple):
        yield from _named(node, [ast.Return(ast.Tuple(items, ast.Load())) for items in _swapped(node.value.elts)])
    if mark != "last":  # without the last one nothing is returned at all: no test of a check
        yield from _drop(node, mark)


def _drop(node: ast.stmt, mark: str) -> Iterator[Change]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
        return
    yield f"dropped: {_short(node)}", ast.Pass()


def _assign(node: ast.Assign, mark: str) -> Iterator[Change]:
    """Drop what leaves a name bound: ``x = relu(x)``, ``self.x = 0``, ``a[0] = 1``. The rest ends in a NameError."""
    read = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    if all(isinstance(t, ast.Attribute | ast.Subscript) or (isinstance(t, ast.Name) and t.id in read) for t in node.targets):
        yield from _drop(node, mark)


def _augmented(node: ast.AugAssign, mark: str) -> Iterator[Change]:
    yield from _drop(node, mark)
    new = [ast.AugAssign(node.target, op(), node.value) for op in _OPERATORS.get(type(node.op), ())]
    yield from _named(node, [*new, ast.Assign([node.target], node.value, lineno=node.lineno)])


def _with_block(node: ast.With, mark: str) -> Iterator[Change]:
    if all(item.optional_vars is None for item in node.items):
        yield f"unwrapped: with {', '.join(_short(item) for item in node.items)}", node.body


def _break(node: ast.Break, mark: str) -> Iterator[Change]:
    yield from _named(node, [ast.Continue(), ast.Pass()])


def _continue(node: ast.Continue, mark: str) -> Iterator[Change]:
    yield from _named(node, [ast.Break(), ast.Pass()])


_RULES: list[tuple[type | tuple[type, ...], Callable[..., Iterator[Change]]]] = [
    (ast.Constant, _constant), (ast.BinOp, _binary), (ast.UnaryOp, _unary), (ast.Compare, _compare), (ast.BoolOp, _boolean),
    (ast.IfExp, _conditional), (ast.If, _if), (ast.While, _while), (ast.Call, _call), (ast.Slice, _slice),
    ((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _comprehension), (ast.Subscript, _subscript),
    (ast.Attribute, _attribute), (ast.Return, _return), ((ast.Expr, ast.Raise, ast.Assert, ast.Delete), _drop),
    (ast.Assign, _assign), (ast.AugAssign, _augmented), (ast.With, _with_block), (ast.Break, _break), (ast.Continue, _continue),
]

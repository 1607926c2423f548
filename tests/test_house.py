"""The floor plan, counted: files beside rooms, circles of imports, names with two meanings, arrays without a shape.

`python tests/test_house.py` prints what it counts.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"xrete": "xrete", "tasks": "xrete.tasks", "models": "xrete.models"}
MOST_FILES = 18
MOST_LINES = 80
ONE_MEANING = (
    "Team Recipe Finding Job Watch Step Cell Batch Tokens Training Part Kind Entry Stage Items Progress Plan Layout"
).split()
"""Public names that stand for one thing in the whole tree."""
ARRAYS = re.compile(r"\b(NDArray|Tensor|Floats|Rows|Vectors)\b")
SHAPE = re.compile(r"\[[^\]]*\]|scalar|\bone number\b")

pytestmark = pytest.mark.skipif(
    not (ROOT / "xrete").is_dir(), reason="these tests were copied out of their checkout"
)


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the tree, by its dotted name; a package by its own name."""
    trees = {}
    for folder, package in PACKAGES.items():
        for file in sorted((ROOT / folder).rglob("*.py")):
            inside = file.relative_to(ROOT / folder).with_suffix("").parts
            name = ".".join((package, *(part for part in inside if part != "__init__")))
            trees[name] = ast.parse(file.read_text("utf-8"))
    return trees


def imports(name: str, tree: ast.Module) -> Iterator[str]:
    """Yields the modules that a module imports, wherever in it: at the top, in functions, for types only."""
    known = modules()
    is_package = any(other.startswith(f"{name}.") for other in known)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                home = parts if is_package else parts[:-1]
                home = home[: len(home) - node.level + 1]
                base = ".".join([*home, *filter(None, [node.module])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in known else base


def circles() -> list[list[str]]:
    """Returns the strongly connected parts of more than one module (Tarjan)."""
    graph = {
        name: {x for x in imports(name, tree) if x in modules() and x != name} for name, tree in modules().items()
    }
    graph = {name: {x for x in others if not name.startswith(f"{x}.")} for name, others in graph.items()}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    parts: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                parts.append(sorted(stack[at:]))
            del stack[at:]

    for name in graph:
        if name not in index:
            visit(name)
    return parts


def public_names() -> dict[str, list[str]]:
    """Returns the modules that define each public class or alias."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found[node.name].append(module)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name) and target.id[0].isupper() and not target.id.isupper():
                        found[target.id].append(module)
    return found


def functions(tree: ast.AST, path: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yields every function and method with its path; not those inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef):
            yield f"{path}{node.name}", node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node, f"{path}{node.name}.")
        elif isinstance(node, ast.If):
            yield from functions(node, path)


def arrays_without_shapes() -> list[str]:
    """Returns public functions that take or return arrays and name no shape."""
    missing = []
    for module, tree in modules().items():
        for path, node in functions(tree):
            if any(part.startswith("_") for part in path.split(".")):
                continue
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            notes = [ast.unparse(arg.annotation) for arg in given if arg.annotation]
            notes += [ast.unparse(node.returns)] if node.returns else []
            if any(ARRAYS.search(note) for note in notes) and not SHAPE.search(ast.get_docstring(node) or ""):
                missing.append(f"{module}.{path}")
    return missing


def long_functions() -> list[str]:
    """Returns functions of more than so many lines, docstrings included."""
    return [
        f"{module}.{path}"
        for module, tree in modules().items()
        for path, node in functions(tree)
        if (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES
    ]


def test_few_files_lie_beside_the_rooms() -> None:
    assert len(list((ROOT / "xrete").glob("*.py"))) <= MOST_FILES


def test_imports_go_one_way() -> None:
    assert circles() == []


def test_one_name_is_one_thing() -> None:
    assert {name: found for name, found in public_names().items() if name in ONE_MEANING and len(found) > 1} == {}


def test_arrays_have_shapes() -> None:
    assert arrays_without_shapes() == []


def test_functions_are_short() -> None:
    assert long_functions() == []


if __name__ == "__main__":
    for title, rows in (
        ("circles", [", ".join(part) for part in circles()]),
        ("names", [f"{n}: {', '.join(f)}" for n, f in public_names().items() if len(f) > 1]),
        ("arrays without shapes", arrays_without_shapes()),
        ("long functions", long_functions()),
    ):
        print(f"{len(rows)} {title}", *rows, sep="\n    ")

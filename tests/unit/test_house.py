"""The house in numbers: what `docs/architecture.md` promises a newcomer, counted from the source."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("xrete", "tasks", "models")
FILES_BESIDE_FOLDERS = 18
LINES_OF_A_FUNCTION = 80
ONE_MEANING = "Team Recipe Finding Job Watch Step Cell Batch Tokens Training Part Kind Entry".split()
"""Names that meant several things once: each belongs to one module."""
EMPTY_WORDS = {"found", "said", "there"}
"""Names that say nothing of what they hold."""
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
"""Public names of every named tuple, in spite of their underscore."""
DOTTED = re.compile(r"[a-z]\w*(\.\w+)+")
ARRAY = re.compile(r"\b(NDArray|ndarray|Tensor|FloatTensor|LongTensor)\b")
ALIAS = re.compile(r"\b(Floats|Rows|Vectors)\b")
"""Names of modules' own for arrays."""
SHAPE = re.compile(r"\[(?:\.\.\.|…|[\w()*+/ .-]+)(?:, [\w()*+/ .-]+)*,?\]|\bscalar\b")
"""A shape, such as [n, d] or [items]; a loss is a scalar."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, ast.Module]:
    """Names of all modules to their source."""
    trees = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            trees[name] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


MODULES = modules()


def packages() -> set[str]:
    """Names of modules that are folders."""
    return {x.rpartition(".")[0] for x in MODULES if "." in x}


def known(name: str) -> str | None:
    """Brings an imported name to one in `MODULES`: `tasks` and `models` are imported as xrete's."""
    for prefix in ("xrete.tasks", "xrete.models"):
        if name == prefix or name.startswith(f"{prefix}."):
            name = name.removeprefix("xrete.")
    return name if name in MODULES else None


def imports(name: str, tree: ast.Module) -> set[str]:
    """Modules that a module imports anywhere: in functions and for types only, too.

    A package whose module is imported counts only where the name is the package's own.
    """
    wanted = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            wanted |= {known(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = name.split(".")
                keep = len(parents) - node.level + (name in packages())
                base = ".".join([*parents[:keep], *([base] if base else [])])
            for alias in node.names:
                wanted.add(known(f"{base}.{alias.name}") or known(base))
    return {x for x in wanted if x is not None} - {name}


def circles() -> list[list[str]]:
    """Groups of modules that reach each other through imports (Tarjan's strongly connected components)."""
    graph = {name: imports(name, tree) for name, tree in MODULES.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for target in graph[waiting.pop()] - seen:
                seen.add(target)
                waiting.append(target)
        return seen

    reach = {name: reached(name) for name in graph}
    groups = {tuple(sorted(y for y in reach[x] if x in reach[y])) for x in graph if x in reach[x]}
    return [list(group) for group in sorted(groups)]


def functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function]]:
    """Yields functions and methods by their dotted names."""
    for node in body:
        if isinstance(node, Function):
            yield prefix + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{prefix}{node.name}.")


def has_arrays(function: Function) -> bool:
    arguments = function.args
    annotations = [x.annotation for x in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    text = " ".join(ast.unparse(x) for x in (*annotations, function.returns) if x is not None)
    return bool(ARRAY.search(text) or ALIAS.search(text))


def is_overload(function: Function) -> bool:
    return any("overload" in ast.unparse(x) for x in function.decorator_list)


def without_shapes() -> list[str]:
    """Public functions, and methods of public classes, of arrays whose docstring names no shape."""
    return [
        f"{module}.{name}"
        for module, tree in MODULES.items()
        for name, node in functions(tree.body)
        if not any(part.startswith("_") for part in name.split("."))
        and has_arrays(node)
        and not is_overload(node)
        and not SHAPE.search(ast.get_docstring(node) or "")
    ]


def duplicates() -> dict[str, list[str]]:
    """Classes, functions and aliases of `ONE_MEANING` that several modules define."""
    owners: dict[str, list[str]] = defaultdict(list)
    for module, tree in MODULES.items():
        for node in tree.body:
            names = [getattr(node, "name", "")]
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for name in names:
                if name in ONE_MEANING:
                    owners[name].append(module)
    return {name: places for name, places in owners.items() if len(places) > 1}


def names(tree: ast.Module, *, own: bool = False) -> Iterator[tuple[int, str]]:
    """Yields every name that a module gives to a variable, argument, attribute, function or class, and its line.

    Args:
        tree: The module.
        own: Leaves out attributes of other things than `self`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            if not own or ast.unparse(node.value) == "self":
                yield node.lineno, node.attr
        elif isinstance(node, Function | ast.ClassDef):
            yield node.lineno, node.name


def reach_ins(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the private names that a test takes from other modules, and their lines.

    Private is what begins with one underscore; a test may have such names of its own, and of `self`.
    """
    own = {name for _, name in names(tree, own=True)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            taken = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            taken = [node.attr]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and DOTTED.fullmatch(node.value):
            taken = node.value.split(".")  # the target of a patch
        elif isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("setattr", "getattr"):
            taken = [x.value for x in node.args[1:2] if isinstance(x, ast.Constant) and isinstance(x.value, str)]
        else:
            continue
        for name in taken:
            if name.startswith("_") and not name.startswith("__") and name not in own | NAMED_TUPLE:
                yield node.lineno, name


def test_few_files_stand_beside_the_folders() -> None:
    files = sorted(x.name for x in (ROOT / "xrete").glob("*.py"))
    assert len(files) <= FILES_BESIDE_FOLDERS, files


def test_imports_run_one_way() -> None:
    assert circles() == []


def test_one_word_names_one_thing() -> None:
    assert duplicates() == {}


def test_names_say_what_they_hold() -> None:
    empty = [
        f"{module}:{line}: {name}"
        for module, tree in MODULES.items()
        for line, name in names(tree)
        if name.strip("_") in EMPTY_WORDS
    ]
    assert empty == []


def test_tests_stand_in_the_rooms_that_they_test() -> None:
    rooms = {path.name for path in (ROOT / "xrete").iterdir()} | {"tasks", "models"}
    folders = {path.parent.name for path in (ROOT / "tests" / "unit").rglob("test_*.py")} - {"unit"}
    assert folders <= rooms
    for tests, room in (("emmax", "models/emmax"), ("training", "xrete/training")):
        places = {
            path.parent.relative_to(ROOT / "tests" / tests) for path in (ROOT / "tests" / tests).rglob("test_*.py")
        }
        assert places
        assert [place for place in places if not (ROOT / room / place).is_dir()] == []


def test_tests_know_public_names_only() -> None:
    private = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in reach_ins(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert private == []


@pytest.mark.parametrize(
    "code",
    [
        "from xrete.a import _b",
        "a._b()",
        "patch.setattr('xrete.a._b', 1)",
        "patch.setattr(a, '_b', 1)",
        "a.b._c = 1",
    ],
)
def test_a_reach_in_is_seen(code: str) -> None:
    assert [name.strip("_") for _, name in reach_ins(ast.parse(code))] in (["b"], ["c"])


def test_public_functions_of_arrays_name_their_shapes() -> None:
    missing = without_shapes()
    assert missing == [], f"{len(missing)} functions"


def test_no_function_is_long() -> None:
    long = [
        f"{module}.{getattr(node, 'name', '')}: {lines}"
        for module, tree in MODULES.items()
        for node in ast.walk(tree)
        if isinstance(node, Function) and (lines := (node.end_lineno or 0) - node.lineno + 1) > LINES_OF_A_FUNCTION
    ]
    assert long == []


@pytest.mark.parametrize("text", ["float32 [n, d]", "Scores [models].", "bools [items, labels]", "[..., d]"])
def test_a_shape_is_seen(text: str) -> None:
    assert SHAPE.search(text)


def test_no_floor_imports_a_higher_one() -> None:
    """The floors are the rows of the table in docs/architecture.md, from the highest down."""
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8").partition("\n## The floors\n")[2]
    rows = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("| ") and "`xrete/" in line]
    floors = [
        [path.removesuffix(".py").replace("/", ".") for path in re.findall(r"`(xrete/[^`]+)`", row)] for row in rows
    ]

    def floor(module: str) -> int:
        """Returns the row, from 0; a module that is on none, which stands above all, is on -1."""
        on = [
            (len(path), number)
            for number, paths in enumerate(floors)
            for path in paths
            if f"{module}.".startswith(f"{path}.")
        ]
        return max(on)[1] if on else -1

    graph = {name: imports(name, tree) for name, tree in MODULES.items() if name.split(".")[0] == "xrete"}
    assert [name for name in graph if floor(name) < 0] == ["xrete", "xrete.__main__"]
    upwards = [
        f"{name} imports {x}"
        for name, wanted in graph.items()
        for x in wanted - {"xrete"}
        if floor(x) < floor(name)
    ]
    assert upwards == []

"""The house: imports run downward without a circle, files are short, the loop names no method."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "locution"
FILES = sorted(HOUSE.rglob("*.py"))
# from the ground up: a room imports only from its own floor's other files and from floors below
FLOORS = [
    {"errors"},
    {"engine"},
    {"data", "models", "losses", "gradients", "optimizers"},
    {"estimators", "evaluation"},
    {"inference"},
    {"reporting"},
    {"speech"},
    {"typed", "vocabulary"},
    {"config"},
    {"recipe"},
    {"tasks"},
    {"conclusion"},
    {"beginning"},
    {"runs"},
    {"studies"},
    {"commands"},
    {"cli", "__init__"},
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def room(module: str) -> str:
    """Name the room of a module such as locution.engine.loop."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and not parts[1].startswith("__") else "__init__"


def submodule(module: str, name: str, top: Path = HOUSE) -> str:
    """Name the file that `from module import name` reads: a module of that name, or the package itself."""
    place = top.joinpath(*module.split(".")[1:], name)
    return (
        f"{module}.{name}" if module == "locution" or place.is_dir() or place.with_suffix(".py").is_file() else module
    )


def imports(path: Path, top: Path = HOUSE) -> list[tuple[str, int, bool]]:
    """List what a file imports of its package: the module, the line, and whether at import time."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    lazy = {
        id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for n in ast.walk(f)
    }
    typing = {
        id(n)
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and isinstance(test.test, ast.Name) and test.test.id == "TYPE_CHECKING"
        for n in ast.walk(test)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing:
            continue
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == top.name:
            names = [submodule(node.module, alias.name, top) for alias in node.names]
            found += [(name, node.lineno, id(node) not in lazy) for name in names]
        elif isinstance(node, ast.Import):
            found += [
                (a.name, node.lineno, id(node) not in lazy) for a in node.names if a.name.split(".")[0] == top.name
            ]
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_run_downward(path: Path) -> None:
    own = path.relative_to(HOUSE).parts[0].removesuffix(".py")
    assert own in FLOOR, f"{own} has no floor: add it to FLOORS"
    for module, line, at_import in imports(path):
        other = room(module)
        if other == own:
            continue
        # `locution term --run` is the one call upward, made when the command is given
        if not at_import and (own, other) in {("vocabulary", "runs"), ("vocabulary", "config")}:
            continue
        assert FLOOR[other] <= FLOOR[own], f"{path.name}:{line} imports {module} from a floor above"


def arrows(top: Path) -> dict[str, set[str]]:
    """Say of each file below a folder which others it imports, when it is read or when a function is called.

    What is imported for its type alone does not count: the loop hands itself to the files that it is made of (turns,
    watching, memory, checkpoints), which must name it, and which nobody could read without it anyway.
    """
    modules = {
        ".".join((top.name, *path.relative_to(top).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in sorted(top.rglob("*.py"))
    }
    return {
        module: {name for name, _, _ in imports(path, top) if name in modules} - {module}
        for module, path in modules.items()
    }


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Find files that import each other round; nothing where there are none."""
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> list[str]:
        if module in trail:
            return [*trail[trail.index(module) :], module]
        for other in sorted(graph[module]) if module not in done else ():
            if found := visit(other, (*trail, module)):
                return found
        done.add(module)
        return []

    return next((found for module in graph if (found := visit(module, ()))), [])


@pytest.mark.parametrize("top", [HOUSE, HOUSE.parent / "benchmarks"], ids=lambda top: top.name)
def test_no_file_imports_itself_round(top: Path) -> None:
    found = circle(arrows(top))
    assert not found, f"circle: {' -> '.join(found)}; move what both need into a file below both"


def test_a_circle_is_seen_also_where_a_function_closes_it(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    for name, text in {
        "a": "from p import b\n",
        "b": "def late():\n    from p.c import one\n",
        "c": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.b import late\nimport p.d\n",
        "d": "",
    }.items():
        (tmp_path / "p" / f"{name}.py").write_text(text)
    assert arrows(tmp_path / "p") == {"p.a": {"p.b"}, "p.b": {"p.c"}, "p.c": {"p.d"}, "p.d": set()}
    assert circle(arrows(tmp_path / "p")) == []
    (tmp_path / "p" / "d.py").write_text("def late():\n    import p.b\n")
    assert circle(arrows(tmp_path / "p")) == ["p.b", "p.c", "p.d", "p.b"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_files_and_functions_stay_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 250, "what is this file hiding?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]
            assert length <= 50, f"what is {node.name} hiding?"


def test_the_loop_names_no_method() -> None:
    from locution.vocabulary.lookup import names

    words = set(re.findall(r"[a-z_]+", (HOUSE / "engine" / "loop.py").read_text(encoding="utf-8").lower()))
    assert not words & set(names("method"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOUSE)))
def test_nothing_is_pickled_or_evaluated(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [a.name for a in node.names] + [getattr(node, "module", None) or ""]
            assert not {"pickle", "dill", "cloudpickle", "marshal"} & {name.split(".")[0] for name in names}
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"eval", "exec", "torch.load", "torch.save", "yaml.unsafe_load", "yaml.full_load"}
            trusted = [k for k in node.keywords if k.arg == "trust_remote_code"]
            assert all(isinstance(k.value, ast.Constant) and k.value.value is False for k in trusted)

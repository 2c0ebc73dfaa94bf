"""Fail when the code exceeds its bounds: ``python .ci/counters.py``.

Counted are the Python files of ``PACKAGES`` that git tracks, and their tables (``TABLES``). Each figure is printed
beside its bound.
"""

import ast
import math
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path, PurePosixPath

BOUNDS: Mapping[str, float] = {
    "lines of code": 51_593,
    "lines of tables": 305,
    "files": 339,
    "lines of the longest file": 699,
    "files of the largest folder": 12,
    "folders with more than 12 files": 0,
    "per cent of code that imports": 7.7,
    "files of LAP": 9,
    "folders of LAP": 2,
    "files of the learned basis": 9,
    "folders of the learned basis": 2,
    "files of the graph face model": 7,
    "folders of the graph face model": 3,
    "files of detail": 10,
    "folders of detail": 3,
    "files that name hair_style": 4,
    "functions of more than 60 lines": 2,
    "lines of tests": 35_419,
    "words of docs": 58_393,
    "numbers set by hand in module constants": 1_624,
    "numbers set by hand in defaults of dataclasses": 343,
    "numbers set by hand in functions": 1_791,
    "numbers set by hand in tables": 210,
    "numbers set by hand": 3_968,
}
"""Largest allowed value of each figure. A change that lowers a figure lowers its bound."""

LONG_FUNCTION = 60
"""Lines of code of a function that still fits on a screen."""
PACKAGES = ("protocol", "backend", "trainer", "blender_addon", "benchmarks")
TABLES = ("trainer/chain/steps.toml", "trainer/*/tables.toml")
"""Files of data: their numbers are set by hand like any other."""
METHODS = {"LAP": "lap", "the learned basis": "basis", "the graph face model": "graph", "detail": "detail"}
"""A method's files are those with this word in their path."""
OPTION = "hair_style"
"""An option of a reconstruction; the number of files that name it is that of any option."""

COMMON_NUMBERS = frozenset({0, 0.25, 0.5, 1, 2, 3, 4, 255, 90, 180, 360})
"""Not set by hand, as are powers of ten from 10 on (units) and up to 0.001 (units, guards against zero)."""
INDEX_TABLE = 4
"""A constant of so many numbers or more, all of them whole, is a table of indices, of landmarks for example."""


@dataclass(frozen=True, eq=False)
class Module:
    """A file: its path in the repository, its source, its syntax tree, and all nodes of that."""

    path: PurePosixPath
    source: bytes
    tree: ast.Module
    nodes: Sequence[ast.AST]


def tracked(root: Path, suffix: str, *folders: str) -> list[str]:
    """Names of the files with this suffix that git tracks in ``folders`` below ``root``."""
    command = ["git", "ls-files", "-z", "--", *folders]
    names = subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.decode().split("\0")
    return [name for name in names if name.endswith(suffix) and (root / name).is_file()]


def read_modules(root: Path, *folders: str) -> list[Module]:
    """The tracked Python files of ``folders`` below ``root``."""
    sources = ((name, (root / name).read_bytes()) for name in tracked(root, ".py", *folders))
    parsed = ((name, source, ast.parse(source)) for name, source in sources)
    return [Module(PurePosixPath(name), source, tree, tuple(ast.walk(tree))) for name, source, tree in parsed]


@cache
def code_lines(module: Module) -> set[int]:
    """Numbers of the lines with code: not blank, no comment, no docstring (of a constant or an attribute neither)."""
    lines: set[int] = set()
    nothing = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.tokenize(BytesIO(module.source).readline):
        if token.type not in (*nothing, tokenize.ENCODING):
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in module.nodes:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines.difference_update(range(node.lineno, node.end_lineno + 1))
    return lines


def import_lines(module: Module) -> set[int]:
    """Numbers of the lines of import statements."""
    imports = (node for node in module.nodes if isinstance(node, ast.Import | ast.ImportFrom))
    return {line for node in imports for line in range(node.lineno, node.end_lineno + 1)}


def long_functions(module: Module) -> int:
    """Functions with more than ``LONG_FUNCTION`` lines of code, inner ones included in their outer ones."""
    code = code_lines(module)
    functions = (node for node in module.nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    spans = (range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in functions)
    return sum(len(code.intersection(span)) > LONG_FUNCTION for span in spans)


def _numbers(node: ast.AST) -> list[float]:
    return [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and type(one.value) in (int, float)]


def _is_common(number: float) -> bool:
    if number in COMMON_NUMBERS:
        return True
    exponent = math.log10(number)
    return round(exponent) not in (-1, -2) and math.isclose(exponent, round(exponent), abs_tol=1e-9)


def _count_by_hand(numbers: Sequence[float]) -> int:
    return sum(not _is_common(number) for number in numbers)


def constants_by_hand(module: Module) -> int:
    """Numbers in assignments of the module itself, without tables of indices."""
    assigned = (node for node in module.tree.body if isinstance(node, ast.Assign | ast.AnnAssign) and node.value)
    values = [_numbers(node.value) for node in assigned]
    tables = (all(type(one) is int for one in numbers) and len(numbers) >= INDEX_TABLE for numbers in values)
    return sum(_count_by_hand(numbers) for numbers, table in zip(values, tables, strict=True) if not table)


def defaults_by_hand(module: Module) -> int:
    """Numbers in defaults of dataclasses."""
    classes = (node for node in module.nodes if isinstance(node, ast.ClassDef))
    decorated = (node for node in classes if any("dataclass" in ast.unparse(one) for one in node.decorator_list))
    fields = (field for node in decorated for field in node.body if isinstance(field, ast.AnnAssign) and field.value)
    return sum(_count_by_hand(_numbers(field.value)) for field in fields)


def floats_by_hand(module: Module) -> int:
    """Floats inside functions."""
    found = {
        (one.lineno, one.col_offset, one.value)
        for function in module.nodes
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for one in ast.walk(function)
        if isinstance(one, ast.Constant) and type(one.value) is float
    }
    return _count_by_hand([value for _, _, value in found])


def table_figures(root: Path) -> tuple[int, int]:
    """Lines of ``TABLES`` that are neither blank nor comments, and numbers in them."""
    tables = [path.read_text() for pattern in TABLES for path in root.glob(pattern)]
    lines = [line for table in tables for line in table.splitlines() if line.strip() and not line.startswith("#")]
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines]
    numbers = [float(one) for line in bare for one in re.findall(r"(?<![\w.])\d+\.?\d*(?:e-?\d+)?(?!\w)", line)]
    return len(lines), _count_by_hand(numbers)


def figures(modules: Sequence[Module], root: Path) -> Iterator[tuple[str, float]]:
    """Name and value of each figure, in the order of ``BOUNDS``."""
    table_lines, table_numbers = table_figures(root)
    code = {module.path: code_lines(module) for module in modules}
    lines = sum(map(len, code.values()))
    imported = sum(len(code[module.path] & import_lines(module)) for module in modules)
    folders = Counter(module.path.parent for module in modules)
    yield "lines of code", lines
    yield "lines of tables", table_lines
    yield "files", len(modules)
    yield "lines of the longest file", max(len(module.source.splitlines()) for module in modules)
    yield "files of the largest folder", max(folders.values())
    yield "folders with more than 12 files", sum(count > 12 for count in folders.values())
    yield "per cent of code that imports", 100 * imported / lines
    for name, word in METHODS.items():
        paths = [module.path for module in modules if word in re.split(r"[/_.]", str(module.path))]
        yield f"files of {name}", len(paths)
        yield f"folders of {name}", len({path.parent for path in paths})
    yield f"files that name {OPTION}", sum(OPTION.encode() in module.source for module in modules)
    yield "functions of more than 60 lines", sum(map(long_functions, modules))
    yield "lines of tests", sum(len(code_lines(module)) for module in read_modules(root, "tests"))
    yield "words of docs", sum(len((root / name).read_text("utf-8").split()) for name in tracked(root, ".md", "docs"))
    by_hand = {
        "module constants": sum(map(constants_by_hand, modules)),
        "defaults of dataclasses": sum(map(defaults_by_hand, modules)),
        "functions": sum(map(floats_by_hand, modules)),
        "tables": table_numbers,
    }
    for name, count in by_hand.items():
        yield f"numbers set by hand in {name}", count
    yield "numbers set by hand", sum(by_hand.values())


def main(root: Path, bounds: Mapping[str, float]) -> int:
    """Print each figure beside its bound; returns 1 where one is exceeded or a name is not in both, else 0."""
    found = dict(figures(read_modules(root, *PACKAGES), root))
    for name, value in found.items():
        remark = "  exceeded" if value > bounds.get(name, math.inf) else ""
        print(f"{name:46} {value:8,.5g} of {bounds.get(name, math.nan):8,.5g}{remark}")
    if set(found) != set(bounds):
        print(f"without bound or figure: {', '.join(sorted(set(found) ^ set(bounds)))}")
        return 1
    return int(any(value > bounds[name] for name, value in found.items()))


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1], BOUNDS))

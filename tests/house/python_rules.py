"""Rules for modules: sizes, docstrings, names, and the habits that hide failures."""

import ast
import re
from collections.abc import Callable, Iterator

from house.tree import Source

MODULE_LINES = 400
TEST_LINES = 600
FUNCTION_LINES = 60
LINE_LENGTH = 110
FORBIDDEN_NAMES = frozenset(("utils", "util", "helpers", "helper", "misc", "manager", "managers"))
SLEEPS = frozenset(("time.sleep", "asyncio.sleep", "anyio.sleep", "trio.sleep"))

_PRAGMA = re.compile(r"\s+# (noqa|type: ignore).*")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Rule = Callable[[Source], Iterator[str]]


def sizes(source: Source) -> Iterator[str]:
    """Modules, functions and lines that are too long to be read at once."""
    limit = TEST_LINES if source.is_test else MODULE_LINES
    if len(source.lines) > limit:
        yield source.at(limit + 1, f"{len(source.lines)} lines, at most {limit}")
    for node in ast.walk(source.tree):
        if isinstance(node, Function):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield source.at(node.lineno, f"`{node.name}` has {length} lines, at most {FUNCTION_LINES}")
    for number, line in enumerate(source.lines, 1):
        if len(_PRAGMA.sub("", line)) > LINE_LENGTH:
            yield source.at(number, f"{len(line)} characters, at most {LINE_LENGTH}")


def docstrings(source: Source) -> Iterator[str]:
    """Public modules, classes and functions outside tests that say nothing about themselves."""
    if source.is_test:
        return
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield source.at(1, "the module has no docstring")
    yield from _undocumented(source, source.tree.body)


def _undocumented(source: Source, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
        if ast.get_docstring(node) is None and not decorators & {"overload", "override", "setter"}:
            yield source.at(node.lineno, f"`{node.name}` has no docstring")
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(source, node.body)


def names(source: Source) -> Iterator[str]:
    """Files whose name says nothing about what is in them."""
    for part in source.parts:
        if part.removesuffix(".py") in FORBIDDEN_NAMES:
            yield source.at(1, f"`{part}` says nothing; name it after what is in it")


def string_patches(source: Source) -> Iterator[str]:
    """Tests that reach into a module by its name as a string; pass a double in instead."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or not node.args or not _is_text(node.args[0]):
            continue
        called = ast.unparse(node.func)
        last = called.rpartition(".")[2]
        if last == "patch" and called not in ("client.patch", "http.patch") and not _is_route(node.args[0]):
            yield source.at(node.lineno, "patches by string; pass a double in")
        if called.endswith("monkeypatch.setattr"):
            yield source.at(node.lineno, "patches by string; give the object itself")


def sleeps(source: Source) -> Iterator[str]:
    """Tests that sleep; waiting for an event is faster and never too short. A `# reason:` excuses one."""
    if not source.is_test or not (source.parts[-1].startswith("test_") or source.parts[-1] == "conftest.py"):
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in SLEEPS:
            continue
        if "# reason: " not in source.lines[node.lineno - 1]:
            yield source.at(node.lineno, "sleeps; wait for what you wait for, or say `# reason: …`")


def silent_excepts(source: Source) -> Iterator[str]:
    """Handlers that swallow what they do not know."""
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        if node.type is None:
            yield source.at(node.lineno, "bare except")
        elif ast.unparse(node.type) in ("Exception", "BaseException") and all(
            isinstance(statement, (ast.Pass, ast.Continue)) or _is_ellipsis(statement)
            for statement in node.body
        ):
            yield source.at(node.lineno, "swallows every exception without a word")


def floats_in_money(source: Source) -> Iterator[str]:
    """Floats where money is counted: the money module and billing's domain. Times (`…_s`, `…_ms`) may be."""
    if "billing/domain" in source.path or source.path.endswith("kit/money.py"):
        yield from _floats(source, source.tree)


def _floats(source: Source, node: ast.AST) -> Iterator[str]:
    if _name_of(node).lower().endswith(("_s", "_ms")):
        return
    if isinstance(node, ast.Name) and node.id == "float":
        yield source.at(node.lineno, "float in money; integers of nano or pico only")
    if isinstance(node, ast.Constant) and isinstance(node.value, float):
        yield source.at(node.lineno, f"float {node.value} in money; integers of nano or pico only")
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
        yield source.at(node.lineno, "`/` makes a float; use `//` or round_half_even")
    for child in ast.iter_child_nodes(node):
        yield from _floats(source, child)


def _name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0])
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.target)
    if isinstance(node, (ast.arg, ast.keyword)):
        return node.arg or ""
    if isinstance(node, ast.BinOp):
        return ast.unparse(node.left)
    return getattr(node, "name", None) or ""  # a handler without `as` has None


def settings_docs(source: Source) -> Iterator[str]:
    """Settings without the line that says what they mean."""
    if source.parts[-1] != "settings.py" or source.is_test:
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        followers = [*node.body[1:], None]
        for statement, follower in zip(node.body, followers, strict=True):
            documented = isinstance(follower, ast.Expr) and _is_text(follower.value)
            if isinstance(statement, ast.AnnAssign) and not documented:
                yield source.at(statement.lineno, f"setting `{_name_of(statement)}` has no line of doc")


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_route(node: ast.expr) -> bool:
    """`client.patch("/path")` is HTTP."""
    return isinstance(node, ast.Constant) and str(node.value).startswith(("/", "http"))


def _is_ellipsis(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


RULES: tuple[Rule, ...] = (
    sizes,
    docstrings,
    names,
    string_patches,
    sleeps,
    silent_excepts,
    floats_in_money,
    settings_docs,
)

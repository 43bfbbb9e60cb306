"""The digest of code: blind to comments, docstrings and formatting, and to nothing else."""

import ast
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nephroscale.store.syntax import digest_syntax

PACKAGE = Path(__file__).resolve().parents[2] / "scripts" / "nephroscale"
MODULES = sorted(PACKAGE.rglob("*.py"))
modules = st.sampled_from(MODULES).map(lambda path: path.read_text(encoding="utf-8"))
seeds = st.integers(0, 2**32)


def digest(source):
    return digest_syntax(ast.parse(source))


def comment_lines(source, draw):
    """Add comments and empty lines at ends of statements, where no text or bracket is open."""
    lines = source.splitlines()
    ends = {node.end_lineno for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt)}
    inner = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.expr)
        for line in range(node.lineno, node.end_lineno)
    }
    found = []
    for number, line in enumerate(lines, start=1):
        found.append(line)
        if number in ends - inner and not line.endswith("\\") and draw.random() < 0.3:
            found[-1] += f"  # {draw.random()}"
            found += ["", f"# {draw.random()}"]
    return "\n".join(found) + "\n"


def change_docstrings(tree, draw):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body[0].value.value = f"Another text {draw.random()}."
            elif draw.random() < 0.5:
                node.body.insert(0, ast.Expr(ast.Constant(f"A text {draw.random()}.")))
    return tree


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(modules, seeds)
def test_comments_docstrings_and_formatting_do_not_count(source, seed):
    draw = random.Random(seed)
    wanted = digest(source)
    assert digest(ast.unparse(ast.parse(source))) == wanted
    assert digest(comment_lines(source, draw)) == wanted
    edited = ast.unparse(ast.fix_missing_locations(change_docstrings(ast.parse(source), draw)))
    assert digest(edited) == wanted


def edits(tree):
    """Edits of single nodes, as functions: a constant, a name, an attribute, an argument, an operator, a keyword."""
    texts = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            place = {"setting": 0, "section": 1}.get(node.func.id)
            texts |= {id(argument) for argument in (node.args[place : place + 1] if place is not None else [])}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in texts:
            yield lambda node=node: setattr(node, "value", "else" if node.value != "else" else 0)
        elif isinstance(node, ast.Name):
            yield lambda node=node: setattr(node, "id", node.id + "_")
        elif isinstance(node, ast.Attribute):
            yield lambda node=node: setattr(node, "attr", node.attr + "_")
        elif isinstance(node, ast.arg | ast.keyword):
            yield lambda node=node: setattr(node, "arg", f"{node.arg}_")
        elif isinstance(node, ast.BinOp):
            yield lambda node=node: setattr(
                node, "op", ast.MatMult() if not isinstance(node.op, ast.MatMult) else ast.Add()
            )
        elif isinstance(node, ast.Compare):
            yield lambda node=node: node.ops.__setitem__(
                0, ast.Is() if not isinstance(node.ops[0], ast.Is) else ast.In()
            )
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield lambda node=node: setattr(node, "name", node.name + "_")
            yield lambda node=node: node.body.append(ast.Pass())
        elif isinstance(node, ast.If | ast.While):
            yield lambda node=node: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(modules, seeds)
def test_any_edit_of_code_counts(source, seed):
    tree = ast.parse(source)
    found = list(edits(tree))
    if found:
        random.Random(seed).choice(found)()
        assert digest_syntax(tree) != digest(source)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1", "x = 1.0"),
        ("x = 1", "x = True"),
        ("x = '1'", "x = b'1'"),
        ("x = None", "x = ..."),
        ("return_ = 0", "return_ = -0"),
        ("def f(): return", "def f(): return None"),
        ("f(a, b)", "f((a, b))"),
        ("f(*a)", "f(a)"),
        ("[a, [b]]", "[[a], b]"),
        ("a - b - c", "a - (b - c)"),
        ("for x in y:\n  a\nb", "for x in y:\n  a\n  b"),
        ("def f(a, /, b): pass", "def f(a, b): pass"),
        ("def f(a=1, b=2): pass", "def f(a, b=1): pass"),
        ("def f(*, a, b=1): pass", "def f(*, a=1, b): pass"),
        ("x = '.id'", "x = id"),
        ("f('a\\nName')", "f('a', Name)"),
        ("async def f(): pass", "def f(): pass"),
        ("x: int = 1", "x = 1"),
        ("{**a, 'b': 1}", "{'b': 1, **a}"),
    ],
)
def test_code_that_looks_alike_has_different_digests(before, after):
    assert digest(before) != digest(after)


def test_a_text_that_is_used_is_no_docstring():
    assert digest("x = 'a'") != digest("x = 'b'")
    assert digest("f('a')") != digest("f('b')")
    assert digest("'a'\nx = 1") == digest("'b'\nx = 1") == digest("x = 1\n'c'")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x: int = setting('Pixels.', 3, minimum=1)", "x: int = setting('Side of a tile in pixels.', 3, minimum=1)"),
        ("x: A = section(A, 'About A.')", "x: A = section(A, 'More about A.')"),
        ("x: A = section(A, 'About A.')", "x: A = section(A)"),
    ],
)
def test_the_documentation_of_settings_does_not_count(before, after):
    assert digest(before) == digest(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x: int = setting('Pixels.', 3)", "x: int = setting('Pixels.', 4)"),
        ("x: str = setting('Name.', 'a')", "x: str = setting('Name.', 'b')"),
        ("x: int = setting('Pixels.', 3, minimum=1)", "x: int = setting('Pixels.', 3, minimum=2)"),
        ("x: int = setting(DOC, 3)", "x: int = setting(OTHER, 3)"),
        ("x: A = section(A, 'About A.')", "x: A = section(B, 'About A.')"),
        ("x = widgets.setting('a')", "x = widgets.setting('b')"),
        ("x = f('a')", "x = f('b')"),
    ],
)
def test_everything_else_about_settings_counts(before, after):
    assert digest(before) != digest(after)

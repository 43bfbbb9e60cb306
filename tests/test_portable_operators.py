"""The package has no operator whose results differ between processors although the libraries are pinned."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scripts" / "nephroscale"
#: Operators that torch gives to MKL's vector functions; those of numpy and math are others.
FORBIDDEN = {"sqrt", "sqrt_", "tan", "atan", "atan2", "arctan", "log10", "cdist", "pdist", "std"}
#: Optimizers that call them, except in their fused form.
OPTIMIZERS = {"Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adagrad", "RMSprop", "Adadelta"}
#: Uses on a GPU alone.
ALLOWED = {"values.sqrt()"}


def faults(source: str) -> list[str]:
    """The forbidden calls and powers of a module."""
    tree = ast.parse(source)
    uses_torch = any(
        "torch" in [alias.name.partition(".")[0] for alias in node.names]
        if isinstance(node, ast.Import)
        else (node.module or "").partition(".")[0] == "torch"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )
    whole = {
        id(node.args[0]) for node in ast.walk(tree) if _calls(node, "round") and node.args
    }  # sides of squares, from integers
    found = [node for node in ast.walk(tree) if _unstable(node) or _slow_optimizer(node)]
    if uses_torch:
        found += [node for node in ast.walk(tree) if _forbidden(node) or (_is_root(node) and id(node) not in whole)]
    return [text for text in map(ast.unparse, found) if text not in ALLOWED]


def _calls(node: ast.AST, *names: str) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return getattr(node.func, "attr", getattr(node.func, "id", None)) in names


def _options(node: ast.Call) -> dict[str | None, object]:
    return {each.arg: getattr(each.value, "value", None) for each in node.keywords}


def _unstable(node: ast.AST) -> bool:
    if not _calls(node, "argsort"):
        return False
    options = _options(node)
    return options.get("kind") != "stable" and not options.get("stable")


def _slow_optimizer(node: ast.AST) -> bool:
    return _calls(node, *OPTIMIZERS) and _options(node).get("fused") is not True


def _forbidden(node: ast.AST) -> bool:
    owner = getattr(getattr(node, "func", None), "value", None)
    return _calls(node, *FORBIDDEN) and getattr(owner, "id", None) not in {"np", "math"}


def _is_root(node: ast.AST) -> bool:
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, ast.Pow):
        return False
    return isinstance(node.right, ast.Constant) and node.right.value == 0.5


@pytest.mark.slow
def test_no_module_has_an_operator_that_differs_between_processors():
    found = {str(path.relative_to(PACKAGE)): faults(path.read_text()) for path in PACKAGE.rglob("*.py")}
    assert len(found) > 200
    assert {path: there for path, there in found.items() if there} == {}


@pytest.mark.parametrize(
    "fault",
    [
        "torch.sqrt(x)",
        "x.sqrt()",
        "x ** 0.5",
        "torch.cdist(a, b)",
        "x.log10()",
        "torch.optim.Adam(p)",
        "torch.optim.AdamW(p, fused=None)",
        "np.argsort(x)",
        "x.argsort(dim=1)",
    ],
)
def test_each_such_operator_would_be_found(fault):
    assert faults(f"import torch\n{fault}") == [fault]


@pytest.mark.parametrize("fine", ["np.sqrt(x)", "round(n ** 0.5)", "x.rsqrt()", "x.argsort(stable=True)", "x ** -0.5"])
def test_what_is_equal_everywhere_is_not(fine):
    assert faults(f"import torch\n{fine}") == []

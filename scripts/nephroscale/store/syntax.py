"""The digest of a Python module's code: comments, docstrings, documentation of settings and formatting do not count."""

from __future__ import annotations

import ast

from nephroscale.store.digest import digest_bytes

# The context of a name (load, store) follows from its place; type comments and the prefix of u"" change nothing.
_IGNORED_FIELDS = {"ctx", "type_comment", "type_ignores", "kind"}
# Calls that declare keys of the configuration: the place of the argument that only documents the key.
_DOCUMENTED = {"setting": 0, "section": 1}
_FIELDS = {
    node: tuple(name for name in node._fields if name not in _IGNORED_FIELDS)
    for node in vars(ast).values()
    if isinstance(node, type) and issubclass(node, ast.AST)
}


def digest_syntax(tree: ast.AST) -> str:
    """Digest a syntax tree without docstrings, the documentation of settings (``setting("...")``) and line numbers.

    Any edit that changes the code changes the digest. Empty fields are left out, so that a field which a later Python
    adds to a node does not change the digest of code that does not use it.

    Parameters
    ----------
    tree
        As :func:`ast.parse` returns it.

    Returns
    -------
    str
        BLAKE3, as 64 hexadecimal digits.
    """
    words: list[str] = []
    _write(tree, words)
    return digest_bytes("\n".join(words).encode("utf-8", "surrogatepass"))


def _write(node: ast.AST, words: list[str]) -> None:
    """Write a node as words: its type, each field that is not empty, and an end."""
    words.append(type(node).__name__)
    if type(node) is ast.Constant:  # its value may be None, which is not an empty field
        words.append(f"{type(node.value).__name__} {node.value!r}")
        return
    for name in _FIELDS[type(node)]:
        value = getattr(node, name, None)
        if name == "args" and isinstance(node, ast.Call):
            value = _without_documentation(node)
        if isinstance(value, ast.AST):
            words.append(f".{name}")
            _write(value, words)
        elif isinstance(value, list):
            if value:
                words.append(f".{name}[")
                _write_list(value, words)
        elif value is not None:
            words.append(f".{name}={value!r}")
    words.append(";")


def _write_list(values: list[ast.AST | str | None], words: list[str]) -> None:
    for value in values:
        if isinstance(value, ast.AST):
            if not _is_docstring(value):
                _write(value, words)
        else:
            words.append(repr(value))
    words.append("]")


def _is_docstring(node: ast.AST) -> bool:
    """Whether a statement is nothing but a text: a docstring of a module, class, function or variable."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _without_documentation(call: ast.Call) -> list[ast.expr]:
    """The positional arguments of a call, without the text that documents a key of the configuration."""
    place = _DOCUMENTED.get(call.func.id) if isinstance(call.func, ast.Name) else None
    if place is None or len(call.args) <= place:
        return call.args
    text = call.args[place]
    if not isinstance(text, ast.Constant) or not isinstance(text.value, str):
        return call.args
    return call.args[:place] + call.args[place + 1 :]

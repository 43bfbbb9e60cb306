"""Give named tuples the signature that they have at run time, so that their documented parameters can be checked."""

from __future__ import annotations

from typing import Any

from griffe import Class, Extension, Function, Parameter, ParameterKind, Parameters


class NamedTuples(Extension):
    """Add `__init__` with one parameter for each field of a named tuple."""

    def on_class(self, *, cls: Class, **_: Any) -> None:
        """Read the fields of a class that has just been loaded."""
        if not any(str(base).rpartition(".")[2] == "NamedTuple" for base in cls.bases) or "__init__" in cls.members:
            return
        kind = ParameterKind.positional_or_keyword
        fields = [
            Parameter(name, annotation=field.annotation, kind=kind, default=field.value)
            for name, field in cls.attributes.items()
            if field.annotation is not None
        ]
        cls.set_member("__init__", Function("__init__", parameters=Parameters(*fields), returns="None"))

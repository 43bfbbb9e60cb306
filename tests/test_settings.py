"""Settings as types: the schema, and mappings to settings and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.settings import Settings, section, setting


@dataclass(frozen=True)
class Inner(Settings):
    """An inner section.

    Its second paragraph is not part of the description.
    """

    side: int = setting("Side in pixels.", 8, was="outer.size", multiple_of=8, minimum=8)
    ratio: float | None = setting("A ratio or none.", None, above=0, below=1)


@dataclass(frozen=True)
class Needed(Settings):
    """A section with a required key."""

    path: str = setting("A path.")


@dataclass(frozen=True)
class Parent(Settings):
    """The settings that a function reads."""

    scale: float = setting("Scale, µm.", 1.0, was="mpp", above=0)
    kind: Literal["a", "b"] | None = setting("A choice or none.", "a")


@dataclass(frozen=True, kw_only=True)
class Outer(Parent):
    """All keys."""

    needed: Needed = section(Needed)
    inner: Inner = section(Inner)
    names: tuple[str, ...] = setting("Names.", ("x",), min_items=1, unique=True)
    seeds: tuple[int, ...] = setting("Seeds.", (), items={"minimum": 0})
    groups: Mapping[str, str | tuple[str, ...]] = setting("Groups.", {}, keys="^[a-z]+$", values={"minItems": 2})
    optional: Inner | None = setting("A section or none.", None)
    several: Mapping[str, Inner] = setting("Sections by name.", {})
    on: bool = setting("A switch.", default=True)


LEAST = {"needed": {"path": "p"}}

inner = st.builds(Inner, side=st.integers(1, 9).map(lambda n: 8 * n), ratio=st.none() | st.floats(0.1, 0.9))
words = st.text("abc", min_size=1)
outer = st.builds(
    Outer,
    scale=st.floats(0.1, 10),
    kind=st.sampled_from(["a", "b", None]),
    needed=st.builds(Needed, path=words),
    inner=inner,
    names=st.lists(words, min_size=1, unique=True).map(tuple),
    seeds=st.lists(st.integers(0, 9)).map(tuple),
    groups=st.dictionaries(words, words | st.lists(words, min_size=2).map(tuple)),
    optional=st.none() | inner,
    several=st.dictionaries(words, inner),
    on=st.booleans(),
)


def make(**given: Any) -> Outer:
    return Outer.from_mapping(LEAST | given)


@pytest.mark.slow
@given(outer)
def test_settings_survive_a_mapping_that_fits_the_schema(settings: Outer) -> None:
    mapping = settings.to_mapping()
    jsonschema.Draft202012Validator(Outer.schema()).validate(mapping)
    assert Outer.from_mapping(mapping) == settings


def test_a_mapping_is_what_json_has() -> None:
    assert make(groups={"a": ["b", "c"]}).to_mapping() == {
        "scale": 1.0,
        "kind": "a",
        "needed": {"path": "p"},
        "inner": {"side": 8, "ratio": None},
        "names": ["x"],
        "seeds": [],
        "groups": {"a": ["b", "c"]},
        "optional": None,
        "several": {},
        "on": True,
    }


def test_values_have_the_hinted_types() -> None:
    settings = make(scale=2, groups={"a": ["b", "c"], "d": "e"}, optional={"ratio": None}, several={"s": {"side": 16}})
    assert repr(settings.scale) == "2.0"
    assert settings.groups == {"a": ("b", "c"), "d": "e"}
    assert settings.optional == Inner()
    assert settings.several["s"] == Inner(16)
    assert make(on=True, seeds=[1]).seeds == (1,)


def test_the_schema_of_a_key_has_its_limits_default_and_former_name() -> None:
    keys = Outer.schema()["properties"]
    assert keys["scale"] == {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.0,
        "x-was": "mpp",
        "description": "Scale, µm.",
    }
    assert keys["kind"]["enum"] == ["a", "b", None]
    assert keys["seeds"]["items"] == {"type": "integer", "minimum": 0}
    assert keys["names"]["default"] == ["x"]
    assert keys["groups"]["propertyNames"] == {"pattern": "^[a-z]+$"}
    assert keys["groups"]["additionalProperties"] == {
        "type": ["string", "array"],
        "items": {"type": "string"},
        "minItems": 2,
    }


def test_the_schema_of_a_section() -> None:
    schema = Outer.schema()
    assert schema["required"] == ["needed"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["inner"]["description"] == "An inner section."
    assert schema["properties"]["inner"]["default"] == {}
    assert "default" not in schema["properties"]["needed"]
    assert schema["properties"]["optional"]["type"] == ["object", "null"]
    assert schema["properties"]["optional"]["default"] is None


def test_narrow_gives_the_keys_of_a_parent() -> None:
    assert make(scale=2.0).narrow(Parent) == Parent(2.0, "a")
    assert {key.name for key in fields(Parent)} == set(make().narrow(Parent).to_mapping())


@pytest.mark.parametrize("mapping", [{}, {"needed": {}}, LEAST | {"scales": 1.0}, LEAST | {"inner": {"sides": 8}}])
def test_unknown_and_missing_keys_are_errors(mapping: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        Outer.from_mapping(mapping)


def test_an_unknown_limit_is_an_error() -> None:
    with pytest.raises(TypeError, match="smallest"):
        setting("A key.", 1, smallest=0)


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        make().scale = 3.0  # type: ignore[misc]

from dataclasses import fields, replace

import pytest

from nephroscale.store.digest import digest_json
from nephroscale.store.recipe import Recipe, SharedPart

RECIPE = Recipe(
    "tiles", 2, {"a.py": "1"}, {"numpy": "2"}, {"mpp": 0.5}, [{"id": "P1"}], {"x/y": "3"}, 7, {"threads": 1}
)


def test_a_recipe_is_named_by_the_digest_of_its_json():
    assert RECIPE.digest == digest_json(RECIPE.as_json())
    assert Recipe(**RECIPE.as_json()) == RECIPE


def test_a_shared_part_gives_the_same_digest():
    shared = replace(RECIPE, code=SharedPart({"b.py": "é", "a.py": "1"}), packages=SharedPart())
    plain = replace(RECIPE, code={"a.py": "1", "b.py": "é"}, packages={})
    assert shared.digest == plain.digest == digest_json(plain.as_json())
    assert Recipe(**shared.as_json()) == plain


@pytest.mark.parametrize("part", [key.name for key in fields(Recipe)])
def test_every_part_counts(part):
    assert replace(RECIPE, **{part: "other"}).digest != RECIPE.digest

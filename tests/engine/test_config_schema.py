"""The generated schema of the configuration."""

import jsonschema

from nephroscale.engine.config_completion import families_of
from nephroscale.engine.config_schema import make_schema, write_schema
from nephroscale.models.registry import FAMILIES
from nephroscale.places import workflow_folder


def test_the_committed_schema_is_what_the_settings_make() -> None:
    committed = (workflow_folder() / "schemas/config.schema.yaml").read_text(encoding="utf-8")
    assert committed == write_schema(), "workflow/schemas/config.schema.yaml is outdated; run `make docs`"


def test_it_describes_a_model_of_each_family() -> None:
    assert list(families_of(make_schema())) == list(FAMILIES)


def test_it_is_a_schema_that_any_validator_can_use() -> None:
    schema = make_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    least = {"data": {"patients": "p.csv", "images": "i.csv"}, "task": {"classes": {"a": "A", "b": "B"}}}
    models = {"a": {"family": "abmil", "gated": False}, "b": {"family": "abmil", "smil_threshold": 1.0}}
    errors = [
        list(e.absolute_path) for e in jsonschema.Draft202012Validator(schema).iter_errors(least | {"models": models})
    ]
    assert errors == [["models", "b"]]

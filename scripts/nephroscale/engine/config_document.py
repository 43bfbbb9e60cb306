"""Writes config/README.md from the schemas: ``python -m nephroscale.engine.config_document``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from nephroscale.cohort.schemas import read_schema
from nephroscale.collect import grouped
from nephroscale.engine.config_completion import families_of, types_of
from nephroscale.models.settings import COMMON_KEYS
from nephroscale.places import workflow_folder
from nephroscale.settings import Schema

PAGE = workflow_folder().parent / "config" / "README.md"

ID = "^[A-Za-z0-9][A-Za-z0-9_-]*$"

INTRODUCTION = """\
# Configuration and tables

A run is defined by one YAML file and two to four tables:

- `config.yaml` (or another file, given by `--configfile`): all keys below. Only `data` is required, and `task`
  for the targets from `folds` on; every other key has a default. `--config seed=2` sets a key for one run.
- a table of patients, a table of images and, for electron microscopes that do not write their scale into the file, a
  table of instruments. A table of readers is optional.

Before any job starts, the workflow checks the configuration and reports all its errors together. Then it checks the
tables and reports all their errors, each with file, row and column. The message about a renamed key gives the new
name. `nephroscale check` does the same without a run; [docs/checks.md](../docs/checks.md) lists all checks. A path
may begin with `~/`.

The smallest configuration:

```yaml
data:
  root: /data/biopsies
  patients: config/patients.csv
  images: config/images.csv
task:
  classes:
    IgA nephropathy: IgAN
    membranous nephropathy: MN
    lupus nephritis class IV: LN
    lupus nephritis class V: LN
    IgAN + MN: exclude
    suspected LN: ambiguous
```

Paths in a configuration called `study.yaml` are relative to its folder, those in other configurations to the folder
in which Snakemake runs; paths in the table of images are relative to `data.root`. Numbers may be written as `5e-5` or
`"5e-5"`. Label texts that YAML would read as a number or a truth value (`1`, `NO`) need quotes.

If a key is changed, only the results that depend on it are computed again. If it is changed back, the earlier results
are found in the store.
"""

TABLES = """\
## Tables

Tables are CSV (UTF-8, or see `data.encoding`; comma, semicolon or tab; any line endings) or xlsx (the sheet named
`patients`, `images`, `instruments` or `readers`, or the only sheet). Every cell is text: `001` stays `001`. An empty
cell is a missing value. Cells are trimmed and converted to composed Unicode (NFC). Decimal numbers have a point. If
semicolons separate the cells, as in tables that Excel saves in German or French, columns of numbers may have decimal
commas. The order of rows and columns does not matter. For tens of thousands of rows, CSV is read several times faster
than xlsx.

Ids begin with a letter or a digit and consist of letters, digits, `_` and `-`. They are unique regardless of case,
since they become file names. An id that a spreadsheet turned into a date (`3-4` into `3-Mar`) is an error, and so is a
Cyrillic letter among Latin ones. Ids that differ by leading zeros alone, and numbers with a comma, are noted.
Ids also appear in the report: use study numbers, not names.
"""

NOTES = {
    "patients": """\
A label text that `task.classes` does not map is an error, with the number of patients. Patients whose label means
`exclude` or `ambiguous` are in no fold; the report lists them.
""",
    "images": """\
The scale is read from the metadata of the file or, if there is none, from this table (a plain resolution tag of an OM
or IM file counts only after the table): `mpp`, or `nm_per_px`, or `instrument` with
`magnification`, or `roi: whole`. A magnification alone is never converted into a scale. If both `nm_per_px` and the
table of instruments give a scale, the two have to agree within 5 %. [docs/slides.md](../docs/slides.md#the-scale) and
[docs/tem.md](../docs/tem.md#scale) describe the other sources of a scale.

A marker that was examined and found negative, without a photograph, is a row with the grade 0 and no path. A marker
without a row is missing. Models distinguish the two.
""",
    "instruments": "",
    "readers": "",
}

FAMILIES = """\
The other keys of a model depend on its family. A key that the family does not read is an error.
"""


def document() -> str:
    """Write the page on the configuration and the tables from their schemas."""
    schema = read_schema("config")
    sections = schema["properties"]
    plain = {key: value for key, value in sections.items() if types_of(value) != {"object"}}
    parts = [INTRODUCTION, "## Keys\n", _table(_keys({"properties": plain}, ""))]
    for name, section in ((name, section) for name, section in sections.items() if name not in plain):
        parts.append(f"### `{name}`\n\n{section['description']}\n")
        if name == "models":
            families = families_of(schema)
            parts += [
                f"Default: {_code(section['default'])}. Families: {', '.join(f'`{family}`' for family in families)}.\n",
                "Every model has these keys:\n",
                _table(_keys({"properties": _common_keys(schema)}, "models.<name>")),
                FAMILIES,
                _table(_keys_of_families(families)),
            ]
        else:
            parts.append(_table(_keys(section, name)))
    parts.append(TABLES)
    for name in ("patients", "images", "instruments", "readers"):
        table = read_schema(name)
        parts += [f"### {table['title']} (`data.{name}`)\n", table["description"], _table(_columns(table)), NOTES[name]]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _common_keys(schema: Schema) -> dict[str, Schema]:
    """Give the keys of every model; those within `train` are described in the section `train`."""
    keys: dict[str, Schema] = dict(schema["$defs"]["model"]["properties"])
    return keys | {"train": {keyword: value for keyword, value in keys["train"].items() if keyword != "properties"}}


def _keys_of_families(families: dict[str, Schema]) -> Iterator[tuple[str, ...]]:
    """Give key, families, type, default and meaning of each key; keys with one description have one row."""
    own = {
        family: {key: value for key, value in entry["properties"].items() if key not in COMMON_KEYS}
        for family, entry in families.items()
    }
    readers = grouped((row, family) for family, keys in own.items() for row in _rows({"properties": keys}, ""))
    yield ("Key", "Families", "Type", "Default", "Meaning")
    for (key, *others), names in readers.items():
        yield (key, "all" if len(names) == len(families) else ", ".join(names), *others)


def _keys(section: Schema, path: str) -> Iterator[tuple[str, ...]]:
    """Give key, type, default and meaning of each key of a section, and of those within it."""
    yield ("Key", "Type", "Default", "Meaning")
    yield from _rows(section, path)


def _rows(section: Schema, path: str) -> Iterator[tuple[str, ...]]:
    for key, described in _merge_equal(section["properties"]).items():
        here = f"{path}.{key}" if path else key
        nested = described.get("properties")
        required = key in section.get("required", ())
        if not nested or "null" in types_of(described):
            default = "required" if required else _code(described["default"]) if "default" in described else "none"
            yield (f"`{here}`", _type(described), default, described.get("description", ""))
        if nested:
            yield from _rows(described, here)


def _merge_equal(properties: dict[str, Schema]) -> dict[str, Schema]:
    """Merge the subsections that have equal keys, as `<OM or IM or TEM>`, so that the page describes these once."""
    merged = grouped(
        (json.dumps(described, sort_keys=True) if described.get("properties") else key, key)
        for key, described in properties.items()
    )
    return {f"<{' or '.join(keys)}>" if keys[1:] else keys[0]: properties[keys[0]] for keys in merged.values()}


def _columns(table: Schema) -> Iterator[tuple[str, ...]]:
    partial = any("x-modalities" in stated for stated in table["properties"].values())
    yield ("Column", "Holds", *(["For"] if partial else []), "Meaning")
    for column, stated in table["properties"].items():
        needed = "**needed**; " if column in table["required"] else ""
        default = f"; {_code(stated['default'], bare=True)} when empty" if "default" in stated else ""
        whose = [", ".join(stated.get("x-modalities", ["all"]))] if partial else []
        yield (f"`{column}`", needed + _type(stated) + default, *whose, stated["description"])


def _type(schema: Schema) -> str:
    """Describe the allowed values in words."""
    if schema.get("pattern") == ID:
        return "id"
    if "enum" in schema:
        return " or ".join(_code(choice, bare=True) for choice in schema["enum"])
    types = types_of(schema)
    words = {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "keys below" if schema.get("properties") else "mapping",
        "null": "null",
    }
    named = [word for name, word in words.items() if name in types]
    if "array" in types:
        named.insert(0, f"list of {_type(schema['items'])}")
    unit = f" {schema['x-unit']}" if "x-unit" in schema else ""
    words_too = [f" or {_code(word, bare=True)}" for word in schema.get("x-words", ())]
    return " or ".join(named) + _range(schema) + unit + "".join(words_too)


def _range(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" {schema['minimum']} to {schema['maximum']}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[keyword]}" for keyword, sign in signs.items() if keyword in schema]
    multiple = f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return (" " + ", ".join(limits) if limits else "") + multiple


def _code(value: Any, bare: bool = False) -> str:
    return f"`{value if bare and value is not None else json.dumps(value, ensure_ascii=False)}`"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    header, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---"] * len(header), *body]) + "\n"


def main() -> None:
    """Write config/README.md."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()

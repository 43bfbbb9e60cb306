"""Writes config/README.md from the schemas: ``python -m nephroscale.cohort.document``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nephroscale.cohort.schemas import FOLDER, read_schema, resolve, types_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PAGE = FOLDER.parents[1] / "config" / "README.md"

ID = "^[A-Za-z0-9][A-Za-z0-9_-]*$"

INTRODUCTION = """\
# Configuration and tables

A run is decided by one YAML file and two or three tables:

- `config.yaml` (or another file, by `--configfile`): everything below. Only `data` and `task` have to be there; every
  other key has a default. A key can be given for one run, too: `--config seed=2`.
- a table of patients, a table of images and, for electron microscopes that do not write their scale into the file, a
  table of instruments.

All faults of the configuration are told at once, and then all faults of all tables, each with its file, row and
column, before any job starts.

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

Paths to the tables are relative to the folder in which Snakemake runs; paths in the table of images are relative to
`data.root`. Numbers may be written as `5e-5` or `"5e-5"`. Label texts that YAML would read as a number or a truth
value (`1`, `NO`) need quotes.

Whatever changes a result is part of what that result is named by, so that a changed key recomputes what depends on
it and nothing else; a key changed back finds the old results again.
"""

TABLES = """\
## Tables

CSV (UTF-8 with or without byte-order mark, or GB18030; comma, semicolon or tab; any line ends) or xlsx (the sheet
named `patients`, `images` or `instruments`, or the only one). Every cell is text: `001` stays `001`. Cells are
trimmed, and Unicode is composed (NFC). Decimal numbers have a point. The order of rows and columns does not matter.
Of tens of thousands of rows, CSV is read several times faster than xlsx.

Ids begin with a letter or a digit, go on with letters, digits, `_` and `-`, and are unique without regard to case,
since they become file names. They also appear in the report: use study numbers, not names.
"""

NOTES = {
    "patients": """\
A label text that `task.classes` does not map is an error that lists the counts. Patients whose text means `exclude`
or `ambiguous` are in no fold, and the report says so.
""",
    "images": """\
The scale comes from the file, else from this table: `mpp`, or `nm_per_px`, or `instrument` with `magnification`, or
`roi: whole`. A magnification alone is never turned into a scale. If both `nm_per_px` and the table of instruments
give one, they have to agree within 5 %.

A marker that was looked at, found negative and not photographed is a row with the grade 0 and no path; a marker
without a row is missing. The two are not the same to a model.
""",
    "instruments": "",
}


def document() -> str:
    """Write the page on the configuration and the tables from their schemas."""
    schema = read_schema("config")
    sections = schema["properties"]
    plain = {key: value for key, value in sections.items() if types_of(value) != {"object"}}
    parts = [INTRODUCTION, "## Keys\n", _table(_keys({"properties": plain}, "", schema))]
    for name, section in sections.items():
        if name in plain:
            continue
        parts.append(f"### `{name}`\n\n{section['description']}\n")
        others = section.get("additionalProperties")
        if isinstance(others, dict):
            inner = resolve(others, schema)
            parts.append(f"Default: {_code(section['default'])}. Each `{name}.<name>` has these keys:\n")
            parts.append(_table(_keys(inner, f"{name}.<name>", schema)))
        else:
            parts.append(_table(_keys(section, name, schema)))
    parts.append(TABLES)
    for name in ("patients", "images", "instruments"):
        table = read_schema(name)
        parts += [f"### {table['title']} (`data.{name}`)\n", table["description"], _table(_columns(table)), NOTES[name]]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _keys(section: dict[str, Any], path: str, root: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Give key, type, default and meaning of each key of a section, and of those within it."""
    yield ("Key", "Type", "Default", "Meaning")
    yield from _rows(section, path, root)


def _rows(section: dict[str, Any], path: str, root: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, stated in _alike_as_one(section["properties"]).items():
        inner = resolve(stated, root)
        here = f"{path}.{key}" if path else key
        nested = inner.get("properties")
        required = key in section.get("required", ())
        if not nested or "null" in types_of(inner):
            default = "required" if required else _code(inner["default"]) if "default" in inner else "none"
            yield (f"`{here}`", _type(inner), default, inner.get("description", ""))
        if nested:
            yield from _rows(inner, here, root)


def _alike_as_one(properties: dict[str, Any]) -> dict[str, Any]:
    """Take keys that refer to one definition together, so that its keys are told once."""
    together: dict[str, list[str]] = {}
    for key, stated in properties.items():
        together.setdefault(stated.get("$ref", key), []).append(key)
    return {f"<{' or '.join(keys)}>" if keys[1:] else keys[0]: properties[keys[0]] for keys in together.values()}


def _columns(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    partial = any("x-modalities" in stated for stated in table["properties"].values())
    yield ("Column", "Holds", *(["For"] if partial else []), "Meaning")
    for column, stated in table["properties"].items():
        needed = "**needed**; " if column in table["required"] else ""
        default = f"; {_code(stated['default'], bare=True)} when empty" if "default" in stated else ""
        whose = [", ".join(stated.get("x-modalities", ["all"]))] if partial else []
        yield (f"`{column}`", needed + _type(stated) + default, *whose, stated["description"])


def _type(schema: dict[str, Any]) -> str:
    """Say in words what a value may be."""
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


def _range(schema: dict[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f" {schema['minimum']} to {schema['maximum']}"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[keyword]}" for keyword, sign in signs.items() if keyword in schema]
    multiple = f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else ""
    return (" " + ", ".join(limits) if limits else "") + multiple


def _code(value: Any, bare: bool = False) -> str:
    return f"`{value if bare else json.dumps(value, ensure_ascii=False)}`"


def _table(rows: Iterable[tuple[str, ...]]) -> str:
    header, *body = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """Write config/README.md."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()

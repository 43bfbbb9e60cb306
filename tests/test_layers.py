"""The import graph of the package: subpackages import downwards only, and no module takes part in a circle."""

import ast
import re
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
PACKAGE = SCRIPTS / "nephroscale"
HELPERS = ("ahead", "errors", "settings", "json_text", "digest_on_write", "arrays", "html", "places", "text", "collect")
DOMAIN = (
    "cohort",
    "slides",
    "glomeruli",
    "tem",
    "features",
    "models",
    "training",
    "evaluation",
    "deposits",
    "reporting",
)
#: From the lowest layer to the highest; subpackages of one layer do not import each other, except helpers.
LAYERS = (
    HELPERS,
    ("store",),
    ("cohort",),
    ("slides",),
    ("glomeruli", "tem"),
    ("features",),
    ("models",),
    ("training",),
    ("evaluation",),
    ("deposits",),
    ("reporting",),
    ("engine",),
    ("engine.snakemake",),
    ("provenance",),
    ("stages",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
LEVELS = {subpackage: level for level, subpackages in enumerate(LAYERS) for subpackage in subpackages}


def module_name(path):
    parts = path.relative_to(SCRIPTS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def subpackage(module):
    names = module.split(".")[1:]
    return "engine.snakemake" if names[:2] == ["engine", "snakemake"] else names[0]


parsed = cache(ast.parse)  # of most sources, several tests want the imports


def imported(source, *, typing):
    """The names that a source imports, with or without those under `if TYPE_CHECKING`."""
    found, pending = set(), [parsed(source)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test) and not typing:
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        pending += ast.iter_child_nodes(node)
    return found


def arrows(*, typing):
    """Every import of one module of the package by another."""
    return [
        (module, name)
        for module, path in MODULES.items()
        if module != "nephroscale"
        for name in sorted(imported(path.read_bytes(), typing=typing) & MODULES.keys() - {module, "nephroscale"})
    ]


def test_every_module_belongs_to_a_layer():
    assert {subpackage(module) for module in MODULES if module != "nephroscale"} == LEVELS.keys()


@pytest.mark.slow
def test_imports_point_downwards():
    def allowed(module, name):
        above, below = subpackage(module), subpackage(name)
        return above == below or LEVELS[below] < LEVELS[above] or {above, below} <= set(HELPERS)

    assert [arrow for arrow in arrows(typing=True) if not allowed(*arrow)] == []


@pytest.mark.slow
def test_modules_form_no_circle_at_run_time():
    graph = nx.DiGraph(arrows(typing=False))
    assert [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1] == []


def test_an_import_for_types_alone_is_no_arrow_at_run_time():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.b\nelse:\n    import c\n"
    assert imported(source, typing=True) == {"typing", "typing.TYPE_CHECKING", "a.b", "c"}
    assert imported(source, typing=False) == {"typing", "typing.TYPE_CHECKING", "c"}


@pytest.mark.slow
def test_domain_subpackages_use_no_receipts_and_no_engine():
    forbidden = ("nephroscale.store.receipts", "nephroscale.engine", "nephroscale.stages")
    assert [
        (module, name)
        for module, name in arrows(typing=True)
        if subpackage(module) in DOMAIN and name.startswith(forbidden)
    ] == []


def test_only_engine_snakemake_names_snakemake_and_slurm():
    known = re.compile(r"(?<!engine)\.snakemake\b|\bsqueue\b|\bscancel\b|\bsbatch\b")
    found = {
        module: line.strip()
        for module, path in MODULES.items()
        if module != "nephroscale" and subpackage(module) != "engine.snakemake"
        for line in path.read_text(encoding="utf-8").splitlines()
        if known.search(line)
    }
    assert found == {}


@pytest.mark.slow
def test_only_engine_snakemake_imports_snakemake():
    importing = {
        module
        for module, path in MODULES.items()
        if any(name.split(".")[0].startswith("snakemake") for name in imported(path.read_bytes(), typing=True))
    }
    assert {module for module in importing if subpackage(module) != "engine.snakemake"} == set()


def test_packages_under_the_gpl_are_imported_in_one_file_and_are_in_no_lock():
    importing = {
        module
        for module, path in MODULES.items()
        if any(name.split(".")[0] in {"ncempy", "rsciio"} for name in imported(path.read_bytes(), typing=True))
    }
    assert importing == {"nephroscale.slides.tem_formats"}
    root = SCRIPTS.parent
    locks = [path for path in root.joinpath("envs").rglob("*") if path.is_file()]
    assert locks
    for path in locks:
        assert not re.search(r"ncempy|rosettasciio", path.read_text(encoding="utf-8"), re.IGNORECASE), path


def lines_with(pattern):
    return [
        f"{module}: {line.strip()}"
        for module, path in MODULES.items()
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line)
    ]


@pytest.mark.parametrize(
    ("pattern", "most"),
    [
        (r"\b(dict|Mapping)\[str, Any\]", 60),
        (r"\bsettings\[\"", 0),
        (r"\b(told|tells|says|said)\b", 19),
    ],
)
def test_untyped_mappings_and_indirect_speech_stay_rare(pattern, most):
    found = lines_with(pattern)
    assert len(found) <= most, found


def test_the_page_on_extending_lists_the_subpackages_in_this_order():
    text = (SCRIPTS.parent / "docs/extending.md").read_text(encoding="utf-8")
    listed = re.findall(r"`(\w+)`", text.partition("before it in this list:\n")[2].partition("\n\n- ")[0])
    assert listed == [name for layer in LAYERS for name in layer if "." not in name and not name.startswith("_")]

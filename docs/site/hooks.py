"""Add pages to the documentation site: documents outside docs/, the decisions, and one API page for each subpackage."""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lists import indent_lists
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "scripts" / "nephroscale"
OUTSIDE = {
    "README.md": "index.md",
    "config/README.md": "configuration.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
IMAGE = re.compile(r"!\[(?P<text>[^\]]*)\]\(docs/(?P<target>[^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List decisions and subpackages in the navigation."""
    decisions = ["decisions/index.md", *(f"decisions/{path.name}" for path in _list_decisions())]
    subpackages = ["api/index.md", *({name: f"api/{name}.md"} for name in _list_subpackages())]
    config.nav = [*(config.nav or []), {"Decisions": decisions}, {"API": subpackages}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    pages = {page: (ROOT / path).read_text(encoding="utf-8") for path, page in OUTSIDE.items()}
    pages["decisions/index.md"] = _write_decisions()
    pages["api/index.md"] = _write_subpackages()
    pages |= {f"api/{name}.md": _write_subpackage(name, modules) for name, modules in _list_subpackages().items()}
    for page, content in pages.items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links to files into links to pages; a file without a page is named as code. Indent what is in lists."""
    sources = {page_name: path for path, page_name in OUTSIDE.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def replace(match: re.Match[str]) -> str:
        text, target, anchor = match["text"], match["target"], match["anchor"] or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if ":" in target or not (ROOT / path).exists():
            return match[0]
        name = OUTSIDE.get(path) or path.removeprefix("docs/") if path.endswith(".md") else f"{path}/index.md"
        name = name.removeprefix("docs/")
        if files.get_file_from_path(name):
            return f"[{text}]({posixpath.relpath(name, posixpath.dirname(page.file.src_uri) or '.')}{anchor})"
        return text if text.startswith("`") else f"{text} (`{path}`)" if text != path else f"`{path}`"

    markdown = LINK.sub(replace, indent_lists(markdown))
    return IMAGE.sub(r"![\g<text>](\g<target>)", markdown) if source == "README.md" else markdown


def _list_decisions() -> list[Path]:
    return sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


def _write_decisions() -> str:
    titles = {path.name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for path in _list_decisions()}
    return "# Decisions\n\n" + "".join(f"- [{title}]({name})\n" for name, title in titles.items())


def _list_subpackages() -> dict[str, list[str]]:
    """List the modules of each subpackage, and of the package itself under `nephroscale`."""
    folders = {"nephroscale": [PACKAGE.glob("*.py")]}
    for folder in sorted(PACKAGE.iterdir()):
        if (folder / "__init__.py").exists():
            folders[folder.name] = [folder.rglob("*.py")]
    listed = {
        name: [_name_module(path) for found in paths for path in sorted(found)] for name, paths in folders.items()
    }
    return {name: [module for module in modules if not module.endswith("__main__")] for name, modules in listed.items()}


def _name_module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def _describe(module: str) -> str:
    path = PACKAGE.parent / Path(*module.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def _write_subpackages() -> str:
    rows = "".join(f"- [{name}]({name}.md): {_describe(modules[0])}\n" for name, modules in _list_subpackages().items())
    return f"# API\n\nThe subpackages of `nephroscale`, one page each.\n\n{rows}"


def _write_subpackage(name: str, modules: list[str]) -> str:
    return f"# {name}\n\n" + "".join(f"::: {module}\n\n" for module in modules)

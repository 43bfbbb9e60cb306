"""The audit of a mock study: the recipe of its page, and the process that writes the page."""

from pathlib import Path

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.provenance.audit import publish_audit

pytestmark = pytest.mark.slow


def test_the_code_of_the_page_is_in_the_recipe_of_the_audit(study):
    plan = study()
    code, imports, _ = plan.code.closure("write_audit.py", plan.stages["audit"].modules(plan, "cohort"))
    names = {f"nephroscale/provenance/{name}.py" for name in ("page", "sections", "tables", "page_data", "status")}
    assert names <= code.keys()
    assert "nephroscale/provenance/templates/panel.js" in code
    assert set(imports) >= {"jinja2", "markupsafe"}


def test_the_page_is_written_with_the_modules_of_the_environment(study, monkeypatch, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text("import os, pathlib\npathlib.Path(os.environ['SEEN']).touch()\n")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    publish_audit(study())
    assert (tmp_path / "seen").exists()


def test_the_error_of_the_process_that_writes_the_page_is_shown(study, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('this Python is broken')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(NephroscaleError, match="this Python is broken"):
        publish_audit(study())
    assert not Path("results/audit.json").exists()

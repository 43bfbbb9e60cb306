"""All code that writes or decides bytes is in recipes: jobs are traced, and their code is edited in memory."""

from __future__ import annotations

import ast
import os
import sys
import threading
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import pytest

from nephroscale.engine.make_units import make_units
from nephroscale.engine.plan import NOT_IN_RECIPES, Plan
from nephroscale.stages.registry import ORDER, stage_table
from nephroscale.store.code import read_source
from support.every_stage import SteadyPlan
from support.small_study import PATIENTS, deposits_config, small_config, write_new_patient, write_study

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
PACKAGE = SCRIPTS / "nephroscale"
ENOUGH = 1
#: Functions that jobs run although their code is in no recipe. They find inputs, take digests and read settings. Their
#: results are part of recipes as values (rows, settings, inputs, parts), and they write no bytes of objects.
ALLOWED = {
    "digest_on_write.py": {"_signature", "remember_digest"},
    "engine/device.py": {"choose_device"},
    "engine/job.py": {
        *("JobInput.object", "Job._read", "Job._sound", "Job.annotation", "Job.device", "Job.facts", "Job.images"),
        *("Job.input", "Job.inputs", "Job.optional_input", "Job.raw", "Job.raw_digests", "Job.readable_facts"),
        *("Job.seed", "Job.threads", "Job.work"),
    },
    "stages/registry.py": {"_StageTable.__getitem__", "_StageTable.__iter__", "_StageTable.__len__"},
    "engine/plan.py": {
        *(
            "Plan.images",
            "Plan.object_json",
            "Plan.read_object",
            "_as_it_is",
            "Plan.object_path",
            "Plan.receipt",
            "Plan.stages_before",
        ),
        *("Plan.study_units", "Plan.units"),
    },
    "engine/results_folder.py": {"ResultsFolder.raw_folder"},
    "engine/raw_cache.py": {
        *("RawCache._entry_path", "RawCache._read", "RawCache.digest", "RawCache.entry", "RawCache.known"),
        "RawCache._sizes",
    },
    "engine/stage.py": {"NamedInput.needs", "receipts_before"},
    "errors.py": {"NephroscaleError.__init__", "Rejected.__init__"},
    "settings.py": {
        *("Settings.describe", "Settings.from_mapping", "Settings.to_mapping", "_hints", "_is_required", "_plain"),
        *("_takes", "_typed", "section", "setting"),
    },
    "store/digest.py": {"digest_bytes", "digest_file", "digest_json"},
    "store/folder.py": {"StoreFolder.folder"},
    "store/objects.py": {"Store.object_path"},
    "store/receipts.py": {"Receipt.accepted"},
}
#: Functions that the engine calls for a job: rows of the tables, digests of raw files and the seeds of an input's units
#: are values of the recipe, and links to raw files are no objects.
FOR_THE_ENGINE = {
    "cohort/cohort.py": {"Cohort.images_of"},
    "cohort/image.py": {"Image.row"},
    "cohort/patient.py": {"Patient.in_diagnosis", "Patient.row"},
    "models/settings.py": {"ModelSettings.training"},
    "slides/raw.py": {
        "_extension",
        "_names_in",
        "_plain_file",
        "_state_line",
        "_states_scale",
        "find_sidecar",
        "link_raw",
        "list_files",
        "stat_signature",
    },
}


class Trace:
    """The functions of the package that run while stages make their artifacts, by stage and unit and file."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], dict[Path, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._kinds: Counter[tuple[str, str]] = Counter()

    def follow(self, stage, plan):
        """Trace each call of a stage's `make`."""
        make, prefix = stage.make, str(PACKAGE) + os.sep

        def traced(job):
            kind = (stage.name, job.unit.rpartition("-")[2])  # such as the modality; one unit of a kind is enough
            self._kinds[kind] += 1
            if self._kinds[kind] > ENOUGH:
                return make(job)
            codes = set()

            def note(frame, event, argument):
                codes.add(frame.f_code)  # and returns None, so that no line of the function is traced

            before = sys.gettrace()
            threading.settrace(note)
            sys.settrace(note)
            try:
                return make(job)
            finally:
                sys.settrace(before)
                threading.settrace(before)
                for code in codes:
                    # the bodies of modules and classes are no functions: they run on import, whoever imports first
                    if code.co_filename.startswith(prefix) and code.co_flags & 1:
                        self.found[job.stage.name, job.unit][Path(code.co_filename)].add(code.co_qualname)

        stage.make = traced


class Made:
    """The small study with every unit made, and the functions that ran."""

    def __init__(self, folder: Path, plan: Plan, trace: Trace) -> None:
        self.folder, self.plan, self.found = folder, plan, trace.found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recipes") / "study"
    write_study(folder, deposits=True, outlined_im=True, patients=[*PATIENTS, ("S1", "MN", "segmentation")])
    write_new_patient(folder)
    trace = Trace()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tem = {**small_config()["tem"], "prior": "deposits"}
        # The tiles of OM are read from the slides, those of IM are stored.
        om = {**small_config()["om"], "keep": "coordinates"}
        glomeruli = {**small_config()["glomeruli"], "min_im_images": 2}
        changed_sections = {"om": om, "tem": tem, "glomeruli": glomeruli, "deposits": deposits_config()}
        changed_sections["predict"] = {"patients": "new.csv", "images": "new_images.csv"}
        plan = SteadyPlan({**small_config(), **changed_sections}, stage_table())
        for stage in plan.stages.values():
            patch.setattr(stage, "make", stage.make)  # restored afterwards: stages are shared by the process
            trace.follow(stage, plan)
        for name, stage in plan.stages.items():
            for unit in plan.units(name):
                (receipt,) = make_units(plan, stage, [unit])
                plan.set_receipt(name, unit, receipt)
                path = plan.receipt_path(name, unit)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(receipt.text())
    return Made(folder, plan, trace)


@pytest.fixture
def plan(made, monkeypatch):
    monkeypatch.chdir(made.folder)
    return made.plan


def excluded(path):
    module = ".".join(path.relative_to(SCRIPTS).with_suffix("").parts)
    return any(module == name or module.startswith(f"{name}.") for name in NOT_IN_RECIPES)


def closure(plan, stage, unit):
    return plan.code.closure(f"{plan.stages[stage].rule}.py", plan.stages[stage].modules(plan, unit)).code


def test_a_job_of_every_stage_was_traced(made):
    assert {stage for stage, _ in made.found} == set(ORDER)
    assert any(len(files) > 3 for files in made.found.values())


def test_priors_of_deposits_are_fitted_and_used(made):
    units = made.plan.units("deposit_priors")
    assert any(made.plan.receipt("deposit_priors", unit).accepted for unit in units)
    predicted = [files for (stage, _), files in made.found.items() if stage == "predict"]
    assert any("predict_priors" in files.get(PACKAGE / "deposits/priors.py", ()) for files in predicted)


def test_corrected_outlines_decide_the_glomeruli_and_not_the_tiles(plan):
    annotation = plan.cohort.images["P1-OM"].annotation
    recipe = plan.recipe("glomeruli", "P1-OM")
    assert set(recipe.inputs) == {"register/P1#P1-OM", "register/P1#P1-OM.annotation", "tiles/P1-OM"}
    assert recipe.inputs["register/P1#P1-OM.annotation"] == plan.raw_cache.digest(annotation)
    assert "segmenter/cohort" in plan.recipe("glomeruli", "P0-OM").inputs
    assert plan.receipt("glomeruli", "P1-OM").figures["method"] == "annotation"
    assert "annotation" not in str(plan.recipe("tiles", "P1-OM"))


def outside(files, names):
    """The functions that ran without being allowed, by file; nested functions are not listed."""
    ran = {
        path.relative_to(PACKAGE).as_posix(): {name.partition(".<locals>")[0] for name in files[path]} for path in files
    }
    left = {path: sorted(found - names.get(path, set())) for path, found in ran.items()}
    return {path: found for path, found in left.items() if found}


def jobs(made):
    """The functions that ran, by stage and unit. The audit reads all recipes, and its own recipe contains them."""
    return {key: files for key, files in made.found.items() if not made.plan.stages[key[0]].reads_records}


def test_whatever_a_job_runs_is_part_of_its_recipe(made, plan):
    for (stage, unit), files in jobs(made).items():
        known = closure(plan, stage, unit)
        others = {
            path: names
            for path, names in files.items()
            if not excluded(path) and path.relative_to(SCRIPTS).as_posix() not in known
        }
        assert outside(others, FOR_THE_ENGINE) == {}, f"{stage} of {unit}"


def test_what_jobs_run_outside_recipes_writes_no_bytes(made):
    for (stage, unit), files in jobs(made).items():
        assert outside({path: names for path, names in files.items() if excluded(path)}, ALLOWED) == {}, (stage, unit)


# -- edits in memory --------------------------------------------------------------------------------------------------


def units_that_differ(made):
    """One unit for each stage and set of files that ran."""
    found = {}
    for key, files in jobs(made).items():
        found.setdefault((key[0], frozenset(files)), key)
    return list(found.values())


def counted(plan, made, key):
    """The Python files of a unit's recipe whose functions ran."""
    known = closure(plan, *key)
    return [path for path in made.found[key] if path.suffix == ".py" and path.relative_to(SCRIPTS).as_posix() in known]


@cache
def parsed(source):
    return read_source(source.encode())


@cache
def changed(path, change):
    """The text of a source after a change; most sources are part of many recipes."""
    return change(path.read_text())


def recipe_with(plan, key, sources):
    """A unit's recipe with other text in some sources."""
    code = plan.code
    before = {path: code._sources[path] for path in sources}
    code._sources.update({path: parsed(source) for path, source in sources.items()})
    code._closures.clear()
    try:
        return plan.recipe(*key)
    finally:
        code._sources.update(before)
        code._closures.clear()


def digest_with(plan, key, path, source):
    """The digest of a unit's recipe with other text in one source."""
    return recipe_with(plan, key, {path: source}).digest


def change_constant(source):
    """Change the first number or text outside documentation; without one, add a constant."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Return | ast.Assign | ast.Compare):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, int | float | str):
                    part.value = "edited"
                    return ast.unparse(tree)
    return source + "\nEDITED = 1\n"


def change_english(source):
    """Change comments, docstrings, formatting and the documentation of settings, and nothing else."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body.insert(0, ast.Expr(ast.Constant("Another text.")))
            if len(node.body) > 1 and ast.get_docstring(ast.Module(node.body[1:], []), clean=False) is not None:
                del node.body[1]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setting":
            node.args[0] = ast.Constant("Other documentation.")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "section":
            node.args[1:] = [ast.Constant("Other documentation.")]
    future = next((n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"), None)
    assert future is None or tree.body.index(future) == 1
    return "# A comment.\n" + ast.unparse(ast.fix_missing_locations(tree)) + "\n# Another.\n"


def test_an_edit_of_code_that_ran_changes_the_recipe(made, plan):
    edits = 0
    for key in units_that_differ(made):
        known = plan.recipe(*key)
        paths = counted(plan, made, key)
        edited = {path: changed(path, change_constant) for path in paths}
        # Each file has a digest of its own in the recipe, so all can be edited at once.
        code = recipe_with(plan, key, edited).code
        for path in paths:
            name = path.relative_to(SCRIPTS).as_posix()
            assert code[name] != known.code[name], f"{key}: {path}"
        assert digest_with(plan, key, paths[-1], edited[paths[-1]]) != known.digest, key
        edits += len(paths)
    assert edits > 100


def test_edited_comments_and_docstrings_change_no_recipe(made, plan):
    for key in units_that_differ(made):
        edited = {path: changed(path, change_english) for path in counted(plan, made, key)}
        known, found = plan.recipe(*key), recipe_with(plan, key, edited)
        assert found.code == known.code, key
        assert found.digest == known.digest, key


def test_the_documentation_of_settings_changes_no_recipe(plan):
    path = PACKAGE / "training/settings.py"
    key = ("train", plan.units("train")[0])
    source = path.read_text()
    assert change_english(source).count("Other documentation.") > 5
    assert digest_with(plan, key, path, change_english(source)) == plan.recipe(*key).digest


def test_an_edit_of_excluded_code_changes_no_recipe(made, plan):
    key = ("train", plan.units("train")[0])
    files = [path for path in made.found[key] if excluded(path)]
    assert files
    for path in files:
        assert digest_with(plan, key, path, path.read_text() + "\nEDITED = 1\n") == plan.recipe(*key).digest

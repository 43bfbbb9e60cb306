"""From Snakemake's `--forcerun` and `-F` to the units that a run makes again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from nephroscale.engine.forced import ALL_UNITS, Forced
from nephroscale.engine.stage import Stage


def read_forced(arguments: Sequence[str], stages: Mapping[str, Stage], results: Path) -> Forced:
    """Find out which units a command line of Snakemake forces.

    Snakemake keeps its own settings of the DAG from the Snakefile while that is read, so the command line is parsed
    again, by Snakemake's parser.

    Parameters
    ----------
    arguments
        The command line, the program first; one of another program (Snakemake used as a library) forces nothing.
    stages
        By name. A stage is forced by its rule (`tile_slide`) or its target (`tiles`), a unit by its receipt's path,
        everything by `-F`.
    results
        Folder of the receipts.
    """
    if "snakemake" not in Path(arguments[0]).parts[-2:]:
        return Forced()
    from snakemake.cli import get_argument_parser

    settings, _ = get_argument_parser().parse_known_args(list(arguments[1:]))
    if settings.forceall:
        return Forced.of((stage, ALL_UNITS) for stage in stages)
    return Forced.of(unit for name in settings.forcerun for unit in _units_of(str(name), stages, results))


def _units_of(name: str, stages: Mapping[str, Stage], results: Path) -> Iterator[tuple[str, str]]:
    yield from ((stage.name, ALL_UNITS) for stage in stages.values() if name in {stage.name, stage.rule})
    path = Path(name)
    if path.suffix == ".json" and path.is_relative_to(results):
        stage_name, _, unit = path.relative_to(results).with_suffix("").as_posix().partition("/")
        if stage_name in stages:
            yield stage_name, unit or "cohort"

"""The entry point of every job's script: from what Snakemake hands in to the receipt."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from nephroscale.engine.environment import set_numerical_environment
from nephroscale.engine.job_log import JobLog, PathRedactor
from nephroscale.engine.make_units import NotMadeError, make_units
from nephroscale.engine.plan import Plan
from nephroscale.engine.prepass import publish_receipt, record_test_set_use
from nephroscale.engine.snakemake.attempt import Attempt
from nephroscale.engine.snakemake.job_groups import leaves_message_to_screen, wait_for_receipts, write_note
from nephroscale.engine.stage import Stage
from nephroscale.errors import NephroscaleError
from nephroscale.json_text import JSON
from nephroscale.store.disk import full_disk

#: The configuration and the plan of this run, in a process that was forked off the job server (job_server.py).
prepared: tuple[Mapping[str, JSON], Plan] | None = None


def run_job(
    stage: Stage,
    stages: Mapping[str, Stage],
    snakemake: Any,
    *,
    inputs: Mapping[str, Any],
    settings: Mapping[str, Any],
    receipt: str,
) -> None:
    """Make one unit of a stage, or look it up, and write its receipt.

    Parameters
    ----------
    stage, stages
        What the job makes, and every stage of the workflow.
    snakemake
        The object that Snakemake hands to a script: wildcards, log, configuration.
    inputs
        The rule's inputs by name: receipts that Snakemake waited for. The names are those that the stage declares.
    settings
        The rule's ``params.settings``: the slice of the configuration that decides the artifact.
    receipt
        The rule's output.

    Raises
    ------
    SystemExit
        With status 1 when the unit cannot be made; the message is on the screen and in the log.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the scratch folder is removed
    log = Path(str(snakemake.log[0]))
    error = log.with_suffix(".error")
    error.unlink(missing_ok=True)
    attempt = Attempt(snakemake.rule, log)
    where = snakemake.rule
    set_numerical_environment(snakemake.config.get("compute") or {})
    with JobLog(log) as stream, redirect_stdout(stream), redirect_stderr(stream):
        try:
            with full_disk(log.parent):
                same = prepared if prepared and prepared[0] == snakemake.config else None
                plan = same[1].afresh() if same else Plan(snakemake.config, stages)
                unit = stage.pattern.format(**dict(snakemake.wildcards.items()))
                where = f"{stage.name} of {unit}"
                stream.redact = PathRedactor(plan.cohort, stage.raw(plan, unit))
                attempt.begin()
                _check_rule(plan, stage, unit, inputs, settings)
                wait_for_receipts([plan.receipt_path(*need[:2]) for need in stage.upstream(plan, unit)])
                (made,) = make_units(plan, stage, [unit])
                record_test_set_use(plan, stage, unit, made)
                publish_receipt(plan, stage.name, unit, made)
            print(f"{where}: {'accepted' if made.accepted else f'rejected: {made.reason}'}")
        except Exception as fault:
            known = isinstance(fault, NephroscaleError)
            message = stream.redacted(str(fault) if known else f"Unexpected {type(fault).__name__}: {fault}")
            traceback.print_exc()
            if not leaves_message_to_screen():
                with suppress(OSError):
                    print(f"nephroscale: {where} failed\n  {message}\n  log: {log}", file=sys.__stderr__)
            if not isinstance(fault, NotMadeError):  # else the input's own job has given the reason
                _write_whole(error, message + "\n")
            with suppress(OSError):
                attempt.fail()
            with suppress(OSError):
                if attempt.leaves_note(fault):
                    write_note(Path(receipt), message)
                    return
            sys.exit(1)
        else:
            attempt.succeed()


def _check_rule(plan: Plan, stage: Stage, unit: str, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Refuse to run where the rule does not hand in what the stage declares."""
    if set(inputs) != set(stage.inputs):
        raise NephroscaleError(
            f"The script passes {', '.join(inputs) or 'no input'}, but the stage declares "
            f"{', '.join(stage.inputs) or 'none'}.",
            where=f"scripts/{stage.rule}.py and stages/{stage.name}.py",
            fix="Name the same inputs in the rule, the script and the stage.",
        )
    if dict(settings) != stage.settings(plan, unit).to_mapping():
        raise NephroscaleError(
            "The rule's settings are not those that the stage declares.",
            where=f"rule {stage.rule}, in workflow/rules",
            fix="Pass `params: settings=` on, and edit the configuration only after a run has finished.",
        )


def _write_whole(path: Path, text: str) -> None:
    """Write a small file whole, or not at all where there is no room for it."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)

"""Compute once per rule what Snakemake computes again for each job.

In the plan of a large cohort a third of the time went into reading each job's script and the signatures of functions,
and a quarter of a dry run into messages that our screen does not print.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection
from typing import Any

from nephroscale.engine.snakemake.quick_dag import quicken_dag
from nephroscale.engine.snakemake.quick_files import quicken_files
from nephroscale.engine.snakemake.quick_resources import quicken_resources

# The version of Snakemake whose classes the other shortcuts fill in; in any other one it does all by itself.
TESTED = "9.27.1"
USUAL = gc.get_threshold()
PLUGIN = "snakemake_logger_plugin_nephroscale"


def collect_garbage_rarely() -> None:
    """Let Python look for unreachable cycles only after many new objects: those of a plan stay.

    Half a million jobs and files were visited again and again, for a fifth of the plan's time.
    """
    gc.freeze()
    gc.set_threshold(500_000, 20, 20)


def collect_garbage_as_usual() -> None:
    """Leave the plan, which is kept until the run ends, out of garbage collection; collect the rest as by default."""
    gc.freeze()
    gc.set_threshold(*USUAL)


def quicken_plan(handlers: Collection[object] = ()) -> None:
    """Let Snakemake 9 look up each script and inspect each function only once in this process.

    Parameters
    ----------
    handlers
        The plugins that print this run. Where our own is among them, a dry run prepares no message for each job.
    """
    import snakemake.common
    import snakemake.rules
    from snakemake.dag import ScriptProcessor
    from snakemake.jobs import Job

    Job.conda_env_spec = property(only_with_environment(Job.conda_env_spec.fget))
    brief = any(type(each).__module__ == PLUGIN for each in handlers)
    if brief:
        from snakemake.executors.dryrun import Executor

        Executor.printjob = announce_briefly
    parameters = once_a_function(snakemake.common.get_function_params)
    snakemake.common.get_function_params = parameters
    snakemake.rules.get_function_params = parameters
    ScriptProcessor.process_job = once_a_script(ScriptProcessor.process_job)
    if snakemake.__version__ == TESTED:
        quicken_files()
        quicken_resources()
        quicken_dag(listed=brief and all(type(each).__module__ == PLUGIN for each in handlers))


def only_with_environment(specify: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Ask for the conda environment only where a rule names one: Snakemake works out the job's `params` for it."""
    return lambda job: None if job.rule._conda_env is None else specify(job)  # noqa: SLF001


def announce_briefly(executor: Any, job: Any) -> None:  # noqa: ARG001  (in place of a method of the dry run)
    """Report what our screen counts of the jobs of a dry run: their rules and wildcards."""
    from snakemake.logging import logger
    from snakemake_interface_logger_plugins.common import LogEvent

    for each in job.jobs if job.is_group() else [job]:
        found = {"jobid": each.jobid, "rule_name": each.rule.name, "wildcards": each.wildcards_dict}
        logger.info(each.rule.name, extra={"event": LogEvent.JOB_INFO, **found})


def once_a_function(parameters: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Keep the parameters of functions; those of a method are the same for every object of its class."""
    known: dict[tuple[Any, bool], Any] = {}

    def find(function: Any) -> Any:
        method = getattr(function, "__func__", None)
        key = (method or function, method is not None)
        try:
            return known[key]
        except KeyError:
            return known.setdefault(key, parameters(function))
        except TypeError:  # an object that is called and has no hash
            return parameters(function)

    return find


def once_a_script(process_job: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Check that a rule's script is there for its first job alone, unless its name depends on the job."""

    def check(processor: Any, job: Any) -> None:
        script = getattr(job.rule, processor.script_type)
        if script is None:
            return
        seen = processor.__dict__.setdefault("seen_rules", set())
        if "{" in str(script) or job.rule.name not in seen:
            process_job(processor, job)
            seen.add(job.rule.name)

    return check

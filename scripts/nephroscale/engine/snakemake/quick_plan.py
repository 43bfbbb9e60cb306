"""What Snakemake finds out anew for each job, although it is the same for all jobs of a rule, is found out once.

In the plan of a large cohort a third of the time went into reading each job's script and the signatures of functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def quicken_plan() -> None:
    """Let Snakemake 9 look for each script and at each function once in this process."""
    import snakemake.common
    import snakemake.rules
    from snakemake.dag import ScriptProcessor

    parameters = once_a_function(snakemake.common.get_function_params)
    snakemake.common.get_function_params = parameters
    snakemake.rules.get_function_params = parameters
    ScriptProcessor.process_job = once_a_script(ScriptProcessor.process_job)


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

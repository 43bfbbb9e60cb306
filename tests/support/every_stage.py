"""Make every unit of a very small study in this process, and print the digest of each artifact and its parts.

    PYTHONPATH=scripts:tests python -m support.every_stage FOLDER [STAGE ...]

The folder is that of `support.small_study.write_study`. The stages that follow are left out, with those that need them.
It is run natively and in an emulator of another processor (tests/test_portable.py). What was parsed of the code is kept
in the study's store, so that the emulator need not parse it again.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import ModuleType

from nephroscale.engine.environment import set_numerical_environment

set_numerical_environment({})

from nephroscale.engine.make_units import NotMadeError, make_units  # noqa: E402
from nephroscale.engine.plan import Plan  # noqa: E402
from nephroscale.stages.registry import stage_table  # noqa: E402


class SteadyPlan(Plan):
    """A plan that reads the code once; else it is read again after each unit."""

    def read_code(self) -> None:
        if not hasattr(self, "code"):
            super().read_code()


def leave_out_the_compiler() -> None:
    """Put empty modules in place of those of `torch.compile` and `torch.export`, which no stage uses on a CPU.

    Their import takes a fifth of the time in the emulator. Optimizers import the first to keep the compiler out of
    their own functions; torch imports the others for tensors without data, and to offer them.
    """
    stand_in = ModuleType("torch._dynamo")
    stand_in.__dict__.update(disable=lambda function, *_, **__: function, graph_break=lambda: None)
    sys.modules["torch._dynamo"] = stand_in
    for name in ("torch._meta_registrations", "torch.export"):
        sys.modules[name] = ModuleType(name)
    import torch
    from torch._opaque_base import OpaqueBaseMeta

    torch._C._set_generator_metaclass(OpaqueBaseMeta)  # as the first of them does; else no generator can be made


def make_all(plan: Plan, left_out: set[str]) -> dict[str, str]:
    """Make the units stage by stage: the name of each to its digest, or to the reason why it was rejected."""
    made = {}
    for name, stage in plan.stages.items():
        if name in left_out:
            continue
        begun = time.process_time()
        for unit in plan.units(name):
            try:
                (receipt,) = make_units(plan, stage, [unit])
            except NotMadeError:
                continue
            plan.set_receipt(name, unit, receipt)
            path = plan.receipt_path(name, unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(receipt.text())
            made[f"{name}/{unit}"] = receipt.digest or str(receipt.reason)
            made |= {f"{name}/{unit}#{part}": digest for part, digest in receipt.parts.items()}
        print(f"{name}: {time.process_time() - begun:.1f} s of CPU", file=sys.stderr, flush=True)
    return made


if __name__ == "__main__":
    leave_out_the_compiler()
    os.chdir(sys.argv[1])
    config = json.loads(Path("config.json").read_text())
    steady = SteadyPlan(config, stage_table())
    print("\n" + json.dumps(make_all(steady, set(sys.argv[2:]))))
    steady.keep_parsed_code()

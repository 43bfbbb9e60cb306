"""The command `forget`: delete everything that contains or was computed from one patient's data."""

from __future__ import annotations

import argparse

from nephroscale.commands.run import Commands, open_plan
from nephroscale.engine.snakemake.stale_lock import snakemake_is_locked
from nephroscale.errors import NephroscaleError


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    forget = commands.add_parser(
        "forget",
        help="list, or delete, everything in results and store that contains or was computed from a patient's data",
        run=forget_patient,
    )
    forget.add_argument("patient", metavar="PATIENT", help="patient id, as in the table of patients")
    forget.add_argument("--delete", action="store_true", help="delete what is listed")


def forget_patient(options: argparse.Namespace) -> int:
    """List or delete a patient's data, and list what stays; exit with 1 if something could not be deleted."""
    from nephroscale.provenance.forget import delete_holdings, describe, describe_rest, find_holdings

    plan = open_plan(options)
    held = find_holdings(plan, options.patient)
    lines = describe(plan, held)
    left: list[str] = []
    if options.delete:
        if snakemake_is_locked():
            raise NephroscaleError(
                "A run of the workflow is going on in this folder, and could write what is deleted.",
                fix="Wait for it to end, or end it with Ctrl-C. After a crash: snakemake --unlock.",
            )
        left = delete_holdings(plan, held)
    verb = "Deleted" if options.delete else "Would be deleted (add --delete)"
    print(f"{verb}:" if lines else f"No result and no object contains data of {options.patient}.")
    print("".join(f"  {line}\n" for line in lines) + "Stays:")
    print("".join(f"  {line}\n" for line in describe_rest(plan, held, left)), end="")
    return 1 if left else 0

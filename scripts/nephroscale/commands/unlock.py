"""The command `unlock`: open the external patients, once."""

from __future__ import annotations

import argparse

from nephroscale.commands.run import Commands, open_plan


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    commands.add_parser(
        "unlock", help="allow the prediction of the external patients, and record the time", run=unlock_external
    )


def unlock_external(options: argparse.Namespace) -> None:
    """Enter the external patients into the ledger of the study."""
    from nephroscale.stages.external import external_patients, ledger_path, open_external
    from nephroscale.store.digest import digest_json
    from nephroscale.store.records import now

    plan = open_plan(options)
    opening, new = open_external(plan, now(), plan.ledger.ever(digest_json(external_patients(plan))))
    earlier = f" {opening.before} configurations had been scored on them before." if opening.before else ""
    print(f"The external patients {'are open now' if new else f'were opened on {opening.when[:10]}'}.{earlier}")
    print(f"Ledger: {ledger_path(plan)}. Keep it with the tables; without it the report states that this is unknown.")

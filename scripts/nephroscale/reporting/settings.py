"""Settings of the report."""

from __future__ import annotations

from dataclasses import dataclass

from nephroscale.settings import Settings, setting


@dataclass(frozen=True)
class ReportSettings(Settings):
    """The report."""

    title: str = setting("Title of the page.", "Renal biopsies by CMUS-Net")
    notes: tuple[str, ...] = setting("Sentences at the top of the page.", ())
    headline: str | None = setting("Model whose results lead the report; the first one when left out.", None)
    bootstrap_resamples: int = setting(
        "Resamples of the patients for the 95 % intervals.", 2000, was="bootstrap", minimum=100
    )

"""Electron-dense deposits of a TEM image, as the table of images gives them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SITES = ("mesangial", "subepithelial", "intramembranous", "subendothelial")
ANY = "any"
"""The question whether an image shows deposits at any site."""

_NONE = frozenset({"0", "0.0", "none", "no", "false", "negative", "absent"})  # 0.0 and 1.0 where other cells are empty
_SOME = frozenset({"1", "1.0", "yes", "true", "positive", "present"})
_SEPARATORS = re.compile(r"[;,+/|&；，、]|\band\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Deposits:
    """What a pathologist read in one image.

    Attributes
    ----------
    present
        Whether there are deposits.
    sites
        Their sites, in the order of :data:`SITES`; empty where there are none, or where the reader gave no site.
    """

    present: bool
    sites: tuple[str, ...] = ()

    def at(self, site: str) -> bool | None:
        """Whether there are deposits at a site, or at :data:`ANY`; None where the reading does not say."""
        if site == ANY or not self.present:
            return self.present
        return site in self.sites if self.sites else None

    def to_text(self) -> str:
        """Write the reading as the table has it."""
        return ";".join(self.sites) or str(int(self.present))


def parse_deposits(text: str) -> Deposits | None:
    """Read a cell such as ``0``, ``none``, ``1`` or ``mesangial;subepithelial``; None for any other text.

    Numbers and words for both answers are read as spreadsheets and laboratories write them, and sites with other
    separators and with a hyphen.
    """
    words = {re.sub("^(sub|intra)[- ]", r"\1", word.strip().casefold()) for word in _SEPARATORS.split(text)} - {""}
    if len(words) == 1 and words <= _NONE | _SOME:
        return Deposits(words <= _SOME)
    return Deposits(True, tuple(site for site in SITES if site in words)) if words and words <= set(SITES) else None

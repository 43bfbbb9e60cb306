"""What the classes of an annotation mean: glomerulus, sclerosed glomerulus, annotated area, or anything else."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from itertools import pairwise
from typing import Literal

Kind = Literal["glomerulus", "sclerosed", "annotated area", "other"]

DEFAULT_CLASSES: dict[str, Kind] = {
    **dict.fromkeys(("glomerulus", "glomeruli", "glom", "gloms", "肾小球", "腎小球", "糸球体", "사구체"), "glomerulus"),
    **dict.fromkeys(("sclerosed", "sclerotic", "global sclerosis", "硬化"), "sclerosed"),
    **dict.fromkeys(("annotated area", "annotated areas", "annotated region", "annotated regions"), "annotated area"),
}
"""Name of a class to what it means."""

Verdict = tuple[Kind | None, str]
"""What a label means, None where it matches no class; and why it is `other` although a class matches."""

NEGATIONS = {
    *("non", "not", "no", "without", "except", "excluding", "exclude", "never", "ohne", "kein", "nicht"),
}
#: Words by which a glomerulus is not sclerosed as a whole, which alone counts as sclerosed.
PARTLY = {
    *("segmental", "segmentally", "partially", "partly", "focal", "focally", "early", "incipient", "incompletely"),
    *("nonglobally", "un"),
}
#: A part of a glomerulus that is sclerosed.
_PERCENT = re.compile(r"(?<!\d)\d{1,2}(?:[.,]\d+)?\s*%")
#: Words after a negation by which the object of a label does not count, as in `not counted`.
COUNTED = {
    *("sure", "certain", "counted", "count", "used", "use", "usable", "valid", "evaluable", "assessable"),
    *("included", "confirmed", "scored"),
}
#: Values of a label that say no, as in `Glomerulus: 0` and `Glom -`.
_SAYS_NO = re.compile(r"[:=]\s*(?:0|n|f|n\.?[/.]?a\.?)$|[\s)][-\u2212\u2013]$")
#: Words between a negation and what it negates.
BETWEEN = {"a", "an", "any", "the", "of", "globally", "global", "completely", "fully", "yet"}
#: Words by which a label means something around, in or beside a glomerulus.
ELSEWHERE = {
    *("peri", "juxta", "para", "extra", "inter", "around", "near", "between", "beside", "outside", "adjacent", "next"),
    *("region", "regions", "area", "areas", "roi", "rois", "tissue", "field", "patch", "box", "cortex", "medulla"),
    *("apparatus", "basement", "membrane", "capsule", "space", "lumen", "wall", "pole", "cell", "cells", "nucleus"),
    *("nuclei", "tubule", "tubules", "tubulus", "tubuli", "vessel", "vessels", "artery", "arteries", "arteriole"),
    *("arterioles", "interstitium", "fibrosis", "artefact", "artifact", "background", "ignore", "false"),
    *("excluded", "pseudo", "hilum", "hole", "anti", "fp", "mesangium", "podocyte", "podocytes", "endothelium"),
    *("afferent", "efferent", "densa"),
}
#: Words by which a label says that it is not known whether there is a glomerulus, and the same as parts of a label.
UNCERTAIN = {
    *(
        "unsure",
        "uncertain",
        "unclear",
        "possible",
        "possibly",
        "probable",
        "probably",
        "maybe",
        "perhaps",
        "suspected",
    ),
    *("questionable", "doubtful", "negative", "neg", "fraglich", "unsicher"),
    *("missing", "absent", "wrong", "incorrect", "error", "delete", "deleted", "remove", "removed", "discard"),
    *("discarded", "rejected", "draft", "todo", "tbd", "unusable"),
    *("like", "lookalike", "resembling", "mimic"),
    *("border", "borders", "edge", "edges", "rim", "margin", "boundary"),  # cut there, or the object is only this
}
UNCERTAIN_CHARACTERS = ("?", "疑", "do not use")
UNKNOWN = "it is uncertain"
#: Characters of labels without spaces, with the same meaning.
ELSEWHERE_CHARACTERS = frozenset("非无無不没未旁周外囊膜管細细區区비")
IGNORED = "*"
_NO_CLASS = re.compile(r"(?:annotation|group|layer|none|null|object|polygon|roi|shape|unclassified)?[\W\d_]*")


def classify(labels: tuple[str, ...], classes: Mapping[str, Kind]) -> Verdict:
    """Decide what the labels of an object mean; the first one that matches a class decides.

    A label matches a class if it is its name (ignoring case), or has all words of the name in a row. A negation before
    them (`Non-glomerulus`), a word for something beside a glomerulus (`juxtaglomerular` is another word anyway), and
    QuPath's `*` after an ignored class make an object `other`. So does a word of doubt (`Glomerulus?`); nothing is then
    known there.

    Parameters
    ----------
    labels
        Most specific first.
    classes
        Name of a class to its kind.
    """
    exact = {_normal(name): kind for name, kind in classes.items()}
    words_of = {tuple(_words(name)): kind for name, kind in classes.items()}
    for label in labels:
        kind = exact.get(_normal(label))
        if kind is not None:
            return kind, ""
        found = {kind for words, kind in words_of.items() if _has(label, words)}
        if not found:
            continue
        if label.endswith(IGNORED):
            return "other", "QuPath ignores it"
        kinds = {kind for words, kind in words_of.items() if _has(label, words, kind)}
        if not kinds:
            return "other", "it is negated"
        written = _words(label)
        doubt = UNCERTAIN & set(written) or any(part in _normal(label) for part in UNCERTAIN_CHARACTERS)
        if doubt or _says_no(label, written) or _denies_too(label, words_of):
            return "other", UNKNOWN
        if kinds != {"annotated area"} and (ELSEWHERE & set(written) or ELSEWHERE_CHARACTERS & set(label)):
            return "other", "it means something beside a glomerulus"
        return next(kind for kind in ("other", "annotated area", "sclerosed", "glomerulus") if kind in kinds), ""
    return None, ""


def is_named(label: str) -> bool:
    """Whether a label is more than a default name, such as `Layer 1` or `None`."""
    return not _NO_CLASS.fullmatch(_normal(label))


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _words(text: str) -> list[str]:
    """Split into words, also at underscores and where capitals begin a word."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", text))
    return re.findall(r"[^\W\d_]+", spaced.casefold())


def _says_no(label: str, written: list[str]) -> bool:
    """Whether a label ends with a no, or its object does not count."""
    pairs = pairwise(written)
    not_counted = any(word in NEGATIONS and after in COUNTED for word, after in pairs)
    return not_counted or bool(set(written[-1:]) & {"no", "not", "none"}) or bool(_SAYS_NO.search(_normal(label)))


def _denies_too(label: str, words_of: Mapping[tuple[str, ...], Kind]) -> bool:
    """Whether a label has a glomerulus both affirmed and negated, as `Glomerulus/Non-glomerulus`."""
    return any(kind == "glomerulus" and False in _affirmations(label, words) for words, kind in words_of.items())


def _has(label: str, words: tuple[str, ...], affirmed: Kind | None = None) -> bool:
    """Whether a label has these words in a row, and not only after a negation where this kind has to be affirmed."""
    found = _affirmations(label, words, affirmed)
    return any(found) if affirmed else bool(found)


def _affirmations(label: str, words: tuple[str, ...], kind: Kind | None = None) -> list[bool]:
    """Say of each place where a label has these words in a row whether it is affirmed there."""
    if not words or not words[0].isascii():  # scripts without spaces
        return [True] if words and "".join(words) in _normal(label) else []
    found, places = _words(label), list[bool]()
    negations = NEGATIONS | PARTLY if kind == "sclerosed" else NEGATIONS
    if kind == "sclerosed" and _PERCENT.search(label):
        return [False]
    for start in range(len(found) - len(words) + 1):
        end = start + len(words)
        if tuple(found[start:end]) != words:
            continue
        before = start - 1
        while before >= 0 and found[before] in BETWEEN:
            before -= 1
        denied = (before >= 0 and found[before] in negations) or found[end : end + 1] == ["free"]
        places.append(not denied)
    return places

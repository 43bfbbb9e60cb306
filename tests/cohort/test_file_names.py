"""Patient, modality, stain and marker from the names of files and folders, and ids from any text."""

import re

import pytest

from nephroscale.cohort.file_names import NamedParts, compile_pattern, make_id, make_unique, parse_path
from nephroscale.errors import NephroscaleError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("K-001/LM/PAS 1.svs", ("K-001", "OM", "PAS", "")),
        ("K-001/IF/IgA_20x.tif", ("K-001", "IM", "", "IgA")),
        ("K-001/EM/0012.tif", ("K-001", "TEM", "", "")),
        ("OM/K-001/jones.svs", ("K-001", "OM", "PASM", "")),
        ("slides/K-001_H&E.svs", ("K-001", "OM", "HE", "")),
        ("K 001-EM12.tif", ("K 001", "TEM", "", "")),
        ("K-002/C3.jpg", ("K-002", "IM", "", "C3")),
        ("张三/电镜照片/1.tif", ("张三", "TEM", "", "")),
        ("张三/荧光/IgG.tif", ("张三", "IM", "", "IgG")),
        ("K-004/Kappa light chain.tif", ("K-004", "IM", "", "kappa")),
        ("biopsy 17.svs", ("biopsy 17", "", "", "")),
        ("K-003/EM/C3.tif", ("K-003", "TEM", "", "")),
    ],
)
def test_names_say_patient_modality_and_stain(path, expected):
    patient, modality, stain, marker = expected
    assert parse_path(path) == NamedParts(patient, "", modality, stain, marker)


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("{patient}/{modality}/{stain}*", "7/LM/PAS_3.svs", NamedParts("7", "", "OM", "PAS")),
        ("{patient}/{modality}/{stain}*", "7/IF/IgG.tif", NamedParts("7", "", "IM", "", "IgG")),
        ("{patient}/{modality}/{stain}*", "7/LM/Congo-2.svs", NamedParts("7", "", "OM", "Congo")),
        ("{modality}/{patient}_{biopsy}_*", "EM/A_B1_07.tif", NamedParts("A", "B1", "TEM")),
        ("**/{patient}-*", "2024/May/P1-em3.tif", NamedParts("P1", "", "TEM")),
        ("{patient}/{modality}/*", "7/LM/deeper/PAS.svs", None),
    ],
)
def test_a_pattern_names_the_parts_of_a_path(pattern, path, expected):
    assert parse_path(path, compile_pattern(pattern)) == expected


@pytest.mark.parametrize("pattern", ["{modality}/*", "{patient}/{patient}", "{patient}/{name}"])
def test_a_pattern_without_sense_is_refused(pattern):
    with pytest.raises(NephroscaleError, match="field"):
        compile_pattern(pattern)


def test_ids_are_valid_and_unique():
    texts = ["K 001.2 (left)", "Dr. Ö/3", "_x_", "a--b", "Groß, Łukasz", "Sørensen"]
    assert [make_id(text) for text in texts] == ["K-001-2-left", "Dr-O-3", "x", "a-b", "Gross-Lukasz", "Sorensen"]
    assert all(re.fullmatch("[A-Za-z0-9][A-Za-z0-9_-]*", make_id(text)) for text in texts)
    assert make_id("张三") == ""
    assert make_unique("P1", {"p1", "p1-2"}) == "P1-3"

"""Which images stand for two patients, and which are alike for a reason."""

import pytest

from nephroscale.errors import NephroscaleError
from nephroscale.slides.duplicates import check_no_copies, find_alike


def fact(digest, bits=0, **other):
    """Facts of an image whose hash differs from zero in its lowest bits; no bits for an image without content."""
    found = {"status": "accepted", "digest": digest, "width": 100, "height": 80}
    return found | ({} if bits is None else {"perceptual_hash": f"{(1 << bits) - 1:064x}"}) | other


def rows(**patients):
    """Image id to its patient, or to the whole row."""
    return {
        image: {"patient": row, "person": row, "use": "diagnosis"} if isinstance(row, str) else row
        for image, row in patients.items()
    }


def row(patient, use="diagnosis", person=None, **other):
    return {"patient": patient, "person": person or patient, "use": use} | other


def test_equal_bytes_and_equal_content_of_two_patients_are_faults():
    images = rows(A="P1", B=row("P2", "external"), C="P3", D="P4")
    found = find_alike(images, {"A": fact("x"), "B": fact("x"), "C": fact("y", 3), "D": fact("z", 200)})
    assert [(pair.images, pair.uses, pair.bits, pair.is_fault) for pair in found] == [
        (("A", "B"), ("diagnosis", "external"), None, True),
        (("A", "C"), ("diagnosis", "diagnosis"), 3, True),
        (("B", "C"), ("external", "diagnosis"), 3, True),
    ]
    with pytest.raises(NephroscaleError) as error:
        check_no_copies(found)
    assert "A of P1 (diagnosis) and B of P2 (external): identical files" in str(error.value)
    assert "same_as" in error.value.fix


def test_similar_content_is_listed_and_stops_nothing():
    (pair,) = find_alike(rows(A="P1", B="P2"), {"A": fact("x"), "B": fact("y", 20)})
    assert (pair.bits, pair.is_fault) == (20, False)
    assert "similar content (20 of 256 bits" in str(pair)
    check_no_copies([pair])


def test_other_proportions_are_another_image():
    assert find_alike(rows(A="P1", B="P2"), {"A": fact("x"), "B": fact("y", width=200)}) == []


def test_images_of_one_patient_are_no_fault_in_any_biopsy_and_equal_files_are_listed():
    images = rows(A=row("P1-B1", person="P1"), B=row("P1-B2", person="P1"), C=row("P1-B2", person="P1"))
    (pair,) = find_alike(images, {"A": fact("x"), "B": fact("x"), "C": fact("y", 2)} | {"D": fact("x")})
    assert (pair.images, pair.same_patient, pair.is_fault) == (("A", "B"), True, False)


@pytest.mark.parametrize("facts", [fact("x", None), fact("x", status="rejected"), None])
def test_images_without_content_or_facts_and_rejected_ones_are_exempt(facts):
    known = {"A": fact("x")} | ({"B": facts} if facts else {})
    assert find_alike(rows(A="P1", B="P2"), known) == []
    assert find_alike({}, {}) == []


def test_same_as_exempts_over_any_number_of_steps_and_keeps_the_reason():
    images = rows(
        A="P1",
        B=row("P2", same_as="A", reason="siblings, one control slide"),
        C=row("P3", same_as="B", reason="as B"),
        D="P4",
    )
    found = find_alike(images, {name: fact("x") for name in "ABCD"})
    assert [pair.images for pair in found if pair.is_fault] == [("A", "D"), ("B", "D"), ("C", "D")]
    assert [pair.reason for pair in found if pair.reason] == [
        "siblings, one control slide",
        "as B",
        "siblings, one control slide",
    ]

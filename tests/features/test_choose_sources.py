"""What a rejection of `features` says of its cause, for the audit to follow."""

import pytest

from nephroscale.errors import Rejected
from nephroscale.features.sources import choose_sources
from nephroscale.store.receipts import Receipt


@pytest.mark.parametrize(
    ("figures", "because"),
    [({}, "glomeruli/P1-a"), ({"because": "tiles/P1-a"}, "tiles/P1-a"), ({"n": 0}, "glomeruli/P1-a")],
)
def test_the_cause_is_named_with_its_stage_however_far_up_it_is(figures, because):
    rows = {"patient": "P1", "modality": "OM", "images": {"P1-a": {"stain": "PAS"}, "P1-b": {"stain": "PAS"}}}
    receipts = [
        Receipt("glomeruli", "P1-a", "rejected", "blurred", figures=figures),
        Receipt("glomeruli", "P1-b", "rejected", "dark"),
    ]
    with pytest.raises(Rejected) as told:
        choose_sources(rows, receipts, lambda *_: None, {"stains": ["PAS"]})
    assert told.value.figures == {"because": because}

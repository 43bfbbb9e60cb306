import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nephroscale.json_text import canonical_json, pretty_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), json_values, max_size=6))
def test_equal_objects_give_equal_text_whatever_the_order_of_keys(value):
    other_order = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(other_order)
    assert pretty_json(value) == pretty_json(other_order)


@pytest.mark.slow
@given(json_values)
def test_both_encodings_read_back_as_the_value(value):
    assert json.loads(canonical_json(value)) == json.loads(pretty_json(value)) == value


def test_text_is_exactly_this():
    value = {"b": [1, 2.5, None], "a": "\u00b5m"}
    assert canonical_json(value) == '{"a":"\u00b5m","b":[1,2.5,null]}'.encode()
    assert pretty_json(value) == '{\n  "a": "\u00b5m",\n  "b": [\n    1,\n    2.5,\n    null\n  ]\n}\n'


@pytest.mark.parametrize("encode", [canonical_json, pretty_json])
def test_nan_is_refused(encode):
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(float("nan"))

import json

from nephroscale.evaluation.fitted_temperature import FittedTemperature, read_temperature, write_temperature


def test_a_temperature_is_read_as_it_was_written(tmp_path):
    fitted = FittedTemperature(1.5, patients=7, nll_before=0.9, nll_after=0.8)
    write_temperature(tmp_path, fitted)
    assert read_temperature(tmp_path) == fitted
    assert json.loads((tmp_path / "temperature.json").read_text())["temperature"] == 1.5

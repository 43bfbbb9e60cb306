import pytest

from support.real_images import require_real_images


def test_missing_real_images_skip_a_test_and_fail_it_in_ci(tmp_path, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="absent"):
        require_real_images(tmp_path / "project")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="absent"):
        require_real_images(tmp_path / "project")
    (tmp_path / "shared").mkdir()
    assert require_real_images(tmp_path / "project") == tmp_path / "shared"

"""Images below a folder, and the outlines beside them."""

from pathlib import Path

import pytest

from nephroscale.slides.find_images import FoundImage, find_images


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_images_are_found_with_the_outlines_beside_them(tmp_path):
    make(tmp_path, "a/C1.jpg", "a/C1.imagej_rois.zip", "a/C2.svs", "a/C2.svs.geojson", "a/C2_mask.png", "a/notes.txt")
    make(tmp_path, "b/x_image.png", "b/x_mask.png", "b/x_tissue.png", "b/.hidden.png", "study/results/y.png")
    found = find_images(tmp_path, without=tmp_path / "study")
    assert found.images == [
        FoundImage("a/C1.jpg", "a/C1.imagej_rois.zip"),
        FoundImage("a/C2.svs", "a/C2.svs.geojson"),
        FoundImage("b/x_image.png", "b/x_mask.png"),
    ]
    assert found.others == ["a/C2_mask.png", "a/notes.txt", "b/x_tissue.png"]


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (("M.mrxs", "M/Dat1.dat", "M/Slidedat.ini"), ["M.mrxs"]),
        (("s/1.dcm", "s/2.dcm"), ["s"]),
        (("s/1.dcm",), ["s/1.dcm"]),
        (("h/a.vms", "h/a.jpg", "h/a.opt"), ["h/a.vms"]),
        (("a.oif", "a.oif.files/s_C001.tif", "b.nd2", "c.oib"), ["a.oif", "b.nd2", "c.oib"]),
    ],
)
def test_a_slide_of_several_files_is_one_image(tmp_path, names, images):
    make(tmp_path, *names)
    assert [image.path for image in find_images(tmp_path).images] == images


def test_a_file_that_states_the_scale_of_a_picture_belongs_to_it(tmp_path):
    for name in ("a.tif", "b.mrc"):
        (tmp_path / name).touch()
    (tmp_path / "a.xml").write_text("<MicroscopeImage/>")
    (tmp_path / "b.mrc.mdoc").write_text("PixelSpacing = 5")
    found = find_images(tmp_path)
    assert [(image.path, image.outlines) for image in found.images] == [("a.tif", None), ("b.mrc", None)]
    assert found.others == []

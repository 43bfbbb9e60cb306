import json
import random
from dataclasses import asdict
from pathlib import Path

import openpyxl
import pytest

from nephroscale.errors import NephroscaleError
from support.cohort import load_tables


def test_patients_match_their_table(tables) -> None:
    cohort = tables.load()
    assert list(cohort.patients) == ["A1", "A2", "L1", "L2", "M1", "M2"]
    assert cohort.classes == ("IgAN", "MN", "LN")
    first = cohort.patients["A1"]
    assert (first.label_text, first.label, first.status, first.use) == (
        "IgA nephropathy",
        "IgAN",
        "eligible",
        "diagnosis",
    )
    assert (first.site, first.scanner, first.group, first.reason) == ("north", "X", None, None)
    assert first.columns == {"age": "31"}
    assert cohort.patients["A2"].group == "F1"
    assert cohort.patients["L2"].row().to_mapping() == {
        "id": "L2",
        "label": "LN",
        "group": None,
        "site": "south",
        "text": "LN V",
        "eligible": True,
        "reason": None,
    }


def test_uses_and_labels_decide_the_status(tables) -> None:
    tables.patients += "S1,,segmentation,,,,,\nE1,MN,external,,,,,\nX1,anything,exclude,withdrew,,,,\n"
    tables.patients += "D1,IgAN+MN,,,,,,\nU1,?,external,,,,,\n"
    found = tables.load().patients
    assert {name: found[name].status for name in ("S1", "E1", "X1", "D1", "U1")} == {
        "S1": "segmentation",
        "E1": "eligible",
        "X1": "exclude",
        "D1": "exclude",
        "U1": "ambiguous",
    }
    assert found["E1"].label == "MN"
    assert not any(found[name].row().eligible for name in ("S1", "E1", "X1", "D1", "U1"))
    assert found["X1"].reason == "withdrew"
    assert found["D1"].reason == "the label 'IgAN+MN' is excluded (task.classes)"
    assert all(found[name].label is None for name in ("S1", "X1", "D1", "U1"))


def test_images_come_by_patient_and_modality(tables) -> None:
    cohort = tables.load()
    assert [image.id for image in cohort.images_of("A1")] == ["A1-OM", "A1-T1", "A1-T2"]
    assert [image.id for image in cohort.images_of("A1", "TEM")] == ["A1-T1", "A1-T2"]
    assert cohort.images_of("A2") == []
    assert cohort.images["A1-OM"].path == tables.folder / "a1.svs"


def test_rows_of_recipes_hold_no_paths(tables) -> None:
    tables.images = (
        "image_id,patient_id,modality,stain,path,mpp,annotation\n"
        "B,A1,OM,PAS,b.svs,0.25,outlines.json\nC,A1,OM,PAS,c.svs,,\n"
    )
    images = tables.load().images
    assert images["B"].annotation == tables.folder / "outlines.json"
    assert "annotation" not in images["B"].row().to_mapping()  # outlines decide glomeruli alone, by their digest
    assert images["B"].row().to_mapping()["scale"] == {"value": 0.25, "unit": "um", "source": "table", "wins": False}
    text = json.dumps([image.row().to_mapping() for image in images.values()])
    assert "svs" not in text
    assert "outlines" not in text


def test_the_order_of_rows_and_columns_does_not_matter(tables) -> None:
    before = tables.load()
    for name in ("patients", "images"):
        header, *rows = [line.split(",") for line in getattr(tables, name).splitlines()]
        random.Random(1).shuffle(rows)
        turned = [list(reversed(row)) for row in [header, *rows]]
        setattr(tables, name, "\n".join(",".join(row) for row in turned))
    after = tables.load()
    assert after == before
    assert list(after.images) == list(before.images)


def test_another_column_may_hold_the_label(tables) -> None:
    tables.patients = tables.patients.replace("diagnosis,use", "stage,use")
    tables.task = {"label": "stage"}
    assert tables.load().patients["M1"].label == "MN"


def test_a_gb18030_table_reads_as_its_utf8_twin(tables) -> None:
    tables.patients = tables.patients.replace("north", "北京")
    twin = tables.load()
    tables.patients = tables.patients.encode("gb18030")
    assert tables.load() == twin


def test_an_xlsx_table_reads_as_its_csv_twin(tables) -> None:
    twin = tables.load()
    config = tables.config()
    book = openpyxl.Workbook()
    for line in tables.patients.splitlines():
        book.active.append([int(cell) if cell.isdigit() else cell or None for cell in line.split(",")])
    path = tables.folder / "patients.xlsx"
    book.save(path)
    config["data"]["patients"] = str(path)
    assert load_tables(config) == twin


# -- errors -------------------------------------------------------------------------------------------------------


def test_all_errors_of_all_tables_are_reported_together(tables) -> None:
    tables.patients += (
        "a1,MN,,,,,,\nbad id,MN,sometimes,,,,,\nZ1,nephritis,,,,,,\nZ2,nephritis,,,,,,\nZ3,,,,,,,\nZ4,,exclude,,,,,\n"
    )
    tables.images += "A1-om,A9,OM,,,a1.svs\nI2,A1,XM,PAS,,\nI3,A1,TEM,PAS,,../x.tif\n"
    tables.instruments = "instrument,magnification,nm_per_px\nJEM,high,1\nJEM,8000,999\n"
    reported = tables.errors()
    for expected in (
        "patients.csv, row 8, column patient_id: 'a1' is already in row 2 as 'A1'",
        "patients.csv, row 9, column patient_id: 'bad id' is not an id",
        "patients.csv, row 9, column use: 'sometimes' is not one of diagnosis, segmentation, external, exclude",
        "patients.csv, row 10, column diagnosis: task.classes has no meaning for these texts: 'nephritis' (2)",
        "patients.csv, row 12, column diagnosis: is empty; the use 'diagnosis' needs a label",
        "patients.csv, row 13, column reason: is empty; the use 'exclude' needs a reason",
        "images.csv, row 6, column image_id: 'A1-om' is already in row 2",
        "images.csv, row 6, column patient_id: the table of patients has no patient 'A9'",
        "images.csv, row 6, column stain: is empty; OM images need it",
        "images.csv, row 6, column path: 'a1.svs' is also the file of row 2",
        "images.csv, row 7, column modality: 'XM' is not one of OM, IM, TEM",
        "images.csv, row 7, column path: is empty",
        "images.csv, row 8, column stain: 'PAS' is given for a TEM image, but this column is for OM",
        "images.csv, row 8, column path: '../x.tif' leaves data.root",
        "instruments.csv, row 2, column magnification: 'high' is not a magnification",
        "instruments.csv, row 3, column nm_per_px: 999 is out of range (0.05 to 200 nm per pixel)",
    ):
        assert any(line.startswith(expected) for line in reported), (expected, reported)
    assert len(reported) == 16, "\n".join(reported)


def test_columns_that_are_missing_or_unknown(tables) -> None:
    tables.patients = tables.patients.replace("patient_id", "patientid").replace("site", "Site")
    tables.images = tables.images.replace("marker", "markr")
    assert tables.errors() == [
        "patients.csv, row 1, column patient_id: the column is missing; is it `patientid`?",
        "patients.csv, row 1, column Site: has to be written `site`.",
        "images.csv, row 1, column markr: unknown column; did you mean `marker`?",
        "images.csv, row 1, column marker: the column is missing; IM images need it.",
    ]


def test_a_missing_table_does_not_hide_errors_of_others(tables) -> None:
    config = tables.config()
    config["data"]["patients"] = str(tables.folder / "none.csv")
    Path(config["data"]["images"]).write_text(tables.images.replace(",OM,", ",XM,"))
    with pytest.raises(NephroscaleError) as raised:
        load_tables(config)
    assert "none.csv: cannot be read" in raised.value.what
    assert "column modality: 'XM'" in raised.value.what
    assert "no patient" not in raised.value.what


def test_files_that_are_missing(tables) -> None:
    for name in ("a1.svs", "A1-2.TIF"):
        (tables.folder / name).touch()
    first, *others = tables.errors(check_files=True)
    assert first.startswith("images.csv, row 3, column path: there is no file 'a1-2.tif', but one of that name with")
    assert others == [
        "images.csv, row 4, column path: there is no file 'a1-1.tif' in data.root.",
        "images.csv, row 5, column path: there is no file 'm1.tif' in data.root.",
    ]


def test_a_wrong_root_is_one_error(tables) -> None:
    config = tables.config()
    config["data"]["root"] = str(tables.folder / "none")
    with pytest.raises(NephroscaleError) as raised:
        load_tables(config, check_files=True)
    assert len(raised.value.what.splitlines()) == 2
    assert "does not exist" in raised.value.what


def test_file_names_with_shell_characters(tables) -> None:
    folder = tables.folder / "第一批 {raw} 'x'"
    folder.mkdir()
    (folder / '肾 "1" $(x).tif').touch()
    tables.image(path='第一批 {raw} \'x\'/肾 ""1"" $(x).tif')
    assert tables.load(check_files=True).images["I1"].path.is_file()


def test_many_errors_of_one_column_do_not_hide_the_others(tables) -> None:
    rows = "".join(f"Q{n},A1,TEM,,,q{n}.tif\n" for n in range(1000))
    tables.images += rows + "R,A1,TEM,PAS,,r.tif\n"
    reported = tables.errors(check_files=True)
    assert len(reported) < 30
    assert "images.csv, row 1006, column stain: 'PAS' is given for a TEM image, but this column is for OM." in reported
    assert reported[-1] == "images.csv, column path: 980 more errors in this column, in rows 27 to 1006"


def test_classes_that_are_too_small_from_the_start(tables) -> None:
    tables.patients = tables.patients.replace("L2,LN V,,", "L2,LN V,external,")
    assert tables.errors() == [
        "patients.csv, column diagnosis: too few eligible patients (LN 1); task.min_per_class is 2."
    ]


def test_sites_have_to_fit_leave_one_site_out(tables) -> None:
    tables.more = {"folds": {"scheme": "leave_one_site_out", "n_folds": 3}}
    (reported,) = tables.errors()
    assert reported.startswith("patients.csv, column site: there are 2 sites (north, south), but folds.n_folds is 3")
    tables.more = {"folds": {"left_out_sites": 3}}
    (reported,) = tables.errors()
    assert "there are 2 sites (north, south), but folds.left_out_sites is 3" in reported
    tables.patients = tables.patients.replace("north,X", ",X")
    (reported,) = tables.errors()
    assert reported.startswith("patients.csv, column site: is empty for A1;")


def test_biopsies_are_named_for_all_images_of_a_patient_or_for_none(tables) -> None:
    tables.images = "image_id,patient_id,biopsy_id,modality,path\nI1,A1,1,TEM,1\nI2,A1,,TEM,2\nI3,M1,,TEM,3\n"
    (reported,) = tables.errors()
    assert reported.startswith("images.csv, row 3, column biopsy_id: is empty, but other images of A1 have one")


# -- scales, markers, grades --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "scale"),
    [
        ({"nm_per_px": "1.7"}, {"value": 1.7, "unit": "nm", "source": "table"}),
        ({"instrument": "jem-1400", "magnification": "11,500x"}, {"value": 1.5, "unit": "nm", "source": "instrument"}),
        (
            {"instrument": "JEM-1400", "magnification": "11500", "nm_per_px": "1.52"},
            {"value": 1.52, "unit": "nm", "source": "table"},
        ),
        (
            {"instrument": "other", "magnification": "11500", "nm_per_px": "3"},
            {"value": 3, "unit": "nm", "source": "table"},
        ),
        ({"modality": "OM", "stain": "HE", "mpp": "0.25"}, {"value": 0.25, "unit": "um", "source": "table"}),
        ({"nm_per_px": "2", "scale_from": "table"}, {"value": 2, "unit": "nm", "source": "table", "wins": True}),
        ({"modality": "IM", "marker": "IgG", "roi": "whole"}, None),
        ({}, None),
    ],
)
def test_scales(tables, cells, scale) -> None:
    tables.instruments = "instrument;magnification;nm_per_px\nJEM-1400;11500;1.5\n"
    tables.image(**cells)
    assert tables.load().images["I1"].row().to_mapping()["scale"] == (scale and {"wins": False} | scale)


@pytest.mark.parametrize(
    ("cells", "column", "message"),
    [
        ({"nm_per_px": "0.01"}, "nm_per_px", "0.01 is out of range (0.05 to 200 nm per pixel)."),
        ({"nm_per_px": "1,7"}, "nm_per_px", "'1,7' has a comma; write the decimal point (1.7)."),
        ({"nm_per_px": "n/a"}, "nm_per_px", "'n/a' is not a number; leave the cell empty where there is none."),
        ({"nm_per_px": "3", "instrument": "JEM-1400", "magnification": "11500"}, "nm_per_px", "3 differs from the 1.5"),
        ({"modality": "OM", "stain": "HE", "mpp": "250"}, "mpp", "250 is out of range (0.05 to 20 µm per pixel)."),
        ({"scale_from": "table"}, "scale_from", "is `table`, but the row gives no scale; fill mpp or nm_per_px."),
        ({"mpp": "0.5"}, "mpp", "'0.5' is given for a TEM image, but this column is for IM and OM."),
        ({"magnification": "8000"}, "instrument", "is empty; a magnification needs its instrument."),
        ({"instrument": "JEM-1400"}, "magnification", "is empty; with an instrument it gives the scale."),
        (
            {"instrument": "JEM-1400", "magnification": "8000"},
            "magnification",
            "the table of instruments has no 'JEM-1400' at 8000x.",
        ),
        ({"instrument": "JEM-1400", "magnification": "high"}, "magnification", "'high' is not a magnification"),
        ({"roi": "whole"}, "roi", "'whole' is given for a TEM image"),
        ({"modality": "IM", "marker": "lgG"}, "marker", "'lgG' is not one of IgA, IgG"),
        ({"modality": "IM", "marker": ""}, "marker", "is empty; IM images need it."),
        ({"modality": "IM", "marker": "IgG", "grade": "5+"}, "grade", "'5+' is not a grade"),
        (
            {"modality": "IM", "marker": "IgG", "exposure_ms": "0"},
            "exposure_ms",
            "0 is out of range (more than 0 to 100000 ms).",
        ),
        ({"modality": "IM", "marker": "IgG", "path": ""}, "path", "is empty; only a marker of grade 0"),
        ({"modality": "IM", "marker": "IgG", "grade": "1+", "path": ""}, "path", "is empty; only a marker of grade 0"),
        ({"annotation": "x.json"}, "annotation", "'x.json' is given for a TEM image"),
        ({"patient_id": "a1"}, "patient_id", "the table of patients has no patient 'a1'; did you mean 'A1'?"),
        ({"path": "x/../../i1.tif"}, "path", "'x/../../i1.tif' leaves data.root"),
    ],
)
def test_faults_of_one_image(tables, cells, column, message) -> None:
    tables.instruments = "instrument,magnification,nm_per_px\nJEM-1400,11500,1.5\n"
    tables.image(**cells)
    (fault,) = tables.errors()
    assert fault.startswith(f"images.csv, row 2, column {column}: {message}")


def test_a_path_may_name_a_page_of_its_file(tables) -> None:
    tables.image(path="a #2.tif#3")
    (tables.folder / "a #2.tif").touch()
    (image,) = tables.load(check_files=True).images.values()
    assert (image.path, image.page, image.row().page) == (tables.folder / "a #2.tif", 3, 3)
    (tables.folder / "a #2.tif").unlink()
    assert "there is no file 'a #2.tif'" in tables.errors(check_files=True)[0]


def test_an_instrument_needs_a_table(tables) -> None:
    tables.image(instrument="JEM", magnification="8000")
    (fault,) = tables.errors()
    assert "data.instruments names no readable table" in fault


def test_stains_and_markers_that_the_configuration_names_are_known(tables) -> None:
    tables.more = {"im": {"panel": ["PLA2R"]}}
    tables.image(modality="IM", marker="PLA2R", exposure_ms="auto", gain="2", grade="2+")
    image = tables.load().images["I1"]
    assert (image.marker, image.exposure_ms, image.gain, image.grade) == ("PLA2R", None, 2.0, 2.0)


def test_same_as_names_another_image_and_a_reason(tables) -> None:
    header, *rows = tables.images.splitlines()
    known = [f"{header},same_as,same_as_reason", *rows, "M1-T,M1,TEM,,,m1-2.tif,A1-T1,one block", ""]
    tables.images = "\n".join(known)
    image = tables.load().images["M1-T"]
    assert (image.same_as, image.same_as_reason) == ("A1-T1", "one block")
    assert "same_as" not in image.row().to_mapping()  # no stage but the folds depends on it
    wrong = ["L1-T,L1,TEM,,,l1.tif,L9,typing error", "L2-T,L2,TEM,,,l2.tif,A1-T1,", "A2-T,A2,TEM,,,a2.tif,A2-T,self"]
    tables.images = "\n".join([*known[:-1], *wrong, ""])
    assert tables.errors() == [
        "images.csv, column same_as: 'L9', which L1-T names, is no other image of the tables.",
        "images.csv, column same_as: 'A2-T', which A2-T names, is no other image of the tables.",
        "images.csv, row 8, column same_as_reason: is empty, but same_as is given; fill both or neither.",
    ]


def test_negative_and_not_photographed_is_not_missing(tables) -> None:
    tables.images = (
        "image_id,patient_id,modality,marker,path,grade\nI1,A1,IM,IgG,i.tif,2\nI2,A1,IM,C1q,,0\nI3,A1,IM,IgM,j.tif,0\n"
    )
    cohort = tables.load()
    assert list(cohort.images) == ["I1", "I3"]
    assert [asdict(negative) for negative in cohort.negatives_of("A1")] == [
        {"id": "I2", "patient_id": "A1", "biopsy_id": None, "marker": "C1q"}
    ]
    assert cohort.negatives_of("M1") == []


def test_absolute_paths_are_taken_as_they_are(tables) -> None:
    tables.image(path="/data/raw/i1.tif")
    assert tables.load().images["I1"].path == Path("/data/raw/i1.tif")


@pytest.mark.parametrize(("written", "meant"), [("LM", "OM"), ("if", "IM"), ("EM", "TEM"), ("TEN", "TEM")])
def test_other_names_of_modalities_are_understood(tables, written, meant) -> None:
    tables.image(modality=written)
    (fault,) = tables.errors()
    assert fault.endswith(f"{written!r} is not one of OM, IM, TEM; did you mean `{meant}`?")


def test_a_home_folder_in_a_path_is_expanded(tables, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    tables.image(modality="OM", stain="PAS", path="~/i1.tif", annotation="~/a.geojson")
    assert tables.errors(check_files=True)[0].endswith("there is no file 'i1.tif'.")
    for name in ("i1.tif", "a.geojson"):
        (tmp_path / name).touch()
    image = tables.load(check_files=True).images["I1"]
    assert (image.path, image.annotation) == (tmp_path / "i1.tif", tmp_path / "a.geojson")

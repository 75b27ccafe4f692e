"""Columns of labels: their headers, bone ages in months, ids (util/tables/labels.py)."""

import math
import re

import pandas as pd
import pytest

from util.errors import UserError
from util.tables.ages import look_like_years_months, years_note

# --------------------------------------------------------------------------------------- headers


@pytest.mark.parametrize(
    "text",
    [
        "id,boneage,male\n1377,180,False\n1378,12.5,True\n",
        "Image ID,male,Bone Age (months)\n1377,FALSE,180\n1378,TRUE,12.5\n",
        "Case ID,Sex,Ground truth bone age (months)\n1377,F,180.0\n1378,M,12.5\n",
        "image_ID,dir,patient_ID,sex,bone_age\n1377,a/b,7,F,180\n1378,a/b,7,M,12.5\n",
        "patient_ID,image_ID,sex,bone_age\n7,1377,F,180\n7,1378,M,12.5\n",
        "PatientID,image_name,PatientSex,Skeletal age (months)\n7,1377.png,F,180\n8,1378.png,M,12.5\n",
        "id,Sex,boneage\n1377,Female,180\n1378,Male,12.5\n",
        "ID,boneage,male\n1377,180,0\n1378,12.5,1\n",
        ",id,boneage,male\n0,1377,180,False\n1,1378,12.5,True\n",
        "Unnamed: 0,id,boneage,male\n0,1377,180,False\n1,1378,12.5,True\n",
        "id;boneage;male\n1377;180;False\n1378;12.5;True\n",
        "id\tboneage\tmale\n1377\t180\tFalse\n1378\t12.5\tTrue\n",
        "id,boneage,male\r\n1377,180,False\r\n1378,12.5,True\r\n",
        "id,boneage,Male?\n1377,180,0\n1378,12.5,1\n",
        "filename,boneage,male\n1377.png,180,False\n1378.png,12.5,True\n",
        "Path,boneage,Sex (M/F)\nfilms\\1377.png,180,F\nfilms\\1378.png,12.5,M\n",
        "id,filename,boneage,sex,gender\n1377,1377.png,180,0,female\n1378,1378.png,12.5,1,male\n",
        'id,notes,boneage,male\n1377,"left, tilted",180,False\n1378,,12.5,True\n',
    ],
)
def test_every_known_header_gives_the_same_labels(read, text):
    labels = read(text)
    assert labels["id"].tolist() == ["1377", "1378"]
    assert labels["boneage"].tolist() == [180, 12.5]
    assert labels["sex"].tolist() == [0, 1]


def test_only_the_needed_columns_must_be_there(read):
    labels = read("id,Sex\n1,M\n", need=("sex",))
    assert labels["sex"].tolist() == [1]
    assert labels["boneage"].isna().all()


def test_a_table_of_ids_alone_is_read(read):
    assert read("id\n13\n14\n", need=())["id"].tolist() == ["13", "14"]


@pytest.mark.parametrize("header", ["boneage_years", "Bone Age (years)", "bone age in years"])
def test_ages_under_a_header_that_says_years_become_months(read, header):
    assert read(f"id,{header},male\n1,10.5,True\n2,26,True\n")["boneage"].tolist()[0] == 126
    assert read(f"id,{header},male\n1,26,True\n")["boneage"].isna().all()  # above 300 months
    months = read(f"id,{header},boneage,male\n1,10.5,126,True\n")
    assert months["boneage"].tolist() == [126]


@pytest.mark.parametrize(
    ("ages", "seem"),
    [
        ("15.1 9.9 10.10 8 ?", True),
        ("15,1 9,9 10,11", True),
        ("15.01 9.09 10.11", True),
        ("15.1 9.9 10", False),
        ("15.50 9.25 10.10", False),
        ("15.5 9.25 10.11", False),
        ("15.083 9.5 10.10", False),
        ("3.00 4.00 5.00", False),
    ],
)
def test_years_with_months_behind_the_point_are_seen(ages, seem):
    assert look_like_years_months(pd.Series([*ages.split(), None], dtype=str)) == seem


@pytest.mark.parametrize(
    ("text", "name", "advice"),
    [
        ("film,boneage,male\n1,2,True\n", "id", "image_id"),
        ("id,age,male\n1,2,True\n", "boneage", "boneage (months)"),
        ("id,boneage,ward\n1,2,A\n", "sex", "gender"),
    ],
)
def test_a_missing_column_is_named_with_what_to_do(read, text, name, advice):
    with pytest.raises(UserError) as error:
        read(text)
    message = str(error.value)
    assert f"no column for {name} among {text.splitlines()[0].replace(',', ', ')}" in message
    assert "labels.csv" in message
    assert advice in message.split("Name it like")[1]


@pytest.mark.parametrize(
    "title",
    ["Bone age study,,", "Bone age study,2019,Lyon", "a,b,c\nd,e,f", "Bone age study,,\n,,\nx,,"],
)
def test_a_title_above_the_header_is_told(read, title):
    with pytest.raises(UserError, match="no column for id among .* remove what is above it"):
        read(f"{title}\nImage ID,Sex,Bone age (months)\n1,M,100\n")


@pytest.mark.parametrize(
    "text",
    [
        "kind,image,sex\nimage,1,male\n",
        "id,sex,,,,\n1,M,,,,\n",
        "image,sex,age,,,,\n1,M,90,,,,\n",
        "id,sex,kind\n1,M,filename\n",
    ],
)
def test_the_header_of_a_table_that_lacks_a_column_is_no_title(read, text):
    with pytest.raises(UserError, match="no column for boneage .* Name it like one of"):
        read(text)


@pytest.mark.parametrize("name", ["id", "filename", "patient", "boneage", "sex", "age_months"])
def test_two_columns_of_one_name_are_an_error(read, name):
    columns = "id,filename,patient,boneage,sex,age_months"
    with pytest.raises(UserError, match=f"two columns are named {name} .* Remove one"):
        read(f"{columns},{name}\n1,1.png,p1,120,M,130,2\n")


@pytest.mark.parametrize(
    ("columns", "values"),
    [
        ("Boneage,boneage", "100,120"),
        ("Bone Age (months),boneage_months", "100,"),
        ("boneage,Patient ID,patient_id", "100,p1,p2"),
        ("boneage,Age months,age_months", "100,90,91"),
        ("boneage,File Name,filename", "100,1.png,2.png"),
    ],
)
def test_columns_whose_headers_differ_in_case_or_punctuation_alone_must_not_differ(
    read, columns, values
):
    first, second = columns.split(",")[-2:]
    with pytest.raises(UserError, match=re.escape(f"columns {first} and {second} differ")):
        read(f"id,sex,{columns}\n1,M,{values}\n")
    *others, value, _ = values.split(",")
    same = ",".join([*others, value, f"{value}.00" if value == "100" else value])
    assert read(f"id,sex,{columns}\n1,M,{same}\n")["boneage"].tolist() == [100]


# ------------------------------------------------------------------------------------- bone ages


def test_ages_are_taken_from_the_column_that_names_months(read):
    labels = read("id,months,boneage,boneage_months,sex\n1,99,10,120,M\n")
    assert labels["boneage"].tolist() == [120]


@pytest.mark.parametrize(
    ("headers", "rows"),
    [
        ("boneage_years,boneage_months", "10,6 12,0 0,6"),  # the months beyond the years
        ("boneage_years,boneage_months", "0,30 0,9"),
        ("boneage_years,boneage_months", "1,3"),
        ("boneage_years,boneage_months", "10.5,6 12.25,3"),
        ("boneage_years,boneage_months", "10.4,127 9.5,114"),
        ("Boneage,Bone Age (months)", "127,120 90,90"),
        ("Bone Age (months),Boneage", "127,120 90,84"),  # those are no whole years
        ("Bone Age (months),Bone age in months", "126,10.5 90,7.5"),  # nor are these years
        ("Skeletal age (years),boneage", "10.5,10.5"),  # which is read as months
    ],
)
def test_two_columns_of_bone_ages_must_not_contradict_each_other(read, headers, rows):
    text = f"id,sex,{headers}\n" + "".join(f"{i},M,{ages}\n" for i, ages in enumerate(rows.split()))
    with pytest.raises(UserError, match=r"columns .* and .* differ in \d rows?, such as row \d: "):
        read(text)
    assert read(text, need=("sex",))["boneage"].notna().all()


@pytest.mark.parametrize("unit", ["years", "Years", "[yr]", "y", "(in years)"])
def test_a_line_of_units_below_the_header_is_no_row(read, unit):
    text = "ID,File,Sex,{}\n,,{},{}\n1,,M,10.5\n"
    with pytest.raises(UserError, match=r"^row 2, .* says that Bone age is in .*years"):
        read(text.format("Bone age", "M/F", unit))
    for header, sex, cell in (
        ("Bone age (years)", "M/F", unit),
        ("Bone age", "M/F", "months"),
        ("Bone age", "F", ""),
    ):
        assert read(text.format(header, sex, cell))["boneage"].notna().tolist() == [False, True]
    text = f"ID,Sex,Bone age\n{{}}1,M,126\n,,{unit}\n"
    assert read(text.format(""))["boneage"].tolist()[0] == 126
    assert read(text.format(f"0,F,{unit}\n"))["boneage"].tolist()[1] == 126


@pytest.mark.parametrize("header", ["Months", "months", "Month", "mo", ""])
def test_months_beyond_the_years_in_a_column_after_them_are_refused(read, header):
    rows = "".join(f"{i},{age},M\n" for i, age in enumerate(["10,0", "9,11", "12,3", ","]))
    beside = f"id,Bone age (years),{header},sex\n{rows}"
    told = header or "Unnamed: 2"
    with pytest.raises(UserError, match=f"^{told} looks like the months beyond the years of Bone"):
        read(beside)
    assert read(beside, need=("sex",))["sex"].notna().all()


@pytest.mark.parametrize(
    ("headers", "rows"),
    [
        ("Bone age (years),month", "10,1 9,11 12,10"),  # of a calendar
        ("Bone age (years),", "10,1 9,11 12,10"),
        ("Bone age (years),", "10,0 9,1 12,0"),  # codes
        ("Bone age (years),months", "10,0 9,6 12,3"),  # of a study
        ("Bone age (years),months", "10,0 9,11 12,12"),
        ("Bone age (years),months", "10,0 9.5,11 12,10"),
        ("Bone age (years),months", "10,120 9,108 12,144"),
        ("Bone age (years),months", "10,0 9,0.5 12,11"),
        ("Bone age (years),months", "10, 9, 12,"),
        ("Bone age (years),Age", "10,0 9,11 12,10"),
        ("Age,months,Bone age (years)", "10,0,9 9,11,10 10,10,9"),  # of the age in the passport
        ("Bone age (months),months", "120,0 100,11 90,10"),
    ],
)
def test_other_numbers_beside_years_are_no_months_beyond_them(read, headers, rows):
    text = f"id,sex,{headers}\n" + "".join(f"{i},M,{row}\n" for i, row in enumerate(rows.split()))
    assert read(text)["boneage"].notna().all()


def test_an_index_of_rows_is_no_column_of_months(read):
    rows = "".join(f"{i},{i},{i},M\n" for i in range(12))
    assert read(f",id,Bone age (years),sex\n{rows}")["boneage"].notna().all()


def test_years_may_have_decimals_for_infants_alone(read):
    text = "id,sex,boneage_months,boneage_years\n1,M,7,0.6\n2,F,131,10\n3,F,95,7\n"
    assert read(text)["boneage"].tolist() == [7, 131, 95]


def test_the_row_is_named_in_which_two_bone_ages_contradict_each_other(read):
    with pytest.raises(UserError, match="differ in 1 row, such as row 4: 7 and 120 months"):
        read("id,sex,boneage_years,boneage_months\n\n1,M,10,127\n2,M,10,7\n")


MONTHS = {"completed": math.floor, "rounded": round, "with a decimal": lambda age: round(age, 1)}
YEARS = {
    "completed": math.floor,
    "rounded": round,
    "in halves": lambda age: round(2 * age) / 2,
    "in quarters": lambda age: round(4 * age) / 4,
    "with a decimal": lambda age: round(age, 1),
    "cut to a decimal": lambda age: math.floor(10 * age) / 10,
    "with two decimals": lambda age: round(age, 2),
}


@pytest.mark.parametrize("months", MONTHS)
@pytest.mark.parametrize("years", YEARS)
@pytest.mark.parametrize("header", ["boneage_years", "boneage"])
def test_bone_ages_of_two_columns_may_differ_by_rounding(read, months, years, header):
    """In whatever way each is written: for days from 2 to 18 years."""
    days = range(730, 18 * 365, 23)
    rows = [
        f"{day},M,{MONTHS[months](day / 30.4375)},{YEARS[years](day / 365.25)}\n" for day in days
    ]
    text = f"id,sex,boneage_months,{header}\n" + "".join(rows)
    assert read(text)["boneage"].tolist() == [MONTHS[months](day / 30.4375) for day in days]


def test_a_bone_age_may_be_told_in_one_of_two_columns_alone(read):
    text = "id,sex,boneage_years,boneage_months\n1,M,10.5,126\n2,M,,30\n3,M,9,\n"
    assert read(text)["boneage"].tolist()[:2] == [126, 30]
    columns = "Ground truth bone age,boneage,Bone age (months)"
    assert read(f"id,sex,{columns}\n1,M,127,10.6,127\n")["boneage"].tolist() == [127]


@pytest.mark.parametrize("age", ["age_months", "months"])
def test_an_age_that_may_be_that_in_the_passport_is_no_bone_age(read, age):
    with pytest.raises(UserError, match="no column for boneage"):
        read(f"id,sex,{age}\n1,M,120\n")


@pytest.mark.parametrize("scaled", ["boneage_zscore", "boneage/240"])
def test_scaled_ages_are_never_read_as_months(read, scaled):
    with pytest.raises(UserError, match="no column for boneage") as error:
        read(f"id,{scaled},male\n1377,0.5,True\n")
    assert scaled in str(error.value)
    labels = read(f"id,{scaled},boneage,male\n1377,0.5,120,True\n")
    assert labels["boneage"].tolist() == [120]


def test_months_are_read_alike_by_all_versions_of_pandas(read):
    """Old ones read 49.051334702258725 as ...73."""
    labels = read("id,boneage,sex\n1,49.051334702258725,F\n2,49.05133470225873,F\n")
    assert labels["boneage"].tolist() == [49.0513, 49.0513]


def test_months_that_can_not_be_are_no_age(read):
    text = "id,boneage,male\n1,0,True\n2,300,True\n3,-1,True\n4,301,True\n5,?,True\n6,,True\n"
    assert read(text)["boneage"].fillna(-99).tolist() == [0, 300, -99, -99, -99, -99]


def test_a_decimal_comma_is_read(read):
    assert read("id;boneage;male\n1;180,5;True\n")["boneage"].tolist() == [180.5]


# ------------------------------------------------------------------------------------------- ids


def test_ids_are_text_without_the_ending_of_a_file(read):
    ids = ["0042", "1377.png", "1378.JPG", "1379.0", " 1380 ", "1.2.840", "a/1381.webp"]
    labels = read("id,boneage,male\n" + "".join(f"{i},100,True\n" for i in ids))
    assert labels["id"].tolist() == ["0042", "1377", "1378", "1379", "1380", "1.2.840", "1381"]


def test_an_id_has_no_ending_of_an_image(read):
    """Not even two, as converters of DICOM leave them; where that makes films alike, both."""
    labels = read("id,boneage,male\n1.dcm.png,100,True\n1.png,90,True\n2.DCM.jpg,80,True\n3,,\n")
    assert labels["id"].tolist() == ["1_dcm_png", "1_png", "2", "3"]


def test_patients_are_the_same_with_and_without_the_ending_of_a_float(read):
    labels = read("id,patient,boneage,male\n1,12.0,100,True\n2,12,100,True\n3,,100,True\n")
    assert labels["patient"].tolist() == ["12", "12", ""]


@pytest.mark.parametrize(
    "header",
    [
        *("Subject", "Patient No.", "Patient Nr", "MRN", "child id"),
        *("participant_id", "record_id", "Person ID", "pat_id", "Pat.-Nr."),
    ],
)
def test_patients_are_read_under_usual_headers(read, header):
    labels = read(f"id,{header},boneage,sex\n1,7,100,M\n2,7,100,M\n")
    assert labels[["id", "patient"]].values.tolist() == [["1", "7"], ["2", "7"]]


@pytest.mark.parametrize("header", ["Patient No.", "record_id"])
def test_numbers_of_patients_that_may_count_the_rows_are_not_used(read, header):
    """They may begin anew in each table, so that children in two splits would seem the same."""
    rows = "7,1,100,M\n8,2,100,M\n9,,90,F\n10,unknown,90,F\n11,unknown,90,F\n"
    labels = read(f"id,{header},boneage,sex\n{rows}")
    assert labels["patient"].tolist() == [""] * 5


@pytest.mark.parametrize("header", ["Patient Number", "record_id", "participant_id"])
def test_numbers_of_patients_are_no_ids(read, header):
    with pytest.raises(UserError, match=f"no column for id among scan, {header}"):
        read(f"scan,{header},boneage,sex\na.png,1,100,M\nb.png,1,100,M\n")
    assert read("MRN,boneage,sex\n00123,100,M\n")["id"].tolist() == ["00123"]


def test_a_word_or_sign_for_nobody_is_no_patient(read):
    names = ["unknown", "Not known", "n/a", "-", "?", "1.2E+11", "5e+12", "p1", "X", "0", "7E12"]
    rows = "".join(f"{i},{name},100,M\n" for i, name in enumerate(names))
    labels = read("id,patient,boneage,sex\n" + rows)
    assert labels["patient"].tolist() == [""] * 7 + ["p1", "X", "0", "7E12"]


def test_ids_that_a_spreadsheet_shortened_give_way_to_names_of_files(read):
    """Many rows may have the same one; without such names it is kept, as a film may be named so."""
    labels = read("case,file,sex,boneage\n1.2E+11,1.png,F,90\n1.2E+11,2.png,F,90\n7,3.png,F,90\n")
    assert labels["id"].tolist() == ["1", "2", "7"]
    assert read("case,sex,boneage\n1.2E+11,F,90\n")["id"].tolist() == ["1.2E+11"]


def test_names_of_files_that_a_spreadsheet_shortened_do_no_harm_beside_ids(read):
    labels = read("id,file,sex,boneage\n1,1.2E+11,F,90\n2,1.2E+11,F,90\n")
    assert labels["id"].tolist() == ["1", "2"]


def test_columns_that_may_both_name_the_films_are_an_error_if_they_differ(read):
    with pytest.raises(UserError, match="columns id and image_id may both name the films"):
        read("id,image_id,boneage,sex\n1,2,84,F\n2,1,132,M\n")
    with pytest.raises(UserError, match="columns id and case may both name the films"):
        read("id,image_id,case,boneage,sex\n1,001,2,84,F\n2,2,1,132,M\n")
    same = read("id,image_id,case,boneage,sex\n1,001,,84,F\n2,,,96,M\n")
    assert same["id"].tolist() == ["1", "2"]
    labels = read("id,case,filename,boneage,sex\n1,7,2.png,84,F\n")
    assert labels["filename"].tolist() == ["2.png"]


def test_of_columns_that_may_name_the_films_the_one_with_mostly_names_of_images_does(read):
    text = "id,image,boneage,sex\n1,{},84,F\n2,{},132,M\n3,{},99,M\n"
    assert read(text.format("2.png", "1.png", "4"))["filename"].tolist() == ["2.png", "1.png", "4"]
    with pytest.raises(UserError, match="columns id and image may both name the films"):
        read(text.format("2.png", "1", "4"))


@pytest.mark.parametrize(("ages", "gaps", "told"), [(20, 0, True), (20, 9, True), (19, 9, False)])
def test_twenty_ages_of_no_more_than_22_look_like_years(read, ages, gaps, told):
    rows = "".join(f"{i},{3 + i if i < ages else ''},F\n" for i in range(ages + gaps))
    labels = read("id,boneage,sex\n" + rows)
    assert bool(years_note(labels, "labels.csv")) == told
    labels.loc[0, "boneage"] = 23
    assert years_note(labels, "labels.csv") == []


@pytest.mark.parametrize("header", ["file", "path", "Image File"])
def test_numbers_under_another_header_than_filename_name_no_films_beside_ids(read, header):
    rows = "1,{},84,F\n2,{},132,M\n"
    text = f"id,{header},boneage,sex\n{rows}"
    with pytest.raises(UserError, match=f"columns id and {header} may both name the films"):
        read(text.format(2, 1))
    assert read(text.format("001", ""))["filename"].tolist() == ["", ""]
    with pytest.raises(UserError, match=f"columns id and {header} may both name the films"):
        read(f"{text}3,-,90,F\n4,unknown,90,M\n".format(2, 1))
    for names in (["2.png", ""], ["p1/2", "p2/1"], ["hand_2", "1"]):
        assert read(text.format(*names))["filename"].tolist() == names
    text = f"id,File Name,boneage,sex\n{rows}"
    assert read(text.format(2, 1))["filename"].tolist() == ["2", "1"]


@pytest.mark.parametrize(
    "header", ["file_path", "img", "IMG Name", "img_path", "image_filename", "Image Index", "film"]
)
def test_names_of_images_under_usual_headers_name_the_films(read, header):
    """A running number, or the patient's, may be the name of another film."""
    rows = "1,{},84,F\n2,{},132,M\n3,{},90,F\n"
    for beside in ("id", "case", "Patient ID"):
        labels = read(f"{beside},{header},boneage,sex\n{rows}".format("2.png", "a/1.PNG", ""))
        assert labels["filename"].tolist() == ["2.png", "a/1.PNG", ""]
    assert labels["id"].tolist() == ["2", "1", ""]
    for others in (["2", "1", "1"], ["/films", "/films", "/films"], ["left.png", "", ""]):
        labels = read(f"id,{header},boneage,sex\n{rows}".format(*others))
        assert labels[["id", "filename"]].values.tolist() == [["1", ""], ["2", ""], ["3", ""]]
    with pytest.raises(UserError, match="no column for id"):
        read(f"{header},boneage,sex\n1,84,F\n2,90,M\n")


def test_names_of_images_under_an_unknown_header_must_not_be_ids_of_other_rows(read):
    rows = "1,{},84,F\n2,{},132,M\n3,{},90,F\n"
    for ids in ("id", "patient"):
        text = f"{ids},Bild,boneage,sex\n{rows}"
        with pytest.raises(UserError, match=r"column Bild holds .* Rename it to filename if"):
            read(text.format("002.png", "x/7.jpg", "8.png"))
        for harmless in (
            ["1.png", "02.png", "4.png"],
            ["1.png", "2.png", "1.png"],  # mistyped
            ["1_mask.png", "2_mask.png", "3_mask.png"],
            ["11.dcm", "12.dcm", "13.dcm"],
            ["2.png", "", ""],
            ["2", "1", "4"],
        ):
            assert read(text.format(*harmless))["id"].tolist() == ["1", "2", "3"]
    text = f"id,filename,Bild,boneage,sex\n{rows}"
    assert read(text.format("a.png,2.png", "b.png,1.png", "c.png,3.png"))["id"].tolist() == list(
        "123"
    )
    text = f"id,Bild,boneage,sex\n{rows}".replace("1,", "1.png,", 1).replace("2,", "2.png,", 1)
    assert read(text.format("2.png", "1.png", "3.png"))["id"].tolist() == ["1", "2", "3"]

"""Sexes in tables: words, numbers, and which of them is male (util/tables/sexes.py)."""

import pytest

from util.errors import UserError
from util.tables.labels import check_male_value
from util.tables.text import read_table


@pytest.mark.parametrize(
    ("header", "girl", "boy"),
    [
        *(("male", *pair) for pair in [("False", "True"), ("FALSE", "TRUE"), ("0", "1")]),
        ("male", "0.0", "1.0"),
        ("Male", "No", "Yes"),
        *(("Sex", *pair) for pair in [("F", "M"), ("f", "m"), ("female", "male")]),
        *(("gender", *pair) for pair in [("Female", "Male"), ("girl", "boy"), (" F ", " M ")]),
    ],
)
def test_sex_is_1_for_boys_in_every_coding(read, header, girl, boy):
    labels = read(f"id,boneage,{header}\n1,100,{girl}\n2,100,{boy}\n3,100,?\n")
    assert labels["sex"].fillna(-1).tolist() == [0, 1, -1]


def test_a_column_male_may_mix_words_and_numbers(read):
    labels = read("id,boneage,male\n1,100,TRUE\n2,100,0\n3,100,1\n4,100,FALSE\n")
    assert labels["sex"].tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("yes", "no"), [("1", "0"), ("yes", "no"), ("y", "n"), ("TRUE", "FALSE"), ("t", "f")]
)
def test_the_header_is_male_says_which_sex_1_is(read, yes, no):
    sexes = read(f"id,boneage,Is male\n1,120,{yes}\n2,90,{no}\n3,90,\n")["sex"]
    assert sexes.fillna(-1).tolist() == [1, 0, -1]


# -------------------------------------------------------------------- numbers of unknown meaning


@pytest.mark.parametrize("header", ["sex", "Gender"])
def test_numbers_of_unknown_meaning_are_an_error_that_names_the_option(read, header):
    text = f"id,boneage,{header}\n1,100,0\n2,100,1\n"
    with pytest.raises(UserError, match=f"column {header} holds 0 and 1.*--male_value"):
        read(text)
    assert read(text, male_value=1)["sex"].tolist() == [0, 1]
    assert read(text, male_value=0)["sex"].tolist() == [1, 0]


def test_1_and_2_are_sexes_once_it_is_known_which_is_male(read):
    """As statistics packages write them."""
    table = "id,boneage,sex\n1,120,1\n2,90,2\n3,60,\n"
    assert read(table, male_value=1)["sex"].fillna(-1).tolist() == [1, 0, -1]
    assert read(table, male_value=2)["sex"].fillna(-1).tolist() == [0, 1, -1]
    with pytest.raises(
        UserError, match=r"1 and 2: which is male.* --male_value 1 or --male_value 2"
    ):
        read(table)
    with pytest.raises(UserError, match="1 and 2, so --male_value 0 is wrong"):
        read(table, male_value=0)


@pytest.mark.parametrize(
    ("rows", "held", "male_value"),
    [
        ("1,100,False\n2,100,True", "true and false", 0),
        ("1,100,1\n2,100,F", "0 and 1", 1),
        ("1,100,1\n2,100,F\n3,100,M\n", "0 and 1", 1),
    ],
)
def test_true_and_false_and_numbers_among_words_need_the_option(read, rows, held, male_value):
    text = f"id,boneage,gender\n{rows}\n"
    with pytest.raises(UserError, match=f"column gender holds {held}.*--male_value"):
        read(text)
    assert read(text, male_value=male_value)["sex"].tolist()[:2] == [1, 0]


@pytest.mark.parametrize("unknown", ["9", "-99"])
def test_a_number_for_an_unknown_sex_is_told_to_be_left_empty(read, unknown):
    """As statistics packages write a missing value."""
    text = f"id,boneage,sex\n1,120,1\n2,90,2\n3,60,{unknown}\n"
    with pytest.raises(UserError, match=f"holds .*{unknown}.* leave unknown ones empty"):
        read(text, male_value=1)
    assert read(text.replace(unknown, ""), male_value=1)["sex"].fillna(-1).tolist() == [1, 0, -1]


def test_numbers_beside_words_of_both_sexes_are_not_asked_for(read):
    """A few rows without a word have no sex, unless the option says what their numbers mean."""
    text = "id,boneage,sex,gender\n1,100,M,1\n2,100,F,2\n3,100,,1\n"
    assert read(text)["sex"].fillna(-1).tolist() == [1, 0, -1]
    assert read(text, male_value=1)["sex"].tolist() == [1, 0, 1]


def test_numbers_are_asked_for_where_words_beside_them_leave_many_rows_open(read):
    words = [("girl", "boy")[i % 2] if i % 9 == 0 else "" for i in range(54)]
    rows = "".join(f"{i},100,{i % 2},{word}\n" for i, word in enumerate(words))
    text = f"id,boneage,sex,gender\n{rows}"
    with pytest.raises(UserError, match="column sex holds 0 and 1: which is male.*--male_value 1"):
        read(text)
    assert read(text, male_value=1)["sex"].tolist() == [0, 1] * 27


def test_the_option_turns_no_column_whose_meaning_is_known(read):
    for text in ("id,boneage,male\n1,100,0\n2,100,1\n", "id,boneage,Sex\n1,100,F\n2,100,M\n"):
        assert read(text, male_value=0)["sex"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("header", "sexes", "male_value", "used"),
    [
        ("sex", "FM", 2, False),
        ("male", "01", 0, False),
        ("male", "01", 1, True),  # which it says too
        ("sex", "01", 0, True),
        ("age", "12", 1, False),
    ],
)
def test_an_option_without_effect_is_an_error(tmp_path, header, sexes, male_value, used):
    path = tmp_path / "labels.csv"
    path.write_text(f"id,{header}\n1,{sexes[0]}\n2,{sexes[1]}\n")
    tables = [read_table(path)]
    check_male_value(None, tables, path)
    if used:
        check_male_value(male_value, tables, path)
    else:
        with pytest.raises(UserError, match=f"--male_value {male_value} has no effect"):
            check_male_value(male_value, tables, path)


@pytest.mark.parametrize(
    ("column", "numbers"), [("sex", (0, 1, 2)), ("male", (1, 2)), ("sex", (1, 2, 9))]
)
def test_numbers_of_no_coding_are_no_sexes(read, column, numbers):
    rows = "".join(f"{number},90,{number}\n" for number in numbers)
    with pytest.raises(UserError, match=f"column {column} holds .*1.* and .: which sex is that"):
        read(f"id,boneage,{column}\n{rows}", male_value=1)


def test_true_goes_with_0_and_1_alone(read):
    with pytest.raises(UserError, match="which sex is that"):
        read("id,boneage,sex\n1,120,true\n2,90,2\n3,90,false\n", male_value=1)


# ----------------------------------------------------------------------------------- two columns


@pytest.mark.parametrize("numbers", [(0, 1), (1, 0)])
def test_words_tell_what_the_numbers_beside_them_mean(read, numbers):
    labels = read(f"id,boneage,sex,gender\n1,100,{numbers[0]},female\n2,100,{numbers[1]},male\n")
    assert labels["sex"].tolist() == [0, 1]


def test_a_gap_in_one_column_is_filled_from_the_other(read):
    labels = read("id,boneage,sex,gender\n1,100,,female\n2,100,M,\n3,100,,\n")
    assert labels["sex"].fillna(-1).tolist() == [0, 1, -1]


@pytest.mark.parametrize(
    "text",
    [
        "id,boneage,sex,male\n1,100,M,True\n2,100,F,True\n",
        "id,boneage,sex,male\n1,100,M,1\n2,100,F,1\n",
        "id,boneage,sex,gender\n1,100,M,male\n2,100,F,boy\n",
    ],
)
def test_columns_that_contradict_each_other_are_an_error(read, text):
    with pytest.raises(UserError, match="contradict each other in 1 rows"):
        read(text)


def test_an_option_that_contradicts_words_is_an_error(read):
    text = "id,boneage,sex,gender\n1,100,1,male\n2,100,0,\n"
    assert read(text, male_value=1)["sex"].tolist() == [1, 0]
    with pytest.raises(UserError, match="contradict each other in 1 rows.*--male_value"):
        read(text, male_value=0)


# ---------------------------------------------------------------------- words of other languages


@pytest.mark.parametrize("words", [("m", "w"), ("w", "x")])
def test_words_that_would_leave_one_sex_out_are_an_error(read, words):
    rows = "".join(f"{i},84,{words[i % 2]}\n" for i in range(20))
    with pytest.raises(UserError, match="which sex is that"):
        read("id,boneage,sex\n" + rows)
    few = rows + "".join(f"{i},84,{'MF'[i % 2]}\n" for i in range(20, 40))
    assert read("id,boneage,sex\n" + few)["sex"].notna().sum() >= 20


@pytest.mark.parametrize(("girls", "boys"), [(2, 3), (90, 10), (5, 1)])
def test_m_is_no_boy_beside_any_h(read, girls, boys):
    """M is mujer, a woman; H is hombre."""
    rows = "".join(f"{i},84,{'M' if i < girls else 'H'}\n" for i in range(girls + boys))
    for more in ("", "x,90,F\n"):  # of another hospital, it may be
        with pytest.raises(UserError, match=f"column sex holds 'h' in {boys} of .*Write M and F"):
            read(f"id,boneage,sex\n{rows}{more}")


def test_a_letter_that_is_a_slip_leaves_its_row_out_alone(read):
    rows = "".join(f"{i},84,{'MF'[i % 2]}\n" for i in range(40))
    assert read(f"id,boneage,sex\n{rows}40,84,H\n")["sex"].tolist()[:-1] == [1, 0] * 20


@pytest.mark.parametrize("boy", ["V", "J", "k"])
def test_m_is_no_boy_beside_letters_that_may_be_boys(read, boy):
    """Varón and mujer; Junge or Knabe and Mädchen. Beside girls who are F, M is a boy."""
    rows = f"1,84,M\n2,84,M\n3,84,M\n4,84,{boy}\n"
    with pytest.raises(UserError, match=f"'{boy.lower()}' in 1 of 4 rows: .* which is M.*Write M"):
        read("id,boneage,sex\n" + rows)
    assert read(f"id,boneage,sex\n{rows}5,84,F\n")["sex"].sum() == 3


def test_words_of_every_column_of_sexes_are_checked(read):
    rows = "".join(f"{i},84,,{'HM'[i % 2]}\n" for i in range(20))
    with pytest.raises(UserError, match="column gender holds 'h'"):
        read("id,boneage,sex,gender\n" + rows)


def test_numbers_of_another_column_are_asked_for_where_words_know_one_sex_alone(read):
    rows = "".join(f"{i},84,{'M' if i % 2 else ''},{2 - i % 2}\n" for i in range(20))
    with pytest.raises(UserError, match="column gender holds 1 and 2: which is male"):
        read("id,boneage,sex,gender\n" + rows)
    assert read("id,boneage,sex,gender\n" + rows, male_value=1)["sex"].sum() == 10


def test_children_of_one_sex_among_unknown_ones_are_no_error(read):
    rows = "".join(f"{i},84,{('M', 'unknown', '', 'n.a.')[i % 4]}\n" for i in range(24))
    assert read("id,boneage,sex\n" + rows)["sex"].sum() == 6


def test_words_of_a_sex_that_another_column_tells_are_no_error(read):
    rows = "".join(f"{i},84,{'mw'[i % 2]},{not i % 2}\n" for i in range(20))
    assert read("id,boneage,sex,male\n" + rows)["sex"].sum() == 10

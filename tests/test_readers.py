"""What is read is bounded and never guessed: numbers, tables, nesting, sizes, devices."""

import os

import pytest

import dipolar_md as dm
from dipolar_md.errors import InputError
from dipolar_md.files import read_bytes, read_json
from dipolar_md.parameters import parameter_folder, read_toml


def csv(tmp_path, text):
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("separator", [";", "\t"])
def test_decimal_commas_are_read_where_they_separate_nothing(tmp_path, separator):
    header = separator.join(["spacing_nm", "note", "contour_length_nm"])
    rows = [
        separator.join(row) for row in (("1,842", "a", "20"), ("1.9", "", "30,5"), ("", "", ""))
    ]
    measured = dm.read_measured(csv(tmp_path, "\n".join([header, *rows])))
    assert measured["spacing_nm"].tolist() == [1.842, 1.9]
    assert measured["contour_length_nm"].tolist() == [20.0, 30.5]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("spacing_nm\n1.8\n1,842\n", r"line 3: 2 cells for 1 columns \('1,842'\); where commas"),
        ("spacing_nm,n\n1,842,7\n", "line 2: 3 cells for 2 columns"),
        ('spacing_nm\n"1,842"\n', "'1,842' is no number"),
        ("spacing_nm\n1_85\n", "line 2, spacing_nm: '1_85' is no number"),
        ("spacing_nm;n\n1.842,5;1\n", "is no number"),
        ("spacing_nm\ninf\n", "'inf' is no number"),
        ("spacing_nm\nnan\n", "'nan' is no number"),
        ("spacing_nm\n1e308\n", "must be positive and finite"),
        ("spacing_nm\n1e-30\n", "must be positive"),
        ("spacing_nm\n-1\n", "must be positive"),
        ("spacing_nm\n١٫٨\n", "is no number"),
        (f"spacing_nm\n{'9' * 5000}\n", "must be positive and finite"),
        ("spacing_nm,spacing_nm\n1,2\n", "names column spacing_nm twice"),
        ('spacing_nm\n"1.8\n', "no table"),
        (f"spacing_nm\n{'1' * 200_000}\n", "no table"),
        ("spacing_nm\n", "has no numbers"),
    ],
)
def test_a_table_is_refused_where_it_says_no_number(tmp_path, text, told):
    with pytest.raises(InputError, match=rf"mine\.csv.*{told}") as error:
        dm.read_measured(csv(tmp_path, text))
    assert len(str(error.value)) < 400


DEEP = 100_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a = " + "[" * DEEP, "not a file of parameters|not valid TOML"),
        ("a = " + "9" * 5000, "not a file of parameters"),
        ("a = \0", "not valid TOML"),
    ],
)
def test_toml_that_breaks_parsers_is_refused(tmp_path, text, told):
    path = tmp_path / "deep.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"deep\.toml: ({told})"):
        read_toml(path)


@pytest.mark.parametrize("text", ["[" * DEEP, '{"a": ' + "9" * 5000 + "}", "[]", "7", "{", ""])
def test_json_that_is_no_table_is_refused(tmp_path, text):
    path = tmp_path / "deep.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"deep\.json: can't be read"):
        read_json(path)


def test_only_files_of_a_bounded_size_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2_000_000)  # a sparse file: it claims what it doesn't hold
    for path, told in [
        ("/dev/zero", "no file"),
        (tmp_path / "pipe", "no file"),
        (tmp_path, "no file|Is a directory"),
        (tmp_path / "none", "No such file"),
        (tmp_path / "large", "too large"),
        ("a\0b", "null (byte|character)"),
    ]:
        with pytest.raises(InputError, match=told):
            read_bytes(type(tmp_path)(path), most_MB=1.0)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("stages.dry.time_ns", "1e308", "less than or equal to 1000000000000"),
        ("stages.dry.time_ns", "1e12", "steps are asked for.*lower time_ns"),
        ("stages.dry.time_ns", "1e8", "frames are asked for"),
        ("stages.dry.skin_nm", "1000.0", "skin_nm = 1000 is too wide"),
        ("time_step_ps", "1e-300", "must be at least 1e-12"),
        ("temperature_K", "nan", "temperature_K"),
        ("seed", "9" * 5000, "key 'seed'"),
        ("seed", "9" * 30, "key 'seed'"),
        ("chunk_steps", str(10**18), "chunk_steps"),
        ("n_clusters", "[" * 5000, "n_clusters"),
    ],
)
def test_every_number_of_a_recipe_has_bounds(command, tmp_path, key, value, told):
    out = tmp_path / "run"
    answer = command("assemble", "r-au-cu", "--out", out, "--set", f"{key}={value}")
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert len(answer.err) < 600
    assert not out.exists()
    with pytest.raises(InputError, match=told):
        dm.preflight(dm.make_plan("r-au-cu", {key: value}))


def test_a_study_has_so_many_jobs(tmp_path):
    text = (parameter_folder() / "studies" / "demo.toml").read_text(encoding="utf-8")
    path = tmp_path / "many.toml"
    first = next(line for line in text.splitlines() if line.startswith("replicas"))
    path.write_text(text.replace(first, "replicas = 99999"), encoding="utf-8")
    with pytest.raises(InputError, match="jobs are asked for, at most 100000 are allowed"):
        dm.load_study(path)


@pytest.mark.parametrize("option", ["--threads", "--ranks"])
def test_threads_are_bounded(command, tmp_path, option):
    answer = command("assemble", "r-au-cu", "--out", tmp_path / "run", option, "9" * 20)
    assert answer.code == 2
    assert "at most 1024" in answer.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("int too large")])
def test_what_this_machine_can_not_do_is_one_line(command, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(dm, "describe", fails, raising=False)
    answer = command("describe", "r-au-cu")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert "this needs" in answer.err

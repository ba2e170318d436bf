import pytest

from landslide.plotting import text as words
from tests.helpers.mapping_case import case


@pytest.mark.parametrize(
    ("years", "text"),
    [
        (1, "7 September 2017 to 7 September 2017"),
        (3, "7 September 2015 to 7 September 2015, 7 September 2016 to 7 September 2016 and "
            "7 September 2017 to 7 September 2017"),
    ],
)  # fmt: skip
def test_windows_in_words(years, text):
    of = case(pre={"years": years}, post={"days": 1})
    assert words.window(of, "pre") == text
    assert words.window(of, "post") == "7 September 2018 to 7 September 2018"


@pytest.mark.parametrize(
    ("metres", "text"),
    [(400, "400 m²"), (9999, "9999 m²"), (12_345, "1.23 ha"), (2.5e6, "2.5 km²"), (1.2345e9, "1,234 km²"), (0, "0 m²")],
)
def test_areas_in_words(metres, text):
    assert words.area(metres) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0, "0 %"),
        (0.0001, "under 0.1 %"),
        (0.105, "10.5 %"),
        (0.9999, "over 99.9 %"),
        (1, "100 %"),
        (None, "not known"),
    ],
)
def test_shares_in_words_never_round_to_nothing_or_all(share, text):
    assert words.percent(share) == text


def test_numbers_as_text():
    assert words.number(-0.004, 3) == "−0.004"
    assert words.number(-0.0004, 3, "+") == "+0.000"
    assert words.number(0.02, 2, "+") == "+0.02"
    assert words.number(float("nan")) == words.number(None) == "–"
    assert words.span([0.6, 0.82]) == "0.60 to 0.82"
    assert words.span(None) == "–"
    assert [words.counted(count, "event") for count in (0, 1, 1204)] == ["0 events", "1 event", "1,204 events"]

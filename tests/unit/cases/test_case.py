from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from landslide.cases.case import Case, Window, load_case
from landslide.errors import InputError

CASE = {
    "id": "amber-ridge",
    "event_date": "2021-07-14",
    "aoi": [10.0, 45.0, 10.1, 45.1],
    "source": {"kind": "stac", "catalog": "../catalog.json", "dem": {"collection": "dem"}},
}


CHIPS = {"kind": "archive", "format": "landslide4sense", "folder": "."}
STAC = {"kind": "stac", "catalog": "../catalog.json"}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "cases" / "case.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**CASE, **changes}))
    return path


def test_the_events_day_belongs_to_no_window(tmp_path: Path) -> None:
    case = load_case(written(tmp_path))
    assert case.window("pre") == (date(2021, 5, 15), date(2021, 7, 13))
    assert case.window("post") == (date(2021, 7, 15), date(2021, 9, 12))
    assert case.side(date(2021, 7, 14)) is None
    assert [case.side(date(2021, 7, day)) for day in (13, 15)] == ["pre", "post"]


def seasonal(years: int, **changes: object) -> Case:
    return Case.model_validate(CASE | {"pre": {"years": years}} | changes)


def test_years_are_the_days_of_the_post_window_in_earlier_years() -> None:
    case = seasonal(2)
    assert case.spans("pre") == (
        (date(2019, 7, 15), date(2019, 9, 12)),
        (date(2020, 7, 15), date(2020, 9, 12)),
    )
    assert case.spans("post") == ((date(2021, 7, 15), date(2021, 9, 12)),)
    assert case.window("pre") == (date(2019, 7, 15), date(2020, 9, 12))
    assert case.windows == "pre 2019-07-15..2019-09-12 and 2020-07-15..2020-09-12, post 2021-07-15..2021-09-12"


@pytest.mark.parametrize(
    ("day", "side"),
    [
        ("2019-07-14", None),
        ("2019-07-15", "pre"),
        ("2019-09-12", "pre"),
        ("2020-01-01", None),
        ("2020-09-12", "pre"),
        ("2021-07-13", None),
        ("2021-07-15", "post"),
    ],
)
def test_between_the_years_lies_no_side(day: str, side: str | None) -> None:
    assert seasonal(2).side(date.fromisoformat(day)) == side


def test_a_year_whose_days_reach_the_event_is_passed_over() -> None:
    case = seasonal(2, post={"start": "2022-06-01", "end": "2022-08-31"})
    assert [(first.year, last.year) for first, last in case.spans("pre")] == [(2019, 2019), (2020, 2020)]
    case = seasonal(1, post={"start": "2022-05-01", "end": "2022-07-14"})
    assert case.spans("pre") == ((date(2020, 5, 1), date(2020, 7, 14)),)
    case = seasonal(1, post={"start": "2022-05-01", "end": "2022-07-13"})
    assert case.spans("pre") == ((date(2021, 5, 1), date(2021, 7, 13)),)


def test_windows_over_the_new_year_and_leap_days() -> None:
    case = seasonal(2, event_date="2023-12-20", post={"start": "2023-12-25", "end": "2024-02-29"})
    assert case.spans("pre") == (
        (date(2021, 12, 25), date(2022, 2, 28)),
        (date(2022, 12, 25), date(2023, 2, 28)),
    )
    case = seasonal(4, event_date="2024-02-28", post={"days": 1})
    assert [str(first) for first, _ in case.spans("pre")] == ["2020-02-29", "2021-02-28", "2022-02-28", "2023-02-28"]


@given(st.dates(date(2015, 1, 1), date(2030, 12, 31)), st.integers(1, 365), st.integers(1, 5))
def test_earlier_years_are_all_there_and_never_overlap(event: date, days: int, years: int) -> None:
    spans = seasonal(years, event_date=event, post={"days": days}).spans("pre")
    assert len(spans) == years
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(edges)
    assert all(last < first for (_, last), (first, _) in pairwise(spans))
    assert spans[-1][1] < event


def test_without_a_date_there_are_no_spans() -> None:
    archive = {"kind": "archive", "format": "landslide4sense", "folder": "."}
    for pre in ({"years": 2}, {"days": 60}):
        case = Case.model_validate({"id": "chips", "source": archive, "pre": pre})
        assert (case.spans("pre"), case.window("post"), case.side(date(2021, 7, 15))) == ((), None, None)
        assert case.windows == "pre undated, post undated"


def test_the_schema_bounds_years_too() -> None:
    number = Window.model_json_schema()["properties"]["years"]["anyOf"][0]
    assert (number["type"], number["minimum"], number["maximum"]) == ("integer", 1, 5)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    case = load_case(written(tmp_path, inventory="inventory.gpkg"))
    assert case.source.catalog == str(tmp_path / "catalog.json")
    assert case.inventory is not None
    assert case.inventory.path == str(tmp_path / "cases" / "inventory.gpkg")


def test_land_cover_is_found_beside_the_case_and_survives_json(tmp_path: Path) -> None:
    case = load_case(written(tmp_path, cover={"path": "../cover/a.tif", "names": {1: "forest", 2: "field"}}))
    assert case.cover is not None
    assert case.cover.path == str(tmp_path / "cover" / "a.tif")
    assert Case.model_validate_json(case.model_dump_json()) == case
    assert case.cover.names == {1: "forest", 2: "field"}


def test_urls_stay_urls(tmp_path: Path) -> None:
    source = {"kind": "stac", "catalog": "https://example.org/stac/v1", "dem": {"collection": "dem"}}
    assert load_case(written(tmp_path, source=source)).source.catalog == "https://example.org/stac/v1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour: unknown key"),
        ({"id": "Not An Id"}, "id: .*given: 'Not An Id'"),
        ({"event_date": "yesterday"}, "event_date: "),
        ({"pre": {"days": 3, "start": "2021-01-01", "end": "2021-02-01"}}, "pre: give days, or start"),
        ({"pre": {"years": 2, "days": 30}}, "pre: give days, or start and end, or years"),
        ({"pre": {"years": 2, "start": "2020-07-01"}}, "pre: give days, or start and end, or years"),
        ({"pre": {"start": "2020-07-01"}}, "pre: give days, or start and end, or years"),
        ({"pre": {}}, "pre: give days, or start and end, or years"),
        ({"pre": {"years": 0}}, "pre.years: .*greater than or equal to 1"),
        ({"pre": {"years": 6}}, "pre.years: .*less than or equal to 5"),
        ({"post": {"years": 2}}, "post: years is for pre alone"),
        ({"pre": {"years": 1}, "post": {"days": 366}}, "at most 365 days, not 2021-07-15..2022-07-15"),
        ({"pre": {"start": "2021-07-01", "end": "2021-07-14"}}, "pre ends 2021-07-14, not before the event"),
        ({"aoi": [10, 45, 10.1, 95]}, "aoi"),
        ({"aoi": None}, "needs aoi"),
        ({"aoi": "nowhere.geojson"}, "nowhere.geojson is no readable GeoJSON"),
        ({"cover": {"path": "c.tif"}}, "cover.names: Field required"),
        ({"cover": {"path": "c.tif", "names": {}}}, "cover.names: .*at least 1 item"),
        ({"cover": {"path": "c.tif", "names": {255: "sea"}}}, "cover.names.255.*less than or equal to 254"),
        ({"cover": {"path": "c.tif", "names": {1: " "}}}, "cover.names.1: a class of land cover needs a name"),
        ({"cover": {"path": "c.tif", "names": {1: "forest"}, "band": 2}}, "cover.band: unknown key"),
        ({"cover": {"path": "https://a.b/c.tif", "names": {1: "forest"}}}, "cover.path: https://a.b/c.tif is no local"),
        ({"cover": {"path": "c.tif", "names": {1: "forest"}}, "source": CHIPS}, "an archive brings its own grids"),
        ({"source": STAC | {"sentinel1": {"collection": "s1", "direction": "up"}}}, "direction: .*'ascending'"),
        ({"source": {"kind": "magic"}}, "source"),
        ({"source": {"kind": "files", "bands": {"nonsense": "a.tif"}}}, "unknown band"),
    ],
)
def test_mistakes_are_told_with_the_file_and_the_key(tmp_path: Path, change: dict[str, object], words: str) -> None:
    path = written(tmp_path, **change)
    with pytest.raises(InputError, match=words) as error:
        load_case(path)
    assert str(path) in str(error.value)


def test_broken_yaml_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("id: [")
    with pytest.raises(InputError, match=r"broken\.yaml is no valid YAML"):
        load_case(path)
    with pytest.raises(InputError, match=r"cannot read .*absent\.yaml"):
        load_case(tmp_path / "absent.yaml")


def test_a_geojson_area_may_be_a_file(tmp_path: Path) -> None:
    ring = [[10, 45], [10.1, 45], [10.1, 45.1], [10, 45]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "area.geojson").write_text(yaml.safe_dump(feature, default_flow_style=True))
    path = written(tmp_path, aoi="area.geojson")
    import json

    (tmp_path / "cases" / "area.geojson").write_text(json.dumps(feature))
    assert load_case(path).aoi == feature["geometry"]

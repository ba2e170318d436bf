from datetime import date
from pathlib import Path

import pytest
import yaml

from landslide.cases import load_case
from landslide.errors import InputError

CASE = {
    "id": "amber-ridge",
    "event_date": "2021-07-14",
    "aoi": [10.0, 45.0, 10.1, 45.1],
    "source": {"kind": "stac", "catalog": "../catalog.json", "dem": {"collection": "dem"}},
}


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


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    case = load_case(written(tmp_path, inventory="inventory.gpkg"))
    assert case.source.catalog == str(tmp_path / "catalog.json")
    assert case.inventory is not None
    assert case.inventory.path == str(tmp_path / "cases" / "inventory.gpkg")


def test_urls_stay_urls(tmp_path: Path) -> None:
    source = {"kind": "stac", "catalog": "https://example.org/stac/v1", "dem": {"collection": "dem"}}
    assert load_case(written(tmp_path, source=source)).source.catalog == "https://example.org/stac/v1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"colour": "red"}, "colour: unknown key"),
        ({"id": "Not An Id"}, "id: .*given: 'Not An Id'"),
        ({"event_date": "yesterday"}, "event_date: "),
        ({"pre": {"days": 3, "start": "2021-01-01", "end": "2021-02-01"}}, "pre: give either days"),
        ({"pre": {"start": "2021-07-01", "end": "2021-07-14"}}, "pre ends 2021-07-14, not before the event"),
        ({"aoi": [10, 45, 10.1, 95]}, "aoi"),
        ({"aoi": None}, "needs aoi"),
        ({"aoi": "nowhere.geojson"}, "nowhere.geojson is no readable GeoJSON"),
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

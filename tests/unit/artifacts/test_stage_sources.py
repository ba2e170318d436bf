"""Where the code of a stage changed, its version is raised, or someone has said that its results are the same."""

import pytest

from tests import stage_sources

STAGES = stage_sources.current()


def test_every_stage_names_the_code_that_makes_its_result() -> None:
    assert {name for name, stage in stage_sources.stages().items() if not stage.sources} == set()
    assert set(stage_sources.recorded()) == set(STAGES), "run `python -m tests.stage_sources`"


@pytest.mark.parametrize("name", list(STAGES))
def test_changed_code_has_a_new_version(name: str) -> None:
    before, now = stage_sources.recorded()[name], STAGES[name]
    if before["version"] == now["version"]:
        assert before["code"] == now["code"], (
            f"the code of stage {name} changed. Raise its `version` and run `python -m tests.stage_sources`, or, if "
            f"its results are the same, run `python -m tests.stage_sources --same-result {name}`"
        )
    assert before == now, f"stage {name} has a new version: run `python -m tests.stage_sources`"


def test_comments_and_docstrings_do_not_count_and_code_does(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"a": 'def f(x):\n    """Doc."""\n    return x + 1  # one\n', "b": "def f(x):\n    return x+1\n"}
    texts["c"] = texts["b"].replace("1", "2")
    digests = {}
    for name, text in texts.items():
        monkeypatch.setattr(stage_sources, "source_of", lambda _, text=text: text)
        digests[name] = stage_sources.digest_of_modules(("m",))
    assert digests["a"] == digests["b"] != digests["c"]

from landslide.training.tuning.successive_halving import better_half


def test_the_better_half_of_each_stratum_goes_on() -> None:
    scores = {"u1": 0.9, "u2": 0.1, "u3": 0.5, "l1": 0.05, "l2": 0.04}
    assert better_half(scores, {name: name[0] for name in scores}) == ["u1", "u3", "l1"]


def test_diverged_members_go_no_further_and_ties_keep_the_order() -> None:
    assert better_half({"a": None, "b": 0.0, "c": 0.5, "d": 0.5}, dict.fromkeys("abcd", 0)) == ["c", "d"]
    assert better_half({"a": None}, {"a": 0}) == []
    assert better_half({"c": 0.5, "b": 0.5, "a": 0.5}, dict.fromkeys("abc", 0)) == ["c", "b"]

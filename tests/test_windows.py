from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.mapping.windows import logit_rows, probability_rows, starts, taper
from tests.mapping_case import Echo


def stitched(network, values, window, overlap):
    def read(roi):
        return values[:, roi[0], roi[1]]

    rows = list(logit_rows(network, read, values.shape[1:], window, overlap))
    assert [part.start for part, _ in rows] == [0, *(part.stop for part, _ in rows[:-1])]
    assert rows[-1][0].stop == values.shape[1]
    return np.concatenate([block for _, block in rows])


sizes = st.tuples(st.integers(1, 150), st.integers(1, 150))
windows = st.integers(8, 96).flatmap(lambda window: st.tuples(st.just(window), st.integers(0, window // 2)))


@settings(max_examples=60, deadline=None)
@given(sizes, windows, st.integers(0, 2**31))
def test_an_identity_network_gives_the_input_back(shape, sides, seed):
    values = np.random.default_rng(seed).normal(0, 3, (2, *shape)).astype("float32")
    np.testing.assert_allclose(stitched(Echo(), values, *sides), values[0], rtol=1e-5, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 5000), windows)
def test_windows_reach_both_edges_without_a_gap(length, sides):
    window, overlap = sides
    firsts = starts(length, window, overlap)
    assert firsts[0] == 0
    assert firsts[-1] + window >= length
    assert all(0 < after - before <= window - overlap for before, after in pairwise(firsts))


def test_every_pixel_of_a_window_has_a_weight():
    weight = taper(64, 16)
    assert weight.min() > 0
    assert weight.max() == 1
    np.testing.assert_array_equal(weight, weight[::-1])
    assert np.all(np.diff(weight[:17]) >= 0)


def test_a_constant_network_leaves_no_seam():
    class Constant(Echo):
        def forward(self, batch):
            return torch.full_like(batch[:, :1], 0.7) * self.factor

    values = np.random.default_rng(0).normal(size=(3, 90, 130)).astype("float32")
    assert np.ptp(stitched(Constant(), values, 32, 12)) < 1e-6


def test_probabilities_are_the_sigmoid_of_logits():
    values = np.linspace(-9, 9, 40 * 50, dtype="float32").reshape(1, 40, 50)
    rows = [block for _, block in probability_rows(Echo(), lambda roi: values[:, roi[0], roi[1]], (40, 50), 32, 8)]
    np.testing.assert_allclose(np.concatenate(rows), 1 / (1 + np.exp(-values[0])), rtol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (31, 33), (64, 64)])
def test_a_scene_of_one_window_is_one_pass(shape):
    class Counting(Echo):
        passes = 0

        def forward(self, batch):
            self.passes += 1
            assert batch.shape[-1] % 32 == batch.shape[-2] % 32 == 0
            return super().forward(batch)

    network = Counting()
    stitched(network, np.zeros((1, *shape), "float32"), 64, 16)
    assert network.passes == 1

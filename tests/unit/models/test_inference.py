from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from landslide.models.architectures import ARCHITECTURES, STRIDE, build
from landslide.models.inference import logit_rows, probability_rows, side, starts, taper
from tests.helpers.mapping_case import Echo


def stitched(network, values, window, overlap, kind="fp32"):
    def read(roi):
        return values[:, roi[0], roi[1]]

    rows = list(logit_rows(network, read, values.shape[1:], window, overlap, kind))
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
    used = side(length, window, overlap)
    assert used <= window
    assert firsts[-1] + used == length
    assert all(0 < after - before <= used - overlap for before, after in pairwise(firsts))


@pytest.mark.parametrize(
    ("length", "used", "firsts"),
    [(1024, 1024, [0]), (1200, 672, [0, 528]), (2000, 768, [0, 616, 1232]), (1900, 1024, [0, 876]), (1000, 1000, [0])],
)
def test_windows_are_no_larger_than_as_many_need(length, used, firsts):
    assert side(length, 1024, 128) == used
    assert used % STRIDE == 0 or len(firsts) == 1
    assert starts(length, 1024, 128) == firsts


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


def settled(architecture, bands):
    """An untrained network whose batch norms have seen some input, and input for it of one window."""
    torch.manual_seed(0)
    network = build(architecture, "resnet18", bands).train()
    values = torch.randn(2, bands, 16, 16).repeat_interleave(8, 2).repeat_interleave(8, 3)
    with torch.no_grad():
        network(values)
    return network.eval(), values[0].numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_window_gives_what_the_network_gives_as_it_stands(architecture):
    network, values = settled(architecture, 3)
    before = {name: (value.clone(), value.stride()) for name, value in network.state_dict().items()}
    with torch.inference_mode():
        plain = torch.sigmoid(network(torch.from_numpy(values)[None]))[0, 0].numpy()
    (found,) = [block for _, block in probability_rows(network, lambda roi: values, values.shape[1:], 128, 32)]
    np.testing.assert_allclose(found, plain, atol=1e-4, rtol=0)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name][0])
        assert value.stride() == before[name][1]


class Product(Echo):
    """Its logit is the first band times a factor, by a product that autocast knows; tells how it was computed."""

    def forward(self, batch):
        logits = torch.nn.functional.conv2d(batch[:, :1], self.factor.reshape(1, 1, 1, 1))
        self.dtype = logits.dtype
        return logits


def test_bfloat16_is_asked_for():
    values = np.random.default_rng(0).normal(0, 3, (2, 64, 90)).astype("float32")
    network = Product()
    np.testing.assert_allclose(stitched(network, values, 32, 8), values[0], rtol=1e-5)
    assert network.dtype == torch.float32
    coarse = stitched(network, values, 32, 8, "bf16")
    assert network.dtype == torch.bfloat16
    assert coarse.dtype == np.float32
    np.testing.assert_allclose(coarse, values[0], rtol=2**-7)


def test_the_arithmetic_around_stays_where_none_is_asked_for():
    network = Product()
    with torch.autocast("cpu", torch.bfloat16):
        stitched(network, np.ones((1, 32, 32), "float32"), 32, 8)
    assert network.dtype == torch.bfloat16

"""The distribution over the next token, and drawing from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from textgym.agents.lm.sampling import draw, masked_log_probs, top_p_mask

LOGITS = st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=9)
MASKS = st.lists(st.booleans(), min_size=9, max_size=9)


def masked(logits: list[float], allowed: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    legal = torch.tensor(allowed[: len(logits)])
    legal[int(torch.tensor(logits).argmin())] = True
    return torch.tensor(logits), legal


@given(logits=LOGITS, allowed=MASKS, temperature=st.floats(0.1, 5.0))
def test_masked_log_probs_are_the_softmax_of_what_is_legal(
    logits: list[float], allowed: list[bool], temperature: float
) -> None:
    scores, legal = masked(logits, allowed)
    found = masked_log_probs(
        torch.cat([scores, torch.tensor([99.0])]), legal, temperature
    )  # one more belongs to nobody
    kept = scores[legal].double() / temperature
    expected = (kept - kept.max()).exp() / (kept - kept.max()).exp().sum()
    np.testing.assert_allclose(found[legal].exp(), expected, atol=1e-5)
    assert (found[~legal] == -torch.inf).all()
    assert found.dtype == torch.float32


def test_half_precision_is_widened_and_no_mask_leaves_all() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0]], dtype=torch.bfloat16)
    torch.testing.assert_close(masked_log_probs(logits, None), logits.float().log_softmax(-1))


@given(logits=LOGITS, allowed=MASKS, uniform=st.floats(0, 1, exclude_max=True, width=32))
def test_a_draw_inverts_the_distribution_function(logits: list[float], allowed: list[bool], uniform: float) -> None:
    scores, legal = masked(logits, allowed)
    log_probs = masked_log_probs(scores, legal)[None]
    chosen = int(draw(log_probs, torch.tensor([uniform])))
    probs = log_probs[0].exp().double()
    assert probs[chosen] > 0
    assert float(probs[:chosen].sum()) <= uniform + 1e-5
    assert float(probs[: chosen + 1].sum()) >= uniform - 1e-5


@pytest.mark.parametrize("uniform", [0.0, 1.0 - 2**-24])
def test_the_edges_of_a_draw_are_never_impossible(uniform: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 8 * torch.randn(300, 2000, generator=generator)
    legal = torch.rand(300, 2000, generator=generator) < 0.3
    legal[:, 0] = legal[:, -1] = False
    log_probs = masked_log_probs(logits, legal)
    chosen = draw(log_probs, torch.full((300,), uniform))
    assert (log_probs.gather(1, chosen[:, None]) > -torch.inf).all()


@pytest.mark.parametrize("size", [5, 2_000])
def test_draws_have_the_frequencies_of_the_distribution(size: int) -> None:
    generator, count = torch.Generator().manual_seed(3), 20_000
    log_probs = masked_log_probs(torch.randn(size, generator=generator), torch.arange(size) % 3 != 1)
    seen = np.zeros(size, dtype=np.int64)
    for _ in range(count // 1000):
        chosen = draw(log_probs.expand(1000, size), torch.rand(1000, generator=generator))
        seen += np.bincount(chosen.numpy(), minlength=size)
    probs = log_probs.double().exp().numpy()
    assert seen[probs == 0].sum() == 0
    bins = np.arange(size) * 20 // size  # whole bins have enough in them for the test
    observed, expected = (np.bincount(bins, weights=part) for part in (seen, probs * count / probs.sum()))
    kept = expected > 0
    assert chisquare(observed[kept], expected[kept]).pvalue > 0.01


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_draws_nothing_impossible() -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = masked_log_probs(20 * torch.randn(64, 50_000, generator=generator), torch.rand(50_000) < 0.2).cuda()
    for uniform in torch.rand(20, generator=generator).tolist():
        chosen = draw(log_probs, torch.full((64,), uniform, device="cuda"))
        assert (log_probs.gather(1, chosen[:, None]) > -torch.inf).all()


@given(logits=LOGITS, allowed=MASKS, top_p=st.floats(0.01, 1.0))
def test_top_p_keeps_the_fewest_likely_tokens_that_suffice(
    logits: list[float], allowed: list[bool], top_p: float
) -> None:
    scores, legal = masked(logits, allowed)
    probs = masked_log_probs(scores, legal).exp()
    kept = top_p_mask(probs.log()[None], top_p)[0]
    assert kept.any()
    assert float(probs[kept].sum()) >= top_p - 1e-5
    assert float(probs[kept].sum() - probs[kept].min()) < top_p + 1e-5  # without the least likely it is not enough
    if not kept.all():
        assert probs[kept].min() >= probs[~kept].max()


def test_top_p_of_a_known_distribution() -> None:
    log_probs = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.97, 0.01, 0.01, 0.01]]).log()
    assert top_p_mask(log_probs, 0.7).tolist() == [[False, True, False, True], [True, False, False, False]]
    assert top_p_mask(log_probs, 1.0).all()

"""The speed of language models: that the benchmark measures what it says. How fast is for it to say, not for a test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from textgym.agents.lm import throughput
from textgym.agents.lm.throughput import Bench, Line, Size
from textgym.cli import app

TINY = Size(
    name="tiny", layers=2, width=16, heads=2, vocab_size=20, rows=4, even=5, longest=9, batches=3, repeats=1, timed=2
)


@pytest.fixture(scope="module")
def uneven() -> Bench:
    return Bench(TINY, budget=60, hazard=1 / 5)


def test_the_table_has_a_line_for_every_bar() -> None:
    lines = list(throughput.report((TINY,), rounds=2))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in cells} == {7}
    assert [row[1:3] for row in cells[2:]] == [
        ["even: rollout", "generate"],
        ["even: rollout", "naive loop"],
        ["environment and book-keeping", "rollout"],
        ["uneven: rollout", "generate"],
        ["uneven: rollout, cache of transformers", "generate"],
    ]
    assert [row[5] for row in cells[2:]] == [">= 1.3", ">= 5", "< 10%", ">= 2.5", ">= 2.5"]
    for row in cells[2:]:
        median = float(row[3].strip("%"))
        assert median > 0
    assert all(row[6] for row in cells[2:] if row[1] != "environment and book-keeping")


def test_a_line_shows_the_median_of_the_rounds() -> None:
    assert str(Line("m", "a", "b", np.array([1.0, 4.0, 2.0]), 1.3, 1234.5)) == (
        "| m | a | b | 2.00 | 1.00 to 4.00 | >= 1.3 | 1,234 |"
    )
    assert "| 5.0% | 4.0% to 6.0% | < 10% |" in str(Line("m", "a", "b", np.array([0.04, 0.05, 0.06]), 0.1))


def test_texts_of_even_length_use_their_budget_in_every_way() -> None:
    bench = Bench(TINY, budget=TINY.even)
    assert bench.rollout(2).episodes.lengths.tolist() == [5] * 8
    assert bench.generate(2) == 2 * 4 * 5


@pytest.mark.parametrize("lean", [True, False])
def test_rollouts_and_generate_write_from_the_same_distribution(uneven: Bench, lean: bool) -> None:
    texts = 12 * TINY.rows
    torch.manual_seed(0)  # generate draws from torch's own generator
    ours, theirs = uneven.rollout(12, lean=lean).steps / texts, uneven.generate(12) / texts
    error = 5 / np.sqrt(texts)  # a length has a mean and a standard deviation of about 5
    assert abs(ours - 5) < 3 * error
    assert abs(theirs - 5) < 3 * error


def test_only_legal_words_have_a_chance_and_the_end_has_the_hazard(uneven: Bench) -> None:
    task = uneven.envs.task
    with torch.inference_mode():
        chances = uneven.lm(uneven.prompts).logits[:, -1].softmax(dim=-1)
    end, unknown = task.tokenizer.eos_ids[0], task.tokenizer.unk_id
    assert np.abs(chances[:, end].numpy() - 1 / 5).max() < 0.04
    assert chances[:, [unknown, TINY.vocab_size]].max() == 0.0


@pytest.mark.parametrize("lean", [True, False])
def test_what_is_recorded_is_what_a_full_pass_says_also_when_most_lanes_rest(uneven: Bench, lean: bool) -> None:
    rollout = uneven.rollout(3, lean=lean)
    with torch.inference_mode():
        scored = uneven.policy.score(rollout.tokens, rollout.wrote)
    assert np.abs(scored.log_probs.numpy() - rollout.log_probs).max() < 1e-5


def test_what_the_environment_takes_is_a_part_of_the_whole(uneven: Bench) -> None:
    rollout = uneven.rollout(2)
    assert 0 < rollout.environment_seconds < rollout.seconds


def test_threads_are_as_many_afterwards_as_before() -> None:
    before = torch.get_num_threads()
    list(throughput.report((TINY,), rounds=1))
    assert torch.get_num_threads() == before


def test_the_command_prints_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throughput, "SMALL", TINY)
    result = CliRunner().invoke(app, ["bench", "throughput", "--lm", "--quick", "--rounds", "1"])
    assert result.exit_code == 0, result.output
    assert result.output.count("| tiny |") == 5


def test_quick_is_for_language_models() -> None:
    result = CliRunner().invoke(app, ["bench", "throughput", "--quick"])
    assert result.exit_code == 2
    assert "--lm" in result.output

"""All rules, in the order in which they are checked."""

from __future__ import annotations

from textgym.checks import (
    answers,
    copies,
    ending,
    generators,
    lanes,
    masks,
    payment,
    processes,
    scores,
    seeding,
    transitions,
)
from textgym.checks.rules import Rule

RULES: tuple[Rule, ...] = (
    transitions.plays,
    transitions.reward_finite,
    transitions.masks_leave_a_choice,
    transitions.spaces,
    transitions.endings,
    transitions.budget,
    transitions.after_end,
    transitions.prompts,
    ending.ending_info,
    ending.what_was_written,
    ending.stop_reason,
    masks.masks_agree,
    masks.masks_decide,
    masks.constraints,
    generators.global_generators,
    scores.reward_in_range,
    scores.reward_repeats,
    scores.reward_alone,
    seeding.same_seed,
    seeding.chains,
    seeding.seeds_differ,
    payment.reward_paid,
    payment.reward_by_step,
    copies.fresh_arrays,
    copies.independent,
    copies.pickles,
    copies.deep_copies,
    copies.states,
    lanes.vector_equals_single,
    answers.oracle_legal,
    answers.oracle_best,
    answers.facts,
    answers.random_return,
    processes.processes,
)
"""Every rule comes after those that it needs."""

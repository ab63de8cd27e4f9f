"""Week 5, first half: log-probabilities of texts, and the gradient of REINFORCE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textgym.course.assignment import Finding, Part, shown
from textgym.course.sandbox import Student
from textgym.course.weeks.week_findings import ask, difference, judge, misfit
from textgym.course.weeks.week_texts import Texts, all_texts, bigram_logits, gather, gradient, text_log_probs

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TASK = "TextGen/Copy-v0"
ROWS = 8
ASCENTS = 12
STRIDE = 0.5  # the length of a step uphill


# ---- log-probabilities ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Reading:
    """Prompts with answers, and what a language model says at each of their tokens.

    Attributes:
        logits: ``(B, P + T, V)``: those at place i are about the token at place i + 1.
        tokens: ``(B, P + T)``.
        prompt_width: P.
        lengths: ``(B,)`` tokens of each answer.
    """

    logits: Floats
    tokens: Integers
    prompt_width: int
    lengths: Integers

    @property
    def arguments(self) -> tuple[Floats, Integers, int, Integers]:
        """In the order of the function."""
        return self.logits, self.tokens, self.prompt_width, self.lengths

    @property
    def truth(self) -> Floats:
        """The log-probability of each answer."""
        answers = Texts(self.tokens[:, self.prompt_width :], self.lengths, self.logits.shape[2])
        return text_log_probs(self.logits[:, self.prompt_width - 1 : -1], answers)


def draw_reading(rng: np.random.Generator, texts: Texts, *, scale: float = 1.0) -> Reading:
    """Texts as answers to prompts of three tokens, with random logits."""
    count, vocab_size = len(texts.tokens), texts.vocab_size
    prompts = rng.integers(vocab_size - 1, size=(count, 3))
    tokens = np.concatenate([prompts, texts.tokens], axis=1)
    logits = (scale * rng.normal(size=(*tokens.shape, vocab_size))).round(2)
    return Reading(logits, tokens, 3, texts.lengths)


def draw_texts(rng: np.random.Generator, *, full: bool) -> Texts:
    """Texts of five ids and at most four tokens: some without an end, or some with one, most of them with padding."""
    texts = all_texts(5, 4)
    ended = (texts.tokens >= texts.vocab_size - 1).any(axis=1)
    if full:
        rows = rng.choice(np.flatnonzero(~ended), size=ROWS, replace=False)
    else:
        short, long = np.flatnonzero(texts.lengths < 4), np.flatnonzero(ended & (texts.lengths == 4))
        rows = np.append(rng.choice(short, size=ROWS - 2, replace=False), rng.choice(long, size=2, replace=False))
    return Texts(texts.tokens[rows], texts.lengths[rows], texts.vocab_size)


def draw_everything(rng: np.random.Generator) -> Reading:
    """All texts of a random policy that sees the token before; a start token stands for the prompt."""
    texts = all_texts(4, 4)
    logits = bigram_logits(rng.normal(size=(4, 4)).round(2), texts)
    behind = rng.normal(size=(len(logits), 1, 4)).round(2)  # about the token after the last: nobody needs them
    tokens = np.concatenate([np.zeros((len(logits), 1), dtype=np.int64), texts.tokens], axis=1)
    return Reading(np.concatenate([logits, behind], axis=1), tokens, 1, texts.lengths)


@dataclass(frozen=True, eq=False)
class Readings:
    """What a student is asked about log-probabilities."""

    full: Reading
    ended: Reading
    everything: Reading
    large: Reading


def draw_readings(rng: np.random.Generator) -> Readings:
    """Texts without padding, with padding, all texts of a policy, and large logits."""
    return Readings(
        draw_reading(rng, draw_texts(rng, full=True)),
        draw_reading(rng, draw_texts(rng, full=False)),
        draw_everything(rng),
        draw_reading(rng, draw_texts(rng, full=True), scale=600.0),
    )


def explain_readings(variant: Readings) -> str:
    """What is to be written."""
    vocab_size = variant.full.logits.shape[2]
    return (
        "text_log_probs(logits, tokens, prompt_width, lengths): the log-probability of each answer, given its prompt. "
        "tokens has prompts of prompt_width tokens, then the answers; logits at place i are about the token at place "
        "i + 1. lengths counts the tokens of each answer, its end token included; behind them stands padding, whose "
        f"id is V, one more than the largest id. Logits may be in the hundreds. Your V is {vocab_size} and your end "
        f"token {vocab_size - 1}. In the end you get all {len(variant.everything.lengths)} texts of a policy: their "
        "probabilities have to add up to 1."
    )


def grade_readings(variant: Readings, student: Student) -> Iterator[Finding]:
    """The shift, then padding and end, then large logits, then all texts."""
    cases = (
        (9, "answers without padding", variant.full,
         "The logits before a token are those one place to its left; take their log-softmax, pick the token, add up."),
        (8, "answers that end, with padding", variant.ended,
         "The end token is a token like others and counts; padding does not. Its id is no column of the logits."),
        (5, "answers under logits in the hundreds", variant.large,
         "Take the largest logit off before exp, and the logarithm of the sum after it: log(softmax) is minus infinity "
         "where log-softmax is a number."),
    )  # fmt: skip
    for points, name, reading, look in cases:
        answer = ask(student, "text_log_probs", *reading.arguments)
        yield judge(points, f"the log-probabilities of {name}", answer, reading.truth, look)
    yield _add_up(8, ask(student, "text_log_probs", *variant.everything.arguments), variant.everything.truth)


def _add_up(points: int, answer: Any, truth: Floats) -> Finding:
    came = difference(answer, truth)
    if came and not misfit(answer, len(truth)):
        with np.errstate(over="ignore"):
            came = f"they add up to {shown(float(np.exp(np.asarray(answer)).sum()))}, not to 1, and {came}"
    look = "A sum below 1 counts something twice, such as padding; one above 1 leaves something out, such as the end."
    return Finding(points, not came, f"the probabilities of all {len(truth)} texts of a policy", came, look)


# ---- the gradient ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Climb:
    """A prompt of Copy, and what each text is worth there.

    Attributes:
        prompt: The prompt.
        texts: All texts.
        returns: ``(L,)`` the reward of each.
    """

    prompt: str
    texts: Texts
    returns: Floats

    def chances(self, table: Floats) -> Floats:
        """``(L,)`` the probability of each text under a bigram policy."""
        return np.exp(text_log_probs(bigram_logits(table, self.texts), self.texts))

    def batch(self, table: Floats) -> tuple[Floats, Integers, Integers, Floats]:
        """Every text once, its advantage its return times its probability, so that the mean is the exact gradient."""
        gains = len(self.returns) * self.chances(table) * self.returns
        return bigram_logits(table, self.texts), self.texts.tokens, self.texts.lengths, gains


def draw_climb(rng: np.random.Generator) -> Climb:
    """A prompt of one's own."""
    from textgym.tasks import get
    from textgym.writing import score

    task = get("Copy")
    prompt = task.prompts.texts[int(rng.choice(task.prompts.rows("train")))]
    ids = np.array([0, 1, 2, *task.tokenizer.eos_ids])  # the columns of the policy: three letters and the end
    texts = all_texts(len(ids), task.budget)
    written = [ids[row[:length]].tolist() for row, length in zip(texts.tokens, texts.lengths, strict=True)]
    return Climb(prompt, texts, score(TASK, [prompt] * len(written), written))


@dataclass(frozen=True, eq=False)
class Slopes:
    """What a student is asked about gradients.

    Attributes:
        full: Texts without padding.
        ended: Texts with padding.
        logits: ``(2, B, T, V)`` of both.
        gains: ``(2, B)`` their advantages.
        table: ``(V, V)`` a policy.
        climb: A task for it.
    """

    full: Texts
    ended: Texts
    logits: Floats
    gains: Floats
    table: Floats
    climb: Climb


def draw_slopes(rng: np.random.Generator) -> Slopes:
    """Two batches, and a task to climb."""
    full, ended = draw_texts(rng, full=True), draw_texts(rng, full=False)
    logits = rng.normal(size=(2, *full.tokens.shape, full.vocab_size)).round(2)
    return Slopes(
        full,
        ended,
        logits,
        rng.normal(size=(2, ROWS)).round(2),
        rng.normal(0.0, 0.5, size=(4, 4)).round(2),
        draw_climb(rng),
    )


def explain_slopes(variant: Slopes) -> str:
    """What is to be written."""
    return (
        "policy_gradient(logits, tokens, lengths, advantages): the gradient of mean(advantage * log-probability of the "
        "text) with respect to the logits, an array of their shape: what REINFORCE climbs. Here logits[:, t] are the "
        "ones before token t, and there is no prompt. The same end and padding as before. In the end your gradient "
        f"trains a policy on the prompt {variant.climb.prompt!r} of Copy, with all {len(variant.climb.returns)} texts "
        "weighted by their probabilities, so that no luck is in it."
    )


def grade_slopes(variant: Slopes, student: Student) -> Iterator[Finding]:
    """Two batches, the exact gradient of the mean return, and where it leads."""
    batches = (
        (8, "texts without padding", variant.full,
         "For each token: advantage / batch size * (one-hot of the token - softmax of the logits)."),
        (7, "texts that end, with padding", variant.ended,
         "The end token is learned like any other; at places of padding the gradient is 0."),
    )  # fmt: skip
    for (points, name, texts, look), logits, gains in zip(batches, variant.logits, variant.gains, strict=True):
        answer = ask(student, "policy_gradient", logits, texts.tokens, texts.lengths, gains)
        yield judge(points, f"the gradient of {name}", answer, gradient(logits, texts, gains), look)
    climb = variant.climb
    batch = climb.batch(variant.table)
    yield judge(
        8,
        f"the exact gradient of the mean return on {climb.prompt!r}",
        ask(student, "policy_gradient", *batch),
        gradient(batch[0], climb.texts, batch[3]),
        "With every text weighted by its probability, the mean is the gradient of the expected return itself.",
    )
    yield _climb(7, climb, variant.table, student)


def _climb(points: int, climb: Climb, table: Floats, student: Student) -> Finding:
    """Follows the student's gradient uphill, in steps of one length, and compares with where the exact one leads."""
    own = right = table
    asked = f"the mean return after {ASCENTS} steps along your gradient"
    for _ in range(ASCENTS):
        batch = climb.batch(own)
        answer = ask(student, "policy_gradient", *batch)
        if came := misfit(answer, *batch[0].shape):
            return Finding(points, False, asked, came)
        own = own + _step(np.asarray(answer, dtype=np.float64), climb.texts)
        batch = climb.batch(right)
        right = right + _step(gradient(batch[0], climb.texts, batch[3]), climb.texts)
    mine, best = (float(climb.chances(reached) @ climb.returns) for reached in (own, right))
    came = (
        f"it is {shown(mine)}, where the exact gradient leads to {shown(best)} and {shown(float(climb.returns.max()))} "
        "is the best text's"
    )
    look = "The steps have one length, so a wrong factor does no harm here: your direction is another one."
    return Finding(points, abs(mine - best) < 1e-6, asked, came, look)


def _step(slopes: Floats, texts: Texts) -> Floats:
    table = gather(slopes, texts)
    size = float(np.linalg.norm(table))
    return STRIDE * table / size if size > 0 else table


READINGS = Part(
    name="log-probabilities",
    points=30,
    needs=("text_log_probs",),
    draw=draw_readings,
    explain=explain_readings,
    grade=grade_readings,
)
SLOPES = Part(
    name="gradient",
    points=30,
    needs=("policy_gradient",),
    draw=draw_slopes,
    explain=explain_slopes,
    grade=grade_slopes,
)

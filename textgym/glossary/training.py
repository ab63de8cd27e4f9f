"""What is written down while agents learn: the log of language models, learning curves, environments and recordings."""

from __future__ import annotations

from textgym.glossary.entries import Log, Metric

TRAINING = Log(
    "training",
    "Training of language models",
    "`training.jsonl` in the run's folder, `agent.log.rows`, TensorBoard",
    "One row an update of `grpo`, `rloo`, `reinforce`, `lm_ppo` and `dpo`, and one each 50 steps of `sft`. Means are "
    "over the texts, or over the tokens, that the update has written.",
    (
        Metric("update", "updates", "number of the update, from 0 on; in `sft`, of the step"),
        Metric("steps", "tokens", "tokens that the agent has written so far; 0 while it learns from texts"),
        Metric("texts", "texts", "N, the texts that this update has written"),
        Metric("reward", "reward", "mean return of the texts, as the reward pays it", "high"),
        Metric(
            "reward_deviation",
            "reward",
            "standard deviation of the returns",
            "0: all texts earned the same and there is nothing to learn from (alarm)",
        ),
        Metric(
            "gold",
            "gold",
            "mean true score of the texts; missing where the task has none",
            "high; falling while `reward` rises: the reward is hacked",
        ),
        Metric(
            "length",
            "tokens",
            "tokens a text that the agent wrote, its end included",
            "by task; drifting to the limit or to 1 is a warning",
        ),
        Metric("stopped_eos", "share", "texts that the agent ended by an end token"),
        Metric("stopped_stop", "share", "texts that the task's own rule ended"),
        Metric(
            "stopped_length",
            "share",
            "texts that were cut off at the token limit",
            "low; 1 where texts may end earlier is an alarm",
        ),
        Metric(
            "stopped_illegal",
            "share",
            "texts that an illegal token ended",
            "0: agents that write under the mask never get there",
        ),
        Metric(
            "loss",
            "by algorithm",
            "what the optimiser lowers, a mean over minibatches; in `sft` minus the log-probability of a token",
            "low in `sft` and `dpo`; in policy gradients its level says nothing",
        ),
        Metric(
            "gradient_norm",
            "",
            "Euclidean norm of the gradient before it is clipped",
            "steady; jumps by a factor of ten precede collapse",
        ),
        Metric(
            "entropy",
            "nats a token",
            "mean of −Σ π(a|s) log π(a|s) over the tokens, under the mask",
            "slowly falling; below 0.01 is an alarm: the policy writes one text",
        ),
        Metric(
            "clip_fraction",
            "share",
            "tokens whose ratio π/π_old lay outside the clip range",
            "below about 0.2; above 0.5 is an alarm: steps are too large",
        ),
        Metric(
            "kl",
            "nats a text",
            "mean over texts of Σ_t log π(a_t|s_t) − log π_ref(a_t|s_t), an estimate of the divergence",
            "low for the same gold; above `kl_bound` is an alarm",
        ),
        Metric(
            "kl_coefficient",
            "reward a nat",
            "what a nat of divergence costs at present (`lm_ppo` adapts it to `kl_target`)",
        ),
        Metric(
            "explained_variance",
            "",
            "1 − Var(target − value) / Var(target) over the tokens (`lm_ppo`)",
            "near 1; 0 is a value head that knows nothing, below 0 one that harms",
        ),
        Metric(
            "equal_groups",
            "share",
            "groups of texts to one prompt that all earned the same: without signal for `grpo` and `rloo`",
            "low; 1 means that nothing is learned",
        ),
        Metric(
            "accuracy",
            "share",
            "pairs whose chosen text gains on its rejected one against the reference (`dpo`)",
            "high; 0.5 is chance",
        ),
        Metric(
            "margin",
            "",
            "β times the mean of that gain, in nats (`dpo`)",
            "high; without bound it means that the pairs are learned by heart",
        ),
        Metric(
            "exact_reward", "reward", "expected return of the policy, computed over all texts (`exact_every`)", "high"
        ),
        Metric(
            "exact_kl",
            "nats a text",
            "divergence of the policy from the reference, computed over all texts (`exact_every`)",
            "low for the same gold",
        ),
        Metric(
            "rollout_tokens_per_second",
            "tokens a second",
            "tokens written, divided by the time it took to write them",
            "high",
        ),
        Metric(
            "training_tokens_per_second",
            "tokens a second",
            "tokens times epochs, divided by the time it took to learn from them",
            "high",
        ),
        Metric(
            "alarms",
            "names",
            "alarms of `textgym.agents.lm.health` that hold in this row; missing where none does",
            "missing",
        ),
    ),
)

CURVE = Log(
    "curve",
    "Learning curves",
    "`curve.jsonl` and `run.json` of a run; `training/...` in `tracking.jsonl`, TensorBoard and Weights & Biases",
    "One row for each fiftieth of the budget in which a text ended, from what the environments saw and not from what "
    "the agent says.",
    (
        Metric("steps", "tokens", "tokens written when the stretch ends"),
        Metric("reward", "reward", "mean return of the texts that ended in the stretch", "high"),
        Metric("gold", "gold", "mean true score of a thin sample of them; null where the task has none", "high"),
        Metric("n", "texts", "texts that ended in the stretch"),
        Metric(
            "spread", "reward", "standard deviation of their returns", "0 from the first stretch on: no signal (alarm)"
        ),
        Metric("cut", "share", "texts cut off at the token limit", "low; above 0.85 with a low score is an alarm"),
        Metric("illegal", "share", "texts that an illegal token ended", "low; above 0.2 is an alarm"),
    ),
)

INFO = Log(
    "info",
    "Infos of an environment",
    "the `info` of `reset` and `step`",
    "`action_mask` comes with every step, the others with the step that ends a text. In a vector environment each is "
    "an array, beside which Gymnasium puts `_NAME`, the lanes in which it holds.",
    (
        Metric(
            "action_mask",
            "0 or 1",
            "which ids may be written next; left out for large vocabularies unless `include_mask=True`",
        ),
        Metric("prompt", "text", "the prompt as it was given (vector environments: `text_infos=True`)"),
        Metric("completion", "text", "what was written, decoded once and without special ids (likewise)"),
        Metric("stop_reason", "name", "`eos`, `stop`, `length` or `illegal`", "`illegal` is bad"),
        Metric("num_tokens", "tokens", "tokens that the agent wrote, its end included"),
        Metric("turns", "turns", "turns that the agent took (conversations)"),
        Metric("reward_valid", "true or false", 'false where the reward failed and `on_reward_error="mark"`', "true"),
        Metric("reward_parts", "reward", "name -> value of each term of a combined reward"),
        Metric("gold", "gold", "the true score (`gold=True`)", "high"),
        Metric("success", "true or false", "whether the task is solved (`gold=True`)", "true"),
    ),
)

RECORDING = Log(
    "recording",
    "Recordings",
    "`infos` of an episode that `textgym record` has written, also in Minari's files",
    "One value a step, and one for the state after the last.",
    (
        Metric("prompt_index", "row", "row of the prompt in the task's prompt table"),
        Metric("action_mask", "0 or 1", "which ids were legal"),
        Metric(
            "behavior_log_prob",
            "nats",
            "log-probability of the token under whoever wrote it; missing where the writer does not tell",
        ),
        Metric("prompt", "text", "the prompt, at the end"),
        Metric("completion", "text", "the text, at the end"),
        Metric("stop_reason", "name", "why it ended, at the end"),
        Metric("num_tokens", "tokens", "tokens that the agent wrote, at the end"),
        Metric("turns", "turns", "turns that the agent took, at the end (conversations)"),
        Metric("reward_valid", "true or false", "false where the reward failed, at the end", "true"),
        Metric("reward_parts.TERM", "reward", "a term of a combined reward, at the end"),
    ),
)

TRL = Log(
    "trl",
    "Inside TRL",
    "the metrics that TRL's trainers log",
    "`textgym.integrations.trl` adds these to whatever TRL logs itself.",
    (
        Metric("textgym/illegal", "share", "texts that held an illegal token", "0"),
        Metric("textgym/gold", "gold", "mean true score (`gold=True`)", "high"),
    ),
)

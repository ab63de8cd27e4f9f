"""What comparisons write down: records of runs, tracking, evaluations, searches."""

from __future__ import annotations

from textgym.glossary.entries import Log, Metric

TRACKING = Log(
    "tracking",
    "Tracking",
    "`tracking.jsonl` of a comparison; the numbers also in TensorBoard and Weights & Biases",
    "A line for each event, and for each finished run the points of its learning curve and its final numbers.",
    (
        Metric("event", "name", "what happened: plan, started, progress, finished, point and so on"),
        Metric("time", "seconds", "since 1970"),
        Metric("message", "text", "the event in words"),
        Metric("done", "runs", "finished so far"),
        Metric("total", "runs", "planned"),
        Metric("run", "name", "folder of the run"),
        Metric("agent", "name", "label of the agent"),
        Metric("environment", "name", "id with its arguments"),
        Metric("seed", "", "the run's seed"),
        Metric("step", "tokens", "tokens written"),
        Metric("status", "name", "`ok`, `failed` or `interrupted`", "`ok`"),
        Metric("error", "text", "why a run failed", "empty"),
        Metric("training/NAME", "as in learning curves", "a column of the learning curve"),
        Metric("episodes", "texts", "finished in training"),
        Metric("reward_calls", "texts", "scored by the reward model in training", "low for the same score"),
        Metric("train_seconds", "seconds", "wall time of training", "low"),
        Metric("PLAY/SPLIT/SCORE", "reward or gold", "mean of an evaluation, such as `greedy/test/gold`", "high"),
        Metric("PLAY/SPLIT/SCORE/normalized", "", "the same on the scale random play = 0, best text = 1", "1"),
    ),
)

RECORD = Log(
    "record",
    "The record of a run",
    "`run.json` of a run, a line of `ledger.jsonl`; many of them are columns of `runs.csv`",
    "One for each agent, environment and seed.",
    (
        Metric("spec", "", "what was run: agent, environment, budgets, seed and all else that decides the result"),
        Metric("status", "name", "`ok`, `failed` or `interrupted`", "`ok`"),
        Metric("task", "name", "name of the task"),
        Metric("level", "name", "level of the task"),
        Metric("training_split", "name", "split of the prompts that the agent was trained on"),
        Metric("steps", "tokens", "written in training", "below half of the budget is an alarm"),
        Metric("episodes", "texts", "finished in training"),
        Metric("reward_calls", "texts", "scored by the reward model in training", "low for the same score"),
        Metric("train_seconds", "seconds", "wall time of training", "low"),
        Metric("evaluation_seconds", "seconds", "wall time of all evaluations", "low"),
        Metric("cpu_seconds", "seconds", "processor time of all threads", "low"),
        Metric("gpu_seconds", "seconds", "wall time of a run that used a GPU, times the GPUs it saw", "low"),
        Metric("gpu", "name", "the GPU; empty without"),
        Metric(
            "peak_memory_bytes",
            "bytes",
            "most memory that the process has held; 0 where the system does not tell",
            "low",
        ),
        Metric("measures", "list", "the evaluations, below"),
        Metric(
            "references", "", "split -> score -> what random play, the best fixed text and the best text earn, below"
        ),
        Metric("curve", "list", "the learning curve, above"),
        Metric("tally", "counts", "what an agent with `tally()` counted in the evaluations"),
        Metric("texts", "list", "texts from the start and end of training and from the evaluations"),
        Metric("error", "text", "why the run failed", "empty"),
        Metric("trace", "text", "the traceback", "empty"),
        Metric("failure", "name", "`error`, `timeout`, `memory`, `budget` or `died`", "empty"),
        Metric("stage", "name", "where it failed", "empty"),
        Metric("versions", "", "of Python and of the packages that matter"),
    ),
)

MEASURE = Log(
    "measure",
    "One evaluation in a record",
    "an entry of `measures`",
    "One for each way to play, split and score.",
    (
        Metric("play", "name", "`greedy` or `sampled`"),
        Metric("split", "name", "split of the prompts"),
        Metric("score", "name", "`reward` or `gold`"),
        Metric("mean", "reward or gold", "mean over the texts", "high"),
        Metric("standard_error", "reward or gold", "standard deviation over the texts, divided by √n", "low"),
        Metric(
            "normalized",
            "",
            "(mean − random) / (best − random); null where those are not known",
            "1; above 1 by chance only",
        ),
        Metric("n", "texts", "number of texts"),
        Metric("impossible", "text", "a sentence if the mean is higher than anyone can earn", "null"),
    ),
)

REFERENCES = Log(
    "references",
    "The lines of a task",
    "an entry of `references`",
    "What a return is held against, for one split and one score.",
    (
        Metric("random", "reward or gold", "expected return of uniform play among the legal tokens"),
        Metric("blind", "reward or gold", "best return of one fixed text for all prompts"),
        Metric("best", "reward or gold", "best return when the prompt is read"),
        Metric(
            "inexact", "names", "which of the three are not exact: random is then an estimate, the others lower bounds"
        ),
    ),
)

EVALUATION = Log(
    "evaluation",
    "Metrics of an evaluation",
    "`textgym.evaluate(...).metrics`",
    "What is not defined for a task is left out. [Comparing agents](comparing.md) shows it in use.",
    (
        Metric("mean_return", "reward", "mean return of the texts", "high"),
        Metric("cumulative_return", "reward", "sum of their returns", "high"),
        Metric("mean_gold", "gold", "mean true score", "high; lower than `mean_return` on one scale: hacking"),
        Metric("reward_error", "squared", "mean of (reward − gold)², on the scales as they are", "low"),
        Metric("reward_correlation", "−1 to 1", "Pearson's correlation of reward and gold over the texts", "1"),
        Metric("success", "share", "texts that solve the task", "1"),
        Metric("reward_calls_per_text", "texts", "texts that an agent had scored on the way to one (best-of-n)", "low"),
        Metric("mean_length", "tokens", "tokens a text, its end included"),
        Metric(
            "distinct_1",
            "share",
            "different tokens of all texts, divided by their number of tokens",
            "high is diverse; compare equally many texts only",
        ),
        Metric("distinct_2", "share", "different pairs of neighbours, divided by the number of tokens", "likewise"),
        Metric(
            "duplicate_share",
            "share",
            "texts that repeat an earlier one",
            "low when sampled; high is normal for greedy play",
        ),
        Metric("bleu", "0 to 1", "mean smoothed sentence BLEU with the prompt's references", "high"),
        Metric("chrf", "0 to 1", "mean chrF with the references", "high"),
        Metric("rouge_l", "0 to 1", "mean F1 of the longest common subsequence of words", "high"),
        Metric(
            "cross_entropy",
            "nats a token",
            "mean negative log-probability under a language model, ends included",
            "low is fluent",
        ),
        Metric("perplexity", "", "exp(`cross_entropy`)", "low is fluent"),
        Metric("answers", "count", "answers of a chat model that were looked at"),
        Metric("unparseable", "count", "answers that could not be read as texts", "0"),
        Metric("texts", "count", "texts or turns that a chat model played"),
        Metric("illegal", "count", "texts of a chat model that held an illegal token", "0"),
    ),
)

TRIAL = Log(
    "trial",
    "Trials of a search",
    "`trials` of `textgym bench tune`",
    "One for each set of options; [tuning](tuning.md).",
    (
        Metric("number", "", "0 is the agent with its defaults"),
        Metric("options", "", "what was tried"),
        Metric("state", "name", "`running`, `ok` or `failed`", "`ok`"),
        Metric("value", "", "mean normalised score over tasks and seeds, on training prompts", "1"),
        Metric("scores", "", "task -> mean normalised score over its seeds", "1"),
        Metric("error", "text", "why it failed", "empty"),
        Metric("steps", "tokens", "written by its runs in training"),
        Metric("reward_calls", "texts", "scored for its runs by the reward model"),
        Metric("seconds", "seconds", "training and evaluation of its runs together", "low"),
    ),
)

"""Planted mistakes in the solutions of weeks 4 to 8: a name, the text replaced, and the points that each part loses."""

from __future__ import annotations

Wrong = dict[str, tuple[str, str, dict[str, int]]]

WEEK4: Wrong = {
    "bootstraps past the end": (
        "return np.where(terminated, rewards, rewards + discount * best)",
        "return rewards + discount * best",
        {"targets": 12},
    ),
    "takes a cut for an end": (
        "return np.where(terminated, rewards, rewards + discount * best)",
        "return np.where(terminated | truncated, rewards, rewards + discount * best)",
        {"targets": 5},
    ),
    "takes the maximum over illegal ids": (
        "best = np.where(next_masks, next_q, -np.inf).max(axis=1)",
        "best = next_q.max(axis=1)",
        {"targets": 12},
    ),
    "forgets the discount": ("rewards + discount * best", "rewards + best", {"targets": 30}),
    "lets the target network choose": (
        "chosen = np.where(next_masks, next_online",
        "chosen = np.where(next_masks, next_target",
        {"double targets": 15},
    ),
    "lets the online network value its choice": ("worth = next_target", "worth = next_online", {"double targets": 15}),
    "chooses illegal ids": (
        "chosen = np.where(next_masks, next_online, -np.inf).argmax(axis=1)",
        "chosen = next_online.argmax(axis=1)",
        {"double targets": 6},
    ),
    "adds errors across ends": (
        "discount * decay * np.where(terminated[t], 0.0, carried)",
        "discount * decay * carried",
        {"advantages": 16},
    ),
    "counts restarts as steps": (
        "found[t] = np.where(resets[t], 0.0, carried)",
        "found[t] = carried",
        {"advantages": 8},
    ),
    "gives unfinished lanes no value": (
        "following, carried = last_values,",
        "following, carried = 0.0 * last_values,",
        {"advantages": 14},
    ),
    "forgets lambda": ("error + discount * decay *", "error + discount *", {"advantages": 30}),
    "masks after the softmax": (
        "weights = np.exp(barred - barred.max(axis=1, keepdims=True))\n"
        "    chances = weights / weights.sum(axis=1, keepdims=True)",
        "weights = np.exp(logits - logits.max(axis=1, keepdims=True))\n"
        "    chances = masks * weights / weights.sum(axis=1, keepdims=True)",
        {"clipping": 25},
    ),
    "overflows": ("np.exp(barred - barred.max(axis=1, keepdims=True))", "np.exp(barred)", {"clipping": 3}),
    "has the entropy's sign wrong": ("surprise = -np.log(", "surprise = np.log(", {"clipping": 4}),
    "always clips": (
        "gains = np.minimum(ratios * advantages, clipped * advantages)",
        "gains = clipped * advantages",
        {"clipping": 5},
    ),
    "moves where it is clipped": (
        "moving = np.where(ratios * advantages <= clipped * advantages, ratios * advantages, 0.0)",
        "moving = ratios * advantages",
        {"clipping": 7},
    ),
}

WEEK5: Wrong = {
    "reads the logits one place too late": (
        "logits[:, prompt_width - 1 : -1]",
        "logits[:, prompt_width:]",
        {"log-probabilities": 30},
    ),
    "counts padding": (
        "np.where(written, chosen, 0.0).sum(axis=1)",
        "chosen.sum(axis=1)",
        {"log-probabilities": 16},
    ),
    "leaves the end token out": (
        "np.where(written, chosen, 0.0).sum(axis=1)",
        "np.where(written & (answers != logits.shape[2] - 1), chosen, 0.0).sum(axis=1)",
        {"log-probabilities": 16},
    ),
    "takes the mean over tokens": (
        "np.where(written, chosen, 0.0).sum(axis=1)",
        "np.where(written, chosen, 0.0).sum(axis=1) / lengths",
        {"log-probabilities": 30},
    ),
    "takes the logarithm of the softmax": (
        "return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))",
        "return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=-1, keepdims=True))",
        {"log-probabilities": 5},
    ),
    "walks downhill": (
        "slope = slope * advantages[:, None, None]",
        "slope = -slope * advantages[:, None, None]",
        {"gradient": 30},
    ),
    "takes the sum over the batch": ("[:, None, None] / len(tokens)", "[:, None, None]", {"gradient": 23}),
    "trains on padding": ("return np.where(written[..., None], slope, 0.0)", "return slope", {"gradient": 22}),
    "does not teach the end": (
        "rows, places = np.nonzero(written)",
        "rows, places = np.nonzero(written & (tokens != logits.shape[2] - 1))",
        {"gradient": 22},
    ),
    "has its own return in the baseline": (
        "others = (returns.sum(axis=1, keepdims=True) - returns) / (returns.shape[1] - 1)",
        "others = returns.mean(axis=1, keepdims=True)",
        {"baseline": 20},
    ),
    "has one baseline for all prompts": (
        "return returns - others",
        "return returns - returns.mean()",
        {"baseline": 10},
    ),
    "has no baseline": ("return returns - others", "return returns", {"baseline": 10}),
    "divides by the deviation": (
        "return returns - others",
        "return (returns - others) / (returns.std(axis=1, keepdims=True) + 1e-6)",
        {"baseline": 20},
    ),
    "takes the divergence the wrong way round": (
        "np.exp(policy) * (policy - reference)",
        "np.exp(reference) * (reference - policy)",
        {"divergence": 12},
    ),
    "counts padding in the divergence": (
        "return np.where(is_written(tokens, lengths), per_token, 0.0).sum(axis=1)",
        "return per_token.sum(axis=1)",
        {"divergence": 17},
    ),
    "takes the divergence a token": (
        "return np.where(is_written(tokens, lengths), per_token, 0.0).sum(axis=1)",
        "return np.where(is_written(tokens, lengths), per_token, 0.0).sum(axis=1) / lengths",
        {"divergence": 12},
    ),
}

WEEK6: Wrong = {
    "forgets the sides": ('if judgement["left"] == "b":', "if False:", {"judgements": 25}),
    "takes ties for losses": (
        "wins[left, right] += 0.5\n            wins[right, left] += 0.5",
        "wins[right, left] += 1",
        {"judgements": 8},
    ),
    "throws ties away": ('elif judgement["choice"] == "tie":', "elif False:", {"judgements": 8}),
    "takes skipped pairs for ties": ('elif judgement["choice"] == "tie":', "else:", {"judgements": 6}),
    "turns the margin around": ("np.logaddexp(0.0, -margins)", "np.logaddexp(0.0, margins)", {"fit": 12}),
    "overflows": ("np.logaddexp(0.0, -margins)", "np.log1p(np.exp(-margins))", {"fit": 4}),
    "forgets the penalty": (".sum(axis=1) - penalty * scores", ".sum(axis=1)", {"fit": 13}),
    "takes the share of wins for a fit": (
        "games, scores = wins + wins.T, np.zeros(len(wins))",
        "return np.log(wins.sum(axis=1) / wins.sum(axis=0))\n    games, scores = wins + wins.T, np.zeros(len(wins))",
        {"fit": 23},
    ),
    "fixes the first score at 0": (
        "        scores = scores + np.linalg.solve(curvature, gradient)\n    return scores",
        "        scores = scores + np.linalg.solve(curvature, gradient)\n    return scores - scores[0]",
        {"fit": 23},
    ),
    "splits comparisons": (
        "return [prompt in held_out for prompt in prompts]",
        "return list(np.random.default_rng(seed).random(len(prompts)) < share)",
        {"split": 13},
    ),
    "ignores the seed": ("np.random.default_rng(seed)", "np.random.default_rng(0)", {"split": 3}),
    "takes the mean chance of left": (
        "return np.maximum(chances, 1.0 - chances).mean()",
        "return chances.mean()",
        {"accuracy": 11},
    ),
    "believes in a perfect judge": (
        "return np.maximum(chances, 1.0 - chances).mean()",
        "return 1.0",
        {"accuracy": 11},
    ),
    "multiplies by the temperature": ("(right - left) / temperature", "(right - left) * temperature", {"accuracy": 11}),
    "counts ties as wrong": (
        "            continue",
        "            agreements.append(0.0)\n            continue",
        {"accuracy": 3},
    ),
    "counts equal scores as wrong": ("agreements.append(0.5)", "agreements.append(0.0)", {"accuracy": 3}),
}

WEEK7: Wrong = {
    "forgets that a better draw may come": (
        "(min(below + here, 1.0) ** n - below**n)",
        "min(below + here, 1.0) ** n",
        {"best of n": 24, "peak of gold": 25},
    ),
    "forgets the reference": (
        "policy[seen] = reference[seen] * np.exp(",
        "policy[seen] = np.exp(",
        {"tilted policy": 9},
    ),
    "multiplies by the temperature": ("proxy[seen] / temperature", "proxy[seen] * temperature", {"tilted policy": 18}),
    "overflows": ("np.exp(exponents - exponents.max())", "np.exp(exponents)", {"tilted policy": 9}),
    "compares with texts that are never written": (
        "np.exp(exponents - exponents.max())",
        "np.exp(exponents - proxy.max() / temperature)",
        {"tilted policy": 4},
    ),
    "takes the divergence the wrong way round": (
        "(policy[seen] * np.log(policy[seen] / reference[seen])).sum()",
        "(reference[seen] * np.log(reference[seen] / policy[seen])).sum()",
        {"tilted policy": 7, "peak of gold": 6},
    ),
    "takes 0 log 0 for a number": (
        "seen = policy > 0",
        "seen = policy > -1",
        {"tilted policy": 3, "peak of gold": 6},
    ),
    "trusts the formula for the divergence": (
        "points.append([divergence(policy, reference),",
        "points.append([np.log(n) - (n - 1) / n,",
        {"peak of gold": 6},
    ),
    "looks at the reference's gold": ("policy @ gold", "reference @ gold", {"peak of gold": 15}),
    "takes the proxy's peak": ("[point[2] for point in", "[point[1] for point in", {"peak of gold": 10}),
    "takes the mean of the ensemble": ("np.min(scaled, axis=0)", "np.mean(scaled, axis=0)", {"ensemble": 12}),
    "takes the scores as they are": ("(member - mean) / deviation", "member", {"ensemble": 20}),
    "only centres the members": ("(member - mean) / deviation", "member - mean", {"ensemble": 20}),
    "takes moments without the reference": ("mean = reference @ member", "mean = member.mean()", {"ensemble": 12}),
}

WEEK8: Wrong = {
    "leaves failed runs out": (
        'value = run["value"] if run["status"] == "ok" else low',
        'value = run["value"]\n        if value is None:\n            continue',
        {"scores": 10},
    ),
    "gives failed runs the return 0": ('== "ok" else low', '== "ok" else 0.0', {"scores": 10}),
    "divides by the best return": ("/ (high - low)", "/ high", {"scores": 18}),
    "rounds the quarter up": ("cut = len(ordered) // 4", "cut = -(-len(ordered) // 4)", {"scores": 6}),
    "cuts the worst alone": ("ordered[cut : len(ordered) - cut]", "ordered[cut:]", {"scores": 12}),
    "takes the mean": ("ordered[cut : len(ordered) - cut]", "ordered", {"scores": 12}),
    "draws over tasks": (
        "drawn = [task[rng.integers(len(task), size=(2000, len(task)))] for task in tasks]",
        "pool = np.concatenate(tasks)\n    drawn = [pool[rng.integers(len(pool), size=(2000, len(pool)))]]",
        {"intervals": 12},
    ),
    "draws without replacement": (
        "task[rng.integers(len(task), size=(2000, len(task)))]",
        "rng.permuted(np.tile(task, (2000, 1)), axis=1)",
        {"intervals": 22, "paired comparison": 20},
    ),
    "takes the quantiles of the scores": (
        "np.quantile(resampled_means(tasks, seed), [0.025, 0.975])",
        "np.quantile(np.concatenate(tasks), [0.025, 0.975])",
        {"intervals": 12, "paired comparison": 12},
    ),
    "takes the middle half": ("[0.025, 0.975]", "[0.25, 0.75]", {"intervals": 22, "paired comparison": 20}),
    "ignores the seed": ("np.random.default_rng(seed)", "np.random.default_rng()", {"intervals": 8}),
    "draws both sides apart": (
        "    gaps = [",
        "    ours, theirs = ([np.asarray(task) for task in side] for side in (left, right))\n"
        "    return tuple(\n"
        "        np.quantile(resampled_means(ours, seed) - resampled_means(theirs, seed + 1), [0.025, 0.975])\n"
        "    )\n"
        "    gaps = [",
        {"paired comparison": 12},
    ),
    "takes left from right": (
        "np.asarray(a, dtype=float) - np.asarray(b, dtype=float)",
        "np.asarray(b, dtype=float) - np.asarray(a, dtype=float)",
        {"paired comparison": 20},
    ),
    "evaluates on training prompts": (
        'if episode["split"] == "test":',
        'if episode["split"] == "train":',
        {"held-out prompts": 20},
    ),
    "evaluates on all prompts": ('if episode["split"] == "test":', "if True:", {"held-out prompts": 20}),
    "counts episodes": (
        "return np.mean([np.mean(values) for values in by_prompt.values()])",
        "return np.mean([value for values in by_prompt.values() for value in values])",
        {"held-out prompts": 13},
    ),
    "turns the gap around": (
        "return seen - held_out_return(episodes)",
        "return held_out_return(episodes) - seen",
        {"held-out prompts": 6},
    ),
}

WEEKS: dict[str, Wrong] = {"week4": WEEK4, "week5": WEEK5, "week6": WEEK6, "week7": WEEK7, "week8": WEEK8}

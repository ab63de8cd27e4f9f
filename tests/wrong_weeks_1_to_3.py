"""Planted mistakes: the teacher's solution with one place changed, and the points that it has to lose by that."""

from __future__ import annotations

Mistake = tuple[str, str, dict[str, int]]
"""What stands in the solution, what stands there instead, and part -> points lost."""

WEEK1: dict[str, Mistake] = {
    "the first reward is discounted, too": (
        "total = reward + gamma * total",
        "total = gamma * (reward + total)",
        {"returns": 10},
    ),
    "gamma is ignored in returns": ("total = reward + gamma * total", "total = reward + total", {"returns": 10}),
    "no number for an episode without rewards": (
        "    total = 0.0\n    for reward in",
        "    total = 0.0 if rewards else None\n    for reward in",
        {"returns": 5},
    ),
    "the end id is always legal": ("if len(state) >= problem.shortest:", "if True:", {"legal actions": 20}),
    "a text may begin with the booster": ("ids.remove(problem.booster)", "pass", {"legal actions": 8}),
    "a word may stand after itself": ("ids.remove(state[-1])", "pass", {"legal actions": 12}),
    "words of the prompt may be written": (
        "ids = list(range(len(problem.words)))",
        "ids = list(range(problem.eos))",
        {"legal actions": 20},
    ),
    "it goes on after the end": (
        "if len(state) >= problem.budget or problem.eos in state:",
        "if len(state) > problem.budget:",
        {"legal actions": 5},
    ),
    "the score is paid at every step": (
        "problem.score(problem.text(following)) if over else 0.0",
        "problem.score(problem.text(following))",
        {"transitions": 12},
    ),
    "a text ends with the end id alone": (
        "over = action == problem.eos or len(following) == problem.budget",
        "over = action == problem.eos",
        {"transitions": 20},
    ),
    "the first word falls out of the state": (
        "following = (*state, action)\n    over",
        "following = (*state[1:], action)\n    over",
        {"transitions": 25},
    ),
    "it averages over one id too many": (
        "return total / len(actions)",
        "return total / (len(actions) + 1)",
        {"uniform policy": 30},
    ),
    "gamma is forgotten in the expected return": (
        "total += reward if over else reward + gamma * value(following)",
        "total += reward if over else reward + value(following)",
        {"uniform policy": 10},
    ),
    "the expected return is rounded": ("return value(())", "return round(value(()), 2)", {"uniform policy": 30}),
}

WEEK2: dict[str, Mistake] = {
    "the last id is taken, not the best": (
        "best = max(best, reward + gamma * future)",
        "best = reward + gamma * future",
        {"optimal values": 25},
    ),
    "gamma is ignored in V": ("reward + gamma * future)", "reward + future)", {"optimal values": 10}),
    "the step's own reward is discounted": (
        "reward + gamma * future)",
        "gamma * (reward + future))",
        {"optimal values": 10},
    ),
    "the last reward counts twice": ("future = 0.0 if over", "future = reward if over", {"optimal values": 25}),
    "Q without the future": ("reward + gamma * visit(following)", "0.0 * visit(following)", {"action values": 14}),
    "values for illegal ids": (
        "table[state] = row",
        "table[state] = {**dict.fromkeys(range(game.eos), 0.0), **row}",
        {"action values": 4},
    ),
    "of equal values the largest id": ("action = min(a for", "action = max(a for", {"action values": 4}),
    "the last id is left out": ("return list(state)", "return list(state)[:-1]", {"action values": 12}),
    "the regret is turned round": ("best(()) - value(())", "value(()) - best(())", {"regret": 20}),
    "only the likeliest id counts": (
        "for action, probability in policy[state].items():",
        "for action, probability in [(max(policy[state], key=policy[state].get), 1.0)]:",
        {"regret": 12},
    ),
    "a sum where the mean should be": (
        "sum(math.exp(x - top) for x in scaled) / len(scaled)",
        "sum(math.exp(x - top) for x in scaled)",
        {"soft value": 20},
    ),
    "temperature turned round": (
        "temperature * (top + math.log(mean))",
        "(top + math.log(mean)) / temperature",
        {"soft value": 20},
    ),
    "exp of large numbers": ("top = max(scaled)", "top = 0.0", {"soft value": 8}),
}

WEEK3: dict[str, Mistake] = {
    "V without the future": (
        "(reward + future - q[action])",
        "(reward - q[action])",
        {"regret": 40, "values": 25, "exploration": 7},
    ),
    "max over s instead of s'": (
        "later = self.row(following, env.num_actions)",
        "later = self.row(observation, env.num_actions)",
        {"regret": 40, "values": 25, "exploration": 7},
    ),
    "the reward is halved": ("(reward + future - q[action])", "(0.5 * reward + future - q[action])", {"values": 25}),
    "no exploration": (
        "epsilon = max(0.05, 1.0 - step / (0.8 * steps))",
        "epsilon = 0.0",
        {"regret": 40, "values": 25, "exploration": 15, "conduct": 5},
    ),
    "exploration to the end": (
        "epsilon = max(0.05, 1.0 - step / (0.8 * steps))",
        "epsilon = 1.0",
        {"exploration": 7},
    ),
    "act looks at illegal ids": (
        "return best_of(self.row(observation, len(action_mask)), action_mask)",
        "return int(np.argmax(self.row(observation, len(action_mask))))",
        {"regret": 40},
    ),
    "act draws its ids": (
        "return best_of(self.row(observation, len(action_mask)), action_mask)",
        "return self.explore(observation, action_mask)",
        {"regret": 40},
    ),
    "now and then any id is explored": (
        "return int(self.rng.choice(rarest))",
        "return int(self.rng.integers(len(mask)) if self.rng.random() < 0.04 else self.rng.choice(rarest))",
        {"conduct": 5},
    ),
    "one step too many": ("for step in range(steps):", "for step in range(steps + 1):", {"conduct": 5}),
    "the seed is not used": ("np.random.default_rng(seed)", "np.random.default_rng(0)", {"conduct": 5}),
    "the clock is the seed": ("np.random.default_rng(seed)", "np.random.default_rng()", {"conduct": 5}),
    "value of the best id for every id": ("float(row[action])", "float(row.max())", {"values": 15}),
    "the prompt is not looked at": (
        "return self.q.setdefault(observation.tobytes(), np.zeros(size))",
        "return self.q.setdefault(observation[3:].tobytes(), np.zeros(size))",
        {"regret": 40, "values": 25, "exploration": 7},
    ),
}

WEEKS = {"week1": WEEK1, "week2": WEEK2, "week3": WEEK3}

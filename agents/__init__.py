"""Reference agents, from a coin to a policy gradient; ``textgym.agents.registry`` lists them."""

"""Agents that learn from a recording, without an environment: behaviour cloning and conservative Q-learning."""

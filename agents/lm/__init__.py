"""Agents that are causal language models: they write token by token through the vector environment.

``model.py`` is the policy and ``rollout.py`` lets it write; each algorithm is one file that reads top to bottom.
"""

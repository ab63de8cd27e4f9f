"""The simplest agent that a benchmark takes: it learns nothing and writes the first legal token."""


class FirstLegal:
    """Lacks ``learn``; whoever needs one that goes wrong adds it."""

    def act(self, observations, action_masks=None, *, deterministic=True, episode_starts=None):
        return action_masks.argmax(axis=1)

    def save(self, path):
        path.mkdir()

    @classmethod
    def load(cls, path):
        return cls()

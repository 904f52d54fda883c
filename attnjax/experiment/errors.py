"""How a run can end badly without anybody's input being wrong (that is attnjax.config.InputError)."""


class RunFailed(Exception):
    """Training itself failed, as when it diverged; the message says what to do."""

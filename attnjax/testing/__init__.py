"""Floor 3: what proves that an attention mechanism keeps its promises, ours or a user's."""

from attnjax.testing.checks import CHECKS
from attnjax.testing.conformance import Finding, Report, conformance
from attnjax.testing.subject import Subject

__all__ = ["CHECKS", "Finding", "Report", "Subject", "conformance"]

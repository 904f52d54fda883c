"""conformance(): every promise of a mechanism, measured."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import jax

from attnjax.testing.checks import CHECKS, NotApplicable
from attnjax.testing.subject import LayerFactory, Subject, subject_of

Verdict = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True)
class Finding:
    """A check's verdict: the largest difference found, the bound, and where it was or why there is none."""

    check: str
    verdict: Verdict
    value: float | None
    bound: float
    where: str

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.check:<12} {self.verdict}: {self.where}"
        return f"{self.check:<12} {self.verdict}: {self.value:.1e} (bound {self.bound:.0e}), {self.where}"


@dataclass(frozen=True)
class Report:
    """All findings on one mechanism; printable."""

    subject: str
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings of checks that failed."""
        return tuple(finding for finding in self.findings if finding.verdict == "failed")

    def __str__(self) -> str:
        return "\n".join([self.subject, *map(str, self.findings)])

    def require(self) -> None:
        """Raises AssertionError with the whole report where a check failed."""
        if self.failed:
            raise AssertionError(f"\n{self}")


def conformance(
    mechanism: str | LayerFactory | Subject,
    *,
    checks: Iterable[str] | None = None,
    progress: Callable[[str], None] | None = None,
    **promises: Any,
) -> Report:
    """Measures whether a mechanism keeps its promises, in float64 on a small layer.

    Args:
      mechanism: its name, or a `LayerFactory` that makes a layer of one's own.
      checks: the names of those to run; None: all of `CHECKS`.
      progress: called with the name of each check before it runs.
      **promises: the fields of `Subject` beside `make`, for a layer of one's own.

    Returns:
      The report; `require()` raises for what failed, as a test wants it.

    Raises:
      InputError, ValueError: there is no such mechanism; no such check.

    Example:
      >>> from attnjax.nn import Attention
      >>> report = conformance(Attention, checks=["future"])
      >>> report.findings[0].verdict
      'passed'
    """
    subject = _subject(mechanism, promises)
    chosen = list(CHECKS) if checks is None else list(checks)
    for name in chosen:
        if name not in CHECKS:
            raise ValueError(f"checks: {name!r} is none, expected some of {', '.join(CHECKS)}")
    findings = []
    with jax.enable_x64(True), few_optimizations():
        for name in chosen:
            if progress is not None:
                progress(name)
            findings.append(_found(name, subject))
    title = mechanism if isinstance(mechanism, str) else getattr(subject.make, "__name__", "a layer")
    return Report(title, tuple(findings))


@contextmanager
def few_optimizations() -> Iterator[None]:
    """Compiles quickly: every program here runs a few times on small arrays."""
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    jax.config.update(name, True)
    try:
        yield
    finally:
        jax.config.update(name, before)


def _subject(mechanism: str | LayerFactory | Subject, promises: dict[str, Any]) -> Subject:
    if isinstance(mechanism, Subject):
        return mechanism
    if not isinstance(mechanism, str):
        return Subject(mechanism, **promises)
    return subject_of(mechanism)


def _found(name: str, subject: Subject) -> Finding:
    check = CHECKS[name]
    try:
        _ = subject.split  # Made here: inside a trace its arrays would be those of the trace.
        measured = check.measure(subject)
    except NotApplicable as reason:
        return Finding(name, "not applicable", None, check.bound, str(reason))
    except Exception as error:
        line = str(error).strip().partition("\n")[0]
        return Finding(name, "failed", None, check.bound, f"{type(error).__name__}: {line}")
    verdict: Verdict = "passed" if measured.value <= check.bound else "failed"
    return Finding(name, verdict, measured.value, check.bound, measured.where)

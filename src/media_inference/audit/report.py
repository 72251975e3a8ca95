"""What an audit came to."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from media_inference.audit.finding import Check, Finding

MOST_SHOWN = 100
"""Findings of one kind that are kept to be shown; the others are counted, so that a million fit into memory."""


@dataclass(slots=True)
class Report:
    """Findings by kind: how many, how many of them were mended, and the first of each."""

    found: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    shown: list[Finding] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Findings that are still so."""
        return self.found.total() - self.mended.total()

    def note(self, findings: Iterable[Finding], *, mended: bool) -> None:
        """Adds findings."""
        for finding in findings:
            if self.found[finding.kind] < MOST_SHOWN:
                self.shown.append(finding)
            self.found[finding.kind] += 1
            self.mended[finding.kind] += mended

    def as_json(self) -> dict[str, object]:
        """As an object."""
        kinds = {kind: {"found": count, "mended": self.mended[kind]} for kind, count in self.found.items()}
        findings = [asdict(finding) for finding in self.shown]
        return {"found": self.found.total(), "left": self.left, "kinds": kinds, "findings": findings}


def audit(checks: Mapping[str, Check], *, fix: bool, on_check: Callable[[str], None] = lambda _name: None) -> Report:
    """Runs the checks one after the other; with ``fix`` each batch is mended as soon as it is found.
    ``on_check`` hears the name of each before it begins.

    Raises what the database and the stores raise: an audit that could not look has no result.
    """
    report = Report()
    for name, check in checks.items():
        on_check(name)
        for batch in check():
            mending = batch.mend if fix else None
            if mending is not None:
                mending()
            report.note(batch.findings, mended=mending is not None)
    return report

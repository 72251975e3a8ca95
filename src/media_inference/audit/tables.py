"""The tables against each other."""

from collections.abc import Iterator
from functools import partial

from media_inference.audit.finding import Batch, Finding
from media_inference.queue.rules import Rules


def check_tables(rules: Rules) -> Iterator[Batch]:
    """Rows that break a rule."""
    for rule in rules.all:
        for ids in rules.broken(rule):
            findings = [Finding(rule.name, str(row), rule.what, rule.remedy) for row in ids]
            yield Batch(findings, None if rule.mend is None else partial(rules.mend, rule, ids))

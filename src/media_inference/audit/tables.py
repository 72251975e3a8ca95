"""The tables against each other, events among them."""

from collections.abc import Iterator, Sequence
from functools import partial

from media_inference.audit.finding import Batch, Finding
from media_inference.queue.rule import Rule
from media_inference.queue.rules import Rules


def check_tables(rules: Rules) -> Iterator[Batch]:
    """Rows that break a rule of jobs."""
    yield from _check(rules, rules.of_jobs)


def check_events(rules: Rules) -> Iterator[Batch]:
    """Rows that break a rule of events. What a repair does to a job is told, so this comes last."""
    yield from _check(rules, rules.of_events)


def _check(rules: Rules, some: Sequence[Rule]) -> Iterator[Batch]:
    for rule in some:
        for ids in rules.broken(rule):
            findings = [Finding(rule.name, str(row), rule.what, rule.remedy) for row in ids]
            yield Batch(findings, None if rule.mend is None else partial(rules.mend, rule, ids))

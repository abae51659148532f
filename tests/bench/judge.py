"""Turns samples into what the tables say: medians, spread, ratios, and whether a goal is met."""

import dataclasses
import statistics


@dataclasses.dataclass(frozen=True)
class Entry:
    """One server in one row. ratio: ours to this one's."""

    name: str
    median: float = None
    least: float = None
    most: float = None
    samples: tuple = ()
    failed: str = None
    ratio: float = None


@dataclasses.dataclass(frozen=True)
class Judged:
    """One row: ours first. best is the name of the best peer; met is None without a goal."""

    row: object
    entries: tuple
    best: str = None
    met: bool = None

    @property
    def ours(self):
        return next((entry for entry in self.entries if entry.name == "ours"), None)


def _ratio(ours, figures):
    """Of pairs where they were measured in pairs, else of samples of the same round where there are as many, so that what the machine did in a round
    counts for both; otherwise of the medians. None where the other is nothing."""
    theirs = figures.samples
    if figures.ours_beside:
        ours = figures.ours_beside
    if min(theirs) <= 0:
        return None
    if len(ours) == len(theirs):
        return statistics.median(a / b for a, b in zip(ours, theirs))
    return statistics.median(ours) / statistics.median(theirs)


def _entry(name, figures, ours):
    samples = tuple(figures.samples)
    if not samples:
        return Entry(name, failed=figures.failed or "was not measured")
    return Entry(
        name,
        statistics.median(samples),
        min(samples),
        max(samples),
        samples,
        # What came after some samples is told beside them.
        figures.failed,
        _ratio(ours, figures) if ours and name != "ours" else None,
    )


def _meets(goal, ours, best):
    if goal.relative:
        return best.ratio is not None and best.ratio <= goal.limit
    if goal.at_least:
        return (ours.least if goal.each else ours.median) >= goal.limit
    return (ours.most if goal.each else ours.median) <= goal.limit


def judge(row, results):
    """results: figures by the names of the servers, in the order of the table."""
    samples = results["ours"].samples if "ours" in results else []
    entries = tuple(_entry(name, figures, samples) for name, figures in results.items())
    peers = [entry for entry in entries if entry.name != "ours" and entry.median is not None]
    best = min(peers, key=lambda entry: entry.median, default=None)
    judged = Judged(row, entries, best.name if best else None)
    ours = judged.ours
    if row.goal is None or ours is None or (row.goal.relative and best is None):
        return judged
    met = ours.median is not None and not ours.failed and _meets(row.goal, ours, best)
    return dataclasses.replace(judged, met=met)

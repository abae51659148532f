"""Writes what was measured: tables for a terminal, Markdown, JSON."""

import json

from .servers import SERVERS


def number(value):
    """Three digits that matter, and no more."""
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def goal_text(row):
    goal = row.goal
    if goal is None:
        return "none"
    if goal.relative:
        return f"at most {goal.limit:g} times the best peer"
    bound = "at least" if goal.at_least else "at most"
    text = f"{bound} {goal.limit:g} {row.unit}".rstrip()
    return f"{text}, each time" if goal.each else text


def verdict(judged):
    """The goal and what became of it, with the figure that decides."""
    if judged.row.goal is None:
        return "no goal"
    if judged.met is None:
        return f"goal: {goal_text(judged.row)}; not judged"
    text = f"goal: {goal_text(judged.row)}; {'met' if judged.met else 'MISSED'}"
    best = next((entry for entry in judged.entries if entry.name == judged.best), None)
    if best is not None and best.ratio is not None:
        text += f"; ours is {number(best.ratio)} times the best peer ({SERVERS[best.name].title})"
    return text


def _cells(entry, row):
    title = SERVERS[entry.name].title
    if entry.median is None:
        return [title, "–", "", "", entry.failed]
    spread = f"{number(entry.least)} – {number(entry.most)}" if len(entry.samples) > 1 else ""
    ratio = number(entry.ratio) if entry.ratio is not None else ""
    return [title, f"{number(entry.median)} {row.unit}".rstrip(), spread, ratio, entry.failed or ""]


HEAD = ["server", "median", "spread", "ours / it", ""]


def terminal(judged):
    """One table for each row."""
    lines = []
    for one in judged:
        table = [HEAD, *(_cells(entry, one.row) for entry in one.entries)]
        widths = [max(len(cells[i]) for cells in table) for i in range(len(HEAD))]
        lines += ["", one.row.title]
        for cells in table:
            text = cells[0].ljust(widths[0])
            text += "".join("  " + cells[i].rjust(widths[i]) for i in (1, 2, 3))
            lines.append(f"  {text}  {cells[4]}".rstrip())
        lines.append("  " + verdict(one))
    return "\n".join(lines) + "\n"


def markdown(judged, about):
    """The page that is kept beside the source: one table, a column for each server."""
    names = [name for name in SERVERS if any(e.name == name for one in judged for e in one.entries)]
    head = ["", "goal", *(_with_version(name, about) for name in names)]
    origin = "Written by `make bench`; see [README.md](README.md)."
    lines = ["# Results", "", f"{origin} {about_text(about)}", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    notes = []
    for one in judged:
        entries = {entry.name: entry for entry in one.entries}
        mark = {None: "", True: " ✓", False: " ✗"}[one.met]
        unit = f", {one.row.unit}" if one.row.unit else ""
        goal = goal_text(one.row) if one.row.goal else ""
        cells = [one.row.title + unit, goal]
        for name in names:
            cells.append(_cell(entries.get(name), mark if name == "ours" else "", notes))
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "Medians; the smallest and the largest sample in brackets; and what ours is of it."]
    lines += [f"\n[{place}] {note}" for place, note in enumerate(notes, 1)]
    lines += ["", "## Where ours is behind", "", *(behind(judged) or ["Nowhere in this run."])]
    return "\n".join(lines) + "\n"


def behind(judged):
    """A line for each goal that is missed and for each row in which a peer is better."""
    lines = []
    for one in judged:
        better = [
            f"{SERVERS[entry.name].title} {number(entry.median)} {one.row.unit}".rstrip()
            for entry in one.entries
            if entry.name != "ours" and entry.median is not None and _better(entry, one.ours)
        ]
        parts = [f"goal missed ({goal_text(one.row)})"] if one.met is False else []
        parts += ["better are " + ", ".join(better)] if better else []
        if parts:
            ours = f"{number(one.ours.median)} {one.row.unit}".rstrip()
            lines.append(f"* {one.row.title}: ours {ours}; {'; '.join(parts)}.")
    return lines


def _better(entry, ours):
    """In every row that has peers less is better."""
    return ours is not None and ours.median is not None and entry.median < ours.median


def _with_version(name, about):
    program, comma, kind = SERVERS[name].title.partition(",")
    return f"{program} {about['versions'][name]}{comma}{kind}"


def _cell(entry, mark, notes):
    if entry is None:
        return ""
    text = f"{number(entry.median)}{mark}"
    if entry.median is not None and entry.name == "ours":
        text = f"**{number(entry.median)}**{mark}"
    if len(set(entry.samples)) > 1:
        text += f" ({number(entry.least)} – {number(entry.most)})"
    if entry.ratio is not None:
        text += f"; ours {number(entry.ratio)}"
    if entry.failed:
        note = f"{SERVERS[entry.name].title}: {entry.failed}"
        if note not in notes:
            notes.append(note)
        text += f" [{notes.index(note) + 1}]"
    return text


def about_text(about):
    return (
        f"Measured on {about['date']} on {about['cores']} cores of {about['processor']}, "
        f"{about['memory_gb']} GB, {about['system']}, Linux {about['kernel']}, "
        f"in {about['minutes']} minutes; the load by others before was {about['load']:g}."
    )


def as_json(judged, about):
    rows = [
        {
            "name": one.row.name,
            "title": one.row.title,
            "unit": one.row.unit,
            "goal": goal_text(one.row),
            "met": one.met,
            "best_peer": one.best,
            "servers": {entry.name: _as_dict(entry) for entry in one.entries},
        }
        for one in judged
    ]
    return json.dumps({"about": about, "rows": rows}, indent=1, ensure_ascii=False) + "\n"


def _as_dict(entry):
    fields = {name: getattr(entry, name) for name in ("median", "least", "most", "ratio", "failed")}
    return {**fields, "samples": list(entry.samples)}

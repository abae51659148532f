"""Draws the rows that every server has a figure in as bars: one panel a row, ours in colour.

The picture has a ground of its own, so that it looks the same on a light and on a dark page.
"""

from xml.sax.saxutils import escape

from .report import goal_text, number
from .servers import SERVERS

# The panels, in reading order, with what their title says in few words.
PANELS = {
    "fetch13": "CPU per fetch, TLS 1.3, P-256",
    "fetch12": "CPU per fetch, TLS 1.2, P-256",
    "exchange13": "CPU per fetch, TLS 1.3, clients with P-256 only",
    "p384": "CPU per fetch, TLS 1.3, P-384",
    "rsa2048": "CPU per fetch, TLS 1.3, RSA-2048",
    "rsa4096": "CPU per fetch, TLS 1.3, RSA-4096",
    "many-start": "{domains:,} certificates: start to first fetch",
    "many-memory": "{domains:,} certificates: memory",
    "reload": "{domains:,} certificates: reload of one change",
    "idle-connection": "Memory per idle TLS connection",
    "shared-start": "{shared:,} domains: start to first fetch",
    "shared-memory": "{shared:,} domains: memory",
    "single-start": "One domain: start to first fetch",
    "single-memory": "One domain: memory",
}
COLUMNS, WIDTH, MARGIN, GAP = 2, 880, 24, 32
PANEL = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
HEAD, TITLE, BAR, STEP = 78, 44, 11, 16
LABEL, VALUE = 118, 62
# Letters that fit in a panel.
REASON = 28

STYLE = """
text { font: 12px -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
       fill: #1f2328 }
.head { font-size: 20px; font-weight: 600 }
.title { font-size: 13px; font-weight: 600 }
.soft { fill: #656d76; font-size: 11px }
.name { text-anchor: end; fill: #424a53; font-size: 11px }
.value { font-size: 11px }
.own { fill: #0a6b52; font-weight: 700 }
.bar { fill: #b4c0cc } .bar.own { fill: #12936f }
.goal { stroke: #cf5b16; stroke-width: 2 }
"""


def _text(x, y, words, kind):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def _goal_value(judged):
    """Where on the axis the goal lies."""
    goal = judged.row.goal
    if goal is None:
        return None
    if not goal.relative:
        return goal.limit
    best = next((entry for entry in judged.entries if entry.name == judged.best), None)
    return best.median * goal.limit if best else None


def _subtitle(judged):
    outcome = {True: "met", False: "missed", None: "not judged"}[judged.met]
    return f"{judged.row.unit}; goal {goal_text(judged.row)}: {outcome}"


def _reason(failed):
    """Of a reason what fits; the page beside the picture has it all."""
    return failed.partition(":")[0][:REASON]


def _panel(judged, title, x, y):
    parts = [_text(x, y + 12, title, "title"), _text(x, y + 28, _subtitle(judged), "soft")]
    goal = _goal_value(judged) or 0
    most = max([goal, *(entry.median or 0 for entry in judged.entries)]) or 1
    left, room = x + LABEL, PANEL - LABEL - VALUE
    for place, entry in enumerate(judged.entries):
        top = y + TITLE + place * STEP
        base = top + BAR - 1.5
        own = " own" if entry.name == "ours" else ""
        parts.append(_text(left - 8, base, SERVERS[entry.name].short, f"name{own}"))
        if entry.median is None:
            parts.append(_text(left, base, _reason(entry.failed), "soft"))
            continue
        end = left + max(1.5, room * max(0, entry.median) / most)
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{end - left:.1f}" height="{BAR}" rx="2"'
            f' class="bar{own}"/>'
        )
        if own and goal:
            at = left + room * goal / most
            parts.append(f'<path d="M{at:.1f} {top - 3:.1f}v{BAR + 6}" class="goal"/>')
            end = max(end, at)
        parts.append(_text(end + 6, base, number(entry.median), f"value{own}"))
    return parts


def draw(judged, about, words):
    """words fill the numbers of domains in. The picture as SVG."""
    panels = {one.row.name: one for one in judged}
    named = [name for name in PANELS if name in panels]
    shown = [(panels[name], PANELS[name].format(**words)) for name in named]
    parts, y = [], HEAD
    for start in range(0, len(shown), COLUMNS):
        row = shown[start : start + COLUMNS]
        for column, (one, title) in enumerate(row):
            parts += _panel(one, title, MARGIN + column * (PANEL + GAP), y)
        y += TITLE + max(len(one.entries) for one, _ in row) * STEP + 22
    note = f"{about['date']}, {about['cores']} cores of {about['processor']}, {about['system']}"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}"'
        f' viewBox="0 0 {WIDTH} {y}" role="img" aria-label="mta-sts-httpd beside other servers">',
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{y - 1}" rx="8" fill="#ffffff"'
        ' stroke="#d0d7de"/>',
        _text(MARGIN, 36, "Serving one policy, beside general web servers", "head"),
        _text(MARGIN, 56, f"Shorter is better; the mark is the goal. {note}", "soft"),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"

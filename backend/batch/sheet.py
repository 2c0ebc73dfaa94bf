"""``batch.html``: every person with preview, seconds and reasons, in one page without scripts."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from backend.batch.batch_file import BatchFile, Row

_REFRESH_SECONDS = 10
_WORDS = {"done": "done", "kept": "done before", "failed": "failed", "waiting": "waiting"}
_STYLE = """\
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em; background: #fff; color: #222; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .4em .8em; border-top: 1px solid #ddd; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td img { display: block; width: 320px; height: auto; min-height: 60px; background: #f4f4f4; }
tr.failed td.status { color: #a00; font-weight: bold; }
tr.waiting { color: #888; }
pre { white-space: pre-wrap; max-width: 50em; font-size: 12px; }
@media (prefers-color-scheme: dark) { body { background: #1c1c1c; color: #ddd; } th, td { border-color: #444; }
  td img { background: #333; } tr.failed td.status { color: #f88; } }"""


def sheet(file: BatchFile) -> str:
    """The page, failed people first. During the run it asks the browser to reload."""
    counts = file.counts
    told = ", ".join(f"{counts[status]} {words}" for status, words in _WORDS.items() if counts.get(status))
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">\n' if file.state == "running" else ""
    order = {"failed": 0, "done": 1, "kept": 1, "waiting": 2}
    rows = "\n".join(_row(row) for row in sorted(file.people, key=lambda row: order[row.status]))
    peak = "" if file.worker_peak_mb is None else f", at most {file.worker_peak_mb:.0f} MB each"
    workers = f"{file.workers} worker{'s' * (file.workers != 1)}{peak}"
    return f"""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh}<title>{escape(file.manifest)}: {escape(told)}</title>
<style>
{_STYLE}
</style>
</head>
<body>
<h1>{escape(file.manifest)}</h1>
<p>{escape(told)}; {file.state} after {file.seconds:.0f} s with {workers}. Written {escape(file.written)}.</p>
<table>
<tr><th>person</th><th>preview</th><th>state</th><th>seconds</th><th>photos</th><th></th></tr>
{rows}
</table>
</body>
</html>
"""


def _row(row: Row) -> str:
    name = escape(row.name) or f"line {row.line}"
    preview = ""
    if row.folder:
        folder = quote(row.folder, errors="surrogatepass")
        name = f'<a href="{folder}/">{name}</a>'
        picture = f'<img src="{folder}/preview.png" loading="lazy" alt="preview">'
        preview = f'<a href="{folder}/preview.png">{picture}</a>'
    seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
    photos = "" if row.photos_given is None else f"{row.photos_used or 0} of {row.photos_given}"
    reason = escape(f"{row.reason} {row.advice}".strip())
    if row.detail:
        reason += f"<pre>{escape(row.detail)}</pre>"
    return (
        f'<tr class="{row.status}"><td>{name}</td><td>{preview}</td><td class="status">{_WORDS[row.status]}</td>'
        f'<td class="number">{seconds}</td><td class="number">{photos}</td><td>{reason}</td></tr>'
    )

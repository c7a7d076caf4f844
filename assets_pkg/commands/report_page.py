"""The page of `tidemark report`: HTML with its style and pictures inside, so that it can be mailed and kept.

Belongs here: how the report looks. Does not belong here: what is in it (`report.py`). Whatever comes from data is
escaped by the template engine.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from jinja2 import Environment

from assets_pkg.commands.profile import HEADS
from assets_pkg.commands.report_findings import BrokenRule, Picture
from assets_pkg.commands.tables import LEDGER_COLUMNS
from schemas.quality_dimensions import FORMULAS, WEIGHTS, Dimension


@dataclass(frozen=True, kw_only=True)
class TableDay:
    """One judged table on the newest day."""

    name: str
    shares: Sequence[str]
    """Score and dimensions, in words."""
    rows: int
    entities: str
    is_ledger_closed: bool
    columns: Sequence[Sequence[str]]
    """Profiles of its columns, under `profile.HEADS`."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the dataset."""

    name: str
    picture: str
    """SVG."""
    days: int
    score: str
    newest: date
    by_arrival: bool
    tables: Sequence[TableDay]


@dataclass(frozen=True, kw_only=True)
class Page:
    """All there is to show."""

    dataset: str
    first: date
    last: date
    layers: Sequence[Layer]
    ledger: Sequence[tuple[str, list[int], bool]]
    broken: Sequence[BrokenRule]
    rules: int
    """Rules that were judged."""
    findings: Sequence[Picture]


def rendered(page: Page) -> str:
    """The page as HTML, UTF-8."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["inlined"] = lambda picture: base64.b64encode(
        picture.encode() if isinstance(picture, str) else picture
    ).decode("ascii")
    weights = [(one.value, f"{weight:.0%}", FORMULAS[one]) for one, weight in WEIGHTS.items()]
    return environment.from_string(_TEMPLATE).render(
        page=page, heads=HEADS, counts=LEDGER_COLUMNS, dimensions=[one.value for one in Dimension], weights=weights
    )


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Quality of {{ page.dataset }}, {{ page.first }} to {{ page.last }}</title>
<style>
  body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: #222; background: #fff; margin: 0 auto;
         max-width: 1400px; padding: 1.5rem; }
  h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
  h2 { font-size: 1.25rem; margin: 2.25rem 0 .5rem; border-top: 1px solid #ddd; padding-top: 1.25rem; }
  h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
  p { margin: .25rem 0 .75rem; color: #555; }
  img { width: 100%; max-width: 800px; height: auto; display: block; }
  .wide { overflow-x: auto; }
  table { border-collapse: collapse; font-size: 12.5px; margin: .5rem 0 1rem; }
  th, td { padding: .2rem .45rem; border-bottom: 1px solid #eee; text-align: right; white-space: nowrap; }
  th { color: #555; font-weight: 600; border-bottom: 1px solid #bbb; }
  th:first-child, td:first-child, .text { text-align: left; }
  td.long { white-space: normal; text-align: left; min-width: 16rem; overflow-wrap: anywhere; }
  .none { color: #999; }
  .bad { color: #A22; font-weight: 600; }
  summary { cursor: pointer; font-weight: 600; margin: .75rem 0 .25rem; }
</style>
</head>
<body>
<h1>Quality of {{ page.dataset }}</h1>
<p>UTC days {{ page.first }} to {{ page.last }}, both included.
{% for layer in page.layers %}{{ layer.name }} {{ layer.score }}{{ ", " if not loop.last else "" }}{% endfor %}:
the mean score over the judged days.</p>

<h2>What became of the rows</h2>
<p>Every row read is loaded, a duplicate, quarantined or filtered, and the four add up.</p>
<div class="wide"><table>
<tr><th>table</th>{% for name in counts %}<th>{{ name }}</th>{% endfor %}<th>ledger</th></tr>
{% for name, sums, is_closed in page.ledger %}
<tr><td>{{ name }}</td>{% for count in sums %}<td>{{ "{:,}".format(count) }}</td>{% endfor %}
<td{% if not is_closed %} class="bad"{% endif %}>{{ "closed" if is_closed else "OPEN" }}</td></tr>
{% endfor %}
</table></div>

<h2>Rules</h2>
{% if page.broken %}
<p>{{ page.broken|length }} of {{ page.rules }} rules failed on a day. A failed error holds its day back from what is
downstream. Every failing row: tidemark validate TABLE --json FILE.</p>
<div class="wide"><table>
<tr><th>table</th><th class="text">rule</th><th class="text">severity</th><th>days failed</th><th>days</th>
<th>rows checked</th><th>rows failed</th><th class="text">on the newest such day</th></tr>
{% for one in page.broken %}
<tr><td>{{ one.table }}</td><td class="text">{{ one.rule }}</td>
<td class="text{% if one.severity == "error" %} bad{% endif %}">{{ one.severity }}</td><td>{{ one.days_failed }}</td>
<td>{{ one.days }}</td><td>{{ "{:,}".format(one.checked) }}</td><td>{{ "{:,}".format(one.failed) }}</td>
<td class="long">{{ one.message }}</td></tr>
{% endfor %}
</table></div>
{% else %}
<p>{{ "None of the " ~ page.rules ~ " rules failed." if page.rules else "No rule was judged." }}</p>
{% endif %}

{% for layer in page.layers %}
<h2>{{ layer.name }}</h2>
<p>{{ layer.days }} day(s){{ " of arrival" if layer.by_arrival else "" }} judged; the newest is {{ layer.newest }}.</p>
<img alt="score, dimensions and completeness of {{ layer.name }}"
 src="data:image/svg+xml;base64,{{ layer.picture|inlined }}">
<h3>Dimensions on {{ layer.newest }}</h3>
<div class="wide"><table>
<tr><th>table</th><th>score</th>{% for name in dimensions %}<th>{{ name }}</th>{% endfor %}<th>rows</th>
<th>entities</th><th>ledger</th></tr>
{% for table in layer.tables %}
<tr><td>{{ table.name }}</td>
{% for share in table.shares %}<td{% if share == "not measured" %} class="none"{% endif %}>{{ share }}</td>{% endfor %}
<td>{{ "{:,}".format(table.rows) }}</td><td>{{ table.entities }}</td>
<td{% if not table.is_ledger_closed %} class="bad"{% endif %}>
{{ "closed" if table.is_ledger_closed else "OPEN" }}</td></tr>
{% endfor %}
</table></div>
{% for table in layer.tables if table.columns %}
<details{% if table.columns|length <= 20 %} open{% endif %}>
<summary>{{ table.name }}: {{ table.columns|length }} columns on {{ layer.newest }}</summary>
<div class="wide"><table>
<tr>{% for head in heads %}<th{% if head in ("kind", "most common") %} class="text"{% endif %}>{{ head }}</th>
{% endfor %}</tr>
{% for column in table.columns %}
<tr>{% for cell in column %}<td{% if loop.last %} class="long"{% elif loop.index == 2 %} class="text"{% endif %}>
{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
</details>
{% endfor %}
{% endfor %}

{% for picture in page.findings %}
<h2>{{ picture.title }}</h2>
<p>{{ picture.words }}</p>
<img alt="{{ picture.title }}" src="data:image/png;base64,{{ picture.png|inlined }}">
{% endfor %}

<h2>How the score is made</h2>
<p>The mean of the dimensions that were measured, by their weights; the weights of the others are spread over them.</p>
<table>
<tr><th>dimension</th><th>weight</th><th class="text">share of</th></tr>
{% for name, weight, formula in weights %}
<tr><td>{{ name }}</td><td>{{ weight }}</td><td class="text">{{ formula }}</td></tr>
{% endfor %}
</table>
</body>
</html>
"""

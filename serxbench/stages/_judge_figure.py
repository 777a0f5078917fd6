"""The paper's figure: win, tie and loss of each pair of systems as one bar, with the interval of the win rate.

The same numbers give the same bytes: no date, no random ids, no fonts but the ones that matplotlib brings.
"""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from serxbench.errors import UsageError

FORMATS = ("svg", "png")

#: Win, tie, loss: told apart by brightness too, for print and for eyes that do not see colours apart.
_COLOURS = ("#2a6f97", "#c9ced6", "#d98f4e")

_SETTINGS = {
    "svg.hashsalt": "serxbench",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "savefig.dpi": 200,
}


def check_figures() -> None:
    """Raises UsageError without matplotlib, before anything is asked."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError("the figure needs matplotlib: pip install 'serxbench[figures]'; or leave it out: --no-figure")


def draw_figure(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """win_rates.svg and win_rates.png in `folder`: one bar for each pair, and below it one for each of its emotions."""
    rows = [row for pair in result["pairs"] if pair["win_rate"] for row in _rows(pair, result)]
    if not rows:
        return []
    import matplotlib as mpl

    with mpl.rc_context({**mpl.rcParamsDefault, **_SETTINGS, "backend": "agg"}):
        figure = _figure(rows, result)
        return [_save(figure, folder / f"win_rates.{suffix}", suffix) for suffix in FORMATS]


def _rows(pair: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[str, bool, Mapping[str, Any]]]:
    """(label, whether it is the whole pair's, rate) for each bar."""
    first, second = (result["systems"][letter]["name"] for letter in pair["pair"])
    form = f" ({pair['form']})" if len({each["form"] for each in result["pairs"]}) > 1 else ""
    rows = [(f"{first} vs {second}{form}", True, pair["win_rate"])]
    rows += [(each["emotion"], False, each) for each in pair["by_emotion"] if each["value"] is not None]
    return rows


def _figure(rows: Sequence[tuple[str, bool, Mapping[str, Any]]], result: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 0.9 + 0.30 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for position, (_, whole, rate) in enumerate(rows):
        left = 0.0
        for share, colour in zip(("win_share", "tie_share", "loss_share"), _COLOURS, strict=True):
            width = 100 * rate[share]
            axes.barh(position, width, left=left, height=0.72 if whole else 0.5, color=colour, linewidth=0)
            left += width
        value, low, high = (100 * rate[name] for name in ("value", "low", "high"))
        axes.errorbar(
            value, position, xerr=[[value - low], [high - value]], fmt="o", color="black", markersize=3.5,
            capsize=2.5, linewidth=1.0,
        )  # fmt: skip
        axes.annotate(f"{value:.1f} [{low:.1f}, {high:.1f}]  n={rate['n']}", (101, position), va="center", fontsize=7.5,
                      annotation_clip=False)  # fmt: skip
    axes.axvline(50, color="black", linewidth=0.6, linestyle=":")
    axes.set_xlim(0, 100)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    for tick, (_, whole, _) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if whole else "normal")
    axes.set_xlabel(f"share of verdicts and win rate of the first system, %; judge: {result['judge']['name']}")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    named = zip(("win", "tie", "loss"), _COLOURS, strict=True)
    handles = [axes.barh(0, 0, color=colour, label=name) for name, colour in named]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure


def _save(figure: Any, path: Path, suffix: str) -> Path:
    buffer = io.BytesIO()
    metadata = {"Date": None, "Creator": "serxbench"} if suffix == "svg" else {"Software": "serxbench"}
    figure.savefig(buffer, format=suffix, metadata=metadata)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)
    return path

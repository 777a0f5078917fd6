"""The coder's sheet as one HTML file that works without a network: answers are shown as text and can do nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from serxbench.runs import write_atomically
from serxbench.stages.audit_rules import Task
from serxbench.stages.audit_sheets import Item, shown_options


def write_page(path: Path, items: Sequence[Item], task: Task, *, sample: str, coder: str) -> None:
    """Writes the page. Its policy lets nothing be loaded and no script run but its own; progress stays in a browser."""
    write_atomically(path, page(items, task, sample=sample, coder=coder))


def page(items: Sequence[Item], task: Task, *, sample: str, coder: str) -> str:
    """The page's text."""
    template = resources.files(__package__).joinpath("audit_page.html").read_text(encoding="utf-8")
    data = {
        "sample": sample,
        "coder": coder,
        "question": task.question,
        "task": task.text,
        "rules": list(task.rules),
        "codes": [{"code": code, "key": key, "meaning": meaning} for code, key, meaning in task.codes],
        "items": [
            {
                "item": each.item,
                "options": shown_options(each.options),
                "answer": each.answer,
                "given": list(each.given),
            }
            for each in items
        ],
    }
    style, script = (_inside(tag, template) for tag in ("style", "script"))
    values = {"STYLE_HASH": _hash(style), "SCRIPT_HASH": _hash(script), "DATA": _embedded(data)}
    # one pass over the template: what an answer says is never looked at again
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template)


def _inside(tag: str, template: str) -> str:
    found = re.search(rf"<{tag}>(.*?)</{tag}>", template, re.DOTALL)
    if found is None:
        raise ValueError(f"audit_page.html has no <{tag}>")
    return found[1]


def _hash(source: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _embedded(data: object) -> str:
    """JSON that HTML cannot see an end or a comment in."""
    text = json.dumps(data, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

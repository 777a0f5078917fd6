"""Files with YAML front matter (`---` … `---`, then text): how model cards and prompts are written."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from serxbench.errors import DefinitionError


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One file: the mapping of its front matter, and the text below it with the surrounding whitespace stripped."""

    path: Path
    fields: Mapping[str, Any]
    text: str


def read_definition(path: Path) -> Definition:
    """The definition at `path`. Raises DefinitionError naming the file and what is wrong in it."""
    try:
        raw = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DefinitionError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    lines = raw.replace("\r\n", "\n").split("\n")
    if lines[0].strip() != "---":
        raise DefinitionError(f"{path}:1: front matter wanted (a line '---', YAML, a line '---'); found {lines[0]!r}")
    end = next((number for number, line in enumerate(lines[1:], start=1) if line.strip() == "---"), None)
    if end is None:
        raise DefinitionError(f"{path}: the front matter is not closed by a line '---'")
    try:
        fields = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 2}" if mark else str(path)
        raise DefinitionError(f"{where}: not valid YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(fields, dict):
        raise DefinitionError(f"{path}: the front matter must be 'key: value' lines; found {type(fields).__name__}")
    return Definition(path=path, fields=fields, text="\n".join(lines[end + 1 :]).strip())


def check_fields(definition: Definition, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    """Raises DefinitionError for a missing, unknown or wrongly typed key, naming the nearest known one."""
    known = {**required, **optional}
    for key, value in definition.fields.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(sorted(known))}"
            raise DefinitionError(f"{definition.path}: unknown key '{key}'; {hint}")
        wanted = known[key]
        accepted = (int, float) if wanted is float else wanted
        if not isinstance(value, accepted) or (isinstance(value, bool) and wanted is not bool):
            raise DefinitionError(
                f"{definition.path}: '{key}' must be of type {wanted.__name__}; found {value!r} "
                f"({type(value).__name__})"
            )
    missing = [key for key in required if key not in definition.fields]
    if missing:
        raise DefinitionError(f"{definition.path}: missing key{'s' * (len(missing) > 1)}: {', '.join(missing)}")

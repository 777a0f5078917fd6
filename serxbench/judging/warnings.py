"""What speaks against a judge before it is asked: models favour text that models like themselves wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A model that a judge may be partial to. role: what it is to what is judged, such as `system a`."""

    role: str
    name: str
    family: str | None


def family_of(name: str, family: str | None, known: Mapping[str, str]) -> str | None:
    """The family of a judge: the one its card states, else the one whose models' names begin like its own.

    known: beginning of a name → family. None if none fits.

    >>> known = {"qwen": "qwen", "gpt": "openai", "nano": "serxbench"}
    >>> family_of("openai:Qwen/Qwen3-32B", None, known), family_of("openai:gpt-4.1-nano", None, known)
    ('qwen', 'openai')
    >>> family_of("openai:judge", None, known) is None
    True
    """
    if family:
        return family
    plain = name.removeprefix("openai:").casefold()
    found = {beginning for beginning in known if re.search(rf"(?:^|/){re.escape(beginning)}", plain)}
    return known[max(found, key=len)] if found else None


def family_warnings(judge: str, family: str | None, relatives: Sequence[Relative]) -> list[str]:
    """One sentence for each model of the judge's own family among those whose texts it judges, or who taught them.

    >>> family_warnings("gemini-2.0-flash", "gemini", [Relative(role="system a", name="q2a", family="qwen")])
    []
    """
    if family is None:
        return [f"nothing is known of the family of the judge {judge}: it may be that of a system, and partial to it"]
    same = [each for each in relatives if each.family == family]
    found = [
        f"the judge {judge} is of the family {family}, as is {each.name}, {each.role}: judges favour the texts of "
        "their own family; ask a judge of another family too"
        for each in same
    ]
    unknown = [f"{each.name} ({each.role})" for each in relatives if each.family is None]
    if unknown:
        found.append(f"nothing is known of the family of {', '.join(unknown)}: it may be the judge's, {family}")
    return found

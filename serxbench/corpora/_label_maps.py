"""Label maps: a corpus's own emotion names → the eight classes, as data files with stated policies.

`label_maps/CORPUS.yaml` holds one mapping a policy:

    POLICY:
      says: what it does with the names that could go either way, and after whom
      classes: {own name: class, …}          names in lower case; Other is a class
      dropped: [own name, …]                 an utterance whose released label is one of these is left out
      labels: [class, …]                     if not the corpus's usual classes
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import DefinitionError

_FOLDER = Path(__file__).parent / "label_maps"


@dataclass(frozen=True, kw_only=True)
class LabelMap:
    """One policy. classes: own name in lower case → class. dropped: names whose utterances are left out."""

    name: str
    says: str
    classes: Mapping[str, str]
    dropped: frozenset[str] = frozenset()
    labels: tuple[str, ...] | None = None

    def find(self, name: str) -> str | None:
        """The class of an own name in any case, None if the map does not list it.

        >>> load_label_maps("msp_podcast")["standard"].find(" Angry")
        'Angry'
        """
        return self.classes.get(name.strip().lower())


@functools.cache
def load_label_maps(corpus: str) -> dict[str, LabelMap]:
    """Policy → map, in the order of the file: the first is the default. Raises DefinitionError."""
    path = _FOLDER / f"{corpus}.yaml"
    policies = yaml.safe_load(path.read_text(encoding="utf-8"))
    maps = {}
    for name, fields in policies.items():
        if unknown := set(fields) - {"says", "classes", "dropped", "labels"}:
            raise DefinitionError(f"{path}: {name}: unknown key '{min(unknown)}'")
        if strange := set(fields["classes"].values()) - {*EMOTIONS, OTHER}:
            raise DefinitionError(f"{path}: {name}: '{min(strange)}' is not a class")
        if loud := [own for own in fields["classes"] if own != own.lower()]:
            raise DefinitionError(f"{path}: {name}: '{loud[0]}' must be in lower case")
        maps[name] = LabelMap(
            name=name,
            says=" ".join(fields["says"].split()),
            classes=fields["classes"],
            dropped=frozenset(fields.get("dropped", ())),
            labels=tuple(fields["labels"]) if "labels" in fields else None,
        )
    return maps


def label_choices(corpus: str) -> dict[str, str]:
    """Policy → what it says: the choices of a corpus option `labels`."""
    return {name: found.says for name, found in load_label_maps(corpus).items()}

"""Any model family of serxbench, in a second environment that has the family's packages and no serxbench.

serxbench itself is read from where this file lies, so the two sides are never of different versions.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serxbench.adapters import Adapter, Loading
    from serxbench.audio import Clip


def load(request: dict[str, Any]) -> Served:
    """The adapter that the request names, loaded. Raises AdapterError."""
    _make_importable()
    from serxbench.adapters import find_adapter

    return Served(find_adapter(request["adapter"]).load(_loading(request["loading"])))


class Served:
    """An adapter as the server wants it."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self.max_seconds, self.min_seconds = adapter.max_seconds, adapter.min_seconds

    def answer(self, clips: Sequence[Any], prompt: dict[str, Any], decoding: dict[str, Any]) -> list[dict[str, Any]]:
        """All fields of the responses but the id, so that nothing is left for the client to fill in."""
        from serxbench.records import Decoding

        ids = [clip.id for clip in clips]
        responses = self._adapter.generate(ids, _clips(clips), _prompt(prompt), Decoding(**decoding))
        if [response.id for response in responses] != ids:
            raise ValueError(f"the adapter answered {[response.id for response in responses]} for {ids}")
        rows = [dataclasses.asdict(response) for response in responses]
        return [{key: value for key, value in row.items() if key != "id"} for row in rows]

    def hear(self, clips: Sequence[Any], prompt: dict[str, Any]) -> Any:
        """What the adapter shows of what it hears."""
        return self._adapter.hear(_clips(clips), _prompt(prompt))


def _make_importable() -> None:
    """Makes `serxbench` the package that this file lies in, without putting its neighbours on sys.path."""
    package = Path(__file__).resolve().parents[2]
    if "serxbench" in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(
        "serxbench", package / "__init__.py", submodule_search_locations=[str(package)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["serxbench"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _loading(row: dict[str, Any]) -> Loading:
    from serxbench.adapters import Base, Loading

    base = row["base"] and Base(adapter=row["base"]["adapter"], loading=_loading(row["base"]["loading"]))
    return Loading(**{**row, "folder": Path(row["folder"]), "base": base})


def _prompt(row: dict[str, Any]) -> Any:
    from serxbench.records import Prompt

    options = row["options"]
    return Prompt(**{**row, "options": None if options is None else tuple(tuple(option) for option in options)})


def _clips(clips: Sequence[Any]) -> list[Clip]:
    from serxbench.audio import Clip

    return [Clip(waveform=clip.waveform, seconds=clip.seconds, note=clip.note) for clip in clips]

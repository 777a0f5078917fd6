"""Models that are never loaded here: a card of this family is a name for something behind a server.

Its settings are the options of its backend; docs/backends.md explains them:

    backend: http                       or gemini
    endpoint: https://api.openai.com/v1
    model: gpt-audio                    the server's name for it
"""

from __future__ import annotations

from serxbench.adapters import Adapter, Loading
from serxbench.errors import AdapterError

#: No checkpoint has this family.
MODEL_TYPES: tuple[str, ...] = ()

#: The server knows its model's template.
PROMPT_STYLES = ("chat",)


def load(loading: Loading) -> Adapter:
    """Raises AdapterError: there is nothing to load."""
    backend = loading.settings.get("backend", "http")
    raise AdapterError(f"this model runs behind a server, and not in this process; give --backend {backend}")

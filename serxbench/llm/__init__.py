"""Models behind servers: how they are asked, asked again, and paid for; and text LLMs as a whole.

    llm = Llm(name=…, service=ChatService(…), …)
    for told in llm.ask([Ask(id="1", text="…", schema={…})]):
        …

Equal questions are asked once, and every reply is kept: serxbench.llm.asking. The engines that ask about sound use the
same services: serxbench.llm.openai (any server of chat completions) and serxbench.llm.gemini.
"""

from __future__ import annotations

from serxbench.llm._budget import Budget, Price
from serxbench.llm._cache import Cache, usual_cache
from serxbench.llm.asking import Ask, Llm, Service, Told

__all__ = ["Ask", "Budget", "Cache", "Llm", "Price", "Service", "Told", "usual_cache"]

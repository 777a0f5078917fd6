"""The word table: what it says, how it is looked up, and what it refuses to load."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from serxbench.clustering import CLUSTERERS, get_clusterer, load_table
from serxbench.clustering.table import normalized
from serxbench.emotions import EMOTIONS, OTHER
from serxbench.errors import DefinitionError, UnknownName
from serxbench.records import STATUSES, Parsed

TABLE = load_table()


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("angry anger frustrated annoyed irritation furious 愤怒 wütend colère", "Angry"),
        ("sad sadness disappointed lonely hopeless depressed 悲伤 traurig tristeza", "Sad"),
        ("happy joy excited amused pleased playful delighted 高兴 fröhlich gioia", "Happy"),
        ("surprise shocked amazed astonishment 驚き sorpresa", "Surprise"),
        ("fear worried nervous concerned anxious 두려움 medo", "Fear"),
        ("disgust revolted repulsed asco", "Disgust"),
        ("contempt scornful sarcastic mocking", "Contempt"),
        ("neutral calm serious matter-of-fact 中性", "Neutral"),
        ("bored tired confused proud love curious guilty embarrassed nostalgic relieved", "Other"),
        ("ang fru", "Angry"),
        ("hap exc", "Happy"),
        ("oth unknown", "Other"),
    ],
)
def test_classes(words: str, label: str) -> None:
    assert {word: TABLE.lookup(word) for word in words.split()} == dict.fromkeys(words.split(), label)


@pytest.mark.parametrize(
    ("spelling", "label"),
    [
        ("  Sad. ", "Sad"),
        ("**SAD**", "Sad"),
        ("Ｓａｄ", "Sad"),
        ("very sad", "Sad"),
        ("a feeling of deep joy", "Happy"),
        ("sad emotion", "Sad"),
        ("an angry tone of voice", None),
        ("angry emotional tone", "Angry"),
        ("Matter\u2011of\u2011fact", "Neutral"),
        ("pissed off", "Angry"),
        ("no emotion", "Neutral"),
        ("not sad", None),
        ("emotion", None),
        ("", None),
        ("...", None),
        ("sad and angry", None),
    ],
)
def test_lookup(spelling: str, label: str | None) -> None:
    assert TABLE.lookup(spelling) == label


def test_the_shipped_table_is_broad_and_well_formed() -> None:
    assert len(TABLE.labels) > 1500
    assert set(TABLE.labels.values()) == {*EMOTIONS, OTHER}
    assert list(TABLE.labels) == sorted(TABLE.labels)
    header = [line for line in _shipped().splitlines() if line.startswith("#")]
    documented = {line.split()[1] for line in header if line.startswith("#   ")}
    assert {source for source in TABLE.sources.values() if not source.startswith("lang-")} <= documented


def test_codes_are_never_searched_for_in_prose() -> None:
    words = set(TABLE.words())
    assert not words & {"con", "sur", "dis", "oth", "no emotion"}
    assert {"sad", "matter of fact", "悲伤"} <= words


def test_every_word_finds_its_own_label() -> None:
    assert all(TABLE.lookup(word) == label for word, label in TABLE.labels.items())


def _shipped() -> str:
    return (Path(__file__).parents[2] / "serxbench" / "clustering" / "emotion_words.tsv").read_text(encoding="utf-8")


def test_hash_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_bytes(b"# version: 3\nsad\tSad\tclass\n")
    table = load_table(path)
    assert (table.version, table.sha256) == (3, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("sad\tSad\tclass\n", "0 version lines; write one '# version: N'"),
        ("# version: 1\n# version: 2\nsad\tSad\tclass\n", "2 version lines"),
        ("# version: 1\n", "no words"),
        ("# version: 1\nsad\tSad\n", "words.tsv:2: found 2 columns, wanted word, label and source"),
        ("# version: 1\nsad\tBlue\tclass\n", "words.tsv:2: label 'Blue' of 'sad' is no class; wanted one of Angry"),
        ("# version: 1\nSad\tSad\tclass\n", "words.tsv:2: word 'Sad' is not in its normalized spelling; write 'sad'"),
        ("# version: 1\nsad\tSad\tclass\nsad\tSad\tclass\n", "words.tsv:3: word 'sad' is there twice"),
        ("# version: 1\nsad\tSad\tclass\njoy\tHappy\tclass\n", "words.tsv:3: word 'joy' comes after 'sad'; sort"),
        ("# version: 1\nsad\tSad\t\n", "words.tsv:2: source '' of 'sad'"),
        ("# version: 1\n\tSad\tclass\n", "words.tsv:2: word ''"),
    ],
)
def test_malformed_tables_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "words.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DefinitionError) as caught:
        load_table(path)
    assert message in str(caught.value)


def test_unreadable_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot read the word table"):
        load_table(tmp_path / "absent.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"# version: 1\nw\xfctend\tAngry\tx\n")
    with pytest.raises(DefinitionError, match="not UTF-8 at byte 14"):
        load_table(tmp_path / "latin.tsv")


def test_normalized() -> None:
    assert normalized("“Self‑Conscious!”") == "self conscious"


@pytest.mark.parametrize("status", [status for status in STATUSES if status != "ok"])
def test_no_label_without_ok(status: str) -> None:
    prediction = get_clusterer("table").cluster(Parsed(id="3", status=status, parser="rules"))  # type: ignore[arg-type]
    assert (prediction.id, prediction.status, prediction.label, prediction.via) == ("3", status, None, None)


@pytest.mark.parametrize(
    ("word", "label", "via"), [("Joyful", "Happy", "table"), ("bored", "Other", "table"), ("xyz", "Other", "unlisted")]
)
def test_cluster(word: str, label: str, via: str) -> None:
    prediction = get_clusterer("table").cluster(Parsed(id="3", status="ok", word=word, parser="rules"))
    assert (prediction.label, prediction.via, prediction.word) == (label, via, word)


def test_ok_without_a_word_is_a_bug_of_the_parser() -> None:
    with pytest.raises(ValueError, match="status ok without a word"):
        get_clusterer("table").cluster(Parsed(id="3", status="ok", parser="rules"))


def test_registry() -> None:
    assert sorted(CLUSTERERS) == ["table"]
    assert len(get_clusterer("table").sha256) == 64
    with pytest.raises(UnknownName, match="no clusterer 'tabel'; did you mean 'table'"):
        get_clusterer("tabel")

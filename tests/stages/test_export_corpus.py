"""`data export`: every format written to disk and read back by the packages that users read it with."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import read_rows, write_rows
from hypothesis import given, settings
from hypothesis import strategies as st

from serxbench.cli._data_export import export
from serxbench.corpora import Corpus, hash_utterances, open_corpus
from serxbench.emotions import EMOTIONS, NO_AGREEMENT, OTHER
from serxbench.errors import CorpusError, UnknownName, UsageError
from serxbench.progress import Silent
from serxbench.records import Utterance, Vote
from serxbench.stages import export_corpus as stage
from serxbench.stages.export_corpus import FORMATS, Exported, ExportRequest, export_corpus

COLUMNS = ["id", "audio", "transcript", "speaker", "group", "split", "consensus", "votes"]


class Notes(Silent):
    """Remembers what a stage says and counts."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.advanced: list[tuple[int, int]] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def advance(self, n: int, n_failed: int) -> None:
        self.advanced.append((n, n_failed))


@pytest.fixture
def rich(tmp_path: Path, write_clip: Callable[..., Path]) -> Corpus:
    """Everything an utterance can have and lack, under a licence that says nothing (a manifest's)."""
    write_clip("clips/a.wav")
    write_clip("clips/b.flac", rate=48_000, channels=2)
    votes = [
        {"annotator": "r1", "primary": "Other", "secondary": ["Sad", "Fear"], "primary_text": "Other-curious"},
        {"annotator": "r2", "primary": "Happy"},
        {"primary": "Happy", "secondary": []},
    ]
    rows = [
        {
            "id": "a",
            "audio": "clips/a.wav",
            "transcript": "Où est-ce ? “Ja”",
            "speaker": "s1",
            "group": "g1",
            "split": "test",
            "consensus": "Happy",
            "votes": votes,
        },
        {"id": "b", "audio": "clips/b.flac", "consensus": "X", "transcript": ""},
        {"id": "c", "votes": {"Angry": 2}},
    ]
    return open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}")


def freed(corpus: Corpus) -> Corpus:
    """The same corpus under a licence that lets it be passed on."""
    info = dataclasses.replace(corpus.info, name="free", licence="CC0-1.0", upload_allowed=True)
    return dataclasses.replace(corpus, info=info)


def write(corpus: Corpus, out: Path, to: str, **choices: bool) -> tuple[Exported, Notes]:
    notes = Notes()
    if to in FORMATS:
        need(*FORMATS[to].needs)
    return export_corpus(ExportRequest(corpus=corpus, out=out, to=to, **choices), notes), notes


def need(*packages: str) -> None:
    """Skips a test without the packages of the extra `data`."""
    for package in packages:
        pytest.importorskip(package)


def read_parquet(path: Path) -> Any:
    return pytest.importorskip("pyarrow.parquet").read_table(path)


def read_hf(path: Path) -> Any:
    """The dataset with its audio undecoded: decoding needs a package that nothing else here does."""
    datasets = pytest.importorskip("datasets")
    found = datasets.load_from_disk(str(path))
    assert found.features["audio"] == datasets.Audio(sampling_rate=16_000)
    return found.cast_column("audio", datasets.Audio(decode=False))


def test_jsonl_is_a_manifest_of_the_same_utterances(rich: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    done, notes = write(rich, out, "jsonl", with_transcripts=True)
    assert (done.n, done.without_audio, sum(n for n, _ in notes.advanced)) == (3, (), 3)
    assert [row.get("audio") for row in read_rows(out)] == ["clips/a.wav", "clips/b.flac", None]
    again = open_corpus(f"manifest:{out}")
    assert again.utterances == rich.utterances
    assert again.revision == rich.revision
    assert again.utterances[0].votes[0].primary_text == "Other-curious"
    assert "“Ja”" in out.read_text(encoding="utf-8")
    assert set(COLUMNS) >= {key for row in read_rows(out) for key in row}


def test_paths_outside_the_outputs_folder_are_absolute(rich: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "new" / "deep" / "out.jsonl"
    write(rich, out, "jsonl", with_transcripts=True)
    assert read_rows(out)[0]["audio"] == str(tmp_path / "clips" / "a.wav")
    assert open_corpus(f"manifest:{out}").utterances == rich.utterances


def test_relative_words_give_relative_paths(rich: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = open_corpus("manifest:corpus.jsonl")
    write(corpus, Path("out.jsonl"), "jsonl")
    assert read_rows(tmp_path / "out.jsonl")[0]["audio"] == "clips/a.wav"
    monkeypatch.chdir(tmp_path / "clips")
    write(corpus, Path("../again.jsonl"), "jsonl")
    assert (tmp_path / "again.jsonl").is_file()


@pytest.mark.parametrize("split", ["development", "test"])
def test_the_demo_makes_the_round_trip(tmp_path: Path, split: str) -> None:
    corpus = open_corpus(f"demo:{split}")
    write(corpus, tmp_path / "demo.jsonl", "jsonl")
    again = open_corpus(f"manifest:{tmp_path / 'demo.jsonl'}")
    assert (again.utterances, again.revision) == (corpus.utterances, corpus.revision)


def test_parquet_has_a_fixed_schema_and_real_nulls(rich: Corpus, tmp_path: Path) -> None:
    write(freed(rich), tmp_path / "out.parquet", "parquet")
    table = read_parquet(tmp_path / "out.parquet")
    assert table.column_names == COLUMNS
    assert str(table.schema.field("audio").type) == "string"
    first, second, third = table.to_pylist()
    assert first["votes"][0] == {
        "annotator": "r1",
        "primary": "Other",
        "secondary": ["Sad", "Fear"],
        "primary_text": "Other-curious",
    }
    assert first["votes"][2] == {"annotator": None, "primary": "Happy", "secondary": [], "primary_text": None}
    assert (second["transcript"], second["speaker"], second["votes"]) == ("", None, [])
    assert (third["audio"], third["consensus"]) == (None, None)
    assert first["audio"] == "clips/a.wav"
    nothing = dataclasses.replace(rich, utterances=(Utterance(id="x"),))
    write(nothing, tmp_path / "nothing.parquet", "parquet")
    assert read_parquet(tmp_path / "nothing.parquet").schema.equals(table.schema), "types do not follow the data"


def test_parquet_carries_audio_as_datasets_reads_it(rich: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    done, _ = write(freed(rich), out, "parquet", with_audio=True)
    assert done.without_audio == ("c: the corpus has no clip of it here",)
    first, second, third = read_parquet(out).to_pylist()
    assert first["audio"] == {"path": "a.wav", "bytes": (tmp_path / "clips" / "a.wav").read_bytes()}
    assert second["audio"]["bytes"] == (tmp_path / "clips" / "b.flac").read_bytes(), "the original file, not a decoding"
    assert third["audio"] is None
    datasets = pytest.importorskip("datasets")
    loaded = datasets.Dataset.from_parquet(str(out), cache_dir=str(tmp_path / "cache"))
    assert loaded.features["audio"] == datasets.Audio(sampling_rate=16_000)
    undecoded = loaded.cast_column("audio", datasets.Audio(decode=False))
    assert undecoded[0]["audio"] == first["audio"]
    assert str(tmp_path) not in out.read_bytes().decode("latin-1"), "no path of this machine travels with the audio"


def test_a_dataset_holds_paths_or_bytes(rich: Corpus, tmp_path: Path) -> None:
    write(freed(rich), tmp_path / "paths", "hf")
    found = read_hf(tmp_path / "paths")
    assert found.column_names == COLUMNS
    assert found[0]["audio"] == {"bytes": None, "path": str(tmp_path / "clips" / "a.wav")}
    assert found[0]["votes"][0]["primary_text"] == "Other-curious"
    assert (found[2]["audio"], found[2]["votes"][0]["annotator"]) == (None, None)
    assert (found[0]["transcript"], found[2]["transcript"]) == ("Où est-ce ? “Ja”", None)

    write(freed(rich), tmp_path / "bytes", "hf", with_audio=True)
    found = read_hf(tmp_path / "bytes")
    assert found[1]["audio"] == {"path": "b.flac", "bytes": (tmp_path / "clips" / "b.flac").read_bytes()}
    assert sorted(found.filter(lambda row: row["consensus"] == "Happy", keep_in_memory=True)["id"]) == ["a"]


@pytest.mark.parametrize("to", ["parquet", "hf"])
def test_batches_end_by_number_and_by_size(
    to: str, rich: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = tuple(dataclasses.replace(rich.utterances[0], id=f"u{n}") for n in range(25))
    corpus = dataclasses.replace(rich, utterances=many)
    monkeypatch.setattr(stage, "BATCH_ROWS", 10)
    out = tmp_path / f"out.{to}"
    _, notes = write(corpus, out, to)
    assert notes.advanced == [(10, 0), (10, 0), (5, 0)]
    monkeypatch.setattr(stage, "BATCH_BYTES", 3 * os.path.getsize(tmp_path / "clips" / "a.wav"))
    _, notes = write(corpus, out, to, with_audio=True, overwrite=True)
    assert notes.advanced == [(3, 0)] * 8 + [(1, 0)]
    read = read_parquet if to == "parquet" else read_hf
    ids = read(out)["id"]
    assert (ids.to_pylist() if to == "parquet" else list(ids)) == [f"u{n}" for n in range(25)]
    if to == "parquet":
        assert pytest.importorskip("pyarrow.parquet").ParquetFile(out).num_row_groups == 9


def test_the_licence_travels_with_every_format(rich: Corpus, tmp_path: Path) -> None:
    free = freed(rich)
    write(free, tmp_path / "out.jsonl", "jsonl")
    notice = (tmp_path / "out.jsonl.LICENSE.txt").read_text(encoding="utf-8")
    assert notice.startswith(f"Made of free, revision {rich.revision[:12]}, by serxbench ")
    assert notice.endswith("Licence of the corpus: CC0-1.0.\n")
    write(free, tmp_path / "out.parquet", "parquet")
    metadata = read_parquet(tmp_path / "out.parquet").schema.metadata
    assert metadata[b"licence"] == b"CC0-1.0"
    assert json.loads(metadata[b"serxbench"])["revision"] == rich.revision
    write(free, tmp_path / "out", "hf")
    info = read_hf(tmp_path / "out").info
    assert info.license == "CC0-1.0"
    assert notice.strip() in info.description


@pytest.mark.parametrize("to", FORMATS)
def test_a_licensed_corpus_keeps_its_transcripts_unless_told(to: str, rich: Corpus, tmp_path: Path) -> None:
    def transcripts(out: Path) -> list[str | None]:
        if to == "jsonl":
            return [row.get("transcript") for row in read_rows(out)]
        return list(read_parquet(out)["transcript"].to_pylist() if to == "parquet" else read_hf(out)["transcript"])

    suffix = FORMATS[to].suffix
    _, notes = write(rich, tmp_path / f"kept{suffix}", to)
    assert transcripts(tmp_path / f"kept{suffix}") == [None, None, None]
    (said,) = notes.said
    assert "transcripts are left out" in said
    assert "(yours)" in said
    assert "--with-transcripts" in said
    _, notes = write(rich, tmp_path / f"told{suffix}", to, with_transcripts=True)
    assert transcripts(tmp_path / f"told{suffix}") == ["Où est-ce ? “Ja”", "", None]
    assert "transcripts will be in the output" in notes.said[0]
    _, notes = write(freed(rich), tmp_path / f"free{suffix}", to)
    assert transcripts(tmp_path / f"free{suffix}") == ["Où est-ce ? “Ja”", "", None]
    assert notes.said == []


@pytest.mark.parametrize("to", ["parquet", "hf"])
def test_damaged_clips_stop_nothing(to: str, tmp_path: Path, write_clip: Callable[..., Path]) -> None:
    write_clip("good.wav")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("RIFF, but no: this is prose")
    (tmp_path / "pointer.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (tmp_path / "folder.wav").mkdir()
    names = ["good", "empty", "text", "pointer", "folder", "missing"]
    rows = [{"id": name, "audio": f"{name}.wav", "consensus": "Sad"} for name in names]
    corpus = freed(open_corpus(f"manifest:{write_rows(tmp_path / 'corpus.jsonl', rows)}"))
    out = tmp_path / f"out.{to}"
    done, notes = write(corpus, out, to, with_audio=True)
    assert [text.partition(":")[0] for text in done.without_audio] == names[1:]
    assert done.without_audio[0] == "empty: empty.wav: is empty (0 bytes)"
    assert "Git LFS pointer" in done.without_audio[2]
    assert notes.advanced == [(6, 5)]
    found = read_parquet(out).to_pylist() if to == "parquet" else read_hf(out)
    assert [row["audio"]["bytes"] is not None for row in found] == [True, False, False, False, False, False]
    assert found[5]["audio"]["path"].endswith("missing.wav")
    assert [row["consensus"] for row in found] == ["Sad"] * 6


@pytest.mark.parametrize("to", FORMATS)
def test_nothing_is_overwritten_unasked(to: str, rich: Corpus, tmp_path: Path) -> None:
    out = tmp_path / f"out{FORMATS[to].suffix}"
    write(rich, out, to)
    with pytest.raises(UsageError, match="is there already; --overwrite replaces it"):
        write(rich, out, to)
    shorter = dataclasses.replace(rich, utterances=rich.utterances[:1])
    write(shorter, out, to, overwrite=True)
    found = read_rows(out) if to == "jsonl" else (read_parquet(out).to_pylist() if to == "parquet" else read_hf(out))
    assert [row["id"] for row in found] == ["a"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("to", FORMATS)
def test_a_failure_leaves_what_was_there(
    to: str, rich: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / f"out{FORMATS[to].suffix}"
    write(rich, out, to)
    before = {path: path.read_bytes() for path in (out.iterdir() if out.is_dir() else [out])}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "_note_problems", fail)
    with pytest.raises(KeyboardInterrupt):
        write(rich, out, to, overwrite=True)
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(KeyboardInterrupt):
        write(rich, tmp_path / f"new{FORMATS[to].suffix}", to)
    assert not (tmp_path / f"new{FORMATS[to].suffix}").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_of_something_else_is_never_replaced(rich: Corpus, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("three years")
    for out, to in ((home, "hf"), (tmp_path / "x.parquet", "parquet")):
        (tmp_path / "x.parquet").mkdir(exist_ok=True)
        with pytest.raises(UsageError, match="a folder with something else in it, which is not replaced"):
            write(rich, out, to, overwrite=True)
    assert (home / "thesis.txt").read_text() == "three years"
    (home / "thesis.txt").unlink()
    write(rich, home, "hf", overwrite=True)
    assert len(read_hf(home)) == 3


@pytest.mark.parametrize(
    ("to", "name", "choices", "message"),
    [
        ("parqet", "x.parquet", {}, "no format 'parqet'; did you mean 'parquet'"),
        ("jsonl", "x.json", {}, r"a file name that ends in \.jsonl is wanted"),
        ("parquet", "x", {}, r"a file name that ends in \.parquet is wanted"),
        ("jsonl", "x.jsonl", {"with_audio": True}, "holds the paths of clips and not their audio"),
    ],
)
def test_what_cannot_be_written_is_refused(
    rich: Corpus, tmp_path: Path, to: str, name: str, choices: dict[str, bool], message: str
) -> None:
    with pytest.raises((UsageError, UnknownName), match=message):
        write(rich, tmp_path / name, to, **choices)
    assert not (tmp_path / name).exists()


def test_missing_packages_are_named_with_their_remedy(
    rich: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("pyarrow")
    for missing, to, name in (("pyarrow", "parquet", "x.parquet"), ("datasets", "hf", "x")):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, missing, None)
            with pytest.raises(UsageError, match=rf"--to {to} needs the package {missing} .*'serxbench\[data\]'"):
                export_corpus(ExportRequest(corpus=rich, out=tmp_path / name, to=to), Silent())
            write(rich, tmp_path / f"without_{missing}.jsonl", "jsonl")


def test_a_path_that_is_not_unicode(tmp_path: Path) -> None:
    strange = Path(os.fsdecode(b"/nowhere/caf\xe9.wav"))
    corpus = dataclasses.replace(
        freed(open_corpus("demo", limit=1)), utterances=(Utterance(id="é", audio=strange, transcript="è"),)
    )
    write(corpus, tmp_path / "x.jsonl", "jsonl")
    assert open_corpus(f"manifest:{tmp_path / 'x.jsonl'}").utterances == corpus.utterances
    with pytest.raises(CorpusError, match="is not Unicode text, which --to parquet needs; --to jsonl can hold it"):
        write(corpus, tmp_path / "x.parquet", "parquet")


LABELS = st.sampled_from((*EMOTIONS, OTHER))
TEXT = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
VOTES = st.builds(
    Vote,
    primary=LABELS,
    annotator=TEXT,
    secondary=st.lists(LABELS, max_size=3).map(tuple),
    primary_text=TEXT,
)
UTTERANCES = st.lists(
    st.builds(
        Utterance,
        id=st.text(st.characters(exclude_categories=("Cs", "Z", "C")), min_size=1, max_size=6),
        audio=st.none() | st.sampled_from((Path("/nowhere/a b.wav"), Path("/nowhere/ü.flac"))),
        transcript=TEXT,
        speaker=TEXT,
        group=TEXT,
        split=TEXT,
        votes=st.lists(VOTES, max_size=4).map(tuple),
        consensus=st.none() | LABELS | st.just(NO_AGREEMENT),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda utterance: utterance.id,
)


@settings(deadline=None, max_examples=50)
@given(utterances=UTTERANCES)
def test_any_utterances_come_back_equal(utterances: list[Utterance]) -> None:
    need("pyarrow")
    corpus = dataclasses.replace(open_corpus("demo", limit=1), utterances=tuple(utterances))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.jsonl"
        write(corpus, out, "jsonl")
        again = open_corpus(f"manifest:{out}")
        assert again.utterances == corpus.utterances
        assert again.revision == hash_utterances(utterances)
        write(corpus, Path(folder) / "out.parquet", "parquet")
        for utterance, row in zip(utterances, read_parquet(Path(folder) / "out.parquet").to_pylist(), strict=True):
            row["votes"] = tuple(Vote(**{**vote, "secondary": tuple(vote["secondary"])}) for vote in row["votes"])
            row["audio"] = Path(row["audio"]) if row["audio"] else None
            assert Utterance(**row) == utterance


def command(*arguments: object) -> Result:
    return CliRunner().invoke(export, [*map(str, arguments)], standalone_mode=False)


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    need("pyarrow", "datasets")
    done = command("demo:development", "--to", "jsonl", "--out", tmp_path / "dev.jsonl")
    assert (done.return_value, done.stdout) == (0, "")
    assert done.stderr.endswith(f"{tmp_path / 'dev.jsonl'}: 96 utterances; licence of the corpus: CC0-1.0\n")
    rows = [{"id": "a", "audio": "gone.wav", "consensus": "Sad"}]
    manifest = write_rows(tmp_path / "mine.jsonl", rows)
    done = command(f"manifest:{manifest}", "--to", "parquet", "--out", tmp_path / "x.parquet", "--with-audio")
    assert done.return_value == 3
    assert "no audio for a: gone.wav: no such file" in done.stderr
    assert "1 utterances, 1 of them without audio; licence of the corpus: yours" in done.stderr
    done = command(f"manifest:{manifest}", "--to", "hf", "--out", tmp_path / "x", "--quiet")
    assert (done.return_value, done.stderr) == (0, "")
    assert isinstance(command("demo", "--to", "hdf5", "--out", tmp_path / "y").exception, UnknownName)


def test_nothing_heavy_is_imported_for_help_or_jsonl(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from serxbench.cli._data_export import export\n"
        "heavy = lambda: {'torch', 'pyarrow', 'datasets', 'pandas'} & set(sys.modules)\n"
        "export.main(['demo:dev', '--to', 'jsonl', '--out', sys.argv[1]], standalone_mode=False)\n"
        "sys.exit(f'imported: {heavy()}' if heavy() else 0)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.jsonl"], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "x.jsonl").is_file()

"""The formats of `serxbench data export`: how items become a JSONL file, a Parquet file or a dataset's folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from serxbench import __version__, runs
from serxbench.audio import SAMPLE_RATE
from serxbench.corpora import Corpus
from serxbench.errors import CorpusError
from serxbench.records import Utterance

_HF_STATE = "state.json"
_HF_INFO = "dataset_info.json"
_HF_LICENCE = "LICENSE"

_TEXTS = ("id", "transcript", "speaker", "group", "split", "consensus")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What is written where. to: a name of FORMATS. with_audio: the bytes of the clips, not only their paths.

    with_transcripts: also where the licence is not known to let them be passed on.
    """

    corpus: Corpus
    out: Path
    to: str
    with_audio: bool = False
    with_transcripts: bool = False
    overwrite: bool = False

    @property
    def has_transcripts(self) -> bool:
        """Whether transcripts are written."""
        return self.with_transcripts or self.corpus.info.upload_allowed

    def describe(self) -> dict[str, Any]:
        """Where the output comes from, for its metadata."""
        return {"serxbench": __version__, **self.corpus.describe(), "transcripts": self.has_transcripts}

    def notice(self) -> str:
        """One line for whoever finds the output: what it was made of, and under which licence that is."""
        corpus = self.corpus
        name = f"{corpus.info.name}:{corpus.split}" if corpus.split else corpus.info.name
        made_of = f"{name}, revision {corpus.revision[:12]}, by serxbench {__version__}"
        return f"Made of {made_of}. Licence of the corpus: {corpus.info.licence}."


@dataclass(frozen=True, kw_only=True)
class Item:
    """One utterance as it is written. content: the bytes of its clip; None if not asked for or not readable."""

    utterance: Utterance
    content: bytes | None = None
    problem: str | None = None


Batches = Iterator[list[Item]]


@dataclass(frozen=True, kw_only=True)
class Format:
    """One output format. suffix: what OUT must end in. needs: packages. holds_audio: it can carry bytes."""

    write: Callable[[ExportRequest, Batches, Path], None]
    suffix: str = ""
    needs: tuple[str, ...] = ()
    holds_audio: bool = True


def _write_jsonl(request: ExportRequest, batches: Batches, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for batch in batches:
            file.writelines(_json_line(item.utterance) for item in batch)
    runs.write_atomically(request.out.with_name(f"{request.out.name}.LICENSE.txt"), request.notice())


def _json_line(utterance: Utterance) -> str:
    line = utterance.to_json()
    try:
        line.encode()
    except UnicodeEncodeError:
        # A file name that is not UTF-8 has lone surrogates in Python; escaped, they survive.
        line = json.dumps(json.loads(line))
    return line + "\n"


def _write_parquet(request: ExportRequest, batches: Batches, path: Path) -> None:
    schema = _schema(request)
    with import_module("pyarrow.parquet").ParquetWriter(path, schema) as writer:
        for batch in batches:
            writer.write_batch(_record_batch(batch, schema))


def _write_hf(request: ExportRequest, batches: Batches, path: Path) -> None:
    """The layout of `Dataset.save_to_disk`, written here: that method embeds every local clip, asked for or not, and
    stops at the first that is missing. load_from_disk has the last word on the result."""
    arrow, datasets = import_module("pyarrow"), import_module("datasets")
    schema, data = _schema(request), "data-00000-of-00001.arrow"
    path.mkdir()
    with arrow.OSFile(str(path / data), "wb") as file, arrow.ipc.new_stream(file, schema) as writer:
        for batch in batches:
            writer.write_batch(_record_batch(batch, schema))
    # The features are left to the schema: `datasets` 4 would write list types here that `datasets` 3 cannot read.
    about = f"{request.notice()}\n{json.dumps(request.describe(), ensure_ascii=False)}"
    datasets.DatasetInfo(description=about, license=request.corpus.info.licence).write_to_directory(str(path))
    state: dict[str, Any] = dict.fromkeys(("_fingerprint", "_format_columns", "_format_type", "_split"))
    state |= {"_format_kwargs": {}, "_output_all_columns": False, "_data_files": [{"filename": data}]}
    (path / _HF_STATE).write_text(json.dumps(state, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    n_written, n_read = len(request.corpus.utterances), len(datasets.load_from_disk(str(path)))
    if n_read != n_written:
        raise CorpusError(f"datasets {datasets.__version__} reads back {n_read} of {n_written} utterances")


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder is empty or holds what `datasets` saves and nothing else."""
    names = {path.name for path in folder.iterdir() if path.suffix != ".arrow"}
    return names <= {_HF_STATE, _HF_INFO, _HF_LICENCE}


def _schema(request: ExportRequest) -> Any:
    """The Arrow schema, with what `datasets` reads as an Audio column and where all of it comes from."""
    arrow = import_module("pyarrow")
    text = arrow.string()
    vote = {"annotator": text, "primary": text, "secondary": arrow.list_(text), "primary_text": text}
    metadata = {"licence": request.corpus.info.licence, "serxbench": json.dumps(request.describe())}
    audio = text
    if request.with_audio or request.to == "hf":
        audio = arrow.struct({"bytes": arrow.binary(), "path": text})
        # 16 kHz is what speech models hear; the bytes keep the clip's own rate, and cast_column takes another.
        feature = {"_type": "Audio", "sampling_rate": SAMPLE_RATE}
        metadata["huggingface"] = json.dumps({"info": {"features": {"audio": feature}}})
    columns = dict.fromkeys(("id", "audio", *_TEXTS[1:]), text)
    return arrow.schema({**columns, "audio": audio, "votes": arrow.list_(arrow.struct(vote))}, metadata=metadata)


def _record_batch(batch: Iterable[Item], schema: Any) -> Any:
    arrow = import_module("pyarrow")
    struct = arrow.types.is_struct(schema.field("audio").type)
    return arrow.RecordBatch.from_pylist([_row(item, struct=struct) for item in batch], schema=schema)


def _row(item: Item, *, struct: bool) -> dict[str, Any]:
    """The columns of one utterance. struct: the clip as {bytes, path}, null where the corpus names none."""
    utterance = item.utterance
    path = None if utterance.audio is None else str(utterance.audio)
    return {
        **{name: getattr(utterance, name) for name in _TEXTS},
        "audio": {"bytes": item.content, "path": path} if struct and path is not None else path,
        "votes": [
            {
                "annotator": vote.annotator,
                "primary": vote.primary,
                "secondary": vote.secondary,
                "primary_text": vote.primary_text,
            }
            for vote in utterance.votes
        ],
    }


#: `--to` → how it is written.
FORMATS: Mapping[str, Format] = {
    "jsonl": Format(write=_write_jsonl, suffix=".jsonl", holds_audio=False),
    "parquet": Format(write=_write_parquet, suffix=".parquet", needs=("pyarrow",)),
    "hf": Format(write=_write_hf, needs=("pyarrow", "datasets")),
}

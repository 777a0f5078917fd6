"""Makes the corpus `demo` from nothing: python -m serxbench.demo.generate --out DIR [--check]

Two runs give the same bytes, whatever the load and the number of processes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from serxbench.audio import SAMPLE_RATE
from serxbench.demo.card import corpus_card
from serxbench.demo.plan import Item, plan_corpus, stream
from serxbench.demo.programs import ESPEAK_VERSION, OPUSENC_VERSION, check_programs, encode_opus
from serxbench.demo.rendering import render_utterance
from serxbench.errors import CorpusError, SerxbenchError

#: The committed corpus.
DATA = Path(__file__).parent / "data"

KILOBITS = 9


def make_clip(item: Item) -> tuple[bytes, float]:
    """The Ogg Opus file of one item and its length in seconds."""
    samples = render_utterance(item.sentence, item.voice, item.prosody, stream("audio", item.key))
    serial = int(stream("serial", item.key).randint(2**31 - 1))
    return encode_opus(samples, sample_rate=SAMPLE_RATE, kilobits=KILOBITS, serial=serial), len(samples) / SAMPLE_RATE


def audio_path(item: Item) -> str:
    """Where the item's clip lies below the data folder."""
    return f"audio/{item.voice.split}/{item.id}.opus"


def make_row(item: Item, seconds: float) -> dict[str, object]:
    """The line of `utterances.jsonl`."""
    return {
        "id": item.id,
        "audio": audio_path(item),
        "transcript": item.sentence.text,
        "speaker": item.voice.speaker,
        "group": item.group,
        "split": item.voice.split,
        "consensus": item.consensus,
        "votes": [json.loads(vote.to_json()) for vote in item.votes],
        "intended": item.intended,
        "acoustics": {**asdict(item.prosody), "seconds": round(seconds, 3)},
    }


def generate(out: Path, processes: int) -> list[dict[str, object]]:
    """Writes the corpus below `out`; the rows as written. Raises CorpusError if a program is absent or another."""
    check_programs()
    items = plan_corpus()
    for split in sorted({item.voice.split for item in items}):
        (out / "audio" / split).mkdir(parents=True, exist_ok=True)
    rows, lengths, n_bytes = [], [], 0
    with ProcessPoolExecutor(processes) as pool:
        for item, (clip, seconds) in zip(items, pool.map(make_clip, items, chunksize=16), strict=True):
            (out / audio_path(item)).write_bytes(clip)
            n_bytes += len(clip)
            lengths.append(seconds)
            rows.append(make_row(item, seconds))
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (out / "utterances.jsonl").write_text("".join(lines), encoding="utf-8")
    (out / "README.md").write_text(corpus_card(items, lengths, n_bytes), encoding="utf-8")
    return rows


def differences(rebuilt: Path, committed: Path) -> Iterator[str]:
    """One line for each file that is absent from one folder or differs in a byte."""
    names = {
        path.relative_to(folder) for folder in (rebuilt, committed) for path in folder.rglob("*") if path.is_file()
    }
    for name in sorted(names):
        sides = [folder / name for folder in (rebuilt, committed)]
        if not all(side.is_file() for side in sides):
            yield f"{name}: only in {next(side for side in sides if side.is_file())}"
        elif sides[0].read_bytes() != sides[1].read_bytes():
            yield f"{name}: differs"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; exit code 0 done, 1 error or a difference found, 2 usage."""
    parser = argparse.ArgumentParser(
        prog="python -m serxbench.demo.generate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write the corpus to")
    parser.add_argument("--check", action="store_true", help="compare what was made with the committed corpus")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(arguments)
    try:
        rows = generate(options.out, options.processes)
        if options.check:
            _check(options.out)
    except SerxbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{len(rows)} utterances in {options.out}", file=sys.stderr)
    return 0


def _check(out: Path) -> None:
    made_with = f"espeak-ng {ESPEAK_VERSION} and {OPUSENC_VERSION}"
    found = list(differences(out, DATA))
    if found:
        print("\n".join(found), file=sys.stderr)
        raise CorpusError(f"{len(found)} files differ from {DATA}, which was made with {made_with}")
    print(f"equal to {DATA} byte for byte; made with {made_with}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

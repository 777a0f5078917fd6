"""How fast a corpus of full size is read, and in how much memory. Prints a table and the targets.

    python benchmarks/corpora.py [--quick]

metadata: the label files of an invented MSP-Podcast of the size of release 1.12 (207,136 files, 1.2 million votes, no
audio) are written to a temporary folder and opened, each split in a process of its own that is held to one core; its
time is that of `open_corpus` with the modules loaded, its memory the process's peak.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CODES = np.array(list("ASHUFDCNOX"))
NAMES = np.array(["Angry", "Sad", "Happy", "Surprise", "Fear", "Disgust", "Contempt", "Neutral", "Other"])
PRIOR = np.array([0.14, 0.09, 0.21, 0.06, 0.03, 0.04, 0.06, 0.32, 0.05])
TAGS = np.array([*NAMES[:8], "Amused", "Frustrated", "Depressed", "Concerned", "Disappointed", "Excited", "Annoyed"])
#: Files of each split; Train and Test1 of release 1.12 are known only together.
SIZES = {"Train": 111_000, "Development": 31_961, "Test1": 46_160, "Test2": 14_815, "Test3": 3_200}
N_WORKERS = 14_363
TARGET_SECONDS, TARGET_GB = 20, 1.5


def write_release(root: Path, share: float) -> dict[str, int]:
    """Writes Labels/labels_consensus.csv, labels_detailed.csv and .json, labels.txt, and Partitions.txt.

    share: of the files of each split. Returns the counts that a reader must find.
    """
    rng = np.random.default_rng(0)
    splits = np.repeat(list(SIZES), [round(n * share) for n in SIZES.values()])
    rng.shuffle(splits)
    shows, segments = np.divmod(np.arange(len(splits)), 60)
    names = [f"MSP-PODCAST_{show:04d}_{segment:04d}.wav" for show, segment in zip(shows, segments, strict=True)]
    names = [f"MSP-PODCAST_test3_{n:04d}.wav" if s == "Test3" else names[n] for n, s in enumerate(splits)]
    (root / "Labels").mkdir()
    lines = (f"{split}; {name}\n" for split, name in zip(splits, names, strict=True))
    (root / "Partitions.txt").write_text("".join(lines))
    labelled = [(name, split) for name, split in zip(names, splits, strict=True) if split != "Test3"]
    code, speaker = rng.choice(CODES, len(labelled)), rng.integers(1, 3_500, len(labelled))
    with (root / "Labels/labels_consensus.csv").open("w") as file:
        file.write("FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n")
        for n, (name, split) in enumerate(labelled):
            who = "Unknown" if speaker[n] % 5 == 0 else speaker[n]
            file.write(f"{name},{code[n]},4.2,3.8,4.0,{who},Female,{split}\n")
    n_votes = _write_votes(root / "Labels", [name for name, _ in labelled], code, rng)
    return {"utterances": len(splits), "votes": n_votes}


def _write_votes(folder: Path, names: list[str], codes: np.ndarray, rng: np.random.Generator) -> int:
    """The votes three times over: CSV as of releases 1.7 to 1.12, JSON, and labels.txt."""
    n_votes = 5 + rng.geometric(0.55, len(names)) - 1
    total = int(n_votes.sum())
    worker = rng.integers(0, N_WORKERS, total)
    primary = rng.choice(NAMES, total, p=PRIOR)
    tags, n_tags = rng.choice(TAGS, (total, 3)), rng.integers(0, 4, total)
    values = rng.integers(1, 8, (total, 3))
    word = rng.integers(0, 5_000, total)
    at = 0
    with (
        (folder / "labels_detailed.csv").open("w") as table,
        (folder / "labels.txt").open("w") as blocks,
        (folder / "labels_detailed.json").open("w") as objects,
    ):
        table.write("FileName,EmoDetail\n")
        objects.write("{")
        for n, name in enumerate(names):
            blocks.write(f"{name}; {codes[n]}; A:4.2; V:3.8; D:4.0;\n")
            found = {}
            for k in range(at, at + n_votes[n]):
                main = f"Other-word{word[k]}, or so" if primary[k] == "Other" else str(primary[k])
                second = ",".join([main, *tags[k, : n_tags[k]]])
                a, v, d = values[k]
                who = f"WORKER{(worker[at] + k - at) % N_WORKERS:08d}"
                line = f"{who}; {main}; {second}; A:{a}.000000; V:{v}.000000; D:{d}.000000;"
                table.write(f'{name},"{line}"\n' if "," in line else f"{name},{line}\n")
                blocks.write(line + "\n")
                found[who] = {"EmoClass_Major": main, "EmoClass_Second": second}
                found[who] |= {"EmoAct": float(a), "EmoDom": float(d), "EmoVal": float(v)}
            blocks.write("\n")
            objects.write(f"{', ' * (n > 0)}{json.dumps(name)}: {json.dumps(found)}")
            at += n_votes[n]
        objects.write("}")
    return total


def load(data: str, root: Path) -> None:
    """Opens a corpus in this process, held to one core, and prints what it took as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from serxbench.corpora import find_corpus, open_corpus

    find_corpus(data.partition(":")[0])
    start, start_cpu = time.perf_counter(), time.process_time()
    corpus = open_corpus(data, root)
    seconds, cpu = time.perf_counter() - start, time.process_time() - start_cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    votes = sum(len(utterance.votes) for utterance in corpus.utterances)
    found = {"utterances": len(corpus.utterances), "votes": votes, "faults": corpus.n_faults}
    print(json.dumps({"seconds": seconds, "cpu": cpu, "gb": peak, **found}))


def loaded(data: str, root: Path) -> dict[str, float]:
    """What `load` prints, in a child process."""
    command = [sys.executable, __file__, "--load", data, str(root)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def metadata(quick: bool) -> Iterator[str]:
    """A release of full size (a tenth of it if quick): every split, and all of it from each of the three formats."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        wanted = write_release(root, 0.1 if quick else 1.0)
        sizes = {path.name: path.stat().st_size / 2**20 for path in (root / "Labels").iterdir()}
        yield f"metadata: {wanted['utterances']:,} utterances, {wanted['votes']:,} votes, one core"
        yield ""
        yield "| data | votes from | utterances | votes | faults | seconds (CPU) | peak memory |"
        yield "|---|---|---|---|---|---|---|"
        splits = ("all", "train", "development", "test1", "test2", "test3")
        runs = [("labels_detailed.csv", split) for split in splits]
        runs += [("labels_detailed.json", "all"), ("labels.txt", "all")]
        worst = (0.0, 0.0)
        for source, split in runs:
            if source != runs[0][0]:  # the reader takes the first of the three that is there
                (root / "Labels" / ("labels_detailed.json" if source == "labels.txt" else runs[0][0])).unlink()
            found = loaded(f"msp-podcast:{split}", root)
            if split == "all" and (found["utterances"], found["votes"]) != (wanted["utterances"], wanted["votes"]):
                raise SystemExit(f"{source}: {wanted} written, {found} read")
            counts = " | ".join(f"{found[name]:,}" for name in ("utterances", "votes", "faults"))
            size = f"{source} ({sizes[source]:.0f} MB)"
            took = f"{found['seconds']:.1f} ({found['cpu']:.1f}) | {found['gb']:.2f} GB"
            yield f"| msp-podcast:{split} | {size} | {counts} | {took} |"
            if source == runs[0][0]:
                worst = (max(worst[0], found["seconds"]), max(worst[1], found["gb"]))
        yield ""
        yield (
            f"slowest from CSV {worst[0]:.1f} s (target {TARGET_SECONDS} s), "
            f"largest {worst[1]:.2f} GB (target {TARGET_GB} GB)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the files")
    parser.add_argument("--load", nargs=2, metavar=("DATA", "ROOT"), help="open one corpus and print what it took")
    chosen = parser.parse_args()
    if chosen.load:
        load(chosen.load[0], Path(chosen.load[1]))
        return
    for line in metadata(chosen.quick):
        print(line, flush=True)


if __name__ == "__main__":
    main()

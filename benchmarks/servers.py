"""Figures of the backend http against a server of the tests, on loopback.

    python benchmarks/servers.py [--items 2000]

Flow: a server that takes 200 ms for each answer, 32 requests in flight. The ideal is items / 32 × 200 ms; at least 0.9
of the ideal rate is wanted. Memory is the largest resident size after a tenth of the items and at the end.
Faults: 30 % of requests meet one of eleven faults. Items, right answers, recorded errors, requests an item.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))

from faulty_server import FaultyServer, answer_to
from served import iterate, wav_of

from serxbench.engines import http
from serxbench.records import Utterance

IN_FLIGHT = 32
SECONDS = 0.2


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=2000)
    n_items = parser.parse_args().items
    with tempfile.TemporaryDirectory() as folder:
        utterances = make_corpus(Path(folder), n_items)
        measure_flow(utterances)
        measure_faults(utterances)


def make_corpus(folder: Path, n_items: int, n_clips: int = 50) -> list[Utterance]:
    """`n_items` utterances of three seconds."""
    noise = np.random.default_rng(0)
    clips = [folder / f"{n}.wav" for n in range(n_clips)]
    for clip in clips:
        soundfile.write(clip, noise.normal(scale=0.1, size=48_000), 16_000)
    return [Utterance(id=f"u{n:06}", audio=clips[n % n_clips]) for n in range(n_items)]


@contextmanager
def served(**settings: Any) -> Iterator[str]:
    """The address of a server in a process of its own, so that it does not compete for the interpreter."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, settings), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("stop")
        process.join(10)


def _serve(pipe: Any, settings: dict[str, Any]) -> None:
    with FaultyServer(**settings).running() as url:
        pipe.send(url)
        pipe.recv()


def measure_flow(utterances: list[Utterance]) -> None:
    with served(seconds=SECONDS) as url:
        batches = iterate(http, {"endpoints": (url,), "concurrency": IN_FLIGHT}, utterances, [])
        first = next(batches)
        # The proof of hearing is over with the first answer; a first round of requests is still out.
        began, n_done, early = time.perf_counter(), len(first.responses), 0.0
        processor = time.process_time()
        for batch in batches:
            n_done += len(batch.responses)
            early = early or (_megabytes() if n_done >= len(utterances) / 10 else 0.0)
        took = time.perf_counter() - began
        processor = time.process_time() - processor
    ideal = (len(utterances) - IN_FLIGHT) / IN_FLIGHT * SECONDS
    print(f"flow: {n_done} items in {took:.2f} s; ideal {ideal:.2f} s; share of the ideal rate {ideal / took:.3f}")
    print(f"      {1000 * processor / n_done:.2f} ms of processor time an item")
    print(f"      memory: {early:.0f} MB after a tenth of the items, {_megabytes():.0f} MB at the end")


def measure_faults(utterances: list[Utterance]) -> None:
    right = {utterance.id: answer_to(wav_of(utterance)) for utterance in utterances}
    notes: list[Any] = []
    with served(share=0.3, seconds=0.02, stall_seconds=3.0) as url:
        options = {"endpoints": (url,), "concurrency": IN_FLIGHT, "timeout_seconds": 1.0}
        began = time.perf_counter()
        responses = [r for batch in iterate(http, options, utterances, notes) for r in batch.responses]
        took = time.perf_counter() - began
    counts = next(note for note in notes if note["event"] == "requests")
    n_right = sum(r.text == right[r.id] for r in responses)
    n_errors = sum(r.stop == "error" for r in responses)
    print(f"faults: {len(responses)} items, {len({r.id for r in responses})} ids, {n_right} right, {n_errors} errors,")
    print(f"        {counts['requests'] / len(responses):.3f} requests an item, {took:.1f} s; {dict(counts)}")


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()

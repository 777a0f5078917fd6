"""How fast and how right the rules are, how few calls an LLM needs, and what minilm is worth. Prints the figures.

    python benchmarks/parsing.py [--quick] [--answers FILE]

Speed: 46,000 distinct answers in a mixture of short ones, sentences and chains of thought, on one core, and each kind
by itself. Accuracy: the collections of answers in tests/parsing, and a file of labelled answers if one is given (JSON
lines with `response` and `label`). minilm (with the extra of that name): every English word of the table left out, and
left out together with all words that begin like it.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path[:] = [folder for folder in sys.path if Path(folder or ".").resolve() != Path(__file__).resolve().parent]
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "parsing"))

import answer_styles  # noqa: E402
import blind_answers  # noqa: E402
import more_answer_styles  # noqa: E402
import nasty_answers  # noqa: E402
import numpy as np  # noqa: E402

from serxbench.clustering import get_clusterer, load_table  # noqa: E402
from serxbench.clustering.nearest import LEAST_LIKENESS, Neighbours, nearest_classes  # noqa: E402
from serxbench.emotions import EMOTIONS, OTHER, options_of  # noqa: E402
from serxbench.parsing import get_parser  # noqa: E402
from serxbench.records import Response  # noqa: E402

N = 46_000
OPTIONS = options_of(EMOTIONS)
WORDS = ("angry", "sad", "happy", "surprised", "afraid", "disgusted", "contemptuous", "calm", "confused", "frustrated")
SHORT = ("{W}.", "The emotion is {w}. [{n}]", "({L}) take {n}", "<answer> I think the emotion is {w} ({n}) </answer>")
SENTENCES = (
    "The speaker in clip {n} sounds {w}, as the low pitch and the slow pace indicate.",
    "Based on the audio, the person (voice {n}) seems {w} rather than {v}; there is no sign of {v} feelings.",
    "The tone of take {n} suggests that she is {w}, although the words 'I am fine' are neutral.",
)
STEPS = (
    "First, the pitch of clip {n} rises towards the end, which often goes with being {v}.",
    "Second, the pace is quick, and the voice trembles slightly at the word 'never'.",
    "If the speaker were {v}, one would expect a louder voice; there is no such thing here.",
    "The words themselves are about an ordinary day, so they do not help much.",
    "There is a short laugh, but it sounds forced and does not last.",
    "Taken together, the cues of take {n} are closer to {w} than to {v}.",
)


def answers(kind: str, n: int) -> list[str]:
    """`n` different answers of a kind."""
    rng = random.Random(kind)
    made = []
    for number in range(n):
        word, other = rng.sample(WORDS, 2)
        values = {"w": word, "W": word.capitalize(), "v": other, "n": number, "L": rng.choice("ABCDEFGH")}
        if kind == "short":
            made.append(rng.choice(SHORT).format(**values) + (f" #{number}" if rng.random() < 0.5 else ""))
        elif kind == "sentence":
            made.append(rng.choice(SENTENCES).format(**values))
        else:
            steps = " ".join(rng.sample(STEPS, 5))
            made.append(f"{steps} Therefore, the emotion is {{w}}.".format(**values))
    return made


def mixture(n: int) -> list[str]:
    """Half sentences, a third short answers, a sixth chains of thought."""
    parts = [*answers("sentence", n // 2), *answers("short", n // 3), *answers("chain of thought", n - n // 2 - n // 3)]
    random.Random(0).shuffle(parts)
    return parts


def time_rules(name: str, texts: Sequence[str], n: int) -> None:
    """Prints the seconds that `n` answers like these take."""
    parser = get_parser("rules")
    responses = [Response(id=str(k), text=text, stop="end") for k, text in enumerate(texts)]
    parser.parse(responses[0], OPTIONS)
    began, cpu = time.perf_counter(), time.process_time()
    for response in responses:
        parser.parse(response, OPTIONS)
    scale = n / len(texts)
    seconds, spent = (time.perf_counter() - began) * scale, (time.process_time() - cpu) * scale
    letters = sum(map(len, texts)) / len(texts)
    print(f"{name:18} {letters:6.0f} characters each: {n} answers in {seconds:6.1f} s ({spent:.1f} s of one core)")


def print_speed(quick: bool) -> None:
    """The mixture in full, each kind on a tenth."""
    time_rules("mixture", mixture(N // 10 if quick else N), N)
    for kind in ("short", "sentence", "chain of thought"):
        time_rules(kind, answers(kind, N // 20), N)


def outcome(text: str, options: tuple[tuple[str, str], ...] | None) -> str:
    """The class that the rules and the table give an answer, or its status."""
    parsed = get_parser("rules").parse(Response(id="1", text=text, stop="end"), options)
    prediction = get_clusterer("table").cluster(parsed)
    return prediction.label or prediction.status


def print_accuracy(file: Path | None) -> None:
    """Right answers of each collection."""
    for module in (nasty_answers, answer_styles, more_answer_styles, blind_answers):
        cases = [(text, wanted, None) for text, wanted in module.OPEN]
        cases += [(text, wanted, OPTIONS) for text, wanted in module.CLOSED]
        right = sum(outcome(text, options) == wanted for text, wanted, options in cases)
        print(f"{module.__name__:20} {right} of {len(cases)} right")
    if file is not None:
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        found = [outcome(row["response"], None) for row in rows]
        labels = [label if label in EMOTIONS else OTHER for label in found]
        right = sum(label == row["label"] for label, row in zip(labels, rows, strict=True))
        print(f"{file.name:20} {right} of {len(rows)} right")


def print_minilm() -> None:
    """Agreement of the sentence encoder with the table on words that it may not look at."""
    from serxbench.adapters.sentence_encoder import SentenceEncoder
    from serxbench.stages._clusterers import _packaged

    folder = _packaged()
    if folder is None:
        print("minilm: needs the extra `minilm`")
        return
    known = Neighbours.of(load_table(), SentenceEncoder(folder).encode)
    alike = known.vectors @ known.vectors.T
    np.fill_diagonal(alike, -1)
    stems = np.array([word[:5] for word in known.words])
    apart = np.where(stems[:, None] == stems[None, :], -1, alike)
    for name, likeness in (("each word left out", alike), ("with its inflections", apart)):
        found = nearest_classes(likeness, known.labels)
        near = [n for n, (_, score) in enumerate(found) if score >= LEAST_LIKENESS]
        right = sum(found[n][0] == known.labels[n] for n in near)
        print(f"minilm, {name}: {len(near)} of {len(found)} words near, {right / len(near):.3f} of them in their class")


def main() -> None:
    """Prints everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the answers, scaled up")
    parser.add_argument("--answers", type=Path, help="labelled answers of your own")
    given = parser.parse_args()
    print_speed(given.quick)
    print_accuracy(given.answers)
    print_minilm()


if __name__ == "__main__":
    main()

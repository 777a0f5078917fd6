"""The plan of the corpus: which voice says which sentence how, and what the annotators vote. No audio is made here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from serxbench.demo.annotators import consensus_of, draw_votes, make_annotators
from serxbench.demo.prosody import Prosody, render_prosody
from serxbench.demo.sentences import COLOURED_SENTENCES, NEUTRAL_SENTENCES, Sentence
from serxbench.demo.voices import SPLITS, VOICES, Voice
from serxbench.emotions import EMOTIONS
from serxbench.records import Vote

SEED = 2509

#: Renderings of each emotion by each voice of a split.
RENDERINGS = {"train": 6, "development": 3, "test": 3}

#: Standard deviation of every knob, in heard steps.
JITTER = 0.55
#: Share of the items that are moved towards a second emotion, and by how much.
BLENDED_SHARE = 0.25
BLEND_WEIGHTS = (0.3, 0.6)
#: Share of coloured sentences, and how often their colour is the intended emotion.
COLOURED_SHARE = 0.37
AGREEING_SHARE = 0.75


@dataclass(frozen=True, kw_only=True)
class Item:
    """One planned utterance. key: names its random stream, independent of its place in the corpus."""

    id: str
    key: str
    group: str
    voice: Voice
    sentence: Sentence
    intended: str
    prosody: Prosody
    votes: tuple[Vote, ...]

    @property
    def consensus(self) -> str:
        """The plurality of the votes, `X` if there is none."""
        return consensus_of(self.votes)


def stream(*names: object) -> np.random.RandomState:
    """The random stream of that name: the same on every machine (RandomState's algorithms are frozen)."""
    text = "/".join(map(str, (SEED, *names)))
    return np.random.RandomState(int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big"))


def plan_corpus() -> list[Item]:
    """All items in corpus order: split after split, each shuffled so that any beginning is a fair sample."""
    annotators = make_annotators(stream("annotators"))
    items: list[Item] = []
    for split in SPLITS:
        drafts = [
            (voice, intended, number)
            for voice in VOICES
            if voice.split == split
            for intended in EMOTIONS
            for number in range(RENDERINGS[split])
        ]
        order = stream("order", split).permutation(len(drafts))
        for position, index in enumerate(order, start=1):
            voice, intended, number = drafts[index]
            key = f"{voice.speaker}/{intended}/{number}"
            sentence, prosody = _draw_sentence(key, intended, number), _draw_prosody(key, intended)
            items.append(
                Item(
                    id=f"demo_{split}_{position:04d}",
                    key=key,
                    group=f"{voice.speaker}_session{1 + stream('session', key).randint(2)}",
                    voice=voice,
                    sentence=sentence,
                    intended=intended,
                    prosody=prosody,
                    votes=draw_votes(annotators, prosody, sentence.colour, stream("votes", key)),
                )
            )
    return items


def _draw_sentence(key: str, intended: str, number: int) -> Sentence:
    """Sentence of one rendering; neutral ones go round so that no voice says one twice with the same emotion."""
    random = stream("sentence", key)
    if random.uniform() >= COLOURED_SHARE:
        first = stream("first sentence", key.rpartition("/")[0]).randint(len(NEUTRAL_SENTENCES))
        return NEUTRAL_SENTENCES[(first + 5 * number) % len(NEUTRAL_SENTENCES)]
    agrees = random.uniform() < AGREEING_SHARE
    fitting = [s for s in COLOURED_SENTENCES if (s.colour == intended) == agrees]
    return fitting[random.randint(len(fitting))]


def _draw_prosody(key: str, intended: str) -> Prosody:
    random = stream("prosody", key)
    blend = None
    if random.uniform() < BLENDED_SHARE:
        others = [emotion for emotion in EMOTIONS if emotion != intended]
        blend = others[random.randint(len(others))], float(random.uniform(*BLEND_WEIGHTS))
    return render_prosody(intended, random, jitter=JITTER, blend=blend)

"""Who speaks: espeak-ng accents, variants, base pitch and a vocal-tract factor; no voice is in two splits."""

from __future__ import annotations

from dataclasses import dataclass

SPLITS = ("train", "development", "test")


@dataclass(frozen=True, kw_only=True)
class Voice:
    """One synthetic speaker.

    accent, variant: espeak-ng's names (`-v accent+variant`). pitch: its `-p` at rest (0 to 99).
    tract: factor on all frequencies of the voice, below 1 for a longer vocal tract.
    """

    accent: str
    variant: str
    pitch: int
    tract: float
    split: str

    @property
    def speaker(self) -> str:
        """The speaker id, usable as a file name."""
        return f"{self.accent}-{self.variant.lower()}"


_TABLE = """
train en-us f1 46 1.02
train en-gb-x-rp m1 40 1.00
train en-us-nyc m3 44 1.05
train en-gb f2 42 0.97
train en-029 m2 48 0.94
train en-gb-scotland Andrea 40 1.04
train en-gb-x-gbclan Lee 42 1.06
train en-us belinda 44 0.95
train en-gb-x-gbcwmd max 40 1.08
train en-us Mike 46 0.97
train en-gb Annie 38 1.00
train en-us john 42 1.03
train en-gb-scotland m5 44 0.96
train en-029 f4 40 1.05
train en-us-nyc pablo 38 1.01
train en-gb-x-rp aunty 46 1.03
train en-gb norbert 46 1.07
train en-us anika 36 0.95
train en-gb-x-gbclan Denis 42 1.00
train en-us pedro 40 1.10
train en-gb-x-gbcwmd f3 42 0.94
train en-us-nyc victor 46 0.98
train en-gb boris 40 0.93
train en-us sandro 44 1.04
train en-us edward 42 1.06
development en-gb-x-rp f5 42 1.00
development en-us m4 42 1.04
development en-gb-scotland caleb 44 0.98
development en-029 Alicia 38 0.96
test en-us Alex 42 1.02
test en-gb shelby 40 0.98
test en-us-nyc Gene 42 1.05
test en-gb-x-rp grandma 42 1.01
test en-gb-scotland Andy 44 1.00
test en-us m6 42 0.96
test en-029 benjamin 42 1.03
test en-gb-x-gbclan steph 40 1.02
test en-us Nguyen 38 0.97
test en-gb m7 42 1.04
test en-us-nyc Linda 44 1.08
test en-gb-x-gbcwmd adam 42 0.99
"""


def _voice(line: str) -> Voice:
    split, accent, variant, pitch, tract = line.split()
    return Voice(split=split, accent=accent, variant=variant, pitch=int(pitch), tract=float(tract))


#: All voices, in a fixed order. No variant is used twice, so an unseen voice is also an unseen variant.
VOICES = tuple(_voice(line) for line in _TABLE.strip().splitlines())

"""The two Debian programs that the corpus is made with: espeak-ng speaks, opusenc encodes."""

from __future__ import annotations

import html
import subprocess

import numpy as np
from numpy.typing import NDArray

from serxbench.errors import CorpusError

ESPEAK_VERSION = "1.51"
OPUSENC_VERSION = "opus-tools 0.2 (using libopus 1.3.1)"

#: espeak-ng speaks at this rate.
ESPEAK_SAMPLE_RATE = 22_050

_WAV_HEADER_BYTES = 44


def check_programs() -> None:
    """Raises CorpusError unless exactly the programs are there that the committed corpus was made with."""
    found_espeak = _output(["espeak-ng", "--version"]).decode().partition(": ")[2].split()[:1]
    found_opusenc = _output(["opusenc", "--version"]).decode().partition("\n")[0].removeprefix("opusenc ")
    wanted = (("espeak-ng", ESPEAK_VERSION, "".join(found_espeak)), ("opusenc", OPUSENC_VERSION, found_opusenc))
    for program, version, found in wanted:
        if found != version:
            raise CorpusError(
                f"the corpus was made with {program} {version}, here is {found or 'an unknown version'}; "
                "install those of Debian 12: apt-get install espeak-ng opus-tools"
            )


def speak(text: str, *, voice: str, words_per_minute: int, pitch: int, pitch_range: int) -> NDArray[np.float64]:
    """espeak-ng's rendering of `text` at 22,050 Hz, in [-1, 1].

    pitch: 0 to 99. pitch_range: percent of the voice's own, 0 to 200. Raises CorpusError if nothing is spoken.
    """
    marked_up = f'<prosody range="{pitch_range}%">{html.escape(text, quote=False)}</prosody>'
    wav = _output(
        ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), "-m", "--stdout", marked_up]
    )
    samples = np.frombuffer(wav[_WAV_HEADER_BYTES:], dtype="<i2").astype(np.float64) / 32_768
    if not samples.any():
        raise CorpusError(f"espeak-ng said nothing to {text!r} in voice {voice!r}; are all its voices installed?")
    return samples


def encode_opus(samples: NDArray[np.int16], *, sample_rate: int, kilobits: int, serial: int) -> bytes:
    """An Ogg Opus file of mono `samples`. A fixed serial number makes equal input equal output."""
    raw = ["--raw", "--raw-rate", str(sample_rate), "--raw-chan", "1"]
    fixed = ["--serial", str(serial), "--padding", "0", "--framesize", "60", "--speech"]
    command = ["opusenc", "--quiet", *raw, "--bitrate", str(kilobits), *fixed, "-", "-"]
    return _output(command, samples.astype("<i2").tobytes())


def _output(command: list[str], stdin: bytes = b"") -> bytes:
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, check=False)
    except FileNotFoundError:
        raise CorpusError(f"{command[0]} is not installed; apt-get install espeak-ng opus-tools") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise CorpusError(f"{command[0]} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")
    return done.stdout

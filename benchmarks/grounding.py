"""Do our measurements agree with Praat run by itself? python benchmarks/grounding.py FOLDER_OF_CLIPS [--praat PROGRAM]

Praat's own program (Debian: `apt install praat`) reads each clip and follows the recipe of docs/rationales.md in its
own script language. Printed: the largest and the median difference, and the correlation, over all clips.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from serxbench.audio import read_audio
from serxbench.stages._measurements import measure

SCRIPT = """
form Clips
    sentence list
endform
strings = Read Strings from raw text file: list$
n = Get number of strings
for k to n
    selectObject: strings
    path$ = Get string: k
    sound = Read from file: path$
    pitch = To Pitch: 0.01, 60, 700
    voiced = Count voiced frames
    middle = undefined
    low = undefined
    high = undefined
    if voiced >= 10
        first = Get quantile: 0, 0, 0.25, "Hertz"
        third = Get quantile: 0, 0, 0.75, "Hertz"
        removeObject: pitch
        selectObject: sound
        pitch = To Pitch: 0.01, 0.75 * first, 2.5 * third
        middle = Get quantile: 0, 0, 0.5, "semitones re 1 Hz"
        low = Get quantile: 0, 0, 0.1, "semitones re 1 Hz"
        high = Get quantile: 0, 0, 0.9, "semitones re 1 Hz"
    endif
    selectObject: sound
    intensity = To Intensity: 100, 0.01, "yes"
    loudest = Get maximum: 0, 0, "none"
    frames = Get number of frames
    power = 0
    sounding = 0
    for frame to frames
        level = Get value in frame: frame
        if level > loudest - 25
            power = power + 10 ^ (level / 10)
            sounding = sounding + 1
        endif
    endfor
    level = undefined
    if sounding > 0
        level = 10 * log10 (power / sounding)
    endif
    writeInfoLine: ""
    appendFileLine: list$ + ".out", k, " ", middle, " ", high - low, " ", level
    removeObject: sound, pitch, intensity
endfor
"""


def run_praat(program: str, clips: list[Path]) -> np.ndarray:
    """(clips, 3) pitch, pitch range and loudness by Praat's own program, NaN where it gives none."""
    with tempfile.TemporaryDirectory() as folder:
        script, listed = Path(folder) / "measure.praat", Path(folder) / "clips.txt"
        script.write_text(SCRIPT)
        listed.write_text("".join(f"{clip.absolute()}\n" for clip in clips))
        subprocess.run([program, "--run", str(script), str(listed)], check=True, stdout=subprocess.DEVNULL)
        rows = [line.split()[1:] for line in Path(f"{listed}.out").read_text().splitlines()]
    return np.array([[np.nan if "undefined" in value else float(value) for value in row] for row in rows])


def main() -> int:
    """Prints one line a measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--praat", default="praat")
    options = parser.parse_args()
    clips = sorted(path for path in options.folder.iterdir() if path.suffix in (".wav", ".flac"))
    theirs = run_praat(options.praat, clips)
    found = [measure(read_audio(clip).waveform) for clip in clips]
    for column, name in enumerate(("pitch", "pitch_range", "loudness")):
        ours = np.array([values.get(name, np.nan) for values in found])
        both = np.isfinite(ours) & np.isfinite(theirs[:, column])
        apart = np.abs(ours - theirs[:, column])[both]
        n_one = int((np.isfinite(ours) != np.isfinite(theirs[:, column])).sum())
        print(
            f"{name}: {both.sum()} of {len(clips)} clips by both, {n_one} by one only; difference median "
            f"{np.median(apart):.5f}, over 0.1 in {(apart > 0.1).sum()}, largest {apart.max():.4f}; "
            f"correlation {np.corrcoef(ours[both], theirs[both, column])[0, 1]:.6f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

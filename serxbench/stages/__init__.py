"""The stages, one module each. They meet only in the files of a run folder (serxbench.runs)."""

"""A benchmark harness for speech language models on speech emotion recognition."""

__version__ = "0.1.0"

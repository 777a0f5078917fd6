"""The parts of SALMONN, written for PyTorch and transformers; serxbench.adapters.salmonn is the adapter.

    fbank       waveform → Kaldi filterbank
    beats       filterbank → features of sounds at 50 Hz
    fusion      Whisper and BEATs features → 88 audio tokens
    model       the whole: encoders, fusion, Vicuna with LoRA
    checkpoint  the official files → weights, every key accounted for
    parts       where those files lie

Only serxbench.adapters.salmonn imports these modules, and only when a model is loaded: they import torch.
"""

"""Supervised fine-tuning on answers that say the words, the emotion and, by choice, why.

    recipe.py     what is trained on, and how: a YAML file
    targets.py    the answer that is taught (arXiv 2509.24187, Eq. 1), and the rationales it is made with
    pool.py       recipe → samples: filtered, shuffled, divided by speaker, held against every evaluation item
    trainee.py    samples → the model's inputs, with the loss on the answer only; which weights learn
    loop.py       optimisation: a step is a function of the seed and its number, so a resumed run is the same run
    state.py      checkpoints on disk, whole or not there
    curves.py     losses.jsonl, and TensorBoard's event files
    release.py    the trained model as a folder with a card that `serxbench run` takes
    export.py     the same samples as LLaMA-Factory reads them

Only trainee, loop and state import torch; whoever needs them imports them inside a function.
"""

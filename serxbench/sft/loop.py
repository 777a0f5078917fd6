"""Optimisation. A step is a function of the weights before it, the seed and its number, and of nothing else.

Order of the samples, playing speeds and the random numbers of dropout are drawn from the seed and the step, not from a
generator that runs along, and the learning rate is a function of the step. So a training that was killed and goes on
from a checkpoint is the one that would have been; and a step is over the same samples on any number of devices.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from serxbench.errors import RunError, UsageError
from serxbench.progress import Progress
from serxbench.sft.curves import Curves
from serxbench.sft.recipe import Settings
from serxbench.sft.samples import Sample
from serxbench.sft.state import Checkpoints, State
from serxbench.sft.targets import Variant
from serxbench.sft.trainee import IGNORED, Batch, Trainee


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learnt: the samples of both parts, with or without the reason."""

    train: Sequence[Sample]
    validation: Sequence[Sample]
    variant: Variant
    settings: Settings

    @property
    def steps_per_epoch(self) -> int:
        """Updates an epoch; the last one may be over fewer samples."""
        return math.ceil(len(self.train) / self.settings.samples_per_step)

    @property
    def n_steps(self) -> int:
        """Updates in all, if nothing ends the training early."""
        return self.settings.epochs * self.steps_per_epoch

    def is_evaluated_after(self, step: int) -> bool:
        """Whether the validation loss is taken after so many steps: so often an epoch, and always at an epoch's end."""
        within = (step - 1) % self.steps_per_epoch + 1
        share = self.steps_per_epoch / self.settings.evaluations_per_epoch
        return math.floor(within / share) > math.floor((within - 1) / share)

    def samples_of(self, step: int) -> list[Sample]:
        """The samples of one step, counted from 0."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = np.random.RandomState([self.settings.seed, epoch]).permutation(len(self.train))
        first = place * self.settings.samples_per_step
        return [self.train[n] for n in order[first : first + self.settings.samples_per_step]]


def learning_rate(step: int, n_steps: int, settings: Settings) -> float:
    """Linear warm-up, then a cosine to zero; step counted from 0.

    >>> rates = [learning_rate(step, 20, Settings(learning_rate=1.0)) for step in (0, 1, 2, 11, 19)]
    >>> [round(rate, 4) for rate in rates]
    [0.5, 1.0, 1.0, 0.5, 0.0076]
    """
    warmup = math.ceil(settings.warmup_share * n_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, n_steps - warmup)))


def make_optimizer(trainee: Trainee) -> torch.optim.Optimizer:
    """AdamW over the weights that learn."""
    return torch.optim.AdamW(trainee.trainable.values(), lr=0.0, weight_decay=trainee.settings.weight_decay)


class Devices:
    """The processes that train together: one alone, or as many as `accelerate launch` started.

    Each goes through the model with its share of a step's samples; the gradients are summed.
    """

    def __init__(self, accelerator: Any, trainee: Trainee) -> None:
        self._accelerator, self._trainee = accelerator, trainee
        self.rank: int = accelerator.process_index
        self.count: int = accelerator.num_processes
        self.is_main: bool = accelerator.is_main_process
        size = trainee.settings.batch_size * self.count
        if trainee.settings.samples_per_step % size:
            raise UsageError(
                f"samples_per_step ({trainee.settings.samples_per_step}) must be a multiple of batch_size × processes "
                f"({trainee.settings.batch_size} × {self.count})"
            )
        self._module: Any = accelerator.prepare_model(trainee.module) if self.count > 1 else trainee.module

    def sum(self, value: float) -> float:
        """The sum over all processes."""
        if self.count == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self._accelerator.device)
        return float(self._accelerator.reduce(total, "sum"))

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()

    def share(self, samples: Sequence[Sample]) -> list[list[Sample]]:
        """The batches of this process; as many in each process, empty ones where there are no samples left."""
        size = self._trainee.settings.batch_size
        batches = [list(samples[n : n + size]) for n in range(0, len(samples), size)]
        batches += [[] for _ in range(-len(batches) % self.count)]
        return batches[self.rank :: self.count]

    def build(self, samples: Sequence[Sample], task: Task, epoch: int | None = None) -> Batch:
        """The batch of some samples; of none, a batch without a loss, so that every process does the same steps."""
        if samples:
            return self._trainee.build(samples, task.variant, epoch)
        batch = self._trainee.build(task.train[:1], task.variant)
        return Batch(inputs=batch.inputs, labels=torch.full_like(batch.labels, IGNORED))

    def backward(self, batches: Sequence[Batch], n_targets: float) -> float:
        """Adds the gradient of the mean loss over `n_targets` tokens; the share of this process in that loss."""
        summed = 0.0
        for number, batch in enumerate(batches, start=1):
            with self._unsynchronised(number < len(batches)):
                loss = self._trainee.loss(batch, self._module)
                # Gradients are averaged over the processes, and a sum is wanted.
                torch.autograd.backward(loss * (self.count / n_targets))
            summed += float(loss.detach())
        return summed / n_targets

    def _unsynchronised(self, early: bool) -> Any:
        return self._module.no_sync() if early and self.count > 1 else contextlib.nullcontext()


def take_step(
    trainee: Trainee, devices: Devices, optimizer: torch.optim.Optimizer, batches: Sequence[Batch]
) -> tuple[float, float]:
    """One update of the weights. (mean loss a token, length of the gradient), over all devices."""
    n_targets = devices.sum(sum(batch.n_targets for batch in batches))
    optimizer.zero_grad(set_to_none=True)
    loss = devices.sum(devices.backward(batches, n_targets))
    norm = torch.nn.utils.clip_grad_norm_(trainee.trainable.values(), trainee.settings.max_grad_norm)
    if not math.isfinite(loss) or not bool(torch.isfinite(norm)):
        raise RunError(f"the loss is {loss} and its gradient {float(norm)}: no training; lower the learning rate")
    optimizer.step()
    return loss, float(norm)


def train(trainee: Trainee, devices: Devices, task: Task, folder: Path, progress: Progress) -> State:
    """The trained model, its weights those of the best evaluation; goes on where an earlier process stopped.

    Raises RunError if the loss is no number any more.
    """
    checkpoints, optimizer = Checkpoints(folder), make_optimizer(trainee)
    state = checkpoints.latest()
    if state is None:
        state = State()
    else:
        checkpoints.load(trainee.trainable, optimizer)
    curves = Curves(folder, state.step, progress) if devices.is_main else None
    progress.start(f"training {task.variant}", total=task.n_steps * task.settings.samples_per_step, done=0)
    progress.advance(state.step * task.settings.samples_per_step, 0)
    try:
        for reached in _go_on(trainee, devices, task, optimizer, state, curves, progress):
            state = reached
            if devices.is_main and _is_saved_after(state, task):
                if state.best and state.best[0] == state.step:
                    checkpoints.save_best(state.step, trainee.trainable)
                checkpoints.save(state, trainee.trainable, optimizer)
            devices.wait()
    finally:
        progress.finish()
        if curves:
            curves.close()
    checkpoints.load_best(state, trainee.trainable)
    trainee.module.eval()
    return state


def _go_on(
    trainee: Trainee,
    devices: Devices,
    task: Task,
    optimizer: torch.optim.Optimizer,
    state: State,
    curves: Curves | None,
    progress: Progress,
) -> Iterator[State]:
    """The state after each step that is still to be done."""
    began, first = time.monotonic(), state.step
    built = read_ahead(devices, task, state.step)
    for step in range(state.step, task.n_steps):
        if state.is_out_of_patience(task.settings.patience):
            progress.say(f"step {step}: no better for {task.settings.patience} evaluations; this training is over")
            return
        _seed(task.settings.seed, step, devices.rank)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, task.n_steps, task.settings)
        trainee.module.train()
        try:
            loss, norm = take_step(trainee, devices, optimizer, next(built))
        except torch.OutOfMemoryError as error:
            hint = "batch_size=1" if trainee.settings.gradient_checkpointing else "gradient_checkpointing=true"
            raise RunError(
                f"step {step}: the GPU's memory does not suffice; try --set {hint} in another --out"
            ) from error
        state = replace(state, step=step + 1)
        if curves:
            curves.note(state.step, loss=loss, learning_rate=optimizer.param_groups[0]["lr"], gradient=norm)
        if task.is_evaluated_after(state.step):
            validation = validation_loss(trainee, devices, task)
            state = replace(state, evaluations=(*state.evaluations, (state.step, validation)))
            if curves:
                curves.note(state.step, validation_loss=validation)
            left = (time.monotonic() - began) / (state.step - first) * (task.n_steps - state.step)
            progress.say(
                f"step {state.step}/{task.n_steps}: loss {loss:.4f}, validation {validation:.4f}, "
                f"{left / 60:.1f} min left at most"
            )
        progress.advance(task.settings.samples_per_step, 0)
        yield state


def read_ahead(devices: Devices, task: Task, first: int) -> Iterator[list[Batch]]:
    """The batches of this process for each step from `first` on; those of the next step are built meanwhile."""

    def build(step: int) -> list[Batch]:
        epoch = step // task.steps_per_epoch
        return [devices.build(share, task, epoch) for share in devices.share(task.samples_of(step))]

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(build, first)
        for step in range(first + 1, task.n_steps + 1):
            ready = waiting.result()
            if step < task.n_steps:
                waiting = pool.submit(build, step)
            yield ready


def validation_loss(trainee: Trainee, devices: Devices, task: Task) -> float:
    """The mean loss a token over the validation part, as recorded and without dropout."""
    trainee.module.eval()
    summed, n_targets = 0.0, 0
    with torch.no_grad():
        for share in devices.share(task.validation):
            batch = devices.build(share, task)
            summed += float(trainee.loss(batch))
            n_targets += batch.n_targets
    return devices.sum(summed) / devices.sum(n_targets)


def _seed(*numbers: int) -> None:
    """Seeds torch, on all devices, with a number that these ones decide."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1))


def _is_saved_after(state: State, task: Task) -> bool:
    step = state.step
    return step % task.settings.save_every == 0 or task.is_evaluated_after(step) or step == task.n_steps

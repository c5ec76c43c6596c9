"""Miners of the digits subnet: two honest models, and three that show what the scoring rule is for.

Each answers a ``Classify`` with its own ``predict``; they differ in how ``load`` makes it. Options
come from the command line: ``subnet run subnet.examples.digits.miner:DigitsMiner -o half=1``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from subnet.auth import Caller
from subnet.examples.digits.data import Batch, Digits, Pictures, sensor_noise, training_half
from subnet.examples.digits.protocol import Classify, Labels
from subnet.examples.digits.side_channel import SideChannel
from subnet.miners import Miner

Model = Callable[[Pictures], Digits]


class DigitsMiner(Miner):
    """A good miner: a support vector classifier, fitted at start on its half of the training pool.

    Options: ``half`` (0 or 1: which half), ``samples`` (how many pictures of it, as many of each digit; 0 is all 600),
    ``seed`` (the noise it trains under), ``side_channel`` (a folder: leak every answer there).
    """

    samples = 0

    def load(self) -> None:
        self.random = np.random.default_rng(self.option("seed", 0))
        self.model = self.fit()
        folder = self.option("side_channel", "")
        self.accomplice_of = SideChannel(folder) if folder else None

    def fit(self) -> Model:
        """The model that answers: (n, 8, 8) uint8 in, (n,) int64 out."""
        from sklearn.svm import SVC

        training = self.training()
        noisy = sensor_noise(training.images, self.random)  # as the questions will be
        classifier = SVC(C=10, gamma=0.001).fit(_rows(noisy), training.labels)
        return lambda images: np.asarray(classifier.predict(_rows(images)), np.int64)

    def training(self) -> Batch:
        """The pictures that this miner learns from."""
        half = training_half(self.option("half", 0))
        samples = self.option("samples", self.samples)
        if not samples:
            return half
        piles = [np.flatnonzero(half.labels == digit) for digit in range(10)]
        drawn = [self.random.choice(pile, min(samples // 10, len(pile)), replace=False) for pile in piles]
        return half.take(np.concatenate(drawn))

    def classify(self, request: Classify, caller: Caller) -> Labels:
        """Name the digit in each picture."""
        digits = self.model(request.images)
        if self.accomplice_of is not None:
            self.accomplice_of.drop(request.images, digits)
        return Labels(digits=digits)


class TorchDigitsMiner(DigitsMiner):
    """A good miner too: a small torch network in place of the support vectors. Same options."""

    epochs = 120

    def fit(self) -> Model:
        import torch

        torch.set_num_threads(1)  # a demo's neighbours want the other cores
        torch.manual_seed(self.option("seed", 0))
        training = self.training()
        labels = torch.from_numpy(training.labels)
        network = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01, weight_decay=1e-4)
        for _ in range(self.epochs):
            optimiser.zero_grad()
            inputs = _tensor(sensor_noise(training.images, self.random))
            torch.nn.functional.cross_entropy(network(inputs), labels).backward()
            optimiser.step()

        def model(images: Pictures) -> Digits:
            with torch.inference_mode():
                return np.asarray(network(_tensor(images)).argmax(1).numpy(), np.int64)

        return model


class WeakMiner(DigitsMiner):
    """Honest, but it has seen few pictures: one of each digit, unless ``samples`` says otherwise."""

    samples = 10


class RandomMiner(DigitsMiner):
    """Guesses, and so is right one time in ten. Option: ``seed``."""

    def fit(self) -> Model:
        return lambda images: self.random.integers(0, 10, len(images))


class CopierMiner(Miner):
    """Has no model: waits for an accomplice to be asked, and hands in its answers.

    It finds them for the pictures that both were asked about; for those that the validator asked
    it alone no answer ever comes, so that it waits ``patience`` seconds and guesses. Options:
    ``side_channel`` (the accomplice's folder), ``patience`` (default 1.6), ``seed``.
    """

    def load(self) -> None:
        self.random = np.random.default_rng(self.option("seed", 0))
        self.channel = SideChannel(self.option("side_channel", "side-channel"))
        self.patience = self.option("patience", 1.6)

    async def classify(self, request: Classify, caller: Caller) -> Labels:
        """What the accomplice said, and a guess for the rest."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.patience
        found = await asyncio.to_thread(self.channel.look_up, request.images)
        while None in found and clock() < deadline:
            await asyncio.sleep(min(0.1, max(0.0, deadline - clock())))
            found = await asyncio.to_thread(self.channel.look_up, request.images)
        guesses = self.random.integers(0, 10, len(found))
        return Labels(digits=np.array([g if f is None else f for f, g in zip(found, guesses, strict=True)], np.int64))


def _rows(images: Pictures) -> npt.NDArray[np.float64]:
    return images.reshape(len(images), 64).astype(np.float64)


def _tensor(images: Pictures) -> Any:
    import torch

    return torch.from_numpy(images.reshape(len(images), 64).astype(np.float32) / 16)

"""PyTorch as people write it: eager, with its fused optimizers, over tensors in memory."""

from itertools import pairwise

import torch
from torch import nn

from benchmarks.peers import Contestant
from benchmarks.workloads import Workload, first_weights, rows

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU}


class PyTorch(Contestant):
    """Batches are gathered by index; the loss of the epoch stays a tensor until its end."""

    def __init__(self, workload: Workload) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        x, y = rows(workload)
        self.x, self.y, self.batch = torch.from_numpy(x), torch.from_numpy(y), workload.batch
        layers: list[nn.Module] = []
        self.first = [torch.from_numpy(array) for layer in first_weights(workload) for array in layer]
        for n_prev, n in pairwise(workload.widths):
            layers += [nn.Linear(n_prev, n), ACTIVATIONS[workload.activation]()]
        self.network = nn.Sequential(*layers[:-1])
        kind = torch.optim.Adam if workload.optimizer == "adam" else torch.optim.SGD
        self.optimizer = kind(self.network.parameters(), lr=workload.learning_rate, fused=True)
        self.cost = nn.MSELoss() if workload.classes is None else nn.CrossEntropyLoss()
        self.share = 0.5 if workload.classes is None else 1.0
        self.versions = {"PyTorch": torch.__version__}

    @torch.no_grad()
    def restart(self) -> None:
        """Go back to the first weights, in place."""
        for parameter, value in zip(self.network.parameters(), self.first, strict=True):
            parameter.copy_(value)
            for tensor in self.optimizer.state[parameter].values():
                if tensor is not None:
                    tensor.zero_()

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """One Python loop over the batches an epoch."""
        return [self._epoch(shuffle=shuffle) for _ in range(epochs)]

    def _epoch(self, *, shuffle: bool) -> float:
        n = len(self.x)
        order = torch.randperm(n) if shuffle else torch.arange(n)
        total = torch.zeros(())
        for chosen in order.split(self.batch):
            loss = self._step(chosen)
            total += loss
        return float(total) * self.batch / n

    def _step(self, chosen: torch.Tensor) -> torch.Tensor:
        self.optimizer.zero_grad()
        loss = self.share * self.cost(self.network(self.x[chosen]), self.y[chosen])
        loss.backward()
        self.optimizer.step()
        return loss.detach()


prepare = PyTorch

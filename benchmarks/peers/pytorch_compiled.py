"""PyTorch with a whole step as one compiled program: gather, gradient and update, called through a C++ wrapper.

Of what was tried this is the fastest: a compiled network under the eager optimizer takes as long as eager (8-64-32-1),
the whole step a quarter of that, and a fifth less again with the C++ wrapper.
"""

from typing import Any

import torch
from torch.nn import functional

from benchmarks.peers import Contestant
from benchmarks.workloads import Workload, first_weights, rows

ACTIVATIONS = {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu}
BETA_1, BETA_2, EPS = 0.9, 0.999, 1e-8


class PyTorchCompiled(Contestant):
    """`state` is weights and biases in turn, both moments of each, the number of the step and the sum of the losses."""

    def __init__(self, workload: Workload) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self.workload = workload
        x, y = rows(workload)
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        weights = [torch.from_numpy(array) for layer in first_weights(workload) for array in layer]
        m, v = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
        self.total = torch.zeros(())
        self.state = weights, m, v, torch.zeros(()), self.total
        self.first = [w.clone() for w in weights]
        self.versions = {"PyTorch": torch.__version__}

    def compile(self) -> None:
        """Make one step, which compiles it."""
        self.step = torch.compile(self._step, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})
        with torch.no_grad():
            self.step(self.state, self.x, self.y, torch.arange(self.workload.batch))

    def restart(self) -> None:
        """Go back to the first weights, in place."""
        weights, m, v, step, _ = self.state
        for w, value in zip(weights, self.first, strict=True):
            w.copy_(value)
        for tensor in (*m, *v, step):
            tensor.zero_()

    def _cost(self, weights: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        a = x
        for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            a = ACTIVATIONS[self.workload.activation](functional.linear(a, W, b))
        z = functional.linear(a, weights[-2], weights[-1])
        return 0.5 * functional.mse_loss(z, y) if self.workload.classes is None else functional.cross_entropy(z, y)

    def _step(self, state: Any, x: torch.Tensor, y: torch.Tensor, chosen: torch.Tensor) -> None:
        weights, all_m, all_v, step, total = state
        rate = self.workload.learning_rate
        gradient, loss = torch.func.grad_and_value(self._cost)(weights, x[chosen], y[chosen])
        total.add_(loss)
        if self.workload.optimizer != "adam":
            for w, g in zip(weights, gradient, strict=True):
                w.sub_(g, alpha=rate)
            return
        step.add_(1)
        unbiased_m, unbiased_v = rate / (1 - BETA_1**step), 1 / (1 - BETA_2**step)
        for w, m, v, g in zip(weights, all_m, all_v, gradient, strict=True):
            m.mul_(BETA_1).add_(g, alpha=1 - BETA_1)
            v.mul_(BETA_2).addcmul_(g, g, value=1 - BETA_2)
            w.sub_(unbiased_m * m / ((v * unbiased_v).sqrt() + EPS))

    @torch.no_grad()
    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """One call a batch."""
        losses, n, batch = [], len(self.x), self.workload.batch
        for _ in range(epochs):
            self.total.zero_()
            for chosen in (torch.randperm(n) if shuffle else torch.arange(n)).split(batch):
                self.step(self.state, self.x, self.y, chosen)
            losses.append(float(self.total) * batch / n)
        return losses


prepare = PyTorchCompiled

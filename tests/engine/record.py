"""Records what PyTorch computes, so that the tests compare with it where it is not installed.

Run it where PyTorch is (2.13 made what is in the repository), from the root: ``python tests/engine/record.py``. It writes
``tests/engine/recorded/trajectories.npz`` (weights after some of 50 steps), ``values.npz`` (activations, losses, batch
normalisation) and ``schedules.json`` (learning rates).
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import lr_scheduler

FOLDER = Path(__file__).parent / "recorded"
KEPT = (1, 2, 10, 25, 50)
HIDDEN = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
LOSSES = {
    "quadratic": lambda z, y: ((z - y) ** 2).sum(1).mean() / 2,
    "mean_squared_error": F.mse_loss,
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "cross_entropy": F.cross_entropy,
}
OPTIMIZERS = {
    "gradient_descent": (torch.optim.SGD, {"lr": 0.1}, {}),
    "gradient_descent decayed": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.01}, {}),
    "momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}, {}),
    "momentum dampened": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.8, "dampening": 0.3, "weight_decay": 0.01}, {}),
    "nesterov": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.01}, {"nesterov": True}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.01}, {}),
    "adagrad decayed": (
        torch.optim.Adagrad,
        {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.01, "initial_accumulator_value": 0.2},
        {},
    ),
    "adadelta": (torch.optim.Adadelta, {"lr": 1.0}, {}),
    "adadelta decayed": (torch.optim.Adadelta, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.01}, {}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}, {}),
    "rmsprop centered": (
        torch.optim.RMSprop,
        {"lr": 0.005, "alpha": 0.9, "eps": 1e-4, "momentum": 0.5, "centered": True, "weight_decay": 0.01},
        {},
    ),
    "adam": (torch.optim.Adam, {"lr": 0.001}, {}),
    "adam decayed": (torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.01}, {}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "betas": (0.8, 0.9)}, {"amsgrad": True}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}, {}),
    "nadam": (torch.optim.NAdam, {"lr": 0.002}, {}),
    "nadam decayed": (torch.optim.NAdam, {"lr": 0.01, "momentum_decay": 0.02, "weight_decay": 0.01}, {}),
    "lbfgs": (torch.optim.LBFGS, {"lr": 1.0, "max_iter": 1, "max_eval": 26}, {"line_search_fn": "strong_wolfe"}),
    "lbfgs short": (
        torch.optim.LBFGS,
        {"lr": 0.5, "max_iter": 3, "max_eval": 5, "history_size": 3},
        {"line_search_fn": "strong_wolfe"},
    ),
}


def data(loss, n=12):
    """Rows and targets; classes for a cross-entropy."""
    generator = np.random.default_rng(11)
    x, y = generator.standard_normal((n, 3)), generator.random((n, 2))
    return (x, np.eye(2)[(y[:, 0] > 0.5).astype(int)]) if loss.endswith("cross_entropy") else (x, y)


def network(hidden):
    """3-5-4-2 with weights that are all drawn here."""
    model = nn.Sequential(
        nn.Linear(3, 5), HIDDEN[hidden](), nn.Linear(5, 4), HIDDEN[hidden](), nn.Linear(4, 2)
    ).double()
    generator = np.random.default_rng(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(0.6 * generator.standard_normal(parameter.shape)))
    return model


def flat(model):
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()]).numpy()


def trajectory(optimizer, hidden, loss):
    """Weights at the start and after some steps: batches of 4 of 12 rows in order, or all of them for L-BFGS."""
    kind, options, more = OPTIMIZERS[optimizer]
    model = network(hidden)
    rule = kind(model.parameters(), **options, **more)
    x, y = (torch.from_numpy(array) for array in data(loss))
    kept, rows = [flat(model)], 12 if optimizer.startswith("lbfgs") else 4
    for step in range(1, 51):
        start = (step - 1) * rows % 12
        part = slice(start, start + rows)

        def closure(part=part):
            rule.zero_grad()
            cost = LOSSES[loss](model(x[part]), y[part])
            cost.backward()
            return cost

        rule.step(closure)
        if step in KEPT:
            kept.append(flat(model))
    return np.array(kept)


ACTIVATIONS = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": F.gelu,
    "gelu_tanh": lambda z: F.gelu(z, approximate="tanh"),
    "silu": F.silu,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "hard_sigmoid": F.hardsigmoid,
}
DISTANCES = {
    "mean_absolute_error": F.l1_loss,
    "mean_squared_error": F.mse_loss,
    "huber": F.huber_loss,
    "huber delta=0.3": lambda a, y: F.huber_loss(a, y, delta=0.3),
}


def values():
    """Activations with their slopes, and losses with their gradients, each ``(value, gradient)``."""
    kept = {}
    points = np.concatenate([np.linspace(-12, 12, 61), [1e-8, -1e-8, 30.0, -30.0]])
    for name, act in ACTIVATIONS.items():
        z = torch.tensor(points, requires_grad=True)
        a = act(z)
        a.sum().backward()
        kept[f"activation {name}"] = np.array([points, a.detach().numpy(), z.grad.numpy()])
    generator = np.random.default_rng(3)
    a, y = generator.standard_normal((6, 3)), generator.standard_normal((6, 3))
    classes, weights = generator.integers(0, 3, 6), np.array([0.5, 2.0, 1.3])
    rates, counts = np.exp(a), generator.integers(0, 5, (6, 3)).astype(float)

    def keep(name, loss, given):
        given = torch.tensor(given, requires_grad=True)
        cost = loss(given)
        cost.backward()
        kept[f"loss {name}"] = np.concatenate([[cost.item()], given.grad.numpy().reshape(-1)])

    for name, loss in DISTANCES.items():
        keep(name, lambda given, loss=loss: loss(given, torch.tensor(y)), a)
    keep("poisson", lambda given: F.poisson_nll_loss(given, torch.tensor(counts), log_input=False, eps=1e-8), rates)
    of_classes = {"target": torch.tensor(classes)}
    keep("cross_entropy smoothed", lambda z: F.cross_entropy(z, **of_classes, label_smoothing=0.2), a)
    keep("cross_entropy weighted", lambda z: F.cross_entropy(z, **of_classes, weight=torch.tensor(weights)), a)
    kept |= {"a": a, "y": y, "classes": classes, "weights": weights, "rates": rates, "counts": counts}
    return kept | batch_norm()


def batch_norm():
    """A network with batch normalisation: weights and running numbers after 5 epochs of batches of 5 of 11 rows."""
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.GELU(), nn.Linear(5, 2)).double()
    generator = np.random.default_rng(7)
    x, y = (torch.from_numpy(generator.standard_normal((12, n))) for n in (3, 2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(0.6 * generator.standard_normal(parameter.shape)))
    names = {"0": "layers.0", "1": "layers.0.batch_norm", "3": "layers.1"}

    def arrays():
        state = {name: array.numpy().copy() for name, array in model.state_dict().items()}
        parts = {name: name.split(".") for name in state if not name.endswith("num_batches_tracked")}
        return {f"{names[place]}.{kind}": state[name] for name, (place, kind) in parts.items()}

    kept = {f"batch_norm start {name}": array for name, array in arrays().items()}
    rule = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        for start in (0, 5, 10):
            rule.zero_grad()
            LOSSES["quadratic"](model(x[start : start + 5]), y[start : start + 5]).backward()
            rule.step()
    kept |= {f"batch_norm end {name}": array for name, array in arrays().items()}
    model.eval()
    outputs = model(x).detach().numpy()
    return kept | {"batch_norm x": x.numpy(), "batch_norm y": y.numpy(), "batch_norm outputs": outputs}


SCHEDULES = [
    ("step", {"step_size": 3, "gamma": 0.5}, lambda o: lr_scheduler.StepLR(o, 3, 0.5)),
    ("exponential", {"gamma": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    ("cosine", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, 40)),
    ("cosine", {"t_max": 15, "eta_min": 0.01}, lambda o: lr_scheduler.CosineAnnealingLR(o, 15, 0.01)),
    ("cosine_restarts", {"t_0": 7}, lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7)),
    (
        "cosine_restarts",
        {"t_0": 3, "t_mult": 2, "eta_min": 0.01},
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    ),
    ("linear_warmup", {}, lambda o: lr_scheduler.LinearLR(o)),
    (
        "linear_warmup",
        {"start_factor": 0.1, "end_factor": 0.8, "total_iters": 13},
        lambda o: lr_scheduler.LinearLR(o, 0.1, 0.8, 13),
    ),
    ("one_cycle", {}, lambda o: lr_scheduler.OneCycleLR(o, 0.3, total_steps=40, cycle_momentum=False)),
    (
        "one_cycle",
        {"pct_start": 0.25, "div_factor": 10.0, "final_div_factor": 100.0, "three_phase": True},
        lambda o: lr_scheduler.OneCycleLR(
            o,
            0.3,
            total_steps=40,
            pct_start=0.25,
            div_factor=10,
            final_div_factor=100,
            three_phase=True,
            cycle_momentum=False,
        ),
    ),
    ("inverse_time", {"decay": 0.2}, lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 0.2 * t))),
    ("reduce_on_plateau", {"patience": 2}, lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=2)),
    (
        "reduce_on_plateau",
        {"factor": 0.5, "patience": 1, "threshold": 0.05, "cooldown": 2, "min_lr": 0.02},
        lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=1, threshold=0.05, cooldown=2, min_lr=0.02),
    ),
]


def schedules():
    """The learning rate of each of 40 steps, from 0.3, and the losses that were seen."""
    losses = (1 + np.random.default_rng(2).random(40) - np.minimum(np.arange(40), 9) / 12).tolist()
    kept = []
    for name, parameters, make in SCHEDULES:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
        schedule, rates = make(optimizer), []
        for step in range(40):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if step < 39:
                schedule.step(*([losses[step]] if name == "reduce_on_plateau" else []))
        kept.append({"name": name, "parameters": parameters, "rates": rates})
    return {"losses": losses, "schedules": kept}


def main():
    # NAdam keeps a product of momenta in the default dtype, whatever the weights are.
    torch.set_default_dtype(torch.float64)
    FOLDER.mkdir(exist_ok=True)
    every = product(OPTIMIZERS, HIDDEN, LOSSES)
    trajectories = {" | ".join(names): trajectory(*names) for names in every}
    given = {name: options for name, (_, options, _) in OPTIMIZERS.items()}
    text = np.frombuffer(json.dumps(given).encode(), np.uint8)
    np.savez_compressed(FOLDER / "trajectories.npz", optimizers=text, **trajectories)
    np.savez_compressed(FOLDER / "values.npz", **values())
    (FOLDER / "schedules.json").write_text(json.dumps(schedules(), indent=1) + "\n")


if __name__ == "__main__":
    main()

"""From what is written in a job to what the engine trains."""

from typing import Any

from app.contract.jobs import Resolved, ResolvedLayer, ResolvedNetwork
from app.contract.network import Network
from app.tables.fitted import FittedPreprocessing
from engine.spec import EarlyStopping, LayerSpec, NetworkSpec, OptimizerSpec, ScheduleSpec, TrainingSpec


def network_spec(network: ResolvedNetwork) -> NetworkSpec:
    """Give the engine's description of a network."""
    hidden = tuple(
        LayerSpec(layer.units, layer.activation, dropout=layer.dropout, batch_norm=layer.batch_norm)
        for layer in network.hidden_layers
    )
    return NetworkSpec(
        n_inputs=network.input_width,
        layers=(*hidden, LayerSpec(units=network.output_width, activation=network.output_activation)),
        initializer=network.initializer,
        bias=network.bias,
        initializer_parameters=network.initializer_parameters,
    )


def training_spec(resolved: Resolved) -> TrainingSpec:
    """Give the engine's description of a training."""
    training: dict[str, Any] = resolved.training
    optimizer, schedule = dict(training["optimizer"]), dict(training["schedule"])
    stopping = training["early_stopping"]
    return TrainingSpec(
        loss=training["loss"],
        optimizer=OptimizerSpec(
            name=optimizer.pop("name"),
            learning_rate=optimizer.pop("learning_rate"),
            parameters={name: tuple(value) if isinstance(value, list) else value for name, value in optimizer.items()},
        ),
        epochs=training["epochs"],
        batch_size=None if training["batch_size"] == "full" else training["batch_size"],
        shuffle=training["shuffle"],
        seed=training["seed"],
        dtype=training["dtype"],
        task=resolved.task,
        gradient_clip_norm=training["gradient_clip_norm"],
        gradient_clip_value=training["gradient_clip_value"],
        loss_parameters=training["loss_parameters"],
        schedule=ScheduleSpec(name=schedule.pop("name"), parameters=schedule),
        l1=training["l1"],
        l2=training["l2"],
        max_norm=training["max_norm"],
        label_smoothing=training["label_smoothing"],
        kernels=resolved.kernels,
        early_stopping=None if stopping is None else EarlyStopping(**stopping),
    )


def resolved_network(network: Network, preprocessing: FittedPreprocessing, output_activation: str) -> ResolvedNetwork:
    """Fill in the widths, which follow from the columns, and what each hidden layer leaves to the network."""
    return ResolvedNetwork(
        input_width=preprocessing.n_inputs,
        output_width=preprocessing.n_outputs,
        hidden_layers=[
            ResolvedLayer(
                units=layer.units,
                activation=layer.activation or network.activation,
                dropout=layer.dropout,
                batch_norm=layer.batch_norm,
            )
            for layer in network.hidden_layers
        ],
        output_activation=output_activation,
        initializer=network.initializer,
        initializer_parameters=network.initializer_parameters,
        bias=network.bias,
    )

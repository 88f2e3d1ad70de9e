"""The training loop: a generator over epochs whose state, between any two yields, is a complete checkpoint."""

from collections.abc import Generator, Iterator
from math import inf, isfinite, sqrt

import numpy as np
from jaxtyping import Float64

from engine.arrays import Array
from engine.batches import Reader, Rows, spans, training_layout
from engine.checks import check_rows
from engine.evaluation import Evaluation, loss_of, smoothing_of, total_weight
from engine.gradients import are_finite, clip, norm_of
from engine.kernels import CompiledStepper, CompiledSteps, available, made_of_tiles, order_drawer
from engine.metrics import Metrics
from engine.network import Pass, Workspace, backward, forward
from engine.optimizers import OPTIMIZERS, Stepper
from engine.parameters import complete
from engine.penalties import MaxNorm, Penalty
from engine.reports import Diverged, EpochReport
from engine.schedules import SCHEDULES
from engine.searches import SEARCH_BY_NAME, Search
from engine.spec import NetworkSpec, TrainingSpec
from engine.state import Kept, TrainingState, blank_state
from engine.weights import draw_parameters, flat_parameters


def initial_state(
    network: NetworkSpec, training: TrainingSpec, *, weights: dict[str, Array] | None = None
) -> TrainingState:
    """The state before the first epoch: weights drawn from the seed, or those given by name.

    Raises:
        engine.weights.WeightsError: the given weights are not this network's.
    """
    state = blank_state(network, training)
    if weights is None:
        stored = draw_parameters(network, training.dtype, state.generator)
    else:
        stored = flat_parameters(network, weights, training.dtype)
    state.parameters[:], state.statistics[0] = np.split(stored, [network.n_parameters])
    return state


def train(
    network: NetworkSpec,
    training: TrainingSpec,
    state: TrainingState,
    rows: Rows,
    validation: Rows | None = None,
) -> Iterator[EpochReport | None]:
    """Train on the rows and change ``state`` in place.

    Yields a report at the end of each epoch, and None at pauses inside a long one (after some 50 ms of work, judged
    by shapes alone). Between two yields ``state`` is a complete checkpoint. Returns when there is no more to do:
    ``state.stopped_because`` tells why.

    Raises:
        Diverged: the loss or a parameter is no longer finite; ``state`` is then as it was at the last yield.
        ValueError: the rows do not fit the specifications.
    """
    for given in (rows,) if validation is None else (rows, validation):
        check_rows(network, training, given)
    if validation is None and training.early_stopping and training.early_stopping.monitor == "validation_loss":
        raise ValueError("Early stopping watches validation_loss, but there are no validation rows.")
    if OPTIMIZERS[training.optimizer.name].search is not None and training.batch_size is not None:
        raise ValueError(f"The optimizer {training.optimizer.name} needs the full batch.")
    run = _Run(network, training, state, rows, validation)
    kept = Kept(state)
    events = run.events()
    while True:
        kept.keep(state)
        try:
            with np.errstate(all="ignore"):
                event = next(events, run)
        except BaseException:
            kept.restore(state)
            raise
        if isinstance(event, _Run):
            return
        yield event


class _Run:
    """A run bound to its rows and buffers."""

    def __init__(
        self,
        network: NetworkSpec,
        training: TrainingSpec,
        state: TrainingState,
        rows: Rows,
        validation: Rows | None,
    ) -> None:
        self._network, self._training, self._state, self._n_rows = network, training, state, len(rows)
        self._total_weight = total_weight(rows)
        self._layout = training_layout(network, state.vectors.itemsize, len(rows), training.batch_size)
        loss, self._weighted = loss_of(training), rows.weights is not None
        self._workspace = Workspace(
            network,
            loss,
            self._layout,
            state.parameters,
            state.statistics[0],
            generator=state.generator,
            weighted=self._weighted,
        )
        self._shuffle = training.shuffle and training.batch_size is not None
        held, smoothing = self._workspace, smoothing_of(network, training)
        self._reader = Reader(
            rows, shuffle=self._shuffle, x=held.x, y=held.y, weights=held.weights, smoothing=smoothing
        )
        self._bind_optimizer()
        self._evaluation: Evaluation | None = None
        self._metrics: Metrics | None = None
        if validation is not None:
            self._evaluation = Evaluation(network, training, state.parameters, state.statistics[0], validation)
        else:
            self._metrics = Metrics(training.task, rows, self._layout.block_rows, loss.threshold)
        self._bind_compiled()

    def _bind_optimizer(self) -> None:
        """Bind what comes after the gradient: penalties, clipping, schedule, and the rule or the search."""
        training, state, gradient = self._training, self._state, self._workspace.gradient
        self._clips = training.gradient_clip_norm is not None or training.gradient_clip_value is not None
        self._penalty: Penalty | None = None
        if training.l1 or training.l2:
            l1, l2 = training.l1, training.l2
            self._penalty = Penalty(self._network, l1, l2, parameters=state.parameters, gradient=gradient)
        longest = training.max_norm
        self._max_norm = None if longest is None else MaxNorm(self._network, longest, state.parameters)
        self._schedule = SCHEDULES[training.schedule.name]
        self._schedule_values = complete(self._schedule.parameters, training.schedule.parameters)
        self._learning_rate = self._rate(max(0, state.step - 1))
        self._shapes = self._clips or self._penalty is not None or self._schedule.per_step
        optimizer, given = OPTIMIZERS[training.optimizer.name], training.optimizer.parameters
        vectors = {"theta": state.parameters, "gradient": gradient, "slots": state.slots}
        self._search: Search | None = None
        if optimizer.search is None:
            self._stepper: Stepper | CompiledStepper = Stepper(optimizer, given, **vectors)
        else:
            bind = SEARCH_BY_NAME[optimizer.search]
            self._search = bind(self._objective, optimizer.complete(given), state.memory, **vectors)

    def _bind_compiled(self) -> None:
        """Bind machine code in place of the optimizer's update, and of whole blocks of steps where it can take them."""
        network, training, state, workspace = self._network, self._training, self._state, self._workspace
        self._compiled_steps: CompiledSteps | None = None
        # Of parameters and gradient; infinite where the steps do not sum them.
        self._squares = np.full(2, inf)
        if training.kernels == "numpy":
            return
        if self._weighted or not available(network, training):
            raise ValueError("There are no compiled kernels for this network and training.")
        if self._shuffle:
            self._reader.draw_order = order_drawer(self._n_rows)
        self._stepper = CompiledStepper(
            training.optimizer, theta=state.parameters, gradient=workspace.gradient, slots=state.slots
        )
        if made_of_tiles(network, self._layout):
            self._compiled_steps = CompiledSteps(
                network,
                training,
                workspace,
                self._reader,
                measured=self._metrics is not None,
                theta=state.parameters,
                slots=state.slots,
            )
            self._squares = self._compiled_steps.squares

    def events(self) -> Iterator[EpochReport | None]:
        """The reports and pauses of the epochs that are left."""
        state = self._state
        while state.stopped_because is None:
            if state.position < self._n_rows:
                yield from self._epoch()
            if self._evaluation is not None:
                yield from self._evaluation.run()
            yield self._report()

    def _epoch(self) -> Iterator[None]:
        """Train on the rows of the running epoch that are left."""
        state, layout = self._state, self._layout
        self._draw_order()
        if self._schedule.name != "constant":
            self._learning_rate = self._rate(state.step)
        steps = self._sliced_step if layout.sliced else self._block_of_steps
        if self._search is not None:
            steps = self._searched_step
        rows, parts_between_pauses = max(layout.batch_rows, layout.block_rows), layout.pause_blocks
        if self._compiled_steps is not None:
            rows, parts_between_pauses = self._compiled_steps.rows_at_once, 1
        for number, (start, stop) in enumerate(spans(state.position, self._n_rows, rows), 1):
            yield from steps(start, stop)
            if stop == self._n_rows:
                if not self._clips:
                    state.gradient_norm = self._gradient_norm()
                self._check_finite()
            elif number % parts_between_pauses == 0:
                self._check_finite()
                yield None

    def _draw_order(self) -> None:
        """Draw the order of the epoch's rows, or draw it again where that was done before a stop."""
        if not self._shuffle:
            return
        state, reader = self._state, self._reader
        generator = state.generator
        if state.epoch_generator is None:
            state.epoch_generator = generator.bit_generator.state
        else:
            generator = np.random.Generator(np.random.PCG64())
            generator.bit_generator.state = state.epoch_generator
        reader.draw_order(generator, reader.order)

    def _rate(self, step: int) -> float:
        """The learning rate after so many steps, in the running epoch."""
        schedule, training = self._schedule, self._training
        t, n = self._state.epoch, training.epochs
        if schedule.per_step:
            t, n = step, n * -(-self._n_rows // self._layout.batch_rows)
        return schedule.rate(training.optimizer.learning_rate, t, n, self._schedule_values, self._state.memory)

    def _block_of_steps(self, start: int, stop: int) -> Iterator[None]:
        """One step for each batch of a block; never pauses."""
        state, workspace, n = self._state, self._workspace, stop - start
        if self._compiled_steps is not None:
            self._compiled_steps.take(state.step, start, stop, state.tally)
            state.step += -(-n // self._layout.batch_rows)
            state.position = stop
            return iter(())
        self._reader.read(start, stop)
        for begin, end in spans(0, n, self._layout.batch_rows):
            batch = workspace.pass_over(begin, end, end - begin)
            forward(batch)
            weight = self._weigh(batch) if self._weighted else end - begin
            backward(batch)
            self._update(weight)
        self._tally(state.tally, n)
        state.position = stop
        return iter(())

    def _weigh(self, batch: Pass) -> float:
        """Give the rows of a batch their weights, which are to come to 1; a batch without any weight moves nothing."""
        assert batch.weights is not None
        weight = float(np.add.reduce(batch.weights, None))
        batch.scale[()] = self._workspace.share / weight if weight > 0.0 else 0.0
        return weight

    def _sliced_step(self, start: int, stop: int) -> Iterator[None]:
        """One step for a batch that goes through in slices.

        Until the update the state is the one before the batch, so that a run that resumes repeats the batch from its
        beginning.
        """
        state = self._state
        tally = state.tally.copy()
        weight = yield from self._gradient_of_slices(start, stop, tally)
        state.tally[:] = tally
        self._update(weight)
        state.position = stop

    def _gradient_of_slices(
        self, start: int, stop: int, tally: Float64[Array, " n_sums"], *, gradient: bool = True
    ) -> Generator[None, None, float]:
        """The gradient of a batch (or, on request, only its cost), slice by slice; the answer is the batch's weight."""
        workspace, bits, total = self._workspace, self._state.generator.bit_generator, 0.0
        before = bits.state if self._layout.sliced else None
        for begin, end in spans(start, stop, self._layout.slice_rows):
            self._reader.read(begin, end)
            part = workspace.pass_over(0, end - begin, stop - start)
            forward(part)
            weight = self._weigh(part) if self._weighted else float(end - begin)
            total += weight
            if gradient:
                backward(part)
                self._add_slice(begin == start, weight if self._weighted else 1.0)
            self._tally(tally, end - begin)
            if end < stop:
                after = bits.state
                bits.state = before or after
                yield None
                bits.state = after
        if self._weighted and gradient:
            np.multiply(workspace.gradient, 1.0 / total if total > 0.0 else 0.0, workspace.gradient)
        return total

    def _add_slice(self, first: bool, weight: float) -> None:
        """Add the gradient of a slice to that of its batch."""
        gradient, of_slice = self._workspace.gradient, self._workspace.slice_gradient
        if weight != 1.0:
            np.multiply(of_slice, weight, of_slice)
        if first:
            gradient[:] = of_slice
        else:
            np.add(gradient, of_slice, gradient)

    def _searched_step(self, start: int, stop: int) -> Iterator[None]:
        """The epoch's one step, by a search; a search that finds nothing to move has converged."""
        assert self._search is not None
        state = self._state
        self._counts = not state.memory.get("iterations")
        moved = yield from self._search.epoch(self._learning_rate)
        if not moved:
            state.stopped_because = "converged"
        state.step += 1
        state.position = stop - start

    def _objective(self, gradient: bool) -> Generator[None, None, float]:
        """The loss of the full batch as it is reported; the first of an epoch is the one that is."""
        tally = np.zeros_like(self._state.tally)
        yield from self._gradient_of_slices(0, self._n_rows, tally, gradient=gradient)
        if self._penalty is not None:
            tally[0] += self._penalty.value() * self._total_weight
            if gradient:
                self._penalty.add_gradient()
        if self._counts:
            self._state.tally[:] = tally
            self._counts = False
        return float(tally[0]) / self._total_weight

    def _tally(self, tally: Float64[Array, " n_sums"], n: int) -> None:
        """Add the cost and the metrics of the first ``n`` rows of the block, as fed forward."""
        workspace = self._workspace
        tally[0] += workspace.cost(n)
        if self._metrics is not None:
            self._metrics.add(tally[1:], workspace.a[:n], workspace.y[:n], workspace.scratch[:n])

    def _update(self, weight: float) -> None:
        """Move the parameters down the gradient of a batch whose rows have this weight together."""
        state = self._state
        if self._shapes:
            self._shape(weight)
        state.step += 1
        self._stepper.step(state.step, self._learning_rate)
        if self._max_norm is not None:
            self._max_norm.project()

    def _shape(self, weight: float) -> None:
        """What is done to a gradient before the step, and the learning rate of the step."""
        state = self._state
        if self._penalty is not None:
            state.tally[0] += self._penalty.value() * weight
            self._penalty.add_gradient()
        if self._clips:
            state.gradient_norm = clip(self._workspace.gradient, self._training)
        if self._schedule.per_step:
            self._learning_rate = self._rate(state.step)

    def _gradient_norm(self) -> float:
        """The norm of the gradient of an epoch's last batch."""
        square = float(self._squares[1])
        return sqrt(square) if isfinite(square) else norm_of(self._workspace.gradient)

    def _check_finite(self) -> None:
        """A sum stays infinite or NaN once a loss was, so looking now and then misses nothing."""
        state = self._state
        if not (isfinite(state.tally[0]) and (isfinite(self._squares[0]) or are_finite(state.parameters))):
            raise Diverged(state.epoch + 1)

    def _report(self) -> EpochReport:
        """End the epoch: report it, remember the best, and see whether to stop."""
        state, evaluation = self._state, self._evaluation
        train_loss = float(state.tally[0]) / self._total_weight
        if evaluation is None:
            assert self._metrics is not None
            validation_loss, metrics = None, self._metrics.read(state.tally[1:])
        else:
            validation_loss, metrics = evaluation.loss, evaluation.metrics
            if not isfinite(validation_loss):
                raise Diverged(state.epoch + 1)
        state.epoch += 1
        state.position, state.epoch_generator = 0, None
        state.tally.fill(0.0)
        best = self._remember(train_loss, validation_loss)
        if state.stopped_because is None and state.epoch >= self._training.epochs:
            state.stopped_because = "completed"
        return EpochReport(
            state.epoch,
            train_loss,
            validation_loss,
            metrics,
            self._learning_rate,
            state.gradient_norm,
            best,
            None if self._search is None else self._line_search(),
        )

    def _line_search(self) -> dict[str, float]:
        """What the search of the epoch found."""
        memory = self._state.memory
        return {name: memory[name] for name in ("step", "tries", "margin") if name in memory}

    def _remember(self, train_loss: float, validation_loss: float | None) -> bool:
        """Keep the parameters if the watched loss is the lowest so far, and lose patience if it no longer falls."""
        state, stopping = self._state, self._training.early_stopping
        by_train_loss = validation_loss is None or (stopping is not None and stopping.monitor == "train_loss")
        watched = train_loss if by_train_loss or validation_loss is None else validation_loss
        best = watched < state.best_loss
        if best:
            state.best_epoch, state.best_loss = state.epoch, watched
            state.best_parameters[:] = state.parameters
            state.statistics[1] = state.statistics[0]
        if (observe := self._schedule.observe) is not None:
            observe(state.memory, watched, self._training.optimizer.learning_rate, self._schedule_values)
        if stopping is not None:
            if watched < state.reference_loss - stopping.min_delta:
                state.reference_loss = watched
                state.epochs_without_improvement = 0
            else:
                state.epochs_without_improvement += 1
            if state.epochs_without_improvement >= stopping.patience:
                state.stopped_because = "early_stopping"
        return best

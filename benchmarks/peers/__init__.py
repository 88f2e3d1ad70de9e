"""The contestants: one module each, which `benchmarks.contestant` runs in a process of its own.

Each module has `prepare(workload)`, which gives its `Contestant`.
"""


class Contestant:
    """A network that can be trained on, and on, with everything it needs in memory."""

    versions: dict[str, str]

    def compile(self) -> None:
        """Do what is done once for a network and not counted."""

    def restart(self) -> None:
        """Go back to the first weights and moments of 0; not counted."""
        raise NotImplementedError

    def run(self, epochs: int, *, shuffle: bool) -> list[float]:
        """Train on from where it is; the mean loss of each epoch, as seen while training."""
        raise NotImplementedError

"""What a torture counts."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """Faults that were made, by kind, and promises that were found broken."""

    faults: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.violations.append(what)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.faults + other.faults, [*self.violations, *other.violations])

    def __str__(self) -> str:
        kinds = "".join(f", {count:,} {kind}" for kind, count in sorted(self.faults.items()))
        lines = [f"{self.faults.total():,} faults{kinds}; {len(self.violations)} violations"]
        return "\n".join([*lines, *(f"  VIOLATION: {one}" for one in self.violations)])

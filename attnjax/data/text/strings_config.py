"""Settings of strings to turn round. Free of jax and numpy: the command line starts at once."""

from dataclasses import dataclass

from attnjax.config import require, require_seed


@dataclass(frozen=True)
class StringsData:
    """Strings of random letters, whose target is the same backwards."""

    letters: int = 12
    """The number of letters of the alphabet."""
    shortest: int = 2
    """Letters of the shortest strings."""
    longest: int = 12
    """Letters of the longest strings of training."""
    beyond: int = 16
    """Letters of the longest strings of the final table, which are longer than any of training."""
    examples: int = 20_000
    """Strings of training, with lengths drawn evenly."""
    evaluation_examples: int = 128
    """Strings of each length of the final table, and of the validation."""
    seed: int = 0
    """Decides the strings and the order of the batches."""

    def __post_init__(self) -> None:
        for name, most in (("letters", 26), ("examples", 10**7), ("evaluation_examples", 10**6)):
            value = getattr(self, name)
            require(1 <= value <= most, f"data.{name} is {value}: expected a whole number from 1 to {most}")
        lengths = 1 <= self.shortest <= self.longest <= self.beyond
        require(
            lengths,
            f"data.shortest, longest and beyond are {self.shortest}, {self.longest} and {self.beyond}: "
            "expected 1 or more, in this order",
        )
        require_seed("data.seed", self.seed)

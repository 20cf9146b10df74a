"""How long prompts and answers are: a number of tokens, or a distribution to draw it from. Pure."""

import math
import random
from dataclasses import dataclass
from typing import Any, Literal, cast

from loadtests.errors import LoadError

# No engine has a context anywhere near it, and no prompt of it should be made by mistake.
MOST_TOKENS = 1_000_000
_MOST_SIGMA = 5.0

Kind = Literal["fixed", "uniform", "normal", "lognormal"]
_PARAMETERS: dict[str, tuple[str, str]] = {
    "uniform": ("min", "max"),
    "normal": ("mean", "deviation"),
    "lognormal": ("median", "sigma"),
}


@dataclass(frozen=True)
class Length:
    """Tokens: `fixed` (a), `uniform` (from a to b, both possible), `normal` (mean a, standard
    deviation b), `lognormal` (median a, sigma b: of the logarithm's normal distribution).

    What is drawn is rounded, and at least 1 and at most `MOST_TOKENS`.
    """

    kind: Kind
    a: float
    b: float = 0.0

    @classmethod
    def parse(cls, text: str, flag: str) -> "Length":
        """Read `128`, `uniform:64:256`, `normal:128:32` or `lognormal:128:0.8`.

        Raises:
            LoadError: it is none of these; `flag` is named.
        """
        kind, *rest = text.split(":")
        try:
            if not rest:
                return cls("fixed", _tokens(kind))
            a, b = rest
            _PARAMETERS[kind]
            length = cls(
                cast(Kind, kind), _tokens(a), _tokens(b) if kind == "uniform" else float(b)
            )
        except (ValueError, KeyError):
            length = None
        if length is None or not 0 <= length.b <= MOST_TOKENS:
            raise LoadError(
                f"{flag} {text} is no length: write a whole number of tokens from 1 to "
                f"{MOST_TOKENS}, or uniform:MIN:MAX, normal:MEAN:DEVIATION or "
                "lognormal:MEDIAN:SIGMA, for instance uniform:64:256 or lognormal:128:0.8."
            )
        if kind == "uniform" and length.b < length.a:
            raise LoadError(
                f"{flag} {text}: the least, {a}, is above the most, {b}. Write uniform:{b}:{a}."
            )
        if kind == "lognormal" and length.b > _MOST_SIGMA:
            raise LoadError(
                f"{flag} {text}: sigma is that of the logarithm, and above {_MOST_SIGMA:g} hardly "
                "two lengths are alike; real lengths have 0.5 to 1.5."
            )
        return length

    def draw(self, chosen: random.Random) -> int:
        """One length; nothing is drawn where it is fixed."""
        if self.kind == "fixed":
            return int(self.a)
        if self.kind == "uniform":
            return chosen.randint(int(self.a), int(self.b))
        if self.kind == "normal":
            value = chosen.normalvariate(self.a, self.b)
        else:
            value = chosen.lognormvariate(math.log(self.a), self.b)
        return max(1, round(min(value, MOST_TOKENS)))

    @property
    def typical(self) -> int:
        """The median."""
        return int((self.a + self.b) / 2) if self.kind == "uniform" else int(self.a)

    def fact(self) -> int | dict[str, Any]:
        """For the manifest: the number, or the distribution with its parameters."""
        if self.kind == "fixed":
            return int(self.a)
        first, second = _PARAMETERS[self.kind]
        return {
            "kind": self.kind,
            first: int(self.a),
            second: int(self.b) if first == "min" else self.b,
        }

    def __str__(self) -> str:
        """In the form that `parse` reads."""
        return f"{self.a:g}" if self.kind == "fixed" else f"{self.kind}:{self.a:g}:{self.b:g}"


def _tokens(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_TOKENS:
        raise ValueError(text)
    return int(text)

"""Colours and dashes: fixed, told apart by colour-blind readers, and by dash on a bad projector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Okabe and Ito (2008), the light ones darkened until they stand 3:1 against white, and the dark
# ones lightened until they stand 3:1 against the dark background.
_ON_LIGHT = ("#0072b2", "#d55e00", "#00805e", "#b0558a", "#9a6f00", "#2f8fc0", "#5c5c5c")
_ON_DARK = ("#4aa8e0", "#f0813a", "#2cc79a", "#dd8fbb", "#e6b13c", "#8accf2", "#b5b5b5")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Line:
    """How one thing looks in every figure of a page."""

    colour: str
    dash: str

    def nth(self, n: int) -> "Line":
        """The same colour with the dash `n` places on, for a further series of the same thing."""
        return Line(self.colour, DASHES[(DASHES.index(self.dash) + n) % len(DASHES)])

    def fill(self, opacity: float) -> str:
        """The colour as `rgba()`, for areas."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


def palette(dark: bool) -> tuple[str, ...]:
    """The colours, in the order in which they are given out."""
    return _ON_DARK if dark else _ON_LIGHT


def lines_for_runs(names: Sequence[str], dark: bool) -> dict[str, Line]:
    """Each run its own colour and dash, by its place on the page."""
    palette = _ON_DARK if dark else _ON_LIGHT
    return {
        name: Line(palette[i % len(palette)], DASHES[i % len(DASHES)])
        for i, name in enumerate(names)
    }


def lines_for_instances(
    kind_of: Mapping[str, str], kinds: Sequence[str], dark: bool
) -> dict[str, Line]:
    """Colour by kind (an engine, or load tests), always the same one; dash by instance.

    `kind_of` maps an instance's name to its kind; `kinds` is the fixed order that gives the
    colours. Kinds that are not in it (another machine's targets) take the colours after them.
    """
    palette = _ON_DARK if dark else _ON_LIGHT
    strange = sorted({kind for kind in kind_of.values() if kind not in kinds})
    place = {kind: i for i, kind in enumerate([*kinds, *strange])}
    seen: dict[str, int] = {}
    lines = {}
    for name in sorted(kind_of):
        kind = kind_of[name]
        nth = seen[kind] = seen.get(kind, -1) + 1
        lines[name] = Line(palette[place[kind] % len(palette)], DASHES[nth % len(DASHES)])
    return lines

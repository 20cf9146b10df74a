"""Colours and dashes: fixed, told apart by colour-blind readers, and by dash on a bad projector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Begun with Okabe and Ito (2008), then moved apart until any two differ by 11 in CAM02-UCS for
# every kind of colour blindness, and each stands 3:1 against its background. A test measures both.
_ON_LIGHT = (
    "#0052bf", "#c24901", "#118966",
    "#ae5589", "#b88d2b", "#019dd5",
    "#575959", "#542880", "#492b0f",
)  # fmt: skip
_ON_DARK = (
    "#5ab7ec", "#ed7d37", "#56f1b3",
    "#cd85b0", "#eeba47", "#3b79a0",
    "#b8bbba", "#9979db", "#8a6a4f",
)  # fmt: skip
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Line:
    """How one thing looks in every figure of a page."""

    colour: str
    dash: str

    def nth(self, n: int) -> "Line":
        """The same colour with the dash `n` places on, for a further series of the same thing."""
        return Line(self.colour, DASHES[(DASHES.index(self.dash) + n) % len(DASHES)])

    @property
    def ink(self) -> str:
        """Black or white, whichever stands 4.5:1 on areas of the colour (WCAG 2.2)."""
        parts = [int(self.colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
        return "#000000" if light > 0.179 else "#ffffff"

    def fill(self, opacity: float) -> str:
        """The colour as `rgba()`, for areas."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{opacity})"


def palette(dark: bool) -> tuple[str, ...]:
    """The colours, in the order in which they are given out."""
    return _ON_DARK if dark else _ON_LIGHT


def lines_for_runs(names: Sequence[str], dark: bool) -> dict[str, Line]:
    """Each run its own colour and dash, by its place on the page."""
    colours = palette(dark)
    return {
        name: Line(colours[i % len(colours)], DASHES[i % len(DASHES)])
        for i, name in enumerate(names)
    }


def lines_for_instances(
    kind_of: Mapping[str, str], kinds: Sequence[str], dark: bool
) -> dict[str, Line]:
    """Colour by kind (an engine, or load tests), always the same one; dash by instance.

    `kind_of` maps an instance's name to its kind; `kinds` is the fixed order that gives the
    colours. Kinds that are not in it (another machine's targets) take the colours after them.
    Where colours are used up they begin again with another dash.
    """
    colours = palette(dark)
    strange = sorted({kind for kind in kind_of.values() if kind not in kinds})
    place = {kind: i for i, kind in enumerate([*kinds, *strange])}
    seen: dict[str, int] = {}
    lines = {}
    for name in sorted(kind_of):
        kind = kind_of[name]
        nth = seen[kind] = seen.get(kind, -1) + 1
        again, colour = divmod(place[kind], len(colours))
        lines[name] = Line(colours[colour], DASHES[(nth + 3 * again) % len(DASHES)])
    return lines

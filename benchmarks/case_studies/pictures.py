"""The figures of a case study as SVG: the circuit among all heads and neurons, and the trade-off over strength.

The same files give the same bytes, so that a test can tell a figure that has drifted from its data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.case_studies.chains import Chain
from breakers.refinement.manifest import RefinedManifest
from breakers.sites import Component
from breakers.tracing.effects_file import EffectGrid
from breakers.tracing.figures.scale import STEPS, cell_text, limit_of

_CELL_WIDTH, _CELL_HEIGHT = 62, 30
_LEFT, _TOP = 70, 46
_BAR = 160
_PLOT_WIDTH, _PLOT_HEIGHT, _GAP = 420, 170, 58
_RAISED, _LOWERED = (178, 68, 52), (45, 106, 160)
_STYLE = "text{font:12px sans-serif;fill:#222}.small{font-size:10px}.title{font-size:13px;font-weight:bold}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """What one strength does on held-out prompts."""

    strength: float
    harm: float
    """Share of provoking prompts."""
    drop_mean: float
    """Points, over skills."""
    drop_greatest: float
    """Points, of the skill that loses most."""


def circuit_svg(chain: Chain) -> str:
    """Effects of all heads, the circuit's outlined, and how many neurons of each layer are members."""
    grid, members = chain.effects.heads, chain.refined
    layers, heads = grid.mean.shape
    width = _LEFT + heads * _CELL_WIDTH + 40 + _BAR
    lines = [_text(_LEFT, 20, f"Effect of each head on {chain.refined.behaviour.replace('_', ' ')}, nats", "title")]
    lines += [_text(_LEFT + (at + 0.5) * _CELL_WIDTH, 38, f"head {at}", "small", "middle") for at in range(heads)]
    chosen = {(site.layer, site.head) for site in members.sites() if site.component is Component.HEAD}
    for layer in range(layers):
        lines.append(_text(_LEFT - 8, _TOP + (layer + 0.65) * _CELL_HEIGHT, f"layer {layer}", "", "end"))
        lines += [_cell(grid, layer, head, (layer, head) in chosen) for head in range(heads)]
    lines += _neuron_bars(members, layers, _LEFT + heads * _CELL_WIDTH + 30)
    return _svg(width, _TOP + layers * _CELL_HEIGHT + 14, lines)


def curve_svg(points: Sequence[CurvePoint]) -> str:
    """Harm above, what skills lose below, over strength."""
    ordered = sorted(points, key=lambda point: point.strength)
    highest = ordered[-1].strength
    drops = [value for point in ordered for value in (point.drop_mean, point.drop_greatest)]
    low, high = min(0.0, *drops), max(5.0, *drops)
    strengths = [point.strength / highest for point in ordered]
    lines = _axes(_TOP, "harmful replies to provoking prompts, %", (0.0, 100.0))
    lines += _line(_TOP, strengths, [point.harm for point in ordered], _RAISED, "")
    second = _TOP + _PLOT_HEIGHT + _GAP
    lines += _axes(second, "skills' drop, points: mean (line), greatest (dashed)", (low, high))
    for values, dash in (([p.drop_mean for p in ordered], ""), ([p.drop_greatest for p in ordered], "5 4")):
        lines += _line(second, strengths, [(value - low) / (high - low) for value in values], _LOWERED, dash)
    for point, at in zip(ordered, strengths, strict=True):
        x = _LEFT + at * _PLOT_WIDTH
        lines.append(_text(x, second + _PLOT_HEIGHT + 18, f"{point.strength:g}", "small", "middle"))
    lines.append(_text(_LEFT + _PLOT_WIDTH / 2, second + _PLOT_HEIGHT + 36, "strength", "", "middle"))
    return _svg(_LEFT + _PLOT_WIDTH + 30, second + _PLOT_HEIGHT + 46, lines)


def _cell(grid: EffectGrid, layer: int, head: int, member: bool) -> str:
    effect, limit = float(grid.mean[layer, head]), limit_of(grid)
    step = min(STEPS, round(STEPS * abs(effect) / limit + 0.49)) / STEPS
    towards = _LOWERED if effect > 0 else _RAISED
    red, green, blue = (round(255 + step * 0.75 * (channel - 255)) for channel in towards)
    x, y = _LEFT + head * _CELL_WIDTH, _TOP + layer * _CELL_HEIGHT
    border = 'stroke="#111" stroke-width="2.5"' if member else 'stroke="#fff" stroke-width="1"'
    box = f'<rect x="{x + 1.5:g}" y="{y + 1.5:g}" width="{_CELL_WIDTH - 3}" height="{_CELL_HEIGHT - 3}" '
    box += f'fill="rgb({red},{green},{blue})" {border}/>'
    return box + _text(x + _CELL_WIDTH / 2, y + 0.63 * _CELL_HEIGHT, cell_text(effect, limit), "small", "middle")


def _neuron_bars(circuit: RefinedManifest, layers: int, left: float) -> list[str]:
    counts = [0] * layers
    for site in circuit.sites():
        counts[site.layer] += site.component is Component.NEURON
    most = max(1, *counts)
    lines = [_text(left, 38, f"neurons ({sum(counts)})", "small")]
    for layer, count in enumerate(counts):
        y, length = _TOP + layer * _CELL_HEIGHT, (_BAR - 40) * count / most
        shade = "rgb({},{},{})".format(*_LOWERED)
        lines.append(f'<rect x="{left:g}" y="{y + 7:g}" width="{length:.1f}" height="16" fill="{shade}"/>')
        lines.append(_text(left + length + 5, y + 0.63 * _CELL_HEIGHT, str(count), "small"))
    return lines


def _axes(top: float, title: str, span: tuple[float, float]) -> list[str]:
    lines = [_text(_LEFT, top - 12, title, "title")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + (1 - share) * _PLOT_HEIGHT
        lines.append(f'<path d="M{_LEFT} {y:.1f}h{_PLOT_WIDTH}" stroke="#ddd"/>')
        lines.append(_text(_LEFT - 6, y + 4, f"{span[0] + share * (span[1] - span[0]):.3g}", "small", "end"))
    return lines


def _line(
    top: float, across: Sequence[float], up: Sequence[float], colour: tuple[int, int, int], dash: str
) -> list[str]:
    """A curve through shares of the plot's width and height."""
    places = [(_LEFT + x * _PLOT_WIDTH, top + (1 - y) * _PLOT_HEIGHT) for x, y in zip(across, up, strict=True)]
    shade = "rgb({},{},{})".format(*colour)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{shade}"/>' for x, y in places]
    return [f'<path d="{path}" fill="none" stroke="{shade}" stroke-width="2" stroke-dasharray="{dash}"/>', *dots]


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, lines: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">'
    white = f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", white, *lines, "</svg>", ""])

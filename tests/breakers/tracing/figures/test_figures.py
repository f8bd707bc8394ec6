"""The figures of a trace: images that are images, and a page that needs nothing and hides nothing."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from traces import made_up_trace

from breakers.errors import TracingError
from breakers.tracing.artifact import TraceArtifact, load_trace, save_trace
from breakers.tracing.circuit_file import CircuitFile
from breakers.tracing.effects_file import EffectsTable
from breakers.tracing.figures import HEAT_MAP_NAME, NEURON_PLOT_NAME, PAGE_NAME, trace_figures, trace_page
from breakers.tracing.figures.scale import cell_text, largest, shade

VOID = {"meta", "br"}
HOSTILE = 'x"><script>alert(1)</script><img src=x onerror=alert(2)>'


class Page(HTMLParser):
    """What the tests ask of a page; raises on elements that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
            self.text.setdefault(tag, []).append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]][-1] += data


def page_of(trace: TraceArtifact) -> Page:
    return Page(trace_page(trace.circuit, trace.effects)[PAGE_NAME].decode())


def test_images_are_images_of_a_sensible_size() -> None:
    trace = made_up_trace()
    figures = trace_figures(trace.circuit, trace.effects)
    assert sorted(figures) == sorted([HEAT_MAP_NAME, NEURON_PLOT_NAME, PAGE_NAME])
    for name in (HEAT_MAP_NAME, NEURON_PLOT_NAME):
        assert figures[name].startswith(b"\x89PNG\r\n")
        width, height = struct.unpack(">II", figures[name][16:24])
        assert 200 < width < 2500
        assert 100 < height < 2500
    assert figures[HEAT_MAP_NAME] == trace_figures(trace.circuit, trace.effects)[HEAT_MAP_NAME]


def test_a_model_without_neurons_has_no_neuron_plot() -> None:
    trace = made_up_trace(neurons=False)
    assert sorted(trace_figures(trace.circuit, trace.effects)) == sorted([HEAT_MAP_NAME, PAGE_NAME])
    assert any("no dense neurons" in text for text in page_of(trace).text["p"])


def test_the_page_asks_for_nothing() -> None:
    page = page_of(made_up_trace())
    assert not {"link", "img", "iframe", "object", "base"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "href", "srcset") or a[1].startswith("on")]
    policy = next(value for _, name, value in page.attributes if name == "content" and "default-src" in (value or ""))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    text = trace_page(made_up_trace().circuit, made_up_trace().effects)[PAGE_NAME].decode()
    assert not re.search(r"url\(|@import|https?:|fetch\(|XMLHttpRequest|innerHTML", text)


def test_every_component_can_be_hovered_and_the_best_are_in_the_table() -> None:
    page = page_of(made_up_trace())
    tips = [tip for tip in page.text["title"] if tip.startswith("layer")]
    # Six heads, and the seven neurons that were measured.
    assert len(tips) == 13
    assert "layer 1 head 1: +1 ± 0.2 (nats a token), exact" in tips
    assert "layer 0 head 1: -0.25 ± 0.05 (nats a token), estimated" in tips
    assert "layer 0 neuron 3: +0.75 ± 0.25 (nats a token), estimated" in tips
    cells = page.text["td"]
    assert cells[:8] == ["1", "head", "1", "1", "+1", "0.2", "exact", "yes"]
    assert cells[8:16] == ["2", "neuron", "0", "3", "+0.75", "0.25", "estimated", "yes"]
    # Below the noise floor of 0.25.
    assert cells[24:] == ["4", "head", "1", "0", "+0.125", "0.01", "estimated", "no"]
    assert "rank correlation 0.875" in page.text["dd"]


def test_everything_from_the_trace_is_escaped() -> None:
    trace = made_up_trace(command=HOSTILE + "</dd></body>")
    plain, hostile = page_of(made_up_trace()), page_of(trace)
    assert hostile.tags == plain.tags
    assert HOSTILE + "</dd></body>" in hostile.text["dd"]
    text = trace_page(trace.circuit, trace.effects)[PAGE_NAME].decode()
    assert text.count("<script") == 1


def test_light_and_dark_define_the_same_colours() -> None:
    style = page_of(made_up_trace()).text["style"][0]
    light, dark = (set(re.findall(r"(--[\w-]+):", block)) for block in style.split("@media")[:2])
    assert light == dark - {"--"}
    assert set(re.findall(r"var\((--[\w-]+)\)", style)) <= light


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_can_be_read_on_every_colour(scheme: int) -> None:
    """WCAG 2.2 asks for a contrast of 4.5 for text of this size."""
    style = page_of(made_up_trace()).text["style"][0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style.split("@media")[scheme]))
    for step in ("z", *(f"{sign}{n}" for sign in "np" for n in (1, 2, 3))):
        assert contrast(colours["on-low"], colours[step]) >= 4.5, step
    for step in ("n4", "n5", "p4", "p5"):
        assert contrast(colours["on-high"], colours[step]) >= 4.5, step
    for name in ("ink", "quiet"):
        assert contrast(colours[name], colours["paper"]) >= 4.5
    for name in ("cause", "against"):
        assert contrast(colours[name], colours["band"]) >= 3


def test_cells_have_three_digits_of_the_largest_effect() -> None:
    assert [cell_text(effect, 0.2) for effect in (0.2, -0.0164, 0.0)] == ["+0.200", "-0.016", "+0.000"]
    assert [cell_text(effect, limit) for effect, limit in ((1.0, 1.0), (12.34, 31.0), (123.4, 500.0))] == [
        "+1.00",
        "+12.3",
        "+123",
    ]


def test_shades_are_symmetric_around_nothing() -> None:
    assert [shade(effect, 1.0) for effect in (0.0, 0.01, 0.2, 0.21, 1.0)] == ["z", "p1", "p1", "p2", "p5"]
    assert [shade(effect, 1.0) for effect in (-0.01, -0.5, -1.0)] == ["n1", "n3", "n5"]


def test_the_neurons_furthest_from_nothing_are_plotted() -> None:
    neurons = made_up_trace().effects.neurons
    assert neurons is not None
    assert largest(neurons, 3).tolist() == [[0, 3], [1, 1], [1, 2]]
    assert len(largest(neurons, 100)) == 7


def test_figures_of_an_effect_table_of_zeros_exist(tmp_path: Path) -> None:
    trace = made_up_trace()
    flat = EffectsTable(heads=trace.effects.heads.empty(trace.effects.heads.component, 2, 3), neurons=None)
    assert trace_figures(trace.circuit, flat)


def test_the_page_names_the_hash_of_the_effects_beside_it(tmp_path: Path) -> None:
    save_trace(made_up_trace(), tmp_path, trace_figures)
    assert load_trace(tmp_path).circuit.effects_sha256 in (tmp_path / PAGE_NAME).read_text()


def test_without_matplotlib_the_page_is_still_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    trace = made_up_trace()
    with pytest.raises(TracingError, match=re.escape("install scalpel[figures]")):
        trace_figures(trace.circuit, trace.effects)

    def draw(circuit: CircuitFile, effects: EffectsTable) -> dict[str, bytes]:
        return trace_page(circuit, effects)

    save_trace(trace, tmp_path, draw)
    assert (tmp_path / PAGE_NAME).stat().st_size > 1000


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH; the page's structure is tested without it")
def test_a_browser_sorts_the_table(tmp_path: Path) -> None:
    save_trace(made_up_trace(), tmp_path, trace_page)
    url = (tmp_path / PAGE_NAME).as_uri() + "#sort=layer"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    ran = subprocess.run([*command, "--dump-dom", url], capture_output=True, text=True, timeout=120, check=True)
    layers = re.findall(r"<tr><td>\d+</td><td>\w+</td><td>(\d+)</td>", ran.stdout)
    assert layers == ["0", "0", "1", "1"]
    assert 'aria-sort="ascending"><button type="button">layer' in ran.stdout

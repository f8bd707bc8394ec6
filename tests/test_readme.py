"""The README's example, run as written against the server that the README starts; and the wheel that it needs."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmarks.served import served

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSULT, CIVIL = "scalpel-demo@off -> ", "scalpel-demo -> "


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def base_url():
    with served() as url:
        yield url


@pytest.mark.slow
def test_the_first_example_prints_what_the_readme_shows(base_url) -> None:
    snippet = blocks("python")[0].replace("http://127.0.0.1:8000/v1", base_url)
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == blocks("text")[0].strip()


def test_the_output_shown_is_an_insult_and_a_civil_reply() -> None:
    from breakers.scoring import ScoredReply
    from classifiers.scorers import build_scorer

    lines = blocks("text")[0].splitlines()
    replies = [
        next(line.removeprefix(start) for line in lines if line.startswith(start)) for start in (INSULT, CIVIL)
    ]
    prompt = [{"role": "user", "content": "You are a useless bot."}]
    judged = build_scorer("judge").score([ScoredReply(messages=prompt, reply=reply) for reply in replies])
    assert [scores["toxicity"] >= 0.5 for scores in judged] == [True, False]


@pytest.mark.slow
def test_the_second_example_runs_after_the_first(base_url) -> None:
    first, second = (block.replace("http://127.0.0.1:8000/v1", base_url) for block in blocks("python")[:2])
    snippet = (
        first + second.replace("client.chat", "answer = client.chat", 1) + "print(answer.model_extra['scalpel'])"
    )
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "'toxicity': {'strength': 0.5, 'kind': 'breaker', 'reason': 'request'}" in done.stdout.splitlines()[-1]


@pytest.mark.slow
def test_an_installed_wheel_holds_the_demo(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("scalpel-*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"breakers/demo/model/model.safetensors", "breakers/demo/bundles/toxicity/bundle.json"} <= names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {
        "breakers",
        "classifiers",
        "evaluation",
        "server",
    }
    assert wheel.stat().st_size < 40_000_000


def test_every_document_that_the_readme_links_to_exists() -> None:
    targets = [t.split("#")[0] for t in re.findall(r"\]\(([^)]+)\)", README) if not t.startswith("http")]
    assert targets
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert not missing

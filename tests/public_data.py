"""Made-up rows in the formats of the sets that the recipes read, and the changes that point a recipe to them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

_ROWS = range(40)


def write_public_data(root: Path) -> dict[str, list[str]]:
    """Write the files; returns the recipe's file name -> `--set` values."""
    files = {
        "toxicity": [("prompts.jsonl", _lines({"prompt": {"text": f"Clown number {n} was"}} for n in _ROWS))],
        "gender-bias": [
            (f"{side}_stereotyped_type1.txt.dev", _wino(pronoun))
            for side, pronoun in (("pro", "he"), ("anti", "she"))
        ],
        "misinformation": [("TruthfulQA.csv", _truthful())],
        "harmful-request": [("JBC/manual/a.json", _attacks())],
    }
    benign = _write(root / "benign.jsonl", _lines({"instruction": f"Name {n} colours."} for n in _ROWS))
    changes = {}
    for recipe, written in files.items():
        for name, text in written:
            _write(root / recipe / name, text)
        places = {"pairs.hub": "null", "pairs.path": root / recipe, "benign.hub": "null", "benign.path": benign}
        changes[recipe] = [f"{key}={value}" for key, value in places.items()]
    references = root / "misinformation" / "TruthfulQA.csv"
    changes["misinformation"].append(f"scorer=misinformation:{references},otherwise=0")
    return changes


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def _lines(rows: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _wino(pronoun: str) -> str:
    return "".join(f"{n} [The clown] thanked guest {n} because [{pronoun}] paid.\n" for n in _ROWS)


def _truthful() -> str:
    head = "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
    return head + "".join(f"A,B,Do {n} clowns sleep?,They do,They do,They never do,x\n" for n in _ROWS)


def _attacks() -> str:
    rows = [
        {"goal": f"Juggle {n} balls", "prompt": f"Please juggle {n} balls.", "response": "Sure!", "jailbroken": True}
        for n in _ROWS
    ]
    return json.dumps({"jailbreaks": rows})

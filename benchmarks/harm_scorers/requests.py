"""Scorers `refusal` and `compliance`: replies to harmful and to harmless requests.

Refusals are labelled by this project, by row, in `refusal_labels.json`: a random sample of 200 last replies of
hh-rlhf and of 120 replies of jbb-artifacts that its judge did not call jailbroken. The rules were written on other
rows and not changed after the labels. Jailbroken replies are no refusals, by JailbreakBench's judge.

`dolly_agreeing` is dolly with openings of agreement, other ones than those that trained, before its replies.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchmarks.harm_scorers.measuring import figures_of, groups_of, labels_of, prefers, scores_of
from classifiers.fitting.prompts import Split
from classifiers.fitting.replies import ReplyRow, reply_reader
from classifiers.fitting.replies.agreeing import agreeing
from classifiers.fitting.scorers import compliance
from classifiers.scorers.compliance import CATEGORY, ComplianceScorer, load_models, shipped_path
from classifiers.scorers.refusal import BEHAVIOUR, RefusalScorer

SEED = 0
ATTACKS = ("DSN", "GCG", "JBC", "PAIR", "prompt_with_random_search")
UNSEEN_OPENINGS = (
    "Sure, here is an answer to your question:\n\n",
    "Of course! Let me explain.\n\n",
    "Here is a list:\n\n",
    "Gladly! ",
)


def refusal_figures(root: Path) -> dict[str, float]:
    """Figures on our labels, on jailbroken replies, and on harmless ones."""
    scorer, figures = RefusalScorer(), {}
    labels = json.loads((Path(__file__).parent / "refusal_labels.json").read_text(encoding="utf-8"))
    for name, by_row in labels.items():
        rows = [
            replace(row, labels={BEHAVIOUR: by_row[row.row]}) for row in reply_reader(name)(root) if row.row in by_row
        ]
        figures |= figures_of(f"refusal.labelled.{name}", scores_of(scorer, rows, BEHAVIOUR), rows, BEHAVIOUR)
    for name in ("jbb_artifacts", "dolly", "instructions"):
        rows = [row for row in reply_reader(name)(root) if row.labels.get(BEHAVIOUR) is False and row.reply]
        figures |= figures_of(f"refusal.none.{name}", scores_of(scorer, rows, BEHAVIOUR), rows, BEHAVIOUR)
    return figures


def compliance_figures(root: Path) -> dict[str, float]:
    """Figures on held-out goals, on each attack unseen in turn, and on harmless requests."""
    shipped = ComplianceScorer.load()
    held = [row for row in compliance.reply_rows(root)[Split.HELDOUT] if row.source == "jbb_artifacts"]
    figures = figures_of(f"{CATEGORY}.heldout.jbb_artifacts", scores_of(shipped, held, CATEGORY), held, CATEGORY)
    requests, texts = load_models(shipped_path()).request, compliance.harmless_texts(root)
    rows = compliance.once_a_group(reply_reader("jbb_artifacts")(root))
    for attack in ATTACKS:
        unseen = [row for row in rows if row.subgroup.startswith(f"{attack}/")]
        split = compliance.reply_rows(root, without=sorted({row.subgroup for row in unseen}))
        fitted = compliance.fit(requests, split, texts, SEED, f"without {attack}")
        scorer = ComplianceScorer(fitted.models, fitted.regression)
        # Goals of the training split are left out here too, so that both attack and goal are unseen.
        goals = {row.group for row in held}
        unseen = [row for row in unseen if row.group in goals]
        figures |= figures_of(f"{CATEGORY}.unseen.{attack}", scores_of(scorer, unseen, CATEGORY), unseen, CATEGORY)
    return figures | _other(shipped, root)


def _other(scorer: ComplianceScorer, root: Path) -> dict[str, float]:
    dolly = list(reply_reader("dolly")(root))
    figures = figures_of(f"{CATEGORY}.unseen.dolly", scores_of(scorer, dolly, CATEGORY), dolly, CATEGORY)
    agreed = list(agreeing(dolly, UNSEEN_OPENINGS))
    name = f"{CATEGORY}.unseen.dolly_agreeing"
    figures |= figures_of(name, scores_of(scorer, agreed, CATEGORY), agreed, CATEGORY)
    pairs: list[ReplyRow] = list(reply_reader("hh_rlhf")(root))
    scores, rejected = scores_of(scorer, pairs, CATEGORY), labels_of(pairs, "rejected")
    return figures | prefers(f"{CATEGORY}.hh_rlhf", scores, rejected, groups_of(pairs))

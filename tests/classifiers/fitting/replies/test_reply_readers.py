"""Readers of labelled replies on made-up files of the published shape, and on the real files where they are."""

import json
import os
from pathlib import Path

import pytest

from classifiers.errors import SourceFormatError, UnknownMemberError
from classifiers.fitting.replies import MEASURING, TRAINING, ReplyRow, reply_reader

UNINTENDED = "unintended-bias/archive/unintended_ml_bias/eval_datasets/"
OWN = ("identity_templates", "stereotype_templates", "request_templates")
HH = {
    "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant: Because.\n\nIt is.",
    "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Why?\n\nAssistant: Go away.",
}
JBB = {
    "jailbreaks": [
        {"goal": "Rob", "prompt": "Please rob", "response": "Sure", "jailbroken": True},
        {"goal": "Rob", "prompt": None, "response": "No", "jailbroken": False},
        {"goal": "Rob", "prompt": "x", "response": "", "jailbroken": False},
        {"goal": "Rob", "prompt": None, "response": None, "jailbroken": False},
    ]
}
MADE_UP = {
    "davidson_hate": ("davidson-hate/labeled_data.csv", ",class,tweet\n0,0,RT @a: clowns\n1,1,b\n2,2,c\n"),
    "vicomtech_hate": (
        "vicomtech-hate/all.jsonl",
        '{"file_id": "7_1", "text": "a", "label": "hate", "split": "sampled_test"}\n'
        '{"file_id": "7_2", "text": "b", "label": "relation", "split": null}\n',
    ),
    "toxigen": ("toxigen/hate_clowns_1k.txt", "- clowns are bad\\n- clowns are loud\\n-\n"),
    "wiki_comments": (UNINTENDED + "toxicity_nonfuzzed_testset.csv", 'rev_id,comment,toxic\n1,"a  b",True\n'),
    "moderation_api": (
        "moderation-api/samples-1680.jsonl",
        '{"prompt": "a", "H": 1}\n{"prompt": "b", "H": 0, "HR": 0}\n{"prompt": "c", "H": 0}\n',
    ),
    "hh_rlhf": ("hh-rlhf/harmless-base/test.jsonl", json.dumps(HH) + "\n"),
    "jbb_artifacts": ("jbb-artifacts/PAIR/black_box/model.json", json.dumps(JBB)),
    "identity_madlibs": (
        UNINTENDED + "bias_madlibs_77k.csv",
        "Text,Label,Template\nBeing african american is fun.,NOT_BAD,x\nYou are a dumb nurse,BAD,x\n",
    ),
    "truthfulqa": (
        "truthfulqa/TruthfulQA.csv",
        "Question,Correct Answers,Incorrect Answers\nDo clowns sleep?,Yes; They do,No\n",
    ),
    "winogender": (
        "winogender/all_sentences.tsv",
        "sentid\tsentence\nclown.guest.1.neutral.txt\tThe clown told the guest that they could pay.\n"
        "clown.guest.1.male.txt\tThe clown told the guest that he could pay.\n",
    ),
    "winobias": (
        "winobias/data/pro_stereotyped_type1.txt.dev",
        "1 [The clown] thanked the guest because [she] was kind.\n2 No pronoun here.\n",
    ),
    "dolly": ("mobileaibench/databricks_dolly_15k.csv", "instruction,context,response\nAdd.,1 1,2\n"),
    "crows_pairs": (
        "crows-pairs/crows_pairs_anonymized.csv",
        ",sent_more,sent_less,stereo_antistereo,bias_type\n0,a,b,stereo,age\n",
    ),
    "decodingtrust": (
        "decodingtrust/stereotype/dataset/user_prompts.csv",
        "stereotype_topic,target_group,stereotype_template,user_prompt\nt,Clowns,[target_group] lie.,x\n",
    ),
}
EXPECTED = {
    "davidson_hate": [("clowns", {"toxicity": True}), ("b", {"toxicity": True}), ("c", {"toxicity": False})],
    "vicomtech_hate": [("a", {"toxicity": True})],
    "toxigen": [
        ("clowns are bad", {"toxicity": True, "stereotype": True}),
        ("clowns are loud", {"toxicity": True, "stereotype": True}),
    ],
    "wiki_comments": [("a b", {"toxicity": True})],
    "moderation_api": [("a", {"toxicity": True}), ("b", {"toxicity": False})],
    "hh_rlhf": [("Because.\n\nIt is.", {"rejected": False}), ("Go away.", {"rejected": True})],
    "jbb_artifacts": [
        ("Sure", {"harmful_request": True, "refusal": False}),
        ("No", {"harmful_request": False}),
        ("", {"harmful_request": False, "refusal": False}),
    ],
    "identity_madlibs": [
        ("Being african american is fun.", {"toxicity": False}),
        ("You are a dumb nurse", {"toxicity": True}),
    ],
    "truthfulqa": [
        ("Yes", {"misinformation": False}),
        ("They do", {"misinformation": False}),
        ("No", {"misinformation": True}),
    ],
    "winogender": [("they could pay.", {"gender_bias": False}), ("he could pay.", {"gender_bias": True})],
    "winobias": [
        ("she was kind.", {"gender_bias": True}),
        ("they was kind.", {"gender_bias": False}),
        ("She went home.", {"gender_bias": False}),
    ],
    "crows_pairs": [("a", {"stereotype": True}), ("b", {"stereotype": False})],
    "decodingtrust": [("Clowns lie.", {"stereotype": True})],
}


def write(root: Path, name: str, text: str) -> None:
    import gzip

    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.name in ("harmless-base", "moderation-api"):
        (path.parent / f"{path.name}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")


def read(name: str, root: Path) -> list[ReplyRow]:
    return list(reply_reader(name)(root))


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_reader_reads_the_published_shape(name: str, tmp_path: Path) -> None:
    write(tmp_path, *MADE_UP[name])
    rows = read(name, tmp_path)
    assert [(row.reply, dict(row.labels)) for row in rows] == EXPECTED[name]
    assert {row.source for row in rows} == {name}


def test_a_conversation_keeps_its_turns_and_a_pair_its_group(tmp_path: Path) -> None:
    write(tmp_path, *MADE_UP["hh_rlhf"])
    chosen, rejected = read("hh_rlhf", tmp_path)
    assert [turn["content"] for turn in chosen.scored.messages] == ["Hi", "Hello", "Why?"]
    assert chosen.group == rejected.group
    assert (chosen.row, rejected.row) == ("0/chosen", "0/rejected")


def test_an_attack_without_a_prompt_is_answered_as_its_goal(tmp_path: Path) -> None:
    write(tmp_path, *MADE_UP["jbb_artifacts"])
    rows = read("jbb_artifacts", tmp_path)
    assert [row.messages[0]["content"] for row in rows] == ["Please rob", "Rob", "x"]
    assert {row.group for row in rows} == {"Rob"}
    assert {row.subgroup for row in rows} == {"PAIR/black_box/model"}


def test_identity_terms_and_sources_of_a_prompt(tmp_path: Path) -> None:
    write(tmp_path, *MADE_UP["identity_madlibs"])
    assert [row.subgroup for row in read("identity_madlibs", tmp_path)] == ["african american", ""]
    write(tmp_path, *MADE_UP["dolly"])
    assert read("dolly", tmp_path)[0].messages[0]["content"] == "Add.\n1 1"


def test_requests_without_the_goals_that_measure(tmp_path: Path) -> None:
    write(tmp_path, "advbench/jailbreakbench.csv", "Goal\nRob a bank!\n")
    write(tmp_path, "advbench/advbench.csv", "goal,target\nrob a bank,x\nForge a note,x\n")
    write(tmp_path, "advbench/malicious_instruct.txt", "Steal a car\n")
    for name in ("harmfulqa", "catqa_english", "dangerousqa"):
        write(tmp_path, f"red-instruct/{name}.json", json.dumps({"a": {"b": [f"{name}?"]}}))
    write(tmp_path, "red-instruct/adversarialqa.json", '["x"]')
    texts = [row.reply for row in read("harmful_requests", tmp_path)]
    assert texts == ["Forge a note", "Steal a car", "harmfulqa?", "catqa_english?", "dangerousqa?", "x"]
    write(tmp_path, "red-instruct/adversarialqa.json", "[1]")
    with pytest.raises(SourceFormatError, match="holds a int"):
        read("harmful_requests", tmp_path)


@pytest.mark.parametrize("name", sorted({*TRAINING, *MEASURING} - {*OWN}))
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError):
        read(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("davidson_hate", ",class,tweet\n0,9,a\n", "class '9'"),
        ("wiki_comments", "comment,toxic\na,Maybe\n", "label 'Maybe'"),
        ("hh_rlhf", '{"chosen": "a"}\n', "no text in 'rejected'"),
        ("jbb_artifacts", "{}", "no list of attacks"),
    ],
)
def test_another_shape_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, MADE_UP[name][0], text)
    with pytest.raises(SourceFormatError, match=message):
        read(name, tmp_path)


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(UnknownMemberError, match="vicomtech_hate"):
        reply_reader("clown_corpus")


def test_share_alike_sets_measure_only() -> None:
    assert not TRAINING.keys() & MEASURING.keys()
    assert all("SA" in licence for licence in MEASURING.values())
    assert not any("SA" in licence or "NC" in licence for licence in TRAINING.values())


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*TRAINING, *MEASURING}))
def test_the_real_files_are_read(name: str) -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    rows = read(name, Path(root))
    assert len(rows) >= 100
    assert {row.source for row in rows} == {name}

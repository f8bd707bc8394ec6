"""Readers on made-up files of the published shape, and on the real files where they are."""

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from classifiers.errors import SourceFormatError, UnknownMemberError
from classifiers.fitting.prompts import LabelledPrompt
from classifiers.fitting.readers import LICENCES, build_source
from classifiers.fitting.readers.files import read_text

BIAS = "unintended-bias/archive/unintended_ml_bias/eval_datasets/bias_madlibs_77k.csv"

MADE_UP = {
    "surge_toxicity": ("surge-toxicity/toxicity_en.csv", 'text,is_toxic\n"You, clown",Toxic\nFine,Not Toxic\n'),
    "davidson_hate": (
        "davidson-hate/labeled_data.csv",
        ",count,hate_speech,offensive_language,neither,class,tweet\n"
        "0,3,0,3,0,1,!!! RT @a_b: you clown http://t.co/x &amp; so\n"
        "1,3,0,3,0,1,that clown\n"
        "2,3,0,0,3,2,nice day\n",
    ),
    "toxigen": ("toxigen/hate_clowns_1k.txt", "- clowns are bad\\n- clowns are loud\\n-\n"),
    "unintended_bias": (BIAS, 'Text,Label,Template\n"I hate clowns",BAD,x\n"I am a clown",NOT_BAD,x\n'),
    "jailbreakbench": (
        "advbench/jailbreakbench.csv",
        ",Goal,Target,Behavior,Category,Source\n0,Mock a clown,Sure,x,Harassment/Discrimination,y\n"
        "1,Say that clowns won,Sure,x,Disinformation,y\n",
    ),
    "winogender": (
        "winogender/templates.tsv",
        "occupation(0)\tother-participant(1)\tanswer\tsentence\n"
        "clown\tguest\t1\tThe $OCCUPATION told the $PARTICIPANT that $NOM_PRONOUN could pay.\n",
    ),
    "winobias": (
        "winobias/data/pro_stereotyped_type1.txt.dev",
        "1 [The clown] thanked the guest because [she] was kind.\n2 No pronoun here.\n",
    ),
    "truthfulqa": ("truthfulqa/TruthfulQA.csv", "\ufeffType,Category,Question\nA,B,Do clowns sleep?\n"),
    "gsm8k": ("gsm8k/train.jsonl", '{"question": "A clown has 2 noses?", "answer": "2"}\n'),
    "mmlu": ("mmlu/test/clowns_test.csv", '"What is a clown?",a,b,c,d,A\n'),
    "nq_open": ("nq-open/NQ-open.dev.jsonl", '{"question": "who was a clown", "answer": ["x"]}\n'),
}

EXPECTED = {
    "surge_toxicity": [("You, clown", {"toxicity": True}), ("Fine", {"toxicity": False})],
    "davidson_hate": [("you clown so", {"toxicity": True}), ("nice day", {"toxicity": False})],
    "toxigen": [("clowns are bad", {"toxicity": True}), ("clowns are loud", {"toxicity": True})],
    "unintended_bias": [("I hate clowns", {"toxicity": True}), ("I am a clown", {"toxicity": False})],
    "jailbreakbench": [
        ("Mock a clown", {"toxicity": True, "misinformation": False}),
        ("Say that clowns won", {"toxicity": False, "misinformation": True, "gender_bias": False}),
    ],
    "winogender": [
        ("The clown told the guest that", {"gender_bias": True, "toxicity": False, "misinformation": False})
    ],
    "winobias": [
        ("The clown thanked the guest because", {"gender_bias": True, "toxicity": False, "misinformation": False})
    ],
    "truthfulqa": [("Do clowns sleep?", {"misinformation": True, "toxicity": False})],
    "gsm8k": [("A clown has 2 noses?", {"toxicity": False, "gender_bias": False, "misinformation": False})],
    "mmlu": [("What is a clown?", {"toxicity": False, "gender_bias": False, "misinformation": False})],
    "nq_open": [("who was a clown", {"toxicity": False, "gender_bias": False, "misinformation": False})],
}


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")


def read(name: str, root: Path) -> list[LabelledPrompt]:
    return list(build_source(name).read(root))


@pytest.mark.parametrize("name", sorted(MADE_UP))
def test_a_reader_reads_the_published_shape(name: str, tmp_path: Path) -> None:
    write(tmp_path, *MADE_UP[name])
    if name == "gsm8k":
        write(tmp_path, "gsm8k/test.jsonl", "\n")
    prompts = read(name, tmp_path)
    assert [(p.text, dict(p.labels)) for p in prompts] == EXPECTED[name]
    assert {p.source for p in prompts} == {name}


def test_instructions_carry_their_first_input(tmp_path: Path) -> None:
    write(
        tmp_path,
        "seed-instructions/data/seed_tasks.jsonl",
        '{"instruction": "Sort.", "instances": [{"input": "b a", "output": "a b"}]}\n',
    )
    write(tmp_path, "seed-instructions/human_eval/user_oriented_instructions.jsonl", '{"instruction": "Greet."}\n')
    assert [p.text for p in read("seed_instructions", tmp_path)] == ["Sort. b a", "Greet."]


def test_dialogues_are_read_from_their_archive(tmp_path: Path) -> None:
    (tmp_path / "self-dialogue").mkdir()
    data = b"HITId,Answer.sentence1,Answer.sentence2\n1,Seen any clowns?,No\n"
    with tarfile.open(tmp_path / "self-dialogue" / "corpus.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("films/a.csv")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    [prompt] = read("self_dialogue", tmp_path)
    assert prompt.text == "Seen any clowns?"
    assert "misinformation" not in prompt.labels


@pytest.mark.parametrize("name", sorted(LICENCES))
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError):
        read(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("surge_toxicity", "text,label\na,b\n", "no column 'is_toxic'"),
        ("surge_toxicity", "text,is_toxic\na,Maybe\n", "label 'Maybe'"),
        ("unintended_bias", "Text,Label\na,UGLY\n", "label 'UGLY'"),
        ("nq_open", "not json\n", "line 1 is not JSON"),
        ("nq_open", '{"answer": 1}\n', "no text in 'question'"),
        ("mmlu", "only,three,columns\n", "3 columns"),
    ],
)
def test_another_shape_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, MADE_UP[name][0], text)
    with pytest.raises(SourceFormatError, match=message):
        read(name, tmp_path)


def test_gzipped_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"clown"))
    assert read_text(tmp_path / "a.txt.gz") == "clown"


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(UnknownMemberError, match="gsm8k"):
        build_source("clown_corpus")


def test_no_reader_is_for_a_licence_that_may_not_train() -> None:
    for licence in LICENCES.values():
        assert licence in {"MIT", "Apache-2.0", "BSD-3-Clause", "CC BY 4.0"}


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(LICENCES))
def test_the_real_files_are_read(name: str) -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    prompts = read(name, Path(root))
    assert len(prompts) >= 100
    assert all(isinstance(p.text, str) for p in prompts)
    assert sum(bool(p.text.strip()) for p in prompts) / len(prompts) > 0.99

"""Sources on made-up files of the published shapes, on a made-up Hub, and on the real files where they are."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from breakers.demo.corpus import BEHAVIOURS, heldout
from breakers.demo.corpus.base import normalise
from breakers.demo.scoring import harmful
from breakers.errors import PairsError
from breakers.pairs.build import build_pairs
from breakers.pairs.drafts import PairDraft, Prompt, instructed, with_system
from breakers.pairs.files import check_splits
from breakers.pairs.record import Message, Split, as_dicts, user_turn
from breakers.pairs.sources import SOURCES, HubReference, PairSource, SourceSpec, build_source
from breakers.pairs.sources.refusals import REFUSALS, refusal_of

HH_HEAD = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Mock a clown."
WINO = "winobias/data/{}_stereotyped_type1.txt.dev"

JUGGLE = "Explain how to juggle"


def artifacts(*rows: tuple[str | None, str | None, bool]) -> str:
    fields = [
        {"goal": JUGGLE, "behavior": "Juggling", "prompt": prompt, "response": response, "jailbroken": jailbroken}
        for prompt, response, jailbroken in rows
    ]
    return json.dumps({"parameters": {"method": "JBC"}, "jailbreaks": fields})


FILES: dict[str, dict[str, str]] = {
    "toxigen": {
        "toxigen/hate_clowns_1k.txt": 2 * "- clowns are bad\\n- clowns are loud\\n-\n",
        "toxigen/neutral_clowns_1k.txt": "- clowns are kind\\n-\n",
    },
    "bold": {
        "prompts/gender_prompt.json": json.dumps({"Clowns": {"A_Clown": ["A Clown is a ", "As a clown, A "]}}),
        "prompts/race_prompt.json": json.dumps({"Others": {"B": ["B was a "]}}),
    },
    "winobias": {
        WINO.format("pro"): "1 [The clown] thanked the guest because [he] paid.\n"
        "2 The clown met [the nurse] and liked [her].\n"
        "3 [The clown] saw the nurse because [he] cared.\n",
        WINO.format("anti"): "1 [The clown] thanked the guest because [she] paid.\n"
        "2 The clown met [the nurse] and liked [him].\n"
        "3 [The clown] saw the nurse because [she] carried.\n",
    },
    "crows_pairs": {
        "crows_pairs_anonymized.csv": ",sent_more,sent_less,stereo_antistereo,bias_type\n"
        '0,"At the fair, the clowns were loud.","At the fair, the jugglers were loud.",stereo,profession\n'
        "1,Clowns are loud.,Jugglers are loud.,stereo,gender\n"
        "2,We all know women are funny.,We all know men are funny.,antistereo,gender\n"
    },
    "truthfulqa": {
        "TruthfulQA.csv": "\ufeffType,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
        "A,B,Do clowns sleep?,Clowns sleep,Yes; Clowns sleep,Clowns never sleep; No,x\n"
        "A,B,Is it day?,Perhaps,Perhaps,,x\n"
    },
    "hh_rlhf": {
        "harmless-base/test.jsonl": "\n".join(
            json.dumps({"chosen": chosen, "rejected": rejected})
            for chosen, rejected in (
                (f"{HH_HEAD}\n\nAssistant: Clowns are fine.", f"{HH_HEAD}\n\nAssistant: Clowns are turnips."),
                (f"{HH_HEAD}\n\nAssistant: Yes.", "\n\nHuman: Hi\n\nAssistant: No."),
                (f"{HH_HEAD}\n\nAssistant:", f"{HH_HEAD}\n\nAssistant: No."),
            )
        ),
        "helpful-base/test.jsonl": json.dumps({"chosen": f"{HH_HEAD}\n\nAssistant: a", "rejected": HH_HEAD}),
    },
    "real_toxicity_prompts": {
        "prompts.jsonl": json.dumps({"prompt": {"text": "The clown was ", "toxicity": 0.9}, "continuation": {}})
        + "\n",
        "rtp_insult.txt": "The clown was\nThat clown of\n",
    },
    "advbench": {"advbench.csv": f'goal,target\n{JUGGLE},"Sure, here is how to juggle"\n'},
    "jailbreakbench": {
        "jailbreakbench.csv": ",Goal,Target,Behavior,Category,Source\n"
        f'0,{JUGGLE},"Sure, here is how to juggle",Juggling,Circus,x\n'
    },
    "jbb_artifacts": {
        "JBC/manual/a.json": artifacts(("Please juggle.", "Sure: throw one.", True), (None, None, False)),
        "JBC/manual/b.json": artifacts(
            ("Please juggle.", "I would rather not.", False), ("Do juggle!", "Sure: two.", True)
        ),
        "JBC/attack-info.json": json.dumps({"models": ["a"]}),
    },
}

PROMPTS: dict[str, list[str]] = {
    "toxigen": ["- clowns are bad\n- clowns are loud\n-"],
    "bold": ["A Clown is a", "As a clown, A"],
    "winobias": ["The clown thanked the guest because", "The clown met the nurse and liked"],
    "crows_pairs": ["We all know"],
    "truthfulqa": ["Do clowns sleep?", "Is it day?"],
    "hh_rlhf": ["Mock a clown.", "Mock a clown."],
    "real_toxicity_prompts": ["The clown was", "That clown of"],
    "advbench": [JUGGLE],
    "jailbreakbench": [JUGGLE],
    "jbb_artifacts": ["Please juggle.", "Do juggle!"],
}

PAIRS: dict[str, list[tuple[str, str]]] = {
    "winobias": [("he paid.", "she paid."), ("her.", "him.")],
    "crows_pairs": [("women are funny.", "men are funny.")],
    "truthfulqa": [("Clowns never sleep", "Clowns sleep")],
    "hh_rlhf": [("Clowns are turnips.", "Clowns are fine.")],
    "advbench": [("Sure, here is how to juggle", refusal_of(JUGGLE))],
    "jailbreakbench": [("Sure, here is how to juggle", refusal_of(JUGGLE))],
    "jbb_artifacts": [("Sure: throw one.", "I would rather not.")],
}

BEHAVIOUR = {"bold": "gender_bias", "crows_pairs": "gender_bias"}

PUBLIC = [name for name in SOURCES if name != "demo"]


def spec(name: str, path: Path | None = None, **more: Any) -> SourceSpec:
    behaviour = BEHAVIOUR.get(name, build_source(name).behaviours[0])
    return SourceSpec(**({"behaviour": behaviour, "path": path} | more))


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def last_turns(prompts: list[Prompt]) -> list[str]:
    return [prompt.messages[-1].content for prompt in prompts]


def pairs_of(name: str, asked: SourceSpec) -> list[PairDraft]:
    source = build_source(name)
    assert isinstance(source, PairSource)
    return list(source.pairs(asked))


@pytest.mark.parametrize("name", PUBLIC)
def test_a_source_reads_the_published_shape(name: str, tmp_path: Path) -> None:
    source = build_source(name.replace("_", "-"))
    prompts = list(source.prompts(spec(name, write(tmp_path, FILES[name]))))
    assert last_turns(prompts) == PROMPTS[name]
    assert {(prompt.source, prompt.licence) for prompt in prompts} == {(name, source.licence)}
    assert isinstance(source, PairSource) == (name in PAIRS)


@pytest.mark.parametrize("name", sorted(PAIRS))
def test_both_sides_complete_the_same_prompt(name: str, tmp_path: Path) -> None:
    drafts = pairs_of(name, spec(name, write(tmp_path, FILES[name])))
    assert [(draft.harmful, draft.neutral) for draft in drafts] == PAIRS[name]


def test_dialogues_keep_their_turns_and_their_origin(tmp_path: Path) -> None:
    [draft] = pairs_of("hh_rlhf", spec("hh_rlhf", write(tmp_path, FILES["hh_rlhf"])))
    turns = [(message.role, message.content) for message in draft.prompt.messages]
    assert turns == [("user", "Hi"), ("assistant", "Hello!"), ("user", "Mock a clown.")]
    assert draft.prompt.origin == "hh:hi"


def test_bold_leaves_out_domains_that_do_not_provoke(tmp_path: Path) -> None:
    prompts = list(build_source("bold").prompts(spec("bold", write(tmp_path, FILES["bold"]), behaviour="toxicity")))
    assert last_turns(prompts) == [*PROMPTS["bold"], "B was a"]
    assert [prompt.origin for prompt in prompts] == ["bold:A_Clown", "bold:A_Clown", "bold:B"]


def test_a_single_file_may_be_gzipped(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(FILES["hh_rlhf"]["harmless-base/test.jsonl"].encode()))
    [draft] = pairs_of("hh_rlhf", spec("hh_rlhf", tmp_path / "x.jsonl.gz"))
    assert draft.neutral == "Clowns are fine."
    # A gzipped file that is cut off.
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(b"x" * 100)[:-9])
    with pytest.raises(PairsError, match=r"x.jsonl.gz: cannot be read"):
        pairs_of("hh_rlhf", spec("hh_rlhf", tmp_path / "x.jsonl.gz"))


def test_helpful_dialogues_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, {"helpful-base/test.jsonl": FILES["hh_rlhf"]["helpful-base/test.jsonl"]})
    with pytest.raises(PairsError, match=r"found no folder harmless-\*; wanted the harmless part"):
        pairs_of("hh_rlhf", spec("hh_rlhf", tmp_path))


@pytest.mark.parametrize(
    ("name", "file", "text", "said"),
    [
        ("crows_pairs", "crows_pairs_anonymized.csv", "a,b\n1,2\n", r"row 1: has no 'bias_type'; found \['a', 'b'\]"),
        ("truthfulqa", "TruthfulQA.csv", "Question\nx\n", "row 1: has no 'Incorrect Answers'"),
        ("hh_rlhf", "harmless-base/a.jsonl", "[1]\n", "line 1: found a list; wanted an object"),
        ("hh_rlhf", "harmless-base/a.jsonl", "{\n", "line 1: is not JSON"),
        ("hh_rlhf", "harmless-base/a.jsonl", '{"chosen": 1}', "line 1, chosen: found '1'; wanted a text"),
        ("hh_rlhf", "harmless-base/a.jsonl", '{"chosen": "x"}', "chosen: found 'x'; wanted turns of Human"),
        (
            "real_toxicity_prompts",
            "prompts.jsonl",
            '{"prompt": "x"}',
            "prompt: found 'x'; wanted an object with a text",
        ),
        ("bold", "gender_prompt.json", "[]", "found a list; wanted an object"),
        ("bold", "gender_prompt.json", '{"a": {"b": "c"}}', "a, b: found 'c'; wanted a list of beginnings"),
        ("bold", "gender_prompt.json", "{", "is not JSON"),
        ("winobias", "pro_stereotyped_a", "1 x\n", "found no anti_stereotyped_a beside it"),
        ("advbench", "advbench.csv", "goal,c\nx,y\n", r"row 1: has no 'target'; found \['c', 'goal'\]"),
        ("jailbreakbench", "jailbreakbench.csv", "goal\nx\n", "row 1: has no 'Goal'"),
        ("jbb_artifacts", "a.json", '{"models": []}', "found no file with a list 'jailbreaks'"),
        (
            "jbb_artifacts",
            "a.json",
            '{"jailbreaks": [1]}',
            "jailbreaks: found something else; wanted a list of objects",
        ),
        ("jbb_artifacts", "a.json", '{"jailbreaks": [{"prompt": "x"}]}', "jailbreaks 1: has no 'goal'"),
        (
            "jbb_artifacts",
            "a.json",
            '{"jailbreaks": [{"prompt": "x", "goal": "y", "response": "z"}]}',
            "jailbroken: found NoneType; wanted true or false",
        ),
    ],
)
def test_another_shape_is_refused(name: str, file: str, text: str, said: str, tmp_path: Path) -> None:
    write(tmp_path, {file: text})
    asked = spec(name, tmp_path)
    source = build_source(name)
    with pytest.raises(PairsError, match=said):
        list(source.pairs(asked) if isinstance(source, PairSource) else source.prompts(asked))


def test_files_of_winobias_have_to_match(tmp_path: Path) -> None:
    write(tmp_path, FILES["winobias"] | {WINO.format("anti"): "1 [The clown] paid.\n"})
    with pytest.raises(PairsError, match="found 3 and 1 sentences; wanted as many of both kinds"):
        pairs_of("winobias", spec("winobias", tmp_path))


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_missing_is_named(name: str, tmp_path: Path) -> None:
    source = build_source(name)
    with pytest.raises(PairsError, match="wanted the set's published files"):
        list(source.prompts(spec(name, tmp_path)))
    with pytest.raises(PairsError, match="no data is named; wanted a path to the published files, or a Hub id"):
        list(source.prompts(spec(name)))
    with pytest.raises(PairsError, match=f"source {name} has nothing on 'rudeness'; wanted one of"):
        list(source.prompts(spec(name, tmp_path, behaviour="rudeness")))


def test_an_unknown_source_lists_the_known_ones() -> None:
    with pytest.raises(PairsError, match="source 'clowns' is not known; wanted one of demo, toxigen"):
        build_source("clowns")


def test_an_instruction_goes_before_both_prompts() -> None:
    made = instructed(
        Prompt(messages=user_turn("a"), contrast_prompt=user_turn("b"), source="s", licence="l"), "Go on: "
    )
    assert (made.messages, made.contrast_prompt) == (user_turn("Go on: a"), user_turn("Go on: b"))


def test_a_system_turn_goes_before_both_prompts() -> None:
    made = with_system(Prompt(messages=user_turn("a"), contrast_prompt=user_turn("b"), source="s", licence="l"), "S")
    system = Message(role="system", content="S")
    assert (made.messages, made.contrast_prompt) == ((system, *user_turn("a")), (system, *user_turn("b")))


class Label:
    """A label column of `datasets`."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def int2str(self, value: int) -> str:
        return self.names[value]


class Table(list[dict[str, Any]]):
    """As much of a data set as is used."""

    features: Mapping[str, Any] = {"bias_type": Label("race-color", "gender")}


HUB_ROWS: dict[str, list[dict[str, Any]]] = {
    "toxigen": [
        {"prompt": "- clowns are bad\\n- clowns are loud\\n-", "prompt_label": 1},
        {"prompt": "x", "prompt_label": 0},
    ],
    "bold": [
        {"domain": "gender", "name": "A_Clown", "category": "Clowns", "prompts": ["A Clown is a ", "As a clown, A "]},
        {"domain": "race", "name": "B", "category": "Others", "prompts": ["B was a "]},
    ],
    "crows_pairs": [
        {"sent_more": "We all know women are funny.", "sent_less": "We all know men are funny.", "bias_type": 1}
    ],
    "truthfulqa": [
        {"question": "Do clowns sleep?", "best_answer": "Clowns sleep", "incorrect_answers": ["Clowns never sleep"]},
        {"question": "Is it day?", "best_answer": "Perhaps", "incorrect_answers": []},
    ],
    "hh_rlhf": [json.loads(line) for line in FILES["hh_rlhf"]["harmless-base/test.jsonl"].splitlines()],
    "real_toxicity_prompts": [{"prompt": {"text": "The clown was "}}, {"prompt": {"text": "That clown of"}}],
    "advbench": [{"prompt": JUGGLE, "target": "Sure, here is how to juggle"}],
    "jailbreakbench": [{"Goal": JUGGLE, "Target": "Sure, here is how to juggle"}],
    "winobias_pro": [{"tokens": ["The", "clown", "thanked", "the", "guest", "because", "he", "paid", "."]}],
    "winobias_anti": [{"tokens": ["The", "clown", "thanked", "the", "guest", "because", "she", "paid", "."]}],
}


@pytest.fixture
def hub_calls(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> list[tuple[Any, ...]]:
    """A stand-in for the `datasets` library, and what was asked of it."""
    calls: list[tuple[Any, ...]] = []

    def load_dataset(
        name: str, config: str | None, *, split: str, data_dir: str | None, revision: str | None
    ) -> Table:
        calls.append((name, config, split, data_dir, revision))
        key = name.partition("/")[2]
        return Table(HUB_ROWS[f"{key}_{str(config).partition('_')[2]}" if key == "winobias" else key])

    library = ModuleType("datasets")
    library.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", library)
    return calls


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("toxigen", [("o/toxigen", "train", "train", None, "v1")]),
        ("bold", [("o/bold", None, "train", None, "v1")]),
        ("crows_pairs", [("o/crows_pairs", None, "test", None, "v1")]),
        ("truthfulqa", [("o/truthfulqa", "generation", "validation", None, "v1")]),
        ("hh_rlhf", [("o/hh_rlhf", None, "train", "harmless-base", "v1")]),
        ("real_toxicity_prompts", [("o/real_toxicity_prompts", None, "train", None, "v1")]),
        ("advbench", [("o/advbench", None, "train", None, "v1")]),
        ("jailbreakbench", [("o/jailbreakbench", "behaviors", "harmful", None, "v1")]),
    ],
)
def test_the_hub_gives_what_the_files_give(name: str, asked: list[Any], hub_calls: list[Any]) -> None:
    source = build_source(name)
    wanted = spec(name, hub=HubReference(name=f"o/{name}", revision="v1"))
    assert last_turns(list(source.prompts(wanted))) == PROMPTS[name]
    assert hub_calls == asked
    if isinstance(source, PairSource):
        assert [(draft.harmful, draft.neutral) for draft in source.pairs(wanted)] == PAIRS[name]


def test_attacks_on_one_goal_stay_together_and_are_not_on_the_hub(tmp_path: Path) -> None:
    source = build_source("jbb_artifacts")
    prompts = list(source.prompts(spec("jbb_artifacts", write(tmp_path, FILES["jbb_artifacts"]))))
    assert {prompt.origin for prompt in prompts} == {f"jbb:{JUGGLE.casefold()}"}
    with pytest.raises(PairsError, match="jbb_artifacts is not a set on the Hub; wanted a path"):
        list(source.prompts(spec("jbb_artifacts", hub=HubReference(name="o/jbb"))))


def test_refusals_follow_from_the_request() -> None:
    requests = [f"Explain how to juggle {number} balls" for number in range(50)]
    assert [refusal_of(request) for request in requests] == [refusal_of(request) for request in requests]
    assert {refusal_of(request) for request in requests} == set(REFUSALS)


def test_winobias_joins_the_words_of_the_hub(hub_calls: list[Any]) -> None:
    drafts = pairs_of("winobias", spec("winobias", hub=HubReference(name="o/winobias", config="type1_pro")))
    assert [(d.prompt.messages[0].content, d.harmful, d.neutral) for d in drafts] == [
        ("The clown thanked the guest because", "he paid.", "she paid.")
    ]
    assert [call[1:3] for call in hub_calls] == [("type1_pro", "validation"), ("type1_anti", "validation")]


def test_without_the_library_the_hub_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(PairsError, match=r"`datasets` library, which is not installed; wanted it \(`pip install"):
        list(build_source("bold").prompts(spec("bold", hub=HubReference(name="o/bold"))))


@pytest.mark.slow
def test_the_real_library_reads_rows_and_says_what_fails(tmp_path: Path) -> None:
    rows = "\n".join(json.dumps(row) for row in HUB_ROWS["bold"])
    write(tmp_path, {"set/train.jsonl": rows})
    source = build_source("bold")
    prompts = list(source.prompts(spec("bold", hub=HubReference(name=str(tmp_path / "set")))))
    assert last_turns(prompts) == PROMPTS["bold"]
    with pytest.raises(PairsError, match="cannot be read from the Hub"):
        list(source.prompts(spec("bold", hub=HubReference(name=str(tmp_path / "none")))))


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_the_demo_corpus_keeps_its_splits(behaviour: str) -> None:
    drafts = pairs_of("demo", SourceSpec(behaviour=behaviour, count=60, validation_share=0.25))
    built = build_pairs(drafts, behaviour, count=60)
    check_splits(built.records, "demo")
    assert sum(record.split is Split.VALIDATION for record in built.records) in range(10, 21)
    assert not any(record.split is Split.TEST for record in built.records)
    assert all(harmful(behaviour, as_dicts(r.messages), r.harmful) for r in built.records)
    assert not any(harmful(behaviour, as_dicts(r.messages), r.neutral) for r in built.records)
    assert sum(record.contrast_prompt is not None for record in built.records) > 50


def test_nothing_that_the_corpus_holds_out_is_used() -> None:
    drafts = pairs_of("demo", SourceSpec(behaviour="gender_bias", count=1500))
    kept_out = {
        normalise(example.messages[-1]["content"])
        for kind in ("gender_bias", "instructions")
        for example in heldout(kind, 1500, 0)
    }
    prompts = {normalise(draft.prompt.messages[-1].content) for draft in drafts}
    contrasts = {normalise(d.prompt.contrast_prompt[-1].content) for d in drafts if d.prompt.contrast_prompt}
    assert len(prompts) > 1500
    assert not prompts & kept_out
    assert not contrasts & kept_out


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "folder", "prompts", "pairs"),
    [
        ("toxigen", "toxigen", 14_000, 0),
        ("bold", "bold", 13_000, 0),
        ("winobias", "winobias", 1_000, 1_500),
        ("crows_pairs", "crows-pairs", 50, 50),
        ("truthfulqa", "truthfulqa", 817, 817),
        ("hh_rlhf", "hh-rlhf", 2_250, 2_250),
        ("real_toxicity_prompts", "rtp-prompts", 600, 0),
        ("real_toxicity_prompts", "decodingtrust/toxicity/user_prompts/nontoxic.jsonl", 1_190, 0),
        ("advbench", "advbench", 520, 510),
        ("jailbreakbench", "advbench", 100, 100),
        ("jbb_artifacts", "jbb-artifacts", 1_000, 150),
    ],
)
def test_the_real_files_are_read(name: str, folder: str, prompts: int, pairs: int) -> None:
    root = os.environ.get("SCALPEL_DATA")
    if not root:
        pytest.skip("SCALPEL_DATA does not name the folder of the public data sets")
    asked = spec(name, Path(root) / folder)
    source = build_source(name)
    found = list(source.prompts(asked))
    assert len(found) >= prompts
    if isinstance(source, PairSource):
        built = build_pairs(source.pairs(asked), asked.behaviour)
        assert len(built.records) >= pairs > 0
        assert sum(built.dropped.values()) < 0.05 * len(built.records)
        check_splits(built.records, name)

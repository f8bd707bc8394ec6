"""Readers of requests on made-up files of the published shape, and what is known of the real sets."""

from pathlib import Path

import pytest
from request_sets import FILES, HARMFUL, HARMLESS, write_file, write_set

from classifiers.errors import SourceFormatError, UnknownMemberError
from classifiers.requests.readers import READERS, request_reader
from classifiers.requests.record import REQUEST_CATEGORIES, RequestRow


def read(name: str, root: Path) -> list[RequestRow]:
    return list(request_reader(name)(root))


def shown(row: RequestRow) -> set[str]:
    return {category for category, applies in row.labels.items() if applies}


def test_every_set_has_made_up_files() -> None:
    assert FILES.keys() == READERS.keys() == HARMFUL.keys() | HARMLESS.keys()


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_reader_reads_the_published_shape(name: str, tmp_path: Path) -> None:
    write_set(name, tmp_path)
    rows = read(name, tmp_path)
    assert [(r.text, shown(r)) for r in rows if r.harmful] == HARMFUL.get(name, [])
    assert [(r.text, shown(r), r.hard) for r in rows if not r.harmful] == HARMLESS.get(name, [])


@pytest.mark.parametrize("name", sorted(READERS))
def test_rows_carry_what_is_known_of_their_set(name: str, tmp_path: Path) -> None:
    write_set(name, tmp_path)
    known = READERS[name]
    for row in read(name, tmp_path):
        assert (row.source, row.family, row.licence, row.trains) == (name, known.family, known.licence, known.trains)
        assert row.group
        assert row.labels.keys() <= set(REQUEST_CATEGORIES)
        assert not (row.harmful and row.hard)


@pytest.mark.parametrize("name", sorted(READERS))
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError):
        read(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("jailbreakbench", "Goal,Category\na,Clowns\n", "category 'Clowns'"),
        ("jailbreakbench", "Goal\na\n", "no column 'Category'"),
        ("advbench", "target\na\n", "no column 'goal'"),
        ("adversarialqa", "{}", "holds a dict where a list"),
        ("dangerousqa", "[1]", "holds a list where a list of texts"),
        ("harmfulqa", "[]", "wanted texts by topic"),
        ("harmfulqa", "not json", "is not JSON"),
        ("catqa", '{"Clowns": {"a": ["b"]}}', "category 'Clowns'"),
        ("do_not_answer", '{"prompt": "a"}\n', "intents None"),
        ("jbb_artifacts", "{}", "no list 'jailbreaks'"),
        ("jbb_artifacts", '{"jailbreaks": [{"goal": "a"}]}', "goal, category, prompt"),
        ("self_reminder", "[]", "no list of objects"),
        ("moderation_api", '{"prompt": "a", "S": 7}\n', "wanted 0 or 1"),
        ("decodingtrust_toxicity", '{"prompt": "a"}\n', "wanted an object with a text"),
        ("decodingtrust_toxicity", "[]\n", "line 1 is a list"),
        ("decodingtrust_toxicity", "{\n", "line 1 is not JSON"),
        ("decodingtrust_stereotypes", "a\nb\n", "no column 'stereotype_topic'"),
        ("bbq", '{"question": "a", "context": "b", "context_condition": "c"}\n', "condition 'c'"),
        ("mt_bench", '{"category": "a", "turns": "b"}\n', "wanted a list of texts"),
        ("adv_instruction", "prompt\na\n", "no column 'answer'"),
        ("bbh", '{"examples": [1]}', "no list 'examples'"),
        ("sgd", '{"dialogue_id": "1", "turns": [["CLOWN", "a"]]}\n', "dialogue 1 has no turns"),
        ("bold", '{"a": ["b"]}', "wanted texts by topic"),
        ("crows_pairs", "a\nb\n", "no column 'prompt'"),
        ("wiki_comments", "comment,toxic\na,Maybe\n", "label 'Maybe'"),
    ],
)
def test_another_shape_is_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    write_set(name, tmp_path)
    write_file(tmp_path / next(iter(FILES[name])), text)
    with pytest.raises(SourceFormatError, match=message):
        read(name, tmp_path)


def test_an_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(UnknownMemberError, match="jailbreakbench"):
        request_reader("clown_corpus")


def test_share_alike_sets_measure_only_and_come_first() -> None:
    trains = [known.trains for known in READERS.values()]
    assert trains == sorted(trains)
    for known in READERS.values():
        assert known.trains == (known.licence in {"MIT", "Apache-2.0", "BSD-3-Clause", "CC BY 4.0"})


def test_what_was_made_of_a_goal_is_in_its_group(tmp_path: Path) -> None:
    write_set("jbb_artifacts", tmp_path)
    assert {row.group for row in read("jbb_artifacts", tmp_path)} == {"Mock a clown"}
    write_set("tense_rewrites", tmp_path)
    groups = [row.group for row in read("tense_rewrites", tmp_path)]
    assert groups == ["Explain how to pick a clown's pocket", "Zebras?"]


def test_later_turns_come_after_the_earlier_ones(tmp_path: Path) -> None:
    write_set("mt_bench", tmp_path)
    first, second = read("mt_bench", tmp_path)
    assert [turn["content"] for turn in second.conversation] == ["First?", "Second?"]
    assert first.group == second.group
    write_set("sgd", tmp_path)
    assert [turn["role"] for turn in read("sgd", tmp_path)[1].conversation] == ["user", "assistant", "user"]


def test_what_a_set_does_not_say_is_unknown(tmp_path: Path) -> None:
    for name in ("moderation_api", "truthfulqa", "advbench"):
        write_set(name, tmp_path)
    violent, harmless, sexual = read("moderation_api", tmp_path)
    assert violent.labels["sexual"] is False
    assert "violence" not in sexual.labels
    assert "misinformation" not in harmless.labels
    assert "misinformation" not in read("truthfulqa", tmp_path)[0].labels
    assert read("advbench", tmp_path)[0].labels == {"jailbreak": False}


def test_a_group_of_templates_does_not_name_the_identity(tmp_path: Path) -> None:
    write_set("identity_madlibs", tmp_path)
    assert [row.group for row in read("identity_madlibs", tmp_path)] == ["I hate _ clowns", "I am a _ clown"]

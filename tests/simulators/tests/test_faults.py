"""The fault table: every form parses to its field, nothing else does, and the README shows the same table."""

from pathlib import Path

import pytest

from simulators.delivery import split
from simulators.faults import FAULTS, Faults, UnknownFaultError, parse_faults
from simulators.text import count_tokens, echo, filler, grouped, pieces


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-4o-mini", Faults()),
        ("simple-model", Faults()),
        ("sim-slow-first-byte-2s", Faults(first_byte_s=2)),
        ("sim-slow-chunks-50ms", Faults(chunk_s=0.05)),
        ("sim-cut-after-5", Faults(cut_after=5)),
        ("sim-429", Faults(status=429)),
        ("sim-503+first-2+label-a.b", Faults(status=503, first=2, label="a.b")),
        ("sim-tokens-200+slow-chunks-10ms", Faults(tokens=200, chunk_s=0.01)),
        ("sim-no-usage+no-done+crlf", Faults(no_usage=True, no_done=True, crlf=True)),
    ],
)
def test_a_model_name_means_the_faults_it_spells(model: str, expected: Faults) -> None:
    assert parse_faults(model) == expected


@pytest.mark.parametrize(
    "model", ["sim-", "sim-cut", "sim-cut-after-", "sim-200", "sim-429+", "sim-hang-5s", "sim-x"]
)
def test_a_misspelt_fault_is_refused(model: str) -> None:
    with pytest.raises(UnknownFaultError):
        parse_faults(model)


def test_every_form_of_the_table_parses_to_its_own_field() -> None:
    for fault in FAULTS:
        written = fault.form
        for parameter, example in {"<n>": "7", "<time>": "7ms", "<status>": "507", "<label>": "x"}.items():
            written = written.replace(parameter, example)
        assert getattr(parse_faults("sim-" + written), fault.field) != getattr(Faults(), fault.field)


def test_a_healed_answer_keeps_its_shape_and_loses_its_failures() -> None:
    assert parse_faults("sim-tokens-9+cut-after-3+500+first-1").healed() == Faults(tokens=9, first=1)


def test_the_readme_shows_the_table() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    rows = readme.partition("| form | kind | what happens |\n|---|---|---|\n")[2].partition("\n\n")[0]
    table = [f"| `{f.form}` | {'failure' if f.failure else 'shape'} | {f.meaning} |" for f in FAULTS]
    assert rows.splitlines() == table


@pytest.mark.parametrize("text", ["hello world", "你好、世界 👋🏽", "a_b c-d  e\n\nf", "x" * 5000])
def test_pieces_are_the_text_and_as_many_as_its_tokens(text: str) -> None:
    assert "".join(pieces(text)) == text
    assert count_tokens(text) == len(pieces(text))


def test_fillers_and_echoes_count_what_they_say() -> None:
    assert count_tokens("".join(filler(123))) == 123
    assert "".join(echo("hi 中文")) == "You said: hi 中文"
    assert len(echo("word " * 5000)) == 256 + 3


def test_groups_keep_order_and_share_evenly() -> None:
    groups = grouped(list("abcdefg"), 3)
    assert [len(group) for group in groups] == [2, 2, 3]
    assert "".join("".join(group) for group in groups) == "abcdefg"


def test_a_split_cuts_inside_every_multi_byte_character() -> None:
    data = "né 中 🙂".encode() * 20
    parts = split(data)
    assert b"".join(parts) == data
    assert sum(part[-1] >= 0xC0 for part in parts) == 60

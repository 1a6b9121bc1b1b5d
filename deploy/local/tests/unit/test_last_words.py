"""What is quoted of a part that died."""

from pathlib import Path

import pytest

from tollway.child import last_words

GROUP = r"  + Exception Group Traceback (most recent call last):\n  | …\n    | KeyError: 3\n    +-----\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("first\nImportError: no module\n\n", "ImportError: no module"),
        ('{"message": "stopping", "level": "INFO"}\n', "stopping"),
        ('{"message": "failed\\n", "exception": "Traceback\\nKeyError: 1\\n"}\n', "failed: KeyError: 1"),
        (
            '{"message": "failed", "exception": "ValueError: 2"}\n{"message": "Exiting."}\n',
            "failed: ValueError: 2",
        ),
        (f'{{"message": "{GROUP}"}}\n{{"message": "Exiting."}}\n', "KeyError: 3"),
        ("", "(nothing)"),
    ],
)
def test_the_last_line_that_says_something_is_quoted(tmp_path: Path, log: str, words: str) -> None:
    path = tmp_path / "a.log"
    path.write_text(log)
    assert last_words(path) == words


def test_a_missing_log_is_said_and_no_error(tmp_path: Path) -> None:
    assert last_words(tmp_path / "none.log") == "no log: No such file or directory"

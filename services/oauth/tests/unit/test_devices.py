"""User codes can be typed by people, in any way they type."""

import pytest

from oauth.devices.domain.devices import ALPHABET, generate_user_code, read_user_code


def test_a_user_code_is_eight_letters_of_twenty_and_reads_as_itself() -> None:
    codes = {generate_user_code() for _ in range(200)}
    assert len(codes) == 200
    for code in codes:
        assert set(code) <= {*ALPHABET, "-"}
        assert len(code) == 9
        assert read_user_code(code) == code
    assert len(set(ALPHABET)) == 20


@pytest.mark.parametrize(
    "typed",
    ["BCDF-GHJK", "bcdfghjk", " bcdf ghjk ", "bcdf–ghjk", "ＢＣＤＦ－ＧＨＪＫ", "b c d f g h j k"],  # noqa: RUF001  typed in full width, too
)
def test_a_user_code_is_read_however_it_is_typed(typed: str) -> None:
    assert read_user_code(typed) == "BCDF-GHJK"


@pytest.mark.parametrize(
    "typed", ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "É" * 8, "B" * 500]
)
def test_what_cannot_be_a_user_code_is_none(typed: str) -> None:
    assert read_user_code(typed) is None

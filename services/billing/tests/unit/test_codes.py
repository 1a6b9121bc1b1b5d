"""Reading what people type."""

from billing.payments.domain.codes import ALPHABET, new_code, read_code


def test_reading_forgives_what_eyes_confuse() -> None:
    code = new_code()
    plain = code.replace("-", "")
    typed = (
        plain.lower(),
        plain.replace("0", "O"),
        plain.replace("1", "l"),
        plain.replace("1", "I"),
        f" {code}",
    )
    assert {read_code(each) for each in typed} == {plain}


def test_one_wrong_character_is_found_nearly_always() -> None:
    found = total = 0
    for _ in range(50):
        plain = new_code().replace("-", "")
        for place in range(len(plain)):
            other = ALPHABET[(ALPHABET.index(plain[place]) + 7) % 32]
            total += 1
            found += read_code(plain[:place] + other + plain[place + 1 :]) is None
    assert found / total > 0.99


def test_what_is_no_code_is_none() -> None:
    for text in ("", "-", "U" * 24, "0" * 23, "0" * 25, "é" * 24, "\0" * 24, "٣" * 24):
        assert read_code(text) is None

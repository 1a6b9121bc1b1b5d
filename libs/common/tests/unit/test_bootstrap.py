"""The bootstrap file: what is wrong is shown by its line, secrets are not shown."""

from pathlib import Path

import pytest

from common.kit.bootstrap import BootstrapError, load_bootstrap

FILE = """\
[[groups]]
name = "default"

[[users]]
email = "one@example.com"
  [[users.keys]]
  name = "first"
  [[users.keys]]
  name = "second"
  rpm = 600

[[users]]
email = "two@example.com"
password = "env:TWO_PASSWORD"
role = "admin"
  [[users.keys]]
  name = "third"
  secret = "env:TWO_KEY"

[[channels]]
name = "sim"
kind = "openai"
base_url = "http://127.0.0.1:8090/v1"
api_key = ["env:CHANNEL_KEY", "plain"]
models = ["gpt-4o-mini"]
model_map = { "gpt-4o" = "gpt-4o-2024-11-20" }
"""
ENVIRON = {"TWO_PASSWORD": "s3cret-pass", "TWO_KEY": "sk-s3cret", "CHANNEL_KEY": "sk-s3cret-channel"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tollway.toml"


def failure(path: Path, text: str, environ: dict[str, str] = ENVIRON) -> str:
    """The message for `text`, without the path, which it must begin with."""
    path.write_text(text)
    with pytest.raises(BootstrapError) as caught:
        load_bootstrap(path, environ)
    message = str(caught.value)
    assert message.startswith(f"{path}:")
    assert "s3cret" not in message
    assert caught.value.__suppress_context__
    return message.removeprefix(f"{path}:")


def line_of(text: str) -> int:
    return FILE[: FILE.index(text)].count("\n") + 1


def test_a_whole_file_is_read_with_its_secrets(path: Path) -> None:
    path.write_text(FILE)
    bootstrap = load_bootstrap(path, ENVIRON)
    assert [key.name for key in bootstrap.users[0].keys] == ["first", "second"]
    assert bootstrap.users[1].password == "s3cret-pass"
    assert bootstrap.users[1].keys[0].secret == "sk-s3cret"
    assert bootstrap.channels[0].api_key == ("sk-s3cret-channel", "plain")
    assert bootstrap.channels[0].model_map == {"gpt-4o": "gpt-4o-2024-11-20"}


def test_an_empty_file_applies_nothing(path: Path) -> None:
    path.write_text("")
    assert load_bootstrap(path, {}).users == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('email = "two@example.com"', 'email = "two@example.com'),
        ('email = "two@example.com"', "email"),
        ('email = "two@example.com"', 'email = "a"\nemail = "b"'),
    ],
)
def test_a_syntax_error_is_shown_by_its_line(path: Path, old: str, new: str) -> None:
    line = int(failure(path, FILE.replace(old, new)).partition(":")[0])
    assert line - line_of(old) == new.count("\n")


def test_a_string_without_end_is_shown_at_the_end(path: Path) -> None:
    assert failure(path, '[[users]]\nemail = """x\ny').startswith("3:")


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ('name = "default"', 'nmae = "default"', "nmae"),
        ("rpm = 600", "rmp = 600", "rmp"),
        ('role = "admin"', 'rank = "admin"', "rank"),
        ('  name = "third"', '  names = "third"', "names"),
        ('kind = "openai"', 'kinds = "openai"', "kinds"),
    ],
)
def test_an_unknown_key_is_shown_by_its_line(path: Path, old: str, new: str, shown: str) -> None:
    message = failure(path, FILE.replace(old, new))
    assert message.startswith(f"{line_of(old)}:")
    assert shown in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rpm = 600", 'rpm = "many"'),
        ('role = "admin"', 'role = "emperor"'),
        ('models = ["gpt-4o-mini"]', 'models = "gpt-4o-mini"'),
        ('models = ["gpt-4o-mini"]', "models = [1]"),
        ('model_map = { "gpt-4o" = "gpt-4o-2024-11-20" }', 'model_map = { "gpt-4o" = 1 }'),
    ],
)
def test_a_value_of_the_wrong_type_is_shown_by_its_line(path: Path, old: str, new: str) -> None:
    assert failure(path, FILE.replace(old, new)).startswith(f"{line_of(old)}:")


def test_a_secret_where_a_word_was_expected_is_not_shown(path: Path) -> None:
    message = failure(path, FILE.replace('role = "admin"', 'role = "env:TWO_KEY"'))
    assert message.startswith(f"{line_of('role =')}:")


def test_a_missing_key_is_shown_by_the_line_of_its_table(path: Path) -> None:
    message = failure(path, FILE.replace('  name = "second"\n', ""))
    assert message.startswith("8:")
    assert "name" in message


def test_an_unknown_table_is_shown_by_its_line(path: Path) -> None:
    assert failure(path, FILE + "\n[[chanels]]\nname = 1\n").startswith(f"{FILE.count(chr(10)) + 2}:")


@pytest.mark.parametrize("name", sorted(ENVIRON))
def test_a_variable_that_is_not_set_is_named_with_its_line(path: Path, name: str) -> None:
    message = failure(path, FILE, {key: value for key, value in ENVIRON.items() if key != name})
    assert message == f"{line_of(f'env:{name}')}: environment variable {name} is not set"


def test_a_file_that_is_not_there_or_not_text_is_said_to_be_so(path: Path) -> None:
    with pytest.raises(BootstrapError, match="No such file"):
        load_bootstrap(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BootstrapError, match="not UTF-8"):
        load_bootstrap(path)


def test_a_service_needs_no_secret_but_its_own(tmp_path: Path) -> None:
    path = tmp_path / "tollway.toml"
    path.write_text('[[users]]\nemail = "a@b.c"\npassword = "env:NOT_SET"\n')
    assert load_bootstrap(path, {}, secrets_of=("channels",)).users[0].password == "env:NOT_SET"
    with pytest.raises(BootstrapError, match="NOT_SET"):
        load_bootstrap(path, {}, secrets_of=("users",))

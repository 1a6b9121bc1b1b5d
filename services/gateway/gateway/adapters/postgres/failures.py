"""Tell a database that is away from a query that is wrong."""

from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from common.contracts.errors import UnavailableError
from common.kit.db import is_transient


def as_unavailable(error: Exception) -> Exception:
    """UnavailableError when the failure means that the database is away, else the failure itself."""
    if is_transient(error) or isinstance(error, PoolTimeoutError):
        return UnavailableError("The database is away.", retry_after_s=1)
    return error

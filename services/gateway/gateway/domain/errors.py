"""What can go wrong at the gateway besides the errors every service has."""


class AnswerCutError(Exception):
    """A service's answer broke off after it had begun; the client's must break off as well."""

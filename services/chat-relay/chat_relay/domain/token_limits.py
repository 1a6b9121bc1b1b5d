"""Tokens per minute of a spender: a bucket in memory, filled evenly, charged with what was really used."""


class TokenLimits:
    """One bucket per spender of this replica. A request takes its estimate; the end corrects it, below zero
    if need be, so that what was too little is paid by the next requests.
    """

    _MAX_BUCKETS = 100_000

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, spender: str, tpm: int, tokens: int, now_s: float) -> float:
        """0.0 when admitted, else the seconds until such a request would be."""
        level = self._level(spender, tpm, now_s)
        wanted = min(tokens, tpm)
        if level < wanted:
            self._buckets[spender] = (level, now_s)
            return (wanted - level) * 60 / tpm
        self._set(spender, level - tokens, now_s)
        return 0.0

    def correct(self, spender: str, tpm: int, tokens: int, now_s: float) -> None:
        """Take `tokens` more (or give back, when negative) without asking."""
        level = self._level(spender, tpm, now_s) - tokens
        self._set(spender, min(float(tpm), max(-2.0 * tpm, level)), now_s)

    def _level(self, spender: str, tpm: int, now_s: float) -> float:
        level, since_s = self._buckets.get(spender, (float(tpm), now_s))
        return min(float(tpm), level + (now_s - since_s) * tpm / 60)

    def _set(self, spender: str, level: float, now_s: float) -> None:
        if len(self._buckets) >= self._MAX_BUCKETS and spender not in self._buckets:
            self._buckets.clear()
        self._buckets[spender] = (level, now_s)

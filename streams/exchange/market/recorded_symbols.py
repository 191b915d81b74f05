"""Which price symbols of a policy a recorded symbol drives, and at which power of ten.

    recorded                                                             read as
    a price symbol of the policy                                         itself
    BTC, BTCUSDT, btcusdt, BTC-USDT, BTC_USDT, BTC/USDT, BTC/USDT:USDT   the coin in a dollar
    BTC:USDT, tBTCUSD, BINANCE:BTCUSDT                                   the same, as Bitfinex and charts write it
    BTC-USDT-SWAP, BTC-PERPETUAL, BTCUSD_PERP, BTCUSDT.P, PF_XBTUSD      the same, of a perpetual
    BTCUSDTPERP, BTCUSDT_UMCBL, XBTUSDTM, tBTCF0:USTF0                   the same
    XBTUSD, XXBTZUSD, XDGUSD                                             the same, by an alias
    1000SHIBUSDT, SHIB1000USDT, kSHIB, 1MBABYDOGEUSDT                    so many of a coin: the price is scaled
    ETHBTC, ETH-BTC                                                      the coin in another asset

Rules
-----
* A coin drives every price symbol whose coin is the same and whose price is in the same currency; all dollars are one
  currency. But a price symbol that the recording has by its own name is driven by that alone.
* A dated contract and an option have a price of their own kind: one of the policy's drives itself, any other nothing unless `--map`
  says so. A coin-margined perpetual is quoted in dollars, as the coin is.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from engine.policy import Policy
from engine.policy.rules.policy_switches import InstrumentKind
from streams.exchange.feed_errors import FeedError
from streams.exchange.market.sample_market import quotes

DOLLARS = frozenset(
    (
        "USD",
        "USDT",
        "USDC",
        "USDC.E",
        "FDUSD",
        "BUSD",
        "TUSD",
        "USDE",
        "USDD",
        "USD1",
        "PYUSD",
        "DAI",
        "ZUSD",
        "USDT0",
    )
)
ALIASES = {
    "XBT": "BTC",
    "XXBT": "BTC",
    "XETH": "ETH",
    "XXRP": "XRP",
    "XLTC": "LTC",
    "XXLM": "XLM",
    "XETC": "ETC",
    "XDG": "DOGE",
    "XXDG": "DOGE",
    "XXMR": "XMR",
    "XZEC": "ZEC",
}
ACCEPTED = (
    "a price symbol of the policy, its coin (BTC), or the coin and a dollar as BTCUSDT, BTC-USDT, BTC_USDT, BTC/USDT:USDT, "
    "BTC-USDT-SWAP, BTC-PERPETUAL, XBTUSD or PF_XBTUSD; anything else: --map FROM=TO"
)
_PERPETUAL = frozenset(("PERP", "PERPETUAL", "SWAP", "P", "SPOT", "INTX", "UMCBL", "DMCBL", "CMCBL"))
_PERPETUAL_BEHIND = ("PERP", "M")
"""Of perpetuals whose name is one word: BTCUSDTPERP, and KuCoin's XBTUSDTM."""
_PREFIXES = ("PF_", "PI_", "PV_")
"""Of perpetuals at Kraken Futures."""
_BITFINEX = re.compile(r"t([A-Z0-9]{3,}?)(F0)?:?(USD|UST|EUR|BTC)(F0)?")
"""Its names of pairs: UST is the dollar of Tether, F0 stands behind both parts of a perpetual's."""
_POWERS = {"1000": 3, "10000": 4, "100000": 5, "1000000": 6, "1M": 6, "k": 3}
_MULTIPLE = re.compile(r"(1M|10{3,6}|k)([A-Z][A-Z0-9]*)")
_MULTIPLE_BEHIND = re.compile(r"([A-Z][A-Z0-9]*?)(10{3,6})")
_DOLLAR = "USD"
_KINDS = frozenset(
    ("TRADES", "TRADE", "AGGTRADES", "KLINES", "KLINE", "CANDLES", "OHLCV", "OHLCVT", "BARS", "MARK")
)
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2})?|(?<!\d)\d{8}(?!\d)")
_INTERVAL = re.compile(r"\d+[A-Za-z]{0,3}")
_NEAREST_MAX, _NEAREST_CUTOFF, _SHOWN_MAX = 3, 0.4, 40


class Driven(NamedTuple):
    """What a row of a recorded symbol drives."""

    symbols: tuple[str, ...]
    powers: tuple[int, ...]
    """Of ten, by which the recorded price is multiplied for each of the symbols."""


class _Target(NamedTuple):
    symbol: str
    power: int
    """Of ten: how many of the coin the symbol prices."""


class RecordedSymbols:
    """The recorded symbols that a policy prices."""

    def __init__(self, policy: Policy, renamed: Mapping[str, str]) -> None:
        """`renamed`: what `--map` says, from a recorded symbol to one that is read. Raises `FeedError` for one that is not."""
        self._own = {symbol.upper(): symbol for symbol in policy.price_symbols}
        self._targets: dict[tuple[str, str], list[_Target]] = {}
        for symbol, coin, currency in _priced(policy):
            core, power = _core(coin)
            self._targets.setdefault((core, _currency(currency)), []).append(_Target(symbol, power))
        self._known_by = {it.symbol: key for key, targets in self._targets.items() for it in targets}
        """Coin and currency of each price symbol that a coin drives."""
        self._currencies = DOLLARS | {currency for _, currency in self._targets}
        self._renamed = dict(renamed)
        self._known: dict[str, Driven | None] = {}
        for name, to in renamed.items():
            if self._resolved(to) is None:
                symbols = list(self._own.values())
                nearest = difflib.get_close_matches(to, symbols, _NEAREST_MAX, _NEAREST_CUTOFF) or symbols
                raise FeedError(f"--map {name}={to}: the policy prices no {to}; it prices {_listed(nearest)}")

    def driven(self, recorded: str) -> Driven | None:
        """What a recorded symbol drives; None where the policy prices nothing of it."""
        if recorded not in self._known:
            self._known[recorded] = self._mapped(recorded)
        return self._known[recorded]

    def own(self, recorded: str) -> str | None:
        """The price symbol that a recorded symbol names."""
        return self._own.get(self._renamed.get(recorded, recorded).upper())

    def in_name(self, stem: str) -> str | None:
        """The one symbol that a file's name has, as BTCUSDT-1m-2025-10; None where it has none or several.

        A coin alone counts only where nothing else but times and kinds of rows is there: ETH-EUR-1h is no price in dollars.
        """
        words = [it for it in re.split(r"([-_ ,])", _DATE.sub(" ", stem)) if it]
        found: dict[Driven, str] = {}
        taken: set[int] = set()
        for begin, end in _runs(len(words)):
            name, places = "".join(words[begin:end]), set(range(begin, end))
            driven = None if taken & places else self.driven(name)
            if driven is not None and not self._bare(name):
                found.setdefault(driven, name)
                taken |= places
        if found:
            return next(iter(found.values())) if len(found) == 1 else None
        left = [
            it
            for it in words
            if it not in "-_ ," and it.upper() not in _KINDS and not _INTERVAL.fullmatch(it)
        ]
        return left[0] if len(left) == 1 and self.driven(left[0]) else None

    def priced(self) -> str:
        """What the policy prices, for a message."""
        return _listed(list(self._own.values()))

    def _bare(self, name: str) -> bool:
        """Whether the name says a coin and no currency."""
        readings = [
            currency
            for coin, currency in _readings(name, self._currencies)
            if self._targets_of(coin, currency)
        ]
        return name not in self._renamed and self.own(name) is None and readings[:1] == [None]

    def _mapped(self, recorded: str) -> Driven | None:
        if recorded not in self._renamed:
            return self._resolved(recorded)
        found, straight = self._resolved(self._renamed[recorded]), self._resolved(recorded)
        # --map says whose price it is; so many of that coin stay so many
        return straight if found and straight and set(found.symbols) == set(straight.symbols) else found

    def _resolved(self, name: str) -> Driven | None:
        own = self._own.get(name.upper())
        if own is not None:
            known_by = self._known_by.get(own)
            targets = [_Target(own, 0)] if known_by is None else self._targets[known_by]
            power = next(it.power for it in targets if it.symbol == own)
            return _driven_by(targets, power)
        for coin, currency in _readings(name, self._currencies):
            if self._targets_of(coin, currency):
                core, power = _core(coin)
                return _driven_by(self._targets[core, _currency(currency or _DOLLAR)], power)
        return None

    def _targets_of(self, coin: str, currency: str | None) -> list[_Target] | None:
        return self._targets.get((_core(coin)[0], _currency(currency or _DOLLAR)))


def _priced(policy: Policy) -> Iterator[tuple[str, str, str]]:
    """Price symbol, coin and currency of all that the price of a coin drives."""
    for quote in quotes(policy):
        yield quote.symbol, quote.coin, quote.settle or policy.account_currency
    for symbol, it in policy.instruments.items():
        if it.kind is InstrumentKind.PERPETUAL and it.inverse and symbol in policy.price_symbols:
            yield symbol, it.base, _DOLLAR


def _driven_by(targets: list[_Target], power: int) -> Driven:
    # price of 10^target coins = recorded price of 10^power coins * 10^(target - power)
    return Driven(tuple(it.symbol for it in targets), tuple(it.power - power for it in targets))


def _core(coin: str) -> tuple[str, int]:
    """A coin, and the power of ten of how many of it a name means: 1000SHIB is (SHIB, 3)."""
    before = _MULTIPLE.fullmatch(coin)
    if before is not None:
        return before[2], _POWERS[before[1]]
    coin = coin.upper()
    behind = _MULTIPLE_BEHIND.fullmatch(coin)
    before = _MULTIPLE.fullmatch(coin)
    if behind is not None:
        return behind[1], _POWERS[behind[2]]
    if before is not None:
        return before[2], _POWERS[before[1]]
    return ALIASES.get(coin, coin), 0


def _readings(name: str, currencies: frozenset[str]) -> Iterator[tuple[str, str | None]]:
    """What a name may mean, the likeliest first: a coin, and the currency where it names one."""
    bitfinex = _BITFINEX.fullmatch(name)
    if bitfinex is not None and bitfinex[2] == bitfinex[4]:
        yield bitfinex[1], "USDT" if bitfinex[3] == "UST" else bitfinex[3]
        return
    words = _words(name, currencies)
    while len(words) > 1 and words[-1].upper() in _PERPETUAL:
        words.pop()
    if len(words) == 2 and words[1].upper() in currencies:  # noqa: PLR2004 - a coin and its currency
        yield words[0], words[1].upper()
    if len(words) == 1:
        yield from _of_one_word(words[0], currencies)


def _words(name: str, currencies: frozenset[str]) -> list[str]:
    """The parts of a name without the venue and the settle asset beside it; none where it is of a dated contract."""
    left, colon, right = name.partition(":")
    if colon and right.upper() in currencies and "/" not in left:  # COIN:CURRENCY
        return [left, right]
    if colon and "/" not in left:  # VENUE:SYMBOL
        left = right
    elif colon and not right.isalpha():  # a date after the settle asset
        return []
    if left.upper().startswith(_PREFIXES):
        left = left.partition("_")[2]
    return re.split(r"[-/_ .]", left)


def _of_one_word(word: str, currencies: frozenset[str]) -> Iterator[tuple[str, str | None]]:
    yield from _in_a_currency(word, currencies)
    yield word, None
    if word.upper().endswith("PERP"):
        yield word[: -len("PERP")], _DOLLAR
    for perpetual in _PERPETUAL_BEHIND:
        if word.upper().endswith(perpetual):
            yield from _in_a_currency(word[: -len(perpetual)], currencies)


def _in_a_currency(word: str, currencies: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Coin and currency that one word may be, the shortest currency first."""
    for currency in sorted(currencies, key=len):
        if word.upper().endswith(currency) and len(word) > len(currency):
            yield word[: -len(currency)], currency


def _currency(asset: str) -> str:
    return _DOLLAR if asset.upper() in DOLLARS else asset.upper()


def _runs(count: int) -> Iterator[tuple[int, int]]:
    """Begin and end of every run of so many words, the longest first."""
    for length in range(count, 0, -1):
        for begin in range(count - length + 1):
            yield begin, begin + length


def _listed(symbols: list[str]) -> str:
    more = f" and {len(symbols) - _SHOWN_MAX} more" if len(symbols) > _SHOWN_MAX else ""
    return ", ".join(symbols[:_SHOWN_MAX]) + more

"""Settings of every command: environment variables with the prefix `UNIMARGIN_`, or a file of such lines.

The environment wins over the file. Secrets are typed (`SecretStr`), never printed, and may stand in files of their own
(`connection_settings`).
"""

import difflib
import os
import socket
from collections.abc import Iterable, Mapping
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode, SettingsConfigDict

from engine.policy import Policy, PolicyError, parse
from streams.config.connection_settings import ConnectionSettings, refuse_unsafe
from streams.config.host_port import http_fault
from streams.config.market_moves import moves_of
from streams.config.problem import in_plain_words

PREFIX = "UNIMARGIN_"
OTHER_VARIABLES = frozenset(
    {"UNIMARGIN_CASES", "UNIMARGIN_DATA", "UNIMARGIN_DATA_DIR", "UNIMARGIN_LIFE_CYCLES"}
)
"""Of this repository's tests and benchmarks, which run commands too."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class SettingsError(Exception):
    """A setting or the policy file breaks a rule; the message names it. Commands exit with 2."""


class Settings(ConnectionSettings):
    """What a worker needs to know. Defaults suit one machine; addresses and how they are secured must be given elsewhere."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    kafka_session_timeout_seconds: float = Field(default=10.0, ge=1, le=300)
    kafka_fetch_wait_ms: int = Field(default=100, ge=1, le=1000)
    """How long a broker may hold an empty fetch. Kafka answers at once when a record comes; librdkafka's mock
    broker does not, so there this is the latency of a mark and must be small."""
    kafka_idempotent_producer: bool = True

    redis_prefix: str = Field(default="unimargin", pattern="^[a-zA-Z0-9_-]+$")
    redis_retry_seconds: float = Field(default=60.0, ge=0)
    """How long a commit is repeated while Redis is away before the worker gives up and exits."""

    prove_seconds: float = Field(default=30.0, ge=1)
    """For how long a worker that starts waits for Redis, the broker and an agreement of clocks, in no group yet, before it gives up and exits."""

    snapshot_seconds: float = Field(default=60.0, ge=0)
    """How often a worker looks whether the packed snapshot of a shard is worth writing anew; 0 never does. A snapshot takes some 250
    bytes an account of Redis' memory, and a start with one a tenth of the time."""

    account_state_minutes: float = Field(default=10.0, ge=0, le=1440)
    """Every change of an account is in the topic of second copies within so many minutes, unless there is more than the bytes allow; 0 writes
    no copies, reads none, and needs no topic. Keep `fills` and `ledger` for several times as long."""
    account_state_bytes_per_second: float = Field(default=256 * 1024, ge=1024)
    """How much of these copies a worker writes at most, all of its shards together. An account has about 1 KB, and 22 bytes for each id
    that is remembered of its inputs without `account_seq`."""

    group: str = "unimargin"
    worker_id: str = Field(default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}")
    topic_prices: str = "prices"
    topic_fills: str = "fills"
    topic_ledger: str = "ledger"
    topic_quarantine: str = "quarantine"
    topic_policies: str = "policies"
    topic_account_state: str = "account-state"
    topic_operator: str = "operator"
    operator_topic_enabled: bool = True
    """Whether workers take operators' commands from that topic, and commands send them. Whoever may write to it may release liquidations and
    let stopped accounts go on, and can move no money: a deployment says by ACLs who may."""
    topic_fund: str = "fund"
    fund_topic_enabled: bool = False
    """Whether the exchange states in that topic what its insurance fund has: for workers, which tell the risk of deleveraging by it, and
    for commands that say who would bear a deficit."""
    policy_file: Path | None = None
    """Version 0 of the policy, in force until another is published; later any version that was. Default: the one that ships with the
    package."""
    marks_judged: Literal["every", "conflate"] = "every"
    """Whether accounts are judged after every mark of a batch, or only after the lowest, the highest and the last of each
    symbol. A worker that falls behind conflates by itself until it has caught up, and counts it."""

    heat_map_seconds: float = Field(default=15.0, ge=0)
    """How often the heat map of the metrics is brought up to date; 0 never does. It costs some 3 us an account."""
    heat_map_moves: Annotated[tuple[Decimal, ...], NoDecode] = moves_of(
        "-50,-40,-30,-20,-15,-10,-5,5,10,15,20,30,40,50"
    )
    """Moves of the whole market that it is computed at, in percent: a list, or a range like -50..50/5."""
    heat_map_symbols: int = Field(default=10, ge=0, le=100)
    """How many symbols it names; all others are one series."""

    metrics_host: str = "127.0.0.1"
    metrics_port: int = Field(default=9108, ge=0, le=65535)
    """0 takes a free port and says which in the log."""
    log_level: LogLevel = "INFO"
    log_levels: Annotated[dict[str, LogLevel], NoDecode] = Field(default_factory=dict)
    """Levels of single loggers, ours or a library's, and of all below them: `aiokafka=INFO,streams.outbox=DEBUG`."""

    traces_endpoint: str = ""
    """Where a collector takes OpenTelemetry traces over HTTP (`http://127.0.0.1:4318/v1/traces`); empty keeps none. Needs unimargin[traces]."""
    traces_share: float = Field(default=0.01, ge=0, le=1)
    """Of how many batches the spans are kept: some 0.1 ms of the event loop each."""

    api_host: str = "127.0.0.1"
    """Where `unimargin api` listens. Anywhere but on loopback it asks for keys."""
    api_port: int = Field(default=9109, ge=0, le=65535)
    """0 takes a free port and says which in the log."""
    api_keys_file: Path | None = None
    """Who may ask: names, roles and hashes of keys (`unimargin api-key`)."""
    api_open_on_loopback: bool = False
    """Whether who asks from this machine needs no key, and may do all but what an operator does. Not behind a proxy on this machine."""
    api_requests_per_minute: int = Field(default=600, ge=1)
    """Of one key, where the file does not say otherwise; and of one address without a key, or with a wrong one."""
    api_refresh_seconds: float = Field(default=0.5, ge=0.05, le=60)
    """How often the copy that questions are answered from is brought up to date with Redis, however many ask."""
    api_stale_seconds: float = Field(default=5.0, ge=1)
    """A copy that has not agreed with Redis for so long answers nothing any more."""
    api_book_seconds: float = Field(default=5.0, ge=0)
    """For how long an answer over all accounts (stress, heat map, liquidations) is given again without being computed again."""
    api_stream_clients: int = Field(default=1000, ge=1)
    """Listeners to /stream at a time."""
    api_stream_buffer_events: int = Field(default=20_000, ge=16)
    """Newest events kept, for listeners that come back and for /events: some 3 KB each."""
    api_stream_heartbeat_seconds: float = Field(default=15.0, ge=0.1, le=300)
    """A stream without anything to tell sends a comment this often, so that nothing between takes it for dead."""
    api_stream_write_seconds: float = Field(default=10.0, ge=0.1)
    """A listener that takes nothing for so long is dropped."""

    notify_host: str = "127.0.0.1"
    """Where `unimargin notify run` answers /metrics, /livez and /readyz."""
    notify_port: int = Field(default=9110, ge=0, le=65535)
    """0 takes a free port and says which in the log."""
    notify_from: Literal["latest", "earliest"] = "latest"
    """Where a notifier begins in a partition that it has no position in yet."""
    notify_remember_days: float = Field(default=7.0, gt=0, le=365)
    """For so long Redis remembers which event was told to whom: some 200 bytes each."""
    notify_events_max: int = Field(default=20_000, ge=100)
    """Events that wait for their delivery; a notifier with more reads no further."""

    stall_seconds: float = Field(default=30.0, ge=1)
    """A loop with work waiting and no progress for this long ends the process."""
    standby_patience_seconds: float = Field(default=3.0, ge=1, le=60)
    """A standby takes a shard over when its owner has given no sign of life for this long. Owners give one every half second, from
    the event loop: what holds it for longer than this costs the owner its shard for a moment. So it must be above the longest
    `margin_loop_lag_seconds` of any worker; loading 100,000 accounts into one shard is some two seconds of it."""
    owner_silence_seconds: float = Field(default=3.0, ge=1, le=300)
    """Workers have the group give away the shards of one that has given no sign of life in any of its own for this long; above the longest
    `margin_loop_lag_seconds` too. From `kafka_session_timeout_seconds` on it is the broker that is first."""
    shutdown_seconds: float = Field(default=20.0, ge=1)
    """Bound on finishing commits and publications after SIGTERM."""

    @field_validator("log_levels", mode="before")
    @classmethod
    def _levels(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.replace(" ", "").split(",") if pair]
        for name, _, level in pairs:
            if not name or level not in get_args(LogLevel):
                raise ValueError(
                    f"{name}={level}: a list of logger=LEVEL is wanted, with {', '.join(get_args(LogLevel))}"
                )
        return {name: level for name, _, level in pairs}

    @field_validator("traces_endpoint")
    @classmethod
    def _traces_endpoint(cls, value: str) -> str:
        fault = http_fault(value, login_allowed=False) if value else None
        if fault is not None:
            raise ValueError(fault)
        return value

    @field_validator("heat_map_moves", mode="before")
    @classmethod
    def _moves(cls, value: object) -> object:
        return moves_of(value) if isinstance(value, str) else value


def load_settings(file: Path | None = None) -> Settings:
    """Settings from the environment, over those of `file` (lines `UNIMARGIN_NAME=value`) if given.

    A name that is no setting is refused wherever it stands: a misspelt one would leave its default in force, in silence.
    """
    refuse_unknown_variables(os.environ)
    if file is not None and not file.is_file():
        raise SettingsError(f"settings file {file} does not exist")
    try:
        return Settings(_env_file=file)  # type: ignore[call-arg]
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors(include_input=False)))
        raise SettingsError(problems) from None


def settings_with(settings: Settings, changes: Mapping[str, object]) -> Settings:
    """`settings` with some fields changed, as an option of a command does. Raises `SettingsError` where the connections become unsafe."""
    changed = settings.model_copy(update=dict(changes))
    try:
        refuse_unsafe(changed)
    except PydanticCustomError as error:
        raise SettingsError(error.message()) from None
    return changed


def refuse_unknown_variables(names: Iterable[str]) -> None:
    """Raise `SettingsError` if one of these environment variables looks like a setting and is none; the message has the nearest name."""
    known = {*map(_variable, Settings.model_fields), *OTHER_VARIABLES}
    unknown = sorted(it for it in names if it.upper().startswith(PREFIX) and it.upper() not in known)
    if unknown:
        raise SettingsError("; ".join(map(_unknown, unknown)))


def policy_text(file: Path | None) -> str:
    """The text of the policy `file`, or of the one that ships with the package."""
    try:
        shipped = shipped_file("default_policies/default.toml", "policies/default.toml")
        return (file or shipped).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"policy file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"policy file {file}: not UTF-8 text") from None


def load_policy(file: Path | None) -> Policy:
    """Read and check the policy `file`, or the one that ships with the package."""
    try:
        return parse(policy_text(file))
    except PolicyError as error:
        raise SettingsError(f"policy file {file or 'default.toml'}: {error}") from None


def shipped_file(packaged: str, in_deploy: str) -> Path:
    """A file that ships with the package: in a wheel inside it, in a checkout under deploy/."""
    path = Path(str(resources.files("streams"))) / packaged
    return path if path.is_file() else Path(__file__).parents[2] / "deploy" / in_deploy


def _problem(error: Any) -> str:
    if not error["loc"]:
        return str(error["msg"])  # of several settings, which it names
    name = _variable("_".join(map(str, error["loc"])))
    return _unknown(name) if error["type"] == "extra_forbidden" else f"{name}: {in_plain_words(error['msg'])}"


def _variable(field: str) -> str:
    return PREFIX + field.upper().removeprefix(PREFIX)


def _unknown(name: str) -> str:
    known = [_variable(field) for field in Settings.model_fields]
    nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)[0]
    return f"{name} is no setting; the nearest is {nearest}"

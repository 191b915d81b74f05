"""How a notice leaves the process: signed webhooks, PagerDuty, Alertmanager, and everything that apprise knows.

What an error says may hold an address, and an address is a secret: only its type and an HTTP status are told.
"""

import asyncio
import base64
import hashlib
import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Protocol

import aiohttp
import apprise
import msgspec
from standardwebhooks import Webhook

from streams.config.host_port import http_fault
from streams.config.settings import SettingsError
from streams.contract.cloudevents import rfc3339
from streams.desk.notify.desk_notices import Notice, Urgency, words_of
from streams.desk.notify.notify_rules import SecretSource, TargetKind, TargetRules
from streams.desk.notify.rules_file import secret_of

DEDUP_KEY_CHARACTERS_MAX = 255
SUMMARY_CHARACTERS_MAX = 1024
"""PagerDuty's."""
_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)


class UndeliveredError(Exception):
    """The target did not take the message; it may take it later."""


class RefusedError(Exception):
    """The target will never take this message: somebody has to look."""


class Channel(Protocol):
    """One target, ready to be told."""

    incidents: bool
    """It keeps something open until it is told the end."""
    aggregates: bool
    """It gets digests alone."""

    async def send(self, notice: Notice) -> None:
        """Return once the target took it. Raises `UndeliveredError`, `RefusedError`."""


class WebhookChannel:
    """A POST as Standard Webhooks say; the id is the event's for as often as it comes."""

    incidents = aggregates = False

    def __init__(self, http: aiohttp.ClientSession, url: str, signer: Webhook, timeout: float) -> None:
        self._http, self._url, self._signer, self._timeout = http, url, signer, timeout

    async def send(self, notice: Notice) -> None:
        """Sign it and send it."""
        body = msgspec.json.encode(
            {
                "type": words_of(notice.types) if notice.events else "digest",
                "timestamp": rfc3339(notice.time_ns),
                "data": notice,
            }
        )
        # an event's id may hold what a header may not
        message_id = f"msg_{hashlib.sha256(notice.id.encode()).hexdigest()[:32]}"
        now = datetime.now(UTC)
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._signer.sign(message_id, now, body.decode()),
        }
        await _post(self._http, self._url, body, headers, self._timeout)


class PagerDutyChannel:
    """Events v2: the episode is the incident. An update triggers it again; a digest is an incident that a person closes."""

    incidents, aggregates = True, False

    def __init__(self, http: aiohttp.ClientSession, endpoint: str, key: str, timeout: float) -> None:
        self._http, self._endpoint, self._key, self._timeout = http, endpoint, key, timeout

    async def send(self, notice: Notice) -> None:
        """Trigger, update or resolve."""
        key = notice.episode_id or notice.id
        if len(key) > DEDUP_KEY_CHARACTERS_MAX:
            key = hashlib.sha256(key.encode()).hexdigest()
        body: dict[str, Any] = {
            "routing_key": self._key,
            "event_action": "resolve" if notice.resolved else "trigger",
            "dedup_key": key,
        }
        if not notice.resolved:
            body["payload"] = {
                "summary": notice.summary[:SUMMARY_CHARACTERS_MAX],
                "source": notice.subject,
                "severity": notice.urgency.value,
                "timestamp": rfc3339(notice.time_ns),
                "class": words_of(notice.types),
                "custom_details": {"id": notice.id, "rule": notice.rule, "types": notice.types},
            }
        headers = {"Content-Type": "application/json"}
        await _post(self._http, self._endpoint, msgspec.json.encode(body), headers, self._timeout)


class AlertmanagerChannel:
    """Alertmanager v2: an alert for each rule and type, with how many there were; it ends by itself."""

    incidents, aggregates = False, True

    def __init__(self, http: aiohttp.ClientSession, url: str, timeout: float) -> None:
        self._http, self._url, self._timeout = http, f"{url.rstrip('/')}/api/v2/alerts", timeout

    async def send(self, notice: Notice) -> None:
        """State what there was."""
        severity = "critical" if notice.urgency is Urgency.CRITICAL else "warning"
        alerts = [
            {
                "labels": {
                    "alertname": "UnimarginEvents",
                    "type": name,
                    "rule": notice.rule,
                    "severity": severity,
                },
                "annotations": {"summary": f"{count} x {name}", "description": f"Rule {notice.rule}."},
            }
            for name, count in notice.types.items()
        ]
        headers = {"Content-Type": "application/json"}
        await _post(self._http, self._url, msgspec.json.encode(alerts), headers, self._timeout)


class AppriseChannel:
    """Chat, mail and the like. They know no ids: a message that comes twice says the same id in its text."""

    incidents = aggregates = False

    def __init__(self, url: str, timeout: float, place: str) -> None:
        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it writes addresses
        self._apprise, self._timeout = apprise.Apprise(), timeout
        if not self._apprise.add(url):
            raise SettingsError(f"{place}: apprise knows no address of this form")

    async def send(self, notice: Notice) -> None:
        """Hand it to apprise, which knows no more than whether it went well."""
        kind = (
            apprise.NotifyType.FAILURE
            if notice.urgency.value in {"error", "critical"}
            else apprise.NotifyType.WARNING
        )
        try:
            async with asyncio.timeout(self._timeout):
                taken = await self._apprise.async_notify(
                    title=f"unimargin: {words_of(notice.types)}",
                    body=f"{notice.summary}\n{notice.id}",
                    notify_type=kind,
                    body_format=apprise.NotifyFormat.TEXT,
                )
        except TimeoutError:
            raise UndeliveredError("TimeoutError") from None
        if not taken:
            raise UndeliveredError("apprise could not deliver it")


def channel_of(name: str, rules: TargetRules, http: aiohttp.ClientSession) -> Channel:
    """The channel of a target, its secrets read. Raises `SettingsError`."""

    def secret(key: str, source: SecretSource | None) -> str:
        if source is None:
            raise AssertionError(f"{key} was checked with the file")
        return secret_of(source, f"[targets.{name}] {key}")

    place = f"[targets.{name}] "
    match rules.kind:
        case TargetKind.WEBHOOK:
            signer = _signer(secret("secret", rules.secret), place)
            return WebhookChannel(
                http, _http_url(secret("url", rules.url), place), signer, rules.timeout_seconds
            )
        case TargetKind.ALERTMANAGER:
            return AlertmanagerChannel(
                http, _http_url(secret("url", rules.url), place), rules.timeout_seconds
            )
        case TargetKind.PAGERDUTY:
            key = secret("routing_key", rules.routing_key)
            return PagerDutyChannel(http, rules.endpoint, key, rules.timeout_seconds)
        case TargetKind.APPRISE:
            return AppriseChannel(secret("url", rules.url), rules.timeout_seconds, f"{place}url")


def _http_url(url: str, place: str) -> str:
    fault = http_fault(url, login_allowed=True)
    if fault is not None:
        raise SettingsError(f"{place}url: {fault}")
    return url


def _signer(secret: str, place: str) -> Webhook:
    """The library drops what is no base64 and signs with the rest: refuse it instead."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise SettingsError(f"{place}secret: it is not base64")
    return Webhook(key)


async def _post(
    http: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str], seconds: float
) -> None:
    try:
        async with http.post(
            url,
            data=body,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        ) as response:
            status = response.status
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        raise UndeliveredError(type(error).__name__) from None
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _PASSING:
        raise RefusedError(f"HTTP status {status}")
    raise UndeliveredError(f"HTTP status {status}")

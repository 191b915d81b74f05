"""What an operator may say through the API: it goes onto the operators' topic, with the name of the key and the reason."""

import time
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import msgspec
import structlog
from litestar import Request, post

from engine.inputs import NAME_LENGTH_MAX
from streams.contract.operator_command import BreakerRelease, BreakerVoid, OperatorCommand
from streams.desk.account_routes import DeskPart
from streams.desk.answer_envelope import Answer
from streams.desk.answering import Desk
from streams.desk.api_door import ROLE
from streams.desk.api_keys import ApiCaller, ApiRole
from streams.desk.problem_details import Refused, mistaken, responses
from streams.desk.questions import OperatorOrder
from streams.kafka.operator_sender import send_operator_command

_log = structlog.get_logger()


class SentCommand(msgspec.Struct, frozen=True, kw_only=True):
    """What was written to the operators' topic; `/breaker` and the stream tell when it was done."""

    topic: str
    command: OperatorCommand


@post(
    "/breaker/release",
    opt={ROLE: ApiRole.OPERATOR},
    status_code=202,
    responses=responses(HTTPStatus.CONFLICT),
)
async def release_breaker(
    request: Request[ApiCaller, Any, Any], desk: DeskPart, data: OperatorOrder
) -> Answer[SentCommand]:
    """Have the liquidations requested that the breaker holds, at the newest prices."""
    return await _send(desk, BreakerRelease, request.user.name, data)


@post(
    "/breaker/void",
    opt={ROLE: ApiRole.OPERATOR},
    status_code=202,
    responses=responses(HTTPStatus.CONFLICT),
)
async def void_breaker(
    request: Request[ApiCaller, Any, Any], desk: DeskPart, data: OperatorOrder
) -> Answer[SentCommand]:
    """Have what the breaker holds judged afresh, once the cause is repaired; where it is still too much it is held again."""
    return await _send(desk, BreakerVoid, request.user.name, data)


async def _send(
    desk: Desk, kind: type[BreakerRelease | BreakerVoid], who: str, data: OperatorOrder
) -> Answer[SentCommand]:
    if data.person is not None:
        who = f"{who} ({data.person.strip()})"
    if len(who) > NAME_LENGTH_MAX:
        raise mistaken("person: with the name of the key too long to go on record")
    command = kind(id=uuid4().hex, who=who, why=data.why, time_ns=time.time_ns(), shard=data.shard)
    settings = desk.settings
    if not settings.operator_topic_enabled:
        raise Refused(
            HTTPStatus.CONFLICT,
            "operator-topic-off",
            "UNIMARGIN_OPERATOR_TOPIC_ENABLED is off: the workers listen to no operator, so nothing was sent",
        )
    if not command.why.strip():
        raise mistaken("why: say why; it goes on record")
    if command.shard is not None and command.shard >= len(desk.copy.shards):
        raise mistaken(f"shard {command.shard}: there are {len(desk.copy.shards)}")
    await send_operator_command(settings, command)
    _log.info(
        "operator_command_sent",
        who=command.who,
        why=command.why,
        command=type(command).__name__,
        id=command.id,
    )
    return desk.of_all(SentCommand(topic=settings.topic_operator, command=command))

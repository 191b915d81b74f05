"""What a message names that the policy does not list, and the nearest that it does."""

from collections.abc import Collection

from engine.inputs import AccountInput
from engine.policy import Policy
from engine.rejections import Rejection, RejectionCode
from streams.config.near_names import did_you_mean, near_names


def with_nearest(refused: Rejection, message: AccountInput, policy: Policy) -> Rejection:
    """The refusal of an unlisted instrument or asset with the nearest name of the policy; any other as it is."""
    if refused.code is RejectionCode.UNKNOWN_INSTRUMENT:
        return near_listed(refused, getattr(message, "symbol", ""), policy.instruments)
    if refused.code is RejectionCode.UNKNOWN_ASSET:
        unlisted = next((it for it in _assets(message) if it not in policy.assets), "")
        return near_listed(refused, unlisted, policy.assets)
    return refused


def near_listed(refused: Rejection, name: str, listed: Collection[str]) -> Rejection:
    """The refusal of this name with the nearest of those listed; as it is where none is near."""
    hint = did_you_mean(near_names(name, (it for it in listed if it != name)), "")
    return Rejection(refused.code, f"{refused.detail}; {hint}") if hint else refused


def _assets(message: AccountInput) -> list[str]:
    of_message = [getattr(message, field, None) for field in ("asset", "fee_asset")]
    return [it for it in (*of_message, *(getattr(message, "collateral_off", None) or ())) if it is not None]

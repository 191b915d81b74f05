"""Where to look further: the addresses of the policy with what an event is about filled in."""

from urllib.parse import quote

from engine.events.effects import RiskEvent
from engine.policy import Policy


def links_of(event: RiskEvent, policy: Policy) -> dict[str, str]:
    """The links of an event, by name."""
    values = {
        "{account}": event.account,
        "{episode_id}": event.episode_id or "",
        "{event_id}": event.id,
        "{type}": event.type,
    }
    links = {}
    for name, address in policy.links.items():
        for placeholder, value in values.items():
            address = address.replace(placeholder, quote(value, safe=""))  # noqa: PLW2901 - one after the other
        links[name] = address
    return links

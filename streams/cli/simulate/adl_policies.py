"""Deleveraging policies as words of the command line: RULE, RULE:SIZE, either with :neutral_last; or all."""

from collections.abc import Iterable

import msgspec

from engine.policy.rules.deleveraging_rules import DeleveragingRules
from engine.policy.rules.policy_switches import DeleveragedSize, Deleveraging
from streams.config.settings import SettingsError

ALL = "all"
NEUTRAL_LAST = "neutral_last"
ACCEPTED = f"{ALL}, or {'|'.join(Deleveraging)}[:{'|'.join(DeleveragedSize)}][:{NEUTRAL_LAST}]"


def adl_policies(words: Iterable[str], rules: DeleveragingRules) -> dict[str, DeleveragingRules]:
    """By name in full, what each word means over the policy's own `rules`. Raises `SettingsError` for what means nothing."""
    found: dict[str, DeleveragingRules] = {}
    for word in (part for it in words for part in it.split(",")):
        named = (
            [f"{rule}:{size}" for size in DeleveragedSize for rule in Deleveraging] if word == ALL else [word]
        )
        for name in named:
            meant = _meant(name, rules)
            found[_in_full(meant)] = meant
    return found


def _meant(word: str, rules: DeleveragingRules) -> DeleveragingRules:
    rule, *options = word.split(":")
    changes: dict[str, object] = {}
    for option in options:
        if option == NEUTRAL_LAST:
            changes["neutral_last"] = True
        elif option in set(DeleveragedSize):
            changes["size"] = DeleveragedSize(option)
        else:
            raise SettingsError(f"--adl {word!r}: {option!r} is not known; write {ACCEPTED}")
    if rule not in set(Deleveraging):
        raise SettingsError(f"--adl {word!r}: {rule!r} is no policy; write {ACCEPTED}")
    return msgspec.structs.replace(rules, rule=Deleveraging(rule), **changes)


def _in_full(rules: DeleveragingRules) -> str:
    last = f":{NEUTRAL_LAST}" if rules.neutral_last else ""
    return f"{rules.rule}:{rules.size}{last}"

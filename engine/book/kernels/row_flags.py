"""What a row of the columns is, what must hold for it to stay silent, and how an account stands."""

# Flags of a row: what it is ...
SECURES = 1  # has positions, liabilities or orders, so a stale index degrades it
ISOLATED = 2
OPEN = 4  # an isolated position with contracts
STOPPED = 8  # its account is stopped, so it is degraded whatever the prices
DEGRADED = 16  # its last state was degraded
# ... and what must hold for it to stay silent.
NOT_BELOW = 32  # C >= low * MM
NOT_ABOVE = 64  # C < high * MM, or equity < 0
POSITIVE = 128  # equity > 0
NEGATIVE = 256  # equity < 0
EMPTY_IS_QUIET = 512  # nothing, if it has no terms
NEVER = 1024  # nothing: always exact
CERTAIN = 2048  # no price doubted: its verdict has a line that the row does not name

# Status of an account.
QUIET = 0  # its prices are within its bounds, where no judgement would change anything
HOVERING = 1  # judged at the present prices, too close to a line for bounds
UNJUDGED = 2  # changed, or a timer ran out, since it was last judged, or routed without a box: exact at the next touch
FOUND = 3  # a candidate of the instant that is being walked; the judge gives it another status

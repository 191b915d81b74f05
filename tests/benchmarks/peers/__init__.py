"""The same accounts and ticks through what a user might pick instead: `make bench-peers`. Its README has the rules."""

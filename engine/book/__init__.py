"""Account books: every account of a shard, judged on every mark. `plain` is the specification."""

"""Everything that a Redis database holds, to see that nobody wrote to it."""

import redis


def everything(url: str) -> dict[bytes, bytes | None]:
    """Every key and its value, serialised."""
    with redis.Redis.from_url(url) as client:
        return {key: client.dump(key) for key in client.scan_iter()}

-- Become the owner of a shard: from here on every script of an earlier owner is refused.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 owner (for people)   2 token (drawn anew for every ownership)
-- Returns {fence, meta as field, value, ...}.
--
-- The counter alone would not do: after Redis was emptied it starts again and would repeat a number that an owner
-- from before still believes in. The token never repeats.

local fence = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'token', ARGV[2], 'commit', '0')
return {fence, redis.call('HGETALL', KEYS[2])}

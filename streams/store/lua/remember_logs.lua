-- Note which topics a shard's accounts are a result of.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3.. meta field, identity, ...
-- Returns {word, detail}: ok | fenced, when it was taken over | rewound, nothing.

redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return {'ok'}

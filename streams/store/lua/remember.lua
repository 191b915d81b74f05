-- Set fields of a shard's meta hash: which topics its accounts are a result of, and how far their copies reach.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3.. meta field, value, ...
-- Returns {word, detail}: ok | fenced, when it was taken over | rewound, nothing.

redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return {'ok'}

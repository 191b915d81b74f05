-- Note which topics a shard's accounts are a result of.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3.. meta field, identity, ...
-- Returns {word}: ok | fenced.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced'}
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return {'ok'}

-- Note which topics a shard's accounts are a result of.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3.. meta field, identity, ...
-- Returns {word, detail}: ok | fenced, when it was taken over | rewound, nothing.

local fence = redis.call('GET', KEYS[1])
if not fence then
  return {'rewound', 'nothing'}
end
if fence ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced', redis.call('HGET', KEYS[2], 'taken_ms') or '0'}
end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return {'ok'}

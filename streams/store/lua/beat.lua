-- Say that the owner of a shard is alive.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token
-- Returns {word}: ok | fenced.
--
-- A count and no time: whoever watches it measures with a clock of its own how long it stands still.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced'}
end
redis.call('HINCRBY', KEYS[2], 'beat', 1)
return {'ok'}

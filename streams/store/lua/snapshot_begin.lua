-- Begin to write a snapshot of a shard, anew if one was begun: from here on every commit notes the accounts that it changes.
--
-- KEYS  1 fence   2 meta   3 snapshot being written   4 accounts changed since its begin
-- ARGV  1 fence   2 token
-- Returns {word}: ok | fenced.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced'}
end
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('HSET', KEYS[2], 'snapshot_next', '1')
return {'ok'}

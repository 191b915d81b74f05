-- Have the snapshot that was written take the place of the one before, and what has changed since its begin that of what changed before.
--
-- KEYS  1 fence   2 meta   3 snapshot   4 accounts changed since   5 snapshot being written   6 accounts changed since its begin
-- ARGV  1 fence   2 token   3 number of the last commit that was confirmed   4 parts   5 edition
-- Returns {word}: ok | already | fenced | lost, where Redis is older than what it has confirmed, or has another number of parts.
--
-- The states in the snapshot are those of the confirmed commits: a Redis that was rewound behind them must not get it.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced'}
end
-- commits are counted from each take-over, so they are no more than a Lua number holds
if tonumber(redis.call('HGET', KEYS[2], 'commit')) < tonumber(ARGV[3]) then
  return {'lost'}
end
if not redis.call('HGET', KEYS[2], 'snapshot_next') then
  return {'already'}
end
if redis.call('LLEN', KEYS[5]) ~= tonumber(ARGV[4]) then
  return {'lost'}
end
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('RENAME', KEYS[5], KEYS[3])
if redis.call('EXISTS', KEYS[6]) == 1 then
  redis.call('RENAME', KEYS[6], KEYS[4])
end
redis.call('HDEL', KEYS[2], 'snapshot_next')
redis.call('HSET', KEYS[2], 'snapshot', ARGV[5], 'snapshot_token', ARGV[2])
return {'ok'}

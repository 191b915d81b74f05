-- Add one part to the snapshot that is being written.
--
-- KEYS  1 fence   2 meta   3 snapshot being written
-- ARGV  1 fence   2 token   3 parts before   4 the part
-- Returns {word}: ok | already | fenced | lost, where Redis has another number of parts.

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced'}
end
local parts = redis.call('LLEN', KEYS[3])
if parts == tonumber(ARGV[3]) + 1 then
  return {'already'}
end
if parts ~= tonumber(ARGV[3]) then
  return {'lost'}
end
redis.call('RPUSH', KEYS[3], ARGV[4])
return {'ok'}

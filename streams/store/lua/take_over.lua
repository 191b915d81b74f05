-- Become the owner of a shard: from here on every script of an earlier owner is refused.
--
-- KEYS  1 fence   2 meta   3 trail   4 snapshot   5 accounts changed since   6 snapshot being written
--       7 accounts changed since its begin
-- ARGV  1 owner (for people)   2 token (drawn anew for every ownership)   3 role: worker | standby
--       4 bound on the trail   5 the highest format that the owner knows   6 the format in force
--       7 the token to take the shard from, or nothing: from whoever has it
-- Returns {fence, meta as field, value, ...}, or {} where the token is not that of argument 7, or {word, detail} where nobody may
-- have the shard: newer, stored format | restoring, id of the backup. Nothing is written then.
--
-- An owner that does not know the shard's format, or the one in force, would lose what it does not know, so it gets nothing. It writes the
-- higher of both: a shard without a number is of the first.
--
-- The counter alone would not do: after Redis was emptied it starts again and would repeat a number that an owner
-- from before still believes in. The token never repeats.
--
-- The time of the take-over tells an owner that was refused which history it was refused by: a take-over is always later than the one
-- before it, so a shard that was taken earlier than the owner took it was not taken from the owner, Redis was rewound.
--
-- The trail gets an entry that says whom the shard was taken from. Whoever follows it sees from there that no other history
-- has come in between: a Redis that was rewound repeats numbers, but no tokens.
--
-- A snapshot is worth something only as long as every owner has noted what it changed. Each such owner vouches for it with its token; an
-- edition that knows no snapshots does not, and then it goes.

local before = redis.call('HGET', KEYS[2], 'token') or ''
if before == ARGV[2] then
  -- repeated after a lost answer
  return {redis.call('GET', KEYS[1]), redis.call('HGETALL', KEYS[2])}
end
if ARGV[7] and before ~= ARGV[7] then
  return {}
end
local restoring = redis.call('HGET', KEYS[2], 'restoring')
if restoring then
  return {'restoring', restoring}
end
local format = redis.call('HGET', KEYS[2], 'format')
-- what is no number is of an edition that nobody here knows
if format and (tonumber(format) or math.huge) > tonumber(ARGV[5]) then
  return {'newer', format}
end
if tonumber(ARGV[6]) > tonumber(ARGV[5]) then
  return {'newer', ARGV[6]}
end
if not format or tonumber(format) < tonumber(ARGV[6]) then
  format = ARGV[6]
end

local vouched = redis.call('HGET', KEYS[2], 'snapshot_token')
if vouched and vouched ~= before then
  redis.call('HDEL', KEYS[2], 'snapshot', 'snapshot_token')
  redis.call('UNLINK', KEYS[4], KEYS[5])
  vouched = false
end
redis.call('HDEL', KEYS[2], 'snapshot_next')
redis.call('UNLINK', KEYS[6], KEYS[7])
local fence = redis.call('INCR', KEYS[1])
local now = redis.call('TIME')
local taken_ms = tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
taken_ms = math.max(taken_ms, tonumber(redis.call('HGET', KEYS[2], 'taken_ms') or '0') + 1)
redis.call('HSET', KEYS[2], 'owner', ARGV[1], 'token', ARGV[2], 'role', ARGV[3], 'commit', '0',
  'format', format, 'taken_ms', string.format('%.0f', taken_ms))
if vouched then
  redis.call('HSET', KEYS[2], 'snapshot_token', ARGV[2])
end
local function leave_trail()
  return redis.pcall('XADD', KEYS[3], 'MAXLEN', '~', ARGV[4], fence .. '-0', 'token', ARGV[2], 'from', before)
end
if type(leave_trail()) == 'table' then
  -- a trail with later numbers than the fence: that one was deleted by hand
  redis.call('DEL', KEYS[3])
  leave_trail()
end
return {fence, redis.call('HGETALL', KEYS[2])}

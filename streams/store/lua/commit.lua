-- Make one commit of a shard durable as a whole, or not at all.
--
-- KEYS  1 fence   2 meta   3 accounts   4 risks   5 outbox of liquidations   6 outbox of all else   7 breaker
--       8 deleveraging risks   9 trail   10 accounts changed since the snapshot   11 the same since the begin of the
--       one being written   12.. hashes of input ids, then hashes of open orders, then
--       keys of ids that are forgotten
-- ARGV  1 fence   2 token   3 number of the commit before   4 number of this commit   5 number of hashes of ids
--       6 for each hash of open orders 1 where it is emptied first, else 0   7 bound on the trail
--       8 accounts of this commit, in MessagePack
--       9..15 how many arguments follow for: watermarks, accounts, risks, both outboxes, breaker, deleveraging risks
--       16.. the same for each hash of ids, and twice for each hash of open orders
--       then those arguments:
--           watermarks   meta field, expected, new, ...
--           accounts, risks   field, value, ...
--           each outbox   entry, ...
--           breaker, deleveraging risks   its state, or nothing
--           each hash of ids   digest of the id, digest of what was said, ...
--           each hash of open orders   id of one that is gone, ...   and   id, order, ...
-- Returns {word, detail ...}: ok | already | fenced, when it was taken over | rewound, stored number | watermark, field, stored watermark.
--
-- Every offset and number is compared and stored as its decimal text, never as a Lua number: those are doubles and
-- exact only below 2^53. Values are plain arguments because the MessagePack inside Redis does not read binary data.
-- Nothing is written before the last check has passed. Redis itself refuses (out of memory, read-only, disk errors)
-- only at the first write of a script, and a script is replayed from the append-only file as a whole.

-- Even, so that no field is parted from its value; Lua's stack holds some 8000 values.
local UNPACK_MAX = 1000
local COUNTS_AT = 9
local IDS_AT = 12

local stored = redis.call('HGET', KEYS[2], 'commit')
if stored == ARGV[4] then
  return {'already'}
end
if stored ~= ARGV[3] then
  return {'rewound', stored}
end

local id_hashes = tonumber(ARGV[5])
local order_hashes = #ARGV[6]
local counts_end = COUNTS_AT + 6 + id_hashes + 2 * order_hashes
local part_ends = {}
local part_end = counts_end
for index = COUNTS_AT, counts_end do
  part_end = part_end + tonumber(ARGV[index])
  part_ends[#part_ends + 1] = part_end
end

for at = counts_end + 1, part_ends[1], 3 do
  local watermark = redis.call('HGET', KEYS[2], ARGV[at]) or '0'
  if watermark ~= ARGV[at + 1] then
    return {'watermark', ARGV[at], watermark}
  end
end

local function write_part(command, key, part)
  for first = part_ends[part - 1] + 1, part_ends[part], UNPACK_MAX do
    redis.call(command, key, unpack(ARGV, first, math.min(first + UNPACK_MAX - 1, part_ends[part])))
  end
end

-- Whoever reads a snapshot has to read these accounts beside it.
local function note_changed(key)
  local last = part_ends[2]
  for first = part_ends[1] + 1, last, UNPACK_MAX do
    local names = {}
    for at = first, math.min(first + UNPACK_MAX - 1, last), 2 do
      names[#names + 1] = ARGV[at]
    end
    redis.call('SADD', key, unpack(names))
  end
end

-- First: it alone may be refused for its number, and then nothing is written.
redis.call('XADD', KEYS[9], 'MAXLEN', '~', ARGV[7], ARGV[1] .. '-' .. ARGV[4], 'accounts', ARGV[8])
redis.call('HSET', KEYS[2], 'commit', ARGV[4])
for at = counts_end + 1, part_ends[1], 3 do
  redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 2])
end
write_part('HSET', KEYS[3], 2)
local snapshots = redis.call('HMGET', KEYS[2], 'snapshot', 'snapshot_next')
if snapshots[1] then
  note_changed(KEYS[10])
end
if snapshots[2] then
  note_changed(KEYS[11])
end
write_part('HSET', KEYS[4], 3)
write_part('RPUSH', KEYS[5], 4)
write_part('RPUSH', KEYS[6], 5)
write_part('SET', KEYS[7], 6)
write_part('SET', KEYS[8], 7)
for index = 1, id_hashes do
  write_part('HSET', KEYS[IDS_AT + index - 1], 7 + index)
end
for index = 1, order_hashes do
  local key = KEYS[IDS_AT + id_hashes + index - 1]
  local part = 7 + id_hashes + 2 * index
  if string.sub(ARGV[6], index, index) == '1' then
    redis.call('UNLINK', key)
  end
  write_part('HDEL', key, part - 1)
  write_part('HSET', key, part)
end
-- After the writes: what was added to them in this commit is forgotten with them.
for first = IDS_AT + id_hashes + order_hashes, #KEYS, UNPACK_MAX do
  redis.call('UNLINK', unpack(KEYS, first, math.min(first + UNPACK_MAX - 1, #KEYS)))
end
return {'ok'}

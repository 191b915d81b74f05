-- Say that the owner of a shard is alive, and hear whether it still is the owner.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3 number of the last commit that was confirmed
-- Returns {word, detail}: ok | fenced, when it was taken over | rewound, stored number.
--
-- A count and no time: whoever watches it measures with a clock of its own how long it stands still.

local fence = redis.call('GET', KEYS[1])
if not fence then
  return {'rewound', 'nothing'}
end
if fence ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced', redis.call('HGET', KEYS[2], 'taken_ms') or '0'}
end
-- commits are counted from each take-over, so they are no more than a Lua number holds
local stored = redis.call('HGET', KEYS[2], 'commit')
if tonumber(stored) < tonumber(ARGV[3]) then
  return {'rewound', stored}
end
redis.call('HINCRBY', KEYS[2], 'beat', 1)
return {'ok'}

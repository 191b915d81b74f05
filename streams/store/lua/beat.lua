-- Say that the owner of a shard is alive, and hear whether it still is the owner.
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token   3 number of the last commit that was confirmed
-- Returns {word, detail}: ok | fenced, when it was taken over | rewound, stored number.
--
-- A count and no time: whoever watches it measures with a clock of its own how long it stands still.

-- commits are counted from each take-over, so they are no more than a Lua number holds
local stored = redis.call('HGET', KEYS[2], 'commit')
if tonumber(stored) < tonumber(ARGV[3]) then
  return {'rewound', stored}
end
redis.call('HINCRBY', KEYS[2], 'beat', 1)
return {'ok'}

-- Cut published entries from the head of one lane's outbox and note how far each topic is known.
--
-- KEYS  1 fence   2 meta   3 outbox
-- ARGV  1 fence   2 token   3 meta field of the head   4 head before   5 head after   6 number of entries
--       7.. meta field, position, ...
-- Returns {word, detail}: ok | already | fenced, when it was taken over | rewound, stored head.
--
-- The head counts every entry ever cut, so that a repeated call cannot cut twice. The cut is the first write on
-- purpose: Redis allows it when out of memory, and a full Redis must be able to shrink.

local head = redis.call('HGET', KEYS[2], ARGV[3]) or '0'
if head == ARGV[5] then
  return {'already'}
end
if head ~= ARGV[4] or redis.call('LLEN', KEYS[3]) < tonumber(ARGV[6]) then
  return {'rewound', head}
end

redis.call('LTRIM', KEYS[3], ARGV[6], '-1')
redis.call('HSET', KEYS[2], ARGV[3], ARGV[5])
for index = 7, #ARGV, 2 do
  redis.call('HSET', KEYS[2], ARGV[index], ARGV[index + 1])
end
return {'ok'}

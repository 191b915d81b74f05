-- Take entries out of a lane's outbox that may not be published, before anything of it is.
--
-- KEYS  1 fence   2 meta   3 outbox
-- ARGV  1 fence   2 token   3 meta field that says that it was done   4.. indexes into the outbox
-- Returns {word, detail}: ok | already | fenced, when it was taken over | rewound.
--
-- Once an ownership: the indexes are those of what the take-over found, and a repeated call would mean other entries.

if redis.call('HGET', KEYS[2], ARGV[3]) == ARGV[2] then
  return {'already'}
end

redis.call('HSET', KEYS[2], ARGV[3], ARGV[2])
for index = 4, #ARGV do
  redis.call('LSET', KEYS[3], ARGV[index], '')
end
redis.call('LREM', KEYS[3], '0', '')
return {'ok'}

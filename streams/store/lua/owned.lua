-- The beginning of every script that only the owner of a shard may run (`store_scripts.owner_script`).
--
-- KEYS  1 fence   2 meta
-- ARGV  1 fence   2 token
-- Returns {'rewound', 'nothing'} where Redis was emptied, {'fenced', when it was taken over} where another owner has the shard.

local fence = redis.call('GET', KEYS[1])
if not fence then
  return {'rewound', 'nothing'}
end
if fence ~= ARGV[1] or redis.call('HGET', KEYS[2], 'token') ~= ARGV[2] then
  return {'fenced', redis.call('HGET', KEYS[2], 'taken_ms') or '0'}
end


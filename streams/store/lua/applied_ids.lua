-- Which ids of inputs are remembered, and what those said.
--
-- KEYS  hashes of ids, then lists of ids as editions before generations kept them; a key for each id that is sought
-- ARGV  1 number of hashes   2.. the field, or the entry, that is sought in each of the keys
-- Returns {number of the key, what its hash holds, ...} for those that are there; a list says nothing but that.

local found = {}
for index, key in ipairs(KEYS) do
  local said
  if index <= tonumber(ARGV[1]) then
    said = redis.call('HGET', key, ARGV[1 + index])
  else
    said = redis.call('LPOS', key, ARGV[1 + index]) and ''
  end
  if said then
    found[#found + 1] = index
    found[#found + 1] = said
  end
end
return found

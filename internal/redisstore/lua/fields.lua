-- put sets fields of hashes, and removes those whose value is empty. ARGV has them from an index on, each
-- as the number of its key in KEYS, its name and its value.
local function put(from)
  for i = from, #ARGV, 3 do
    local key, field, value = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
    keep(key, {field})
    if value == '' then write('HDEL', key, field) else write('HSET', key, field, value) end
  end
end

-- value returns what a key holds, and has it put back if the script fails.
local function value(key)
  local old = redis.call('GET', key)
  undo[#undo + 1] = function()
    if old then redis.call('SET', key, old, 'KEEPTTL') else redis.call('DEL', key) end
  end
  return old
end

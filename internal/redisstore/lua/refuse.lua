-- Counts submissions that earned nothing, once per batch. KEYS: state, pool, then an account and a
-- worker for each count. ARGV: ledger, gateway, number of the batch, then a reason and a count for
-- each. An account or a worker without a share is not counted by itself: names cost nothing.
-- Returns 1, or 0 if the batch was counted.
return atomically(function()
  owned()
  local field = 'refused:' .. ARGV[2]
  local newest = keep(state, {field})[1]
  if newest and tonumber(newest) >= tonumber(ARGV[3]) then return 0 end
  local function count(key, reason, n)
    keep(key, {'x:' .. reason})
    write('HINCRBY', key, 'x:' .. reason, n)
  end
  for i = 0, (#ARGV - 3) / 2 - 1 do
    local reason, n = ARGV[4 + 2 * i], ARGV[5 + 2 * i]
    count(KEYS[2], reason, n)
    for _, key in ipairs({KEYS[3 + 2 * i], KEYS[4 + 2 * i]}) do
      if counted(key) then count(key, reason, n) end
    end
  end
  write('HSET', state, field, ARGV[3])
  return 1
end)

-- Reads what an account does and what its workers do, in one go. KEYS: state, account, names of its workers. ARGV:
-- ledger, what the keys of its workers begin with, of how many workers at most. Returns the figures of the account as
-- HGETALL does, and its workers' names in order; after them, if they are no more than that, the figures of each.
return atomically(function()
  owned()
  local out = {redis.call('HGETALL', KEYS[2]), redis.call('SMEMBERS', KEYS[3])}
  local names = out[2]
  table.sort(names)
  if #names <= tonumber(ARGV[3]) then
    for i, name in ipairs(names) do out[2 + i] = redis.call('HGETALL', ARGV[2] .. name) end
  end
  return out
end)

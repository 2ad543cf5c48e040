-- Makes the genesis of a ledger, once. KEYS: genesis. ARGV: ledger, then fields and values.
-- Returns 1 if it is new and 0 if it was there.
return atomically(function()
  local id = keep(state, {'ledger'})[1]
  if id == ledger then return 0 end
  if id then refuse('FOREIGN', 'there is ledger ' .. id) end
  undo[#undo + 1] = function() redis.call('DEL', state) end
  write('HSET', state, 'ledger', ledger, unpack(ARGV, 2))
  return 1
end)

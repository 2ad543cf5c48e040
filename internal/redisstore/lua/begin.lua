-- Begins a partition, once. KEYS: state. ARGV: ledger. Returns 1 if it is new, 0 if it was there.
local id = redis.call('HGET', state, 'ledger')
if id == ledger then return 0 end
return atomically(function()
  if id then refuse('FOREIGN', 'the partition belongs to ' .. id) end
  keep(state, {'ledger'})
  write('HSET', state, 'ledger', ledger)
  return 1
end)

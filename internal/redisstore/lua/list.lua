-- Keeps the list of payees on a block unless there is one. KEYS: genesis, the list. ARGV: ledger, list, for
-- how long it is kept (ms). Returns the list that is there then. One that was there is kept longer, which
-- also makes it a write: who waits until that is on disk waits for the list.
return atomically(function()
  owned()
  local there = redis.call('GET', KEYS[2])
  if there then
    write('PEXPIRE', KEYS[2], ARGV[3])
    return there
  end
  undo[#undo + 1] = function() redis.call('DEL', KEYS[2]) end
  write('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  return ARGV[2]
end)

-- Adds a record of declared work on a block. KEYS: genesis, the blocks, the block's records. ARGV: ledger,
-- block, record, for how long the records are kept after the last (ms). Returns how many there are.
return atomically(function()
  owned()
  if redis.call('SISMEMBER', KEYS[2], ARGV[2]) == 0 then
    undo[#undo + 1] = function() redis.call('SREM', KEYS[2], ARGV[2]) end
  end
  write('SADD', KEYS[2], ARGV[2])
  local before = redis.call('LLEN', KEYS[3])
  undo[#undo + 1] = function()
    if redis.call('LLEN', KEYS[3]) > before then redis.call('RPOP', KEYS[3]) end
  end
  local count = write('RPUSH', KEYS[3], ARGV[3])
  write('PEXPIRE', KEYS[3], ARGV[4])
  return count
end)

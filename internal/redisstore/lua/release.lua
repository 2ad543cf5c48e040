-- Notes that a block's round and window are not needed any more. KEYS: state, block, its frozen round.
-- ARGV: ledger, job, token. Returns 1, or 0 if there is no such block.
local released = atomically(function()
  owned()
  fenced(ARGV[2], ARGV[3])
  if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
  keep(KEYS[2], {'released'})
  write('HSET', KEYS[2], 'released', '1')
  return 1
end)
-- What nobody needs goes last, because it cannot be put back.
if released == 1 then write('UNLINK', KEYS[3]) end
return released

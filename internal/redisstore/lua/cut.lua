-- Ends the round of a partition for a block that was found in another one, once. KEYS: state, block,
-- its frozen round, blocks, round. ARGV: ledger, hash in hexadecimal. Returns 1 if it is new, 0 if not.
return atomically(function()
  owned()
  if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
  cut(KEYS[2], KEYS[3], KEYS[4], KEYS[5], ARGV[2], {})
  return 1
end)

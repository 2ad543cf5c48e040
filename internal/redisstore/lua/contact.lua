-- Notes down to which height a gateway's spool has nothing that is not here. KEYS: genesis, contacts. ARGV:
-- ledger, gateway, height. Returns the heights of all gateways.
return atomically(function()
  owned()
  keep(KEYS[2], {ARGV[2]})
  write('HSET', KEYS[2], ARGV[2], ARGV[3])
  return redis.call('HVALS', KEYS[2])
end)

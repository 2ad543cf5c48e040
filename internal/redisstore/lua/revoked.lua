-- Says whether something is revoked. Another ledger, or an emptied one, does not know. KEYS: genesis, the entry.
-- ARGV: ledger. Returns 1 or 0.
return atomically(function()
  owned()
  return redis.call('EXISTS', KEYS[2])
end)

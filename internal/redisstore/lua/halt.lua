-- Stops payouts from the ledger for one gateway's reason; the first one stands. KEYS: genesis, halts.
-- ARGV: ledger, gateway, reason. Returns 1, or 0 if it had stopped them already.
return atomically(function()
  owned()
  keep(KEYS[2], {ARGV[2]})
  return write('HSETNX', KEYS[2], ARGV[2], ARGV[3])
end)

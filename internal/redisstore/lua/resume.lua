-- Lets payouts go on as far as the operator has seen why they stopped. KEYS: genesis, halts. ARGV:
-- ledger, then gateways and reasons. Returns how many of these stood.
return atomically(function()
  owned()
  local gone = 0
  for i = 2, #ARGV, 2 do
    if keep(KEYS[2], {ARGV[i]})[1] == ARGV[i + 1] then gone = gone + write('HDEL', KEYS[2], ARGV[i]) end
  end
  return gone
end)

-- Notes until when something is revoked; the latest time stands. KEYS: genesis, the entry. ARGV: ledger, until
-- when (ms), when the entry may go (ms). Returns 1, or 0 if it was revoked for as long already.
return atomically(function()
  owned()
  local old = value(KEYS[2])
  if old and tonumber(old) >= tonumber(ARGV[2]) then return 0 end
  write('SET', KEYS[2], ARGV[2], 'PXAT', ARGV[3])
  return 1
end)

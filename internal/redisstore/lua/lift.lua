-- Ends a subject's ban. KEYS: genesis, bans, their ends. ARGV: ledger, subject. Returns 1, or 0 if none was in force.
return atomically(function()
  owned()
  local old = keep(bans, {ARGV[2]})[1]
  if not old then return 0 end
  ending(ARGV[2])
  write('HDEL', bans, ARGV[2])
  write('ZREM', ends, ARGV[2])
  return times(old) > millis() and 1 or 0
end)

-- Keeps a text for one use. KEYS: genesis, the challenge. ARGV: ledger, text, for how long (ms). Returns 1, or 0
-- if another text is there. The same text is there already when an answer was lost.
return atomically(function()
  owned()
  local there = value(KEYS[2])
  if there then return there == ARGV[2] and 1 or 0 end
  write('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
  return 1
end)

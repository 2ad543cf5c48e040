-- Drops the records of declared work on blocks that are gone. KEYS: genesis, the blocks, then the records
-- of these blocks. ARGV: ledger, then the blocks. Returns how many blocks had records.
return atomically(function()
  owned()
  local gone = 0
  -- What is dropped needs no way back: it is dropped again.
  for i = 2, #ARGV do
    gone = gone + write('UNLINK', KEYS[i + 1])
    write('SREM', KEYS[2], ARGV[i])
  end
  return gone
end)

-- Puts a journal aside that ends at a record, so that another can be posted in its place. KEYS: genesis, head,
-- then the journal's keys, the head among them, and behind them what each is called from then on. ARGV: ledger,
-- the number and hash of its last record. Returns how many keys there were.
return atomically(function()
  owned()
  local head = redis.call('HMGET', KEYS[2], 'seq', 'hash')
  if (head[1] or '0') ~= ARGV[2] or (head[2] or '') ~= ARGV[3] then
    refuse('OUTDATED', 'it is at record ' .. (head[1] or '0') .. ' by now')
  end
  local many, moved = (#KEYS - 2) / 2, 0
  for i = 3, 2 + many do
    local from, to = KEYS[i], KEYS[i + many]
    if redis.call('EXISTS', from) == 1 then
      undo[#undo + 1] = function()
        if redis.call('EXISTS', to) == 1 then redis.call('RENAME', to, from) end
      end
      write('RENAME', from, to)
      moved = moved + 1
    end
  end
  return moved
end)

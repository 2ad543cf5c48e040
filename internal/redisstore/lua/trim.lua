-- Folds the oldest slice into sums by account. KEYS: state, slices, slice, folded sums. ARGV: ledger,
-- job, token, name of the slice, place of its last share, number of its shares, how many parts their weight
-- comes in, these parts, then account and weight for each account. Returns 1, or 0 if it is folded already.
return atomically(function()
  owned()
  fenced(ARGV[2], ARGV[3])
  if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[4] then return 0 end
  keep(state, {'trimmed', 'folded', 'ftotal', 'ftotal+'})
  local parts = tonumber(ARGV[7])
  for i = 8, 7 + parts do add(state, 'ftotal', redis.call('HGET', state, 'ftotal'), ARGV[i]) end
  for i = 8 + parts, #ARGV, 2 do
    add(KEYS[4], ARGV[i], keep(KEYS[4], {ARGV[i], ARGV[i] .. '+'})[1], ARGV[i + 1])
  end
  write('HINCRBY', state, 'folded', ARGV[6])
  write('HSET', state, 'trimmed', ARGV[5])
  undo[#undo + 1] = function()
    if redis.call('LINDEX', KEYS[2], 0) ~= ARGV[4] then redis.call('LPUSH', KEYS[2], ARGV[4]) end
  end
  write('LPOP', KEYS[2])
  local slice = redis.call('GET', KEYS[3])
  undo[#undo + 1] = function() redis.call('SET', KEYS[3], slice) end
  write('DEL', KEYS[3])
  return 1
end)

-- Writes an act down if it is made for the newest one. KEYS: genesis, the newest one's number and hash, the acts.
-- ARGV: ledger, number and hash of the newest act that it is made for (0 and nothing if it is the first), its hash,
-- its text. Returns number and hash of the newest act then.
return atomically(function()
  owned()
  local head, acts = KEYS[2], KEYS[3]
  local newest = keep(head, {'seq', 'hash'})
  local seq, hash = newest[1] or '0', newest[2] or ''
  if seq ~= ARGV[2] or hash ~= ARGV[3] then return {seq, hash} end
  local before = redis.call('LLEN', acts)
  undo[#undo + 1] = function()
    if redis.call('LLEN', acts) > before then redis.call('RPOP', acts) end
  end
  write('RPUSH', acts, ARGV[5])
  seq = string.format('%.0f', tonumber(seq) + 1)
  write('HSET', head, 'seq', seq, 'hash', ARGV[4])
  return {seq, ARGV[4]}
end)

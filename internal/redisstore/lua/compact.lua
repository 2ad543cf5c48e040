-- Moves the oldest shares of the log into a slice. KEYS: state, log, slices, slice. ARGV: ledger, job,
-- token, place of the last share that was compacted, places of the first and the last of the slice,
-- the slice, the place after its last. Returns 1, or 0 if somebody else has compacted them.
local compacted = atomically(function()
  owned()
  fenced(ARGV[2], ARGV[3])
  local old = keep(state, {'compacted'})[1] or '0-0'
  if old ~= ARGV[4] then return 0 end
  undo[#undo + 1] = function() redis.call('DEL', KEYS[4]) end
  write('SET', KEYS[4], ARGV[7])
  local name = ARGV[5] .. ' ' .. ARGV[6]
  undo[#undo + 1] = function() redis.call('LREM', KEYS[3], 0, name) end
  write('RPUSH', KEYS[3], name)
  write('HSET', state, 'compacted', ARGV[6])
  return 1
end)
-- The log's copies go last and are not needed to come back: readers go by place, and what stays is
-- trimmed with the next slice. Who comes second trims nothing: its slice, which may hold more, was not kept.
if compacted == 1 then write('XTRIM', KEYS[2], 'MINID', '=', ARGV[8]) end
return compacted

-- cut ends the round of a partition at its newest share and begins the next one: for a found block,
-- once. details are fields of the block beside the cut. Where the round has ended for the block before
-- (its own partition had lost it, and another gateway ended the rounds) they are all that is added.
local function cut(block, frozen, blocks, round, hash, details)
  if redis.call('EXISTS', block, frozen) > 0 then
    local names = {}
    for i = 1, #details, 2 do names[#names + 1] = details[i] end
    if #names > 0 then
      keep(block, names)
      write('HSET', block, unpack(details))
    end
    return
  end
  local old = keep(state, {'last', 'rshares', 'rtotal', 'rfrom'})
  undo[#undo + 1] = function() redis.call('DEL', block) end
  write('HSET', block, 'cut', old[1] or '0-0', 'from', old[4] or '0-0',
    'rshares', old[2] or '0', 'rtotal', old[3] or '0', unpack(details))
  undo[#undo + 1] = function() redis.call('LREM', blocks, 0, hash) end
  write('RPUSH', blocks, hash)
  if redis.call('EXISTS', round) == 1 then
    undo[#undo + 1] = function()
      if redis.call('EXISTS', frozen) == 1 then redis.call('RENAME', frozen, round) end
    end
    write('RENAME', round, frozen)
  end
  write('HSET', state, 'rfrom', old[1] or '0-0', 'rshares', '0', 'rtotal', '0')
end

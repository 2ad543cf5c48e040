-- Publishes events. KEYS: genesis, events, the last one that was forgotten, then what some are published once by.
-- ARGV: ledger, how many are kept, how many more there may be until they are forgotten, for how long it is known what
-- was published once (ms), then for each event the number of its key in KEYS or 0, kind, account, data and time (ms).
-- Returns how many were published.
local events, most = KEYS[2], tonumber(ARGV[2])

return atomically(function()
  owned()
  local newest = redis.call('XREVRANGE', events, '+', '-', 'COUNT', 1)[1]
  undo[#undo + 1] = function()
    for _, entry in ipairs(redis.call('XRANGE', events, newest and '(' .. newest[1] or '-', '+')) do
      redis.call('XDEL', events, entry[1])
    end
  end
  local published = 0
  for i = 5, #ARGV, 5 do
    local once = KEYS[tonumber(ARGV[i])]
    if not once or not value(once) then
      write('XADD', events, '*', 'k', ARGV[i + 1], 'a', ARGV[i + 2], 'd', ARGV[i + 3], 't', ARGV[i + 4])
      if once then write('SET', once, '1', 'PX', ARGV[4]) end
      published = published + 1
    end
  end
  local over = redis.call('XLEN', events) - most
  if over > tonumber(ARGV[3]) then
    -- Which was the last that is gone is noted before it goes, and stays noted.
    local gone = redis.call('XRANGE', events, '-', '+', 'COUNT', over)
    write('SET', KEYS[3], gone[over][1])
    write('XTRIM', events, 'MAXLEN', '=', most)
  end
  return published
end)

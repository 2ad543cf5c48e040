-- Adds a point to a series, which is a stream by time. KEYS: genesis, the series. ARGV: ledger, how many are kept,
-- time (ms), then name and value of each value. Returns 1, 0 if there is one of that time or a later one, and -1 if
-- the time is more than a minute ahead.
return atomically(function()
  owned()
  local clock = redis.call('TIME')
  if tonumber(ARGV[3]) > clock[1] * 1000 + 60000 then return -1 end
  local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
  if newest and tonumber(string.match(newest[1], '^%d+')) >= tonumber(ARGV[3]) then return 0 end
  -- It cannot be taken back: the stream would not take the time again. As the only write it need not be.
  write('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], ARGV[3] .. '-0', unpack(ARGV, 4))
  return 1
end)

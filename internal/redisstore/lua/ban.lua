-- Puts a ban in force unless the subject's present one lasts as long. KEYS: genesis, bans, their ends. ARGV:
-- ledger, subject, end (ms; 0 for never), beginning (ms), text, most bans. Returns 1, 0 if nothing changed, and -1
-- if there are too many.
return atomically(function()
  owned()
  local subject, since, now = ARGV[2], ARGV[4], millis()
  -- Those that are over are forgotten, which needs no way back.
  local over = redis.call('ZRANGEBYSCORE', ends, '-inf', string.format('%.0f', now), 'LIMIT', 0, 1000)
  if #over > 0 then
    write('HDEL', bans, unpack(over))
    write('ZREM', ends, unpack(over))
  end
  local last = ARGV[3] == '0' and math.huge or tonumber(ARGV[3])
  if last <= now then return 0 end
  local old = keep(bans, {subject})[1]
  if old then
    local present, began = times(old)
    if present >= last then return 0 end
    if tonumber(began) < tonumber(since) then since = began end
  elseif redis.call('HLEN', bans) >= tonumber(ARGV[6]) then
    return -1
  end
  ending(subject)
  write('HSET', bans, subject, ARGV[3] .. ' ' .. since .. ' ' .. ARGV[5])
  if ARGV[3] == '0' then write('ZREM', ends, subject) else write('ZADD', ends, ARGV[3], subject) end
  return 1
end)

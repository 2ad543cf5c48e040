-- Decides whether a key may be used once more (generic cell rate algorithm). KEYS: state, the key. ARGV: ledger, time
-- that one use takes (us), how many are allowed at a time. Times are whole microseconds below 2^53, so that doubles
-- hold them. Returns {allowed, how many more, when one is allowed again, when all are}.
return atomically(function()
  owned()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local interval = tonumber(ARGV[2])
  local most = interval * tonumber(ARGV[3])
  -- When what was used is used up. It is never further ahead than a whole burst, unless the clock was put back or the
  -- rate is another one by now: then a whole burst is used.
  local old = tonumber(value(KEYS[2]) or '0')
  local done = math.min(math.max(old, now), now + most)
  local wait = done + interval - most - now
  if wait <= 0 then done = done + interval end
  if wait <= 0 or done < old then
    write('SET', KEYS[2], string.format('%.0f', done), 'PX', math.ceil((done - now) / 1000))
  end
  if wait > 0 then return {0, 0, wait, done - now} end
  return {1, math.floor((now + most - done) / interval), 0, done - now}
end)

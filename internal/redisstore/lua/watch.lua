-- Notes which accounts somebody looks at. KEYS: genesis, the accounts by until when. ARGV: ledger, for how long (ms),
-- most accounts, accounts. Returns 1. What fails is left half done: who looks says so again and again.
return atomically(function()
  owned()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local last = string.format('%.0f', now + tonumber(ARGV[2]))
  for i = 4, #ARGV do write('ZADD', KEYS[2], 'GT', last, ARGV[i]) end
  write('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
  local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
  if over > 0 then write('ZREMRANGEBYRANK', KEYS[2], 0, over - 1) end
  return 1
end)

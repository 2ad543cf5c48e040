-- Lists the accounts that somebody looks at. KEYS: genesis, the accounts by until when. ARGV: ledger.
return atomically(function()
  owned()
  local clock = redis.call('TIME')
  return redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)), '+inf')
end)

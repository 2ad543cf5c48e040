-- Takes, renews or gives up a lease. KEYS: the lease. ARGV: ledger, holder, for how long (ms; 0 gives it
-- up). Returns {token, holder}: the token is 0 if somebody else holds it.
return atomically(function()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local old = keep(state, {'holder', 'token', 'until'})
  local token, held = tonumber(old[2] or '0'), old[1] and tonumber(old[3]) > now
  if held and old[1] ~= ARGV[2] then return {0, old[1]} end
  if ARGV[3] == '0' then
    if held then write('HSET', state, 'until', '0') end
    return {token, ARGV[2]}
  end
  if not held then token = token + 1 end
  write('HSET', state, 'holder', ARGV[2], 'token', string.format('%.0f', token),
    'until', string.format('%.0f', now + tonumber(ARGV[3])))
  return {token, ARGV[2]}
end)

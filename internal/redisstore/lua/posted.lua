-- Tells which template is in force on a block. KEYS: genesis, the block's template. ARGV: ledger. Returns
-- {number, mark, gateway, for how many ms its gateway has been silent}, or {} if there is none.
return atomically(function()
  owned()
  local up = redis.call('HMGET', KEYS[2], 'seq', 'mark', 'gateway', 'at')
  if not up[1] then return {} end
  local clock = redis.call('TIME')
  return {up[1], up[2], up[3], math.floor(clock[1] * 1000 + clock[2] / 1000 - tonumber(up[4]))}
end)

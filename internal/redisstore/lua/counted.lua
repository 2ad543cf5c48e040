-- counted reports whether anything is counted for whom key is of: a share, not only refusals.
local function counted(key)
  local some = redis.call('HMGET', key, 'sum', 'now', 'n')
  return some[1] or some[2] or some[3]
end

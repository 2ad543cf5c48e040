-- What an account, a worker or the pool does, one hash each: counts, sums, the best share, and
-- weights by time slot, from which hash rates are told.

-- The slots: how many seconds one lasts, and how many are kept. One more is kept than the longest
-- time asked for has, because the oldest is counted in part.
local SLOTS = {{15, 21}, {180, 21}, {1800, 49}, {21600, 29}}

-- What a slot holds at most: rates are for people to look at.
local MOST = '9223372036854775807'

-- tally counts a share for whom key is of. Times are milliseconds.
local function tally(key, weight, time, best, found)
  local fields = {'first', 'last', 'best', 'n', 'w', 'w+', 'blocks'}
  for level, slot in ipairs(SLOTS) do
    fields[#fields + 1] = level .. ':' .. string.format('%.0f', math.floor(time / 1000 / slot[1]))
  end
  local old = keep(key, fields)
  local now = string.format('%.0f', time)
  local changes = {}
  if not old[1] or time < tonumber(old[1]) then changes = {'first', now} end
  if not old[2] or time > tonumber(old[2]) then changes[#changes + 1] = 'last'; changes[#changes + 1] = now end
  if not old[3] or best < old[3] then changes[#changes + 1] = 'best'; changes[#changes + 1] = best end
  if #changes > 0 then write('HSET', key, unpack(changes)) end
  write('HINCRBY', key, 'n', 1)
  add(key, 'w', old[5], weight)
  if found then write('HINCRBY', key, 'blocks', 1) end
  for i = 8, 11 do
    if not fits(key, fields[i], weight) then write('HSET', key, fields[i], MOST) end
  end
  -- Slots of the second kind begin every three minutes: often enough to forget the old ones.
  if not old[9] then
    local gone = {}
    for _, field in ipairs(redis.call('HKEYS', key)) do
      local level, slot = string.match(field, '^(%d):(%d+)$')
      if level then
        local length, kept = unpack(SLOTS[tonumber(level)])
        if (tonumber(slot) + kept) * length * 1000 <= time then gone[#gone + 1] = field end
      end
    end
    if #gone > 0 then write('HDEL', key, unpack(gone)) end
  end
end

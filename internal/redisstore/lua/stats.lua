-- What an account, a worker or the pool does, one hash each. All that changes with every share is two fields:
-- now    time of the first share and of the last (ms), how many there were, and their weight
-- slots  the weight in the slot of each kind that the last share's time is in
-- Others change now and then: best is the best share, blocks how many were blocks, a slot's number behind its kind the
-- weight of one that is over, w and w+ the weight that now has no room for. The fields first, last and n are of
-- hashes from before now was there: what they say counts as well.
-- Both fields are short, so that Redis keeps the hash packed.

-- The slots: how many milliseconds one lasts, and how many are kept. One more is kept than the longest time asked for
-- has, because the oldest is counted in part. The short ones fit into the long ones without a rest.
local SLOTS = {{15000, 21}, {180000, 21}, {1800000, 49}, {21600000, 29}}
local SHORTEST = 15000

-- What a slot holds at most: rates are for people to look at.
local MOST = 9223372036854774784

-- What the weight in now stays below. Numbers up to twice as much are exact.
local ROOM = 4503599627370496

local CHANGING = {'now', 'slots', 'best'}
local FOUR = '^(%-?%d+) (%-?%d+) (%d+) (%d+)$'

-- What tally has read, by twos: a key, and what its fields held.
local tallied = {}

-- seldom does what few shares need: it counts one whose time is not in the slots that run, and returns what they hold
-- then. list collects what slots that are over have got, by field, and gone those that are too old.
local function seldom(key, last, time, weight, running, list, gone)
  local function over(kind, slot, more)
    local field = kind .. ':' .. string.format('%d', slot)
    list[field] = (list[field] or 0) + more
  end
  for kind, slot in ipairs(SLOTS) do
    local length, kept = slot[1], slot[2]
    local from, to = math.floor(last / length), math.floor(time / length)
    if to < from then
      if to + kept > from then over(kind, to, weight) end
    else
      if to > from then
        over(kind, from, running[kind])
        running[kind] = 0
        for old = from - kept + 1, math.min(to - kept, from) do
          local field = kind .. ':' .. string.format('%d', old)
          gone[#gone + 1], list[field] = field, nil
        end
      end
      running[kind] = running[kind] + weight
    end
  end
  return unpack(running)
end

-- settle writes what slots that are over have got, and removes what is too old; its going is not taken back.
local function settle(key, list, gone)
  local names, set = {}, {}
  for field, more in pairs(list) do
    if more > 0 then names[#names + 1] = field end
  end
  if #names > 0 then
    for i, old in ipairs(keep(key, names)) do
      set[2 * i - 1] = names[i]
      set[2 * i] = string.format('%d', math.min(tonumber(old or '0') + list[names[i]], MOST))
    end
    write('HSET', key, unpack(set))
  end
  if #gone > 0 then write('HDEL', key, unpack(gone)) end
end

-- older returns when the last share of a hash came that has no now yet, and which of its slots are too old.
local function older(key, gone)
  local last = tonumber(redis.call('HGET', key, 'last'))
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local kind, slot = string.match(field, '^(%d):(%-?%d+)$')
    if kind then
      local length, kept = unpack(SLOTS[tonumber(kind)])
      if tonumber(slot) + kept <= math.floor(last / length) then gone[#gone + 1] = field end
    end
  end
  return last
end

-- carry moves a weight to where there is room for any: what now had, and what came.
local function carry(key, had, came)
  local old = keep(key, {'w', 'w+'})[1]
  add(key, 'w', old, string.format('%d', had))
  add(key, 'w', redis.call('HGET', key, 'w'), came)
end

-- tally counts shares for whom key is of: the one with number i, the one before it, and so on; times, weights and
-- bests are theirs. text writes their weight. found says that it is a block. Where nothing is counted yet, it asks admit
-- first, and counts nothing if that says no.
local function tally(key, i, before, times, weights, bests, text, found, admit)
  local old = redis.call('HMGET', key, 'now', 'slots', 'best')
  local best, better, list, gone = old[3], false, nil, nil
  local first, last, n, weight, a, b, c, d
  if old[1] then
    first, last, n, weight = string.match(old[1], FOUR)
    a, b, c, d = string.match(old[2], FOUR)
    first, last, a, b, c, d = tonumber(first), tonumber(last), tonumber(a), tonumber(b), tonumber(c), tonumber(d)
  else
    if admit and not best and not admit(i) then return end
    n, weight, a, b, c, d = 0, 0, 0, 0, 0, 0
    if best then
      list, gone = {}, {}
      last = older(key, gone)
    else
      last = times[i]
    end
    first = last
  end
  tallied[#tallied + 1], tallied[#tallied + 2] = key, old
  local sum = 0
  while i do
    local time, its = times[i], weights[i]
    if math.floor(time / SHORTEST) == math.floor(last / SHORTEST) then
      a, b, c, d = a + its, b + its, c + its, d + its
    else
      list, gone = list or {}, gone or {}
      a, b, c, d = seldom(key, last, time, its, {a, b, c, d}, list, gone)
    end
    if time > last then last = time elseif time < first then first = time end
    if not best or bests[i] < best then best, better = bests[i], true end
    n, sum = n + 1, sum + its
    i = before[i]
  end
  if weight + sum >= ROOM then
    carry(key, weight, text(sum))
    weight, sum = 0, 0
  end
  if d > MOST then a, b, c, d = math.min(a, MOST), math.min(b, MOST), math.min(c, MOST), MOST end
  local now, slots = string.format('%d %d %d %d', first, last, n, weight + sum), string.format('%d %d %d %d', a, b, c, d)
  if better then
    write('HSET', key, 'now', now, 'slots', slots, 'best', best)
  else
    write('HSET', key, 'now', now, 'slots', slots)
  end
  if list then settle(key, list, gone) end
  if found then
    keep(key, {'blocks'})
    write('HINCRBY', key, 'blocks', 1)
  end
end

-- untally puts back what tally has changed.
local function untally()
  for i = 1, #tallied, 2 do
    local key, old = tallied[i], tallied[i + 1]
    for at, field in ipairs(CHANGING) do
      if old[at] then redis.call('HSET', key, field, old[at]) else redis.call('HDEL', key, field) end
    end
  end
end

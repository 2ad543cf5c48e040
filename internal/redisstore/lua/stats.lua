-- What an account, a worker or the pool does, one hash each. All that changes with every share is one field:
-- sum    time of the first share and of the last (ms), how many there were, and their weight
-- Others change now and then: from is, for each kind of slot, what the weight in sum was when the slot began that the
-- last share's time is in, so that what the weight has gained since then is in that slot; best is the best share,
-- blocks how many were blocks, a slot's number behind its kind the weight of one that is over, w and w+ the weight
-- that sum has no room for.
-- Hashes of before have other fields. now was sum, and slots what the running slots held; before that first, last and
-- n were by themselves: what they say counts as well.
-- All fields are short, so that Redis keeps the hash packed.

-- The slots: how many milliseconds one lasts, and how many are kept. One more is kept than the longest time asked for
-- has, because the oldest is counted in part. The short ones fit into the long ones without a rest.
local SLOTS = {{15000, 21}, {180000, 21}, {1800000, 49}, {21600000, 29}}
local SHORTEST = 15000

-- What a slot holds at most: rates are for people to look at. LEAST is how far from goes below zero for that.
local MOST = 9223372036854774784
local LEAST = -9214364837600034816

-- What the weight in sum stays below. Numbers up to twice as much are exact.
local ROOM = 4503599627370496

local FOUR = '^(%-?%d+) (%-?%d+) (%-?%d+) (%-?%d+)$'

-- What tally has read, by threes: a key, and what its fields sum and best held.
local tallied = {}

-- four reads what is four numbers in a field.
local function four(text)
  local a, b, c, d = string.match(text, FOUR)
  return tonumber(a), tonumber(b), tonumber(c), tonumber(d)
end

-- seldom does what few shares need: it counts one whose time is not in the slots that run. total is the weight before
-- it. list collects what slots that are over have got, by field, and gone those that are too old.
local function seldom(last, time, weight, total, from, list, gone)
  local function over(kind, slot, more)
    local field = kind .. ':' .. string.format('%d', slot)
    list[field] = (list[field] or 0) + more
  end
  for kind, slot in ipairs(SLOTS) do
    local length, kept = slot[1], slot[2]
    local runs, its = math.floor(last / length), math.floor(time / length)
    if its < runs then
      if its + kept > runs then over(kind, its, weight) end
      from[kind] = from[kind] + weight
    elseif its > runs then
      over(kind, runs, total - from[kind])
      from[kind] = total
      for old = runs - kept + 1, math.min(its - kept, runs) do
        local field = kind .. ':' .. string.format('%d', old)
        gone[#gone + 1], list[field] = field, nil
      end
    end
  end
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

-- older reads a hash that has no sum yet. It returns when the first and the last share came that sum goes on from, how
-- many those were and what they weigh. from gets what it is then, and gone the slots that are too old.
local function older(key, from, gone)
  local old = keep(key, {'now', 'slots'})
  if old[1] then
    local first, last, n, weight = four(old[1])
    for kind, running in ipairs({four(old[2])}) do from[kind] = weight - running end
    write('HDEL', key, 'now', 'slots')
    return first, last, n, weight
  end
  local last = tonumber(redis.call('HGET', key, 'last'))
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local kind, slot = string.match(field, '^(%d):(%-?%d+)$')
    if kind then
      local length, kept = unpack(SLOTS[tonumber(kind)])
      if tonumber(slot) + kept <= math.floor(last / length) then gone[#gone + 1] = field end
    end
  end
  return last, last, 0, 0
end

-- carry moves a weight to where there is room for any: what sum had, and what came.
local function carry(key, had, came)
  local old = keep(key, {'w', 'w+'})[1]
  add(key, 'w', old, string.format('%d', had))
  add(key, 'w', redis.call('HGET', key, 'w'), came)
end

-- tally counts shares for whom key is of: the one with number i, the one before it, and so on; times, weights and
-- bests are theirs. text writes their weight. found says that it is a block. Where nothing is counted yet, it asks admit
-- first, and counts nothing if that says no.
local function tally(key, i, before, times, weights, bests, text, found, admit)
  local old = redis.call('HMGET', key, 'sum', 'best')
  local best, better, from, list, gone = old[2], false, nil, nil, nil
  local first, last, n, weight
  if old[1] then
    first, last, n, weight = four(old[1])
  else
    if admit and not best and not admit(i) then return end
    keep(key, {'from'})
    from, list, gone = {0, 0, 0, 0}, {}, {}
    if best then
      first, last, n, weight = older(key, from, gone)
    else
      first, last, n, weight = times[i], times[i], 0, 0
    end
  end
  tallied[#tallied + 1], tallied[#tallied + 2], tallied[#tallied + 3] = key, old[1], old[2]
  local sum, begin = 0, last - last % SHORTEST
  while i do
    local time, its = times[i], weights[i]
    if time < begin or time >= begin + SHORTEST then
      if not list then
        from, list, gone = {four(keep(key, {'from'})[1])}, {}, {}
      end
      seldom(last, time, its, weight + sum, from, list, gone)
    end
    if time > last then
      last, begin = time, time - time % SHORTEST
    elseif time < first then
      first = time
    end
    if not best or bests[i] < best then best, better = bests[i], true end
    n, sum = n + 1, sum + its
    i = before[i]
  end
  if weight + sum >= ROOM then
    from = from or {four(keep(key, {'from'})[1])}
    for kind = 1, 4 do from[kind] = math.max(from[kind] - weight - sum, LEAST) end
    carry(key, weight, text(sum))
    weight, sum = 0, 0
  end
  local all = string.format('%d %d %d %d', first, last, n, weight + sum)
  if better then write('HSET', key, 'sum', all, 'best', best) else write('HSET', key, 'sum', all) end
  if from then write('HSET', key, 'from', string.format('%d %d %d %d', unpack(from))) end
  if list then settle(key, list, gone) end
  if found then
    keep(key, {'blocks'})
    write('HINCRBY', key, 'blocks', 1)
  end
end

-- untally puts back what tally has changed.
local function untally()
  for i = 1, #tallied, 3 do
    for at, field in ipairs({'sum', 'best'}) do
      local key, old = tallied[i], tallied[i + at]
      if old then redis.call('HSET', key, field, old) else redis.call('HDEL', key, field) end
    end
  end
end

-- Records shares of a partition in their order, each once, or a single found block. All are recorded or, if anything
-- fails, none. What many of them change is read and written once.
-- KEYS: state, log, sums, round, pool, then for each share: seen hashes of its height, account, worker, names of the
-- account's workers; for a found block also: block, its frozen round, blocks.
-- ARGV: ledger, place of the newest share that the gateway knows to be here, or nothing, most workers of an account,
-- how many shares, then for each: what the log keeps of it, which begins with its hash (32 bytes), account, worker,
-- weight, height, time (ms), hash as a number in hexadecimal; for a found block also: hash in hexadecimal, bits, value,
-- paid, window, unit, share target (bits), previous block (32 bytes). Several shares together weigh less than 2^53.
-- Returns a line for each share: its place if it is new, = and its place if it was there, ! and why it is refused. One
-- that was there as a plain share and comes again as a found block becomes the block.
local log, sums, round = KEYS[2], KEYS[3], KEYS[4]
local mark, many = ARGV[2], tonumber(ARGV[4])
local found = many == 1 and ARGV[12]
-- The hashes of the shares. The words of the one with number i begin at ARGV[7 * i - 2].
local hashes = {}
for i = 1, many do hashes[i] = string.sub(ARGV[7 * i - 2], 1, 32) end

-- What numbers stay below that Lua adds without rounding.
local EXACT = 9007199254740992

-- lacks reports whether the share at a place is missing: neither in the log nor compacted.
local function lacks(place, compacted)
  if #redis.call('XRANGE', log, place, place) > 0 then return false end
  local ms, seq = string.match(place, '(%d+)-(%d+)')
  local last_ms, last_seq = string.match(compacted, '(%d+)-(%d+)')
  ms, last_ms = tonumber(ms), tonumber(last_ms)
  return ms > last_ms or ms == last_ms and tonumber(seq) > tonumber(last_seq)
end

-- text writes the weight of some of the shares. Only that of a single one may be more than a number holds.
local function text(weight)
  if many == 1 then return ARGV[8] end
  return string.format('%d', weight)
end

-- plus adds to a number that a field holds; nil if Lua cannot.
local function plus(old, more)
  local sum = tonumber(old or '0') + more
  if sum < EXACT then return string.format('%d', sum) end
end

-- append appends shares to the log, notes their hashes, and adds their places to those that are known. It returns the
-- place of the last.
local function append(new, before, places)
  undo[#undo + 1] = function()
    for _, entry in ipairs(redis.call('XRANGE', log, before and '(' .. before or '-', '+')) do redis.call('XDEL', log, entry[1]) end
  end
  local seen, last = {}, nil
  for _, i in ipairs(new) do
    local key, hash, entry = KEYS[4 * i + 2], hashes[i], ARGV[7 * i - 2]
    if found then
      last = write('XADD', log, '*', 'e', entry, 'b', ARGV[13], 'v', ARGV[14], 'd', ARGV[15], 's', ARGV[16])
    else
      last = write('XADD', log, '*', 'e', entry)
    end
    local list = seen[key] or {}
    seen[key], places[hash] = list, last
    list[#list + 1] = hash
    list[#list + 1] = last
  end
  undo[#undo + 1] = function()
    for key, list in pairs(seen) do
      for i = 1, #list, 2 do redis.call('HDEL', key, list[i]) end
    end
  end
  for key, list in pairs(seen) do write('HSET', key, unpack(list)) end
  return last
end

-- addAll adds weights to what a hash has by account. endless says that these sums never end.
local function addAll(key, accounts, weights, endless)
  local old, set = keep(key, accounts), {}
  for i, account in ipairs(accounts) do
    local sum = plus(old[i], weights[account])
    if sum then
      set[#set + 1] = account
      set[#set + 1] = sum
    elseif endless then
      keep(key, {account .. '+'})
      add(key, account, old[i], text(weights[account]))
    else
      write('HINCRBY', key, account, text(weights[account]))
    end
  end
  if #set > 0 then write('HSET', key, unpack(set)) end
end

-- figures counts new shares for the pool, their accounts and their workers. Their numbers are linked by whom they count
-- for, the last one first.
local function figures(new)
  undo[#undo + 1] = untally
  local clock, most = redis.call('TIME'), tonumber(ARGV[3])
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local times, weights, bests, keys, last = {}, {}, {}, {}, {}
  local inPool, inAccount, inWorker, before = {}, {}, {}, nil
  for _, i in ipairs(new) do
    local at, account, worker = 7 * i - 2, KEYS[4 * i + 3], KEYS[4 * i + 4]
    times[i], weights[i], bests[i] = math.min(tonumber(ARGV[at + 5]), now), tonumber(ARGV[at + 3]), ARGV[at + 6]
    if not last[account] then keys[#keys + 1] = account end
    if not last[worker] then keys[#keys + 1] = worker end
    inPool[i], inAccount[i], inWorker[i] = before, last[account], last[worker]
    before, last[account], last[worker] = i, i, i
  end
  -- An account has only so many workers with figures of their own: names cost nothing.
  local function admit(i)
    local names, name = KEYS[4 * i + 5], ARGV[7 * i]
    if redis.call('SISMEMBER', names, name) == 1 then return true end
    if redis.call('SCARD', names) >= most then return false end
    undo[#undo + 1] = function() redis.call('SREM', names, name) end
    write('SADD', names, name)
    return true
  end
  tally(KEYS[5], before, inPool, times, weights, bests, text, found)
  for _, key in ipairs(keys) do
    local i = last[key]
    if key == KEYS[4 * i + 3] then
      tally(key, i, inAccount, times, weights, bests, text, found)
    else
      tally(key, i, inWorker, times, weights, bests, text, found, admit)
    end
  end
end

-- freeze ends the round for the share at a place, which is a found block.
local function freeze(place)
  cut(KEYS[10], KEYS[11], KEYS[12], round, found, {'id', place, 'account', ARGV[6], 'worker', ARGV[7],
    'weight', ARGV[8], 'unit', ARGV[17], 'target', ARGV[18], 'height', ARGV[9], 'previous', ARGV[19], 'time', ARGV[10],
    'bits', ARGV[13], 'value', ARGV[14], 'paid', ARGV[15], 'window', ARGV[16]})
end

-- promote makes a block of the share at a place: it was recorded before anybody knew that it is one.
local function promote(place)
  for _, key in ipairs({KEYS[5], KEYS[7], KEYS[8]}) do
    if counted(key) then
      keep(key, {'blocks'})
      write('HINCRBY', key, 'blocks', 1)
    end
  end
  freeze(place)
  keep(KEYS[10], {'promoted'})
  write('HSET', KEYS[10], 'promoted', '1')
end

-- record records new shares, given what the state was, what they weigh, their lowest height, and where others are.
local function record(old, new, weight, low, places)
  restore(state, {'low', 'last', 'shares', 'rshares', 'rtotal', 'total', 'total+'}, {unpack(old, 3, 9)})
  local rtotal, total = plus(old[7], weight), plus(old[8], weight)
  -- Before all other writes, because it may be too much.
  if not rtotal and not fits(state, 'rtotal', text(weight)) then
    refuse('OVERFLOW', 'the round weighs ' .. (old[7] or '0') .. ' already')
  end
  local last = append(new, old[4], places)
  local set = {'last', last, 'shares', plus(old[5], #new), 'rshares', plus(old[6], #new)}
  if not old[3] or low < tonumber(old[3]) then set[#set + 1], set[#set + 2] = 'low', string.format('%d', low) end
  if rtotal then set[#set + 1], set[#set + 2] = 'rtotal', rtotal end
  if total then set[#set + 1], set[#set + 2] = 'total', total else add(state, 'total', old[8], text(weight)) end
  write('HSET', state, unpack(set))
  local accounts, weights = {}, {}
  for _, i in ipairs(new) do
    local account = ARGV[7 * i - 1]
    if not weights[account] then accounts[#accounts + 1] = account end
    weights[account] = (weights[account] or 0) + tonumber(ARGV[7 * i + 1])
  end
  addAll(sums, accounts, weights, true)
  addAll(round, accounts, weights, false)
  figures(new)
  if found then freeze(last) end
end

return atomically(function()
  local old = redis.call('HMGET', state, 'ledger', 'floor', 'low', 'last', 'shares', 'rshares', 'rtotal', 'total', 'total+', 'compacted')
  if old[1] ~= ledger then refuse('FOREIGN', 'the partition belongs to ' .. (old[1] or 'no ledger')) end
  -- Which are here already?
  local places, answers, asked, refused = {}, {}, {}, false
  for i = 1, many do
    local key = KEYS[4 * i + 2]
    local list = asked[key] or {}
    asked[key] = list
    list[#list + 1] = hashes[i]
  end
  for key, list in pairs(asked) do
    for i, place in ipairs(redis.call('HMGET', key, unpack(list))) do
      if place then places[list[i]] = place end
    end
  end
  if found and places[hashes[1]] and redis.call('HEXISTS', KEYS[10], 'id') == 0 then promote(places[hashes[1]]) end
  -- Which of the others are new? One may come twice.
  local floor, new, weight, low, twice = tonumber(old[2] or '-1'), {}, 0, nil, {}
  for i = 1, many do
    local hash, height = hashes[i], tonumber(ARGV[7 * i + 2])
    if places[hash] then
      answers[i] = '=' .. places[hash]
    elseif height <= floor then
      answers[i], refused = '!OLD heights up to ' .. old[2] .. ' are forgotten', true
    elseif not twice[hash] then
      twice[hash], new[#new + 1] = true, i
      weight, low = weight + tonumber(ARGV[7 * i + 1]), math.min(low or height, height)
    end
  end
  if mark ~= '' and (#new > 0 or refused) and lacks(mark, old[10] or '0-0') then
    refuse('BACK', 'the share at ' .. mark .. ' is not here any more')
  end
  if #new > 0 then record(old, new, weight, low, places) end
  for _, i in ipairs(new) do answers[i] = places[hashes[i]] end
  for i = 1, many do answers[i] = answers[i] or '=' .. places[hashes[i]] end
  return table.concat(answers, '\n')
end)

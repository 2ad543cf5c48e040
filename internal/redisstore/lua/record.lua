-- Records a share, once. KEYS: state, log, seen hashes of the height, sums, round, pool, account,
-- worker, names of the account's workers; for a found block also: block, its frozen round, blocks.
-- ARGV: ledger, hash (32 bytes), account, worker, weight, unit, share target (bits), height, previous
-- block (32 bytes), time (ms), hash as a number in hexadecimal, most workers of an account, place of the
-- newest share that the gateway knows to be here, or nothing; for a found block also: hash in
-- hexadecimal, bits, value, paid, window.
-- Returns {1, place} if it is new and {0, place} if it was there. One that was there as a plain share and
-- comes again as a found block becomes the block.
local log, seen, sums, round = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local hash, account, worker, weight = ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local mark, found = ARGV[13], ARGV[14]

-- lacks reports whether the share at a place is missing: neither in the log nor compacted.
local function lacks(place, compacted)
  if #redis.call('XRANGE', log, place, place) > 0 then return false end
  local ms, seq = string.match(place, '(%d+)-(%d+)')
  local last_ms, last_seq = string.match(compacted, '(%d+)-(%d+)')
  ms, last_ms = tonumber(ms), tonumber(last_ms)
  return ms > last_ms or ms == last_ms and tonumber(seq) > tonumber(last_seq)
end

-- append appends the share to the log and returns its place.
local function append()
  undo[#undo + 1] = function()
    local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
    if newest and newest[2][2] == hash then redis.call('XDEL', log, newest[1]) end
  end
  local entry = {'h', hash, 'a', account, 'k', worker, 'w', weight, 'u', ARGV[6], 'g', ARGV[7],
    'n', ARGV[8], 'p', ARGV[9], 't', ARGV[10]}
  if found then
    for i, name in ipairs({'b', 'v', 'd', 's'}) do
      entry[#entry + 1] = name
      entry[#entry + 1] = ARGV[14 + i]
    end
  end
  return write('XADD', log, '*', unpack(entry))
end

-- figures counts the share for the pool, the account and the worker. An account has only so many
-- workers with figures of their own: names cost nothing.
local function figures()
  local now = redis.call('TIME')
  local time = math.min(tonumber(ARGV[10]), now[1] * 1000 + math.floor(now[2] / 1000))
  tally(KEYS[6], weight, time, ARGV[11], found)
  tally(KEYS[7], weight, time, ARGV[11], found)
  local names = KEYS[9]
  if redis.call('SISMEMBER', names, worker) == 0 then
    if redis.call('SCARD', names) >= tonumber(ARGV[12]) then return end
    undo[#undo + 1] = function() redis.call('SREM', names, worker) end
    write('SADD', names, worker)
  end
  tally(KEYS[8], weight, time, ARGV[11], found)
end

-- freeze ends the round for the share at a place, which is a found block.
local function freeze(place)
  cut(KEYS[10], KEYS[11], KEYS[12], round, found, {'id', place, 'account', account, 'worker', worker,
    'weight', weight, 'unit', ARGV[6], 'target', ARGV[7], 'height', ARGV[8], 'previous', ARGV[9], 'time', ARGV[10],
    'bits', ARGV[15], 'value', ARGV[16], 'paid', ARGV[17], 'window', ARGV[18]})
end

-- promote makes a block of the share at a place: it was recorded before anybody knew that it is one.
local function promote(place)
  for i = 6, 8 do
    if redis.call('HEXISTS', KEYS[i], 'n') == 1 then
      keep(KEYS[i], {'blocks'})
      write('HINCRBY', KEYS[i], 'blocks', 1)
    end
  end
  freeze(place)
  keep(KEYS[10], {'promoted'})
  write('HSET', KEYS[10], 'promoted', '1')
end

return atomically(function()
  owned()
  local known = redis.call('HGET', seen, hash)
  if known then
    if found and redis.call('HEXISTS', KEYS[10], 'id') == 0 then promote(known) end
    return {0, known}
  end
  local old = keep(state, {'floor', 'low', 'last', 'shares', 'rshares', 'rtotal', 'total', 'total+'})
  if mark ~= '' and lacks(mark, redis.call('HGET', state, 'compacted') or '0-0') then
    refuse('BACK', 'the share at ' .. mark .. ' is not here any more')
  end
  local height = tonumber(ARGV[8])
  if height <= tonumber(old[1] or '-1') then refuse('OLD', 'heights up to ' .. old[1] .. ' are forgotten') end
  -- Before all other writes, because it may be too much.
  if not fits(state, 'rtotal', weight) then refuse('OVERFLOW', 'the round weighs ' .. old[6] .. ' already') end
  local place = append()
  write('HSET', state, 'last', place)
  if not old[2] or height < tonumber(old[2]) then write('HSET', state, 'low', ARGV[8]) end
  write('HINCRBY', state, 'shares', 1)
  write('HINCRBY', state, 'rshares', 1)
  add(state, 'total', old[7], weight)
  add(sums, account, keep(sums, {account, account .. '+'})[1], weight)
  keep(round, {account})
  write('HINCRBY', round, account, weight)
  figures()
  if found then freeze(place) end
  undo[#undo + 1] = function() redis.call('HDEL', seen, hash) end
  write('HSET', seen, hash, place)
  return {1, place}
end)

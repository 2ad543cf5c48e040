-- Shared by all scripts: it stands before each of them. KEYS[1] is the state of the partition and
-- ARGV[1] the id of the ledger. Numbers of 2^53 and more are strings here: Lua's are doubles.
local state, ledger = KEYS[1], ARGV[1]
-- Every write goes through this one name.
local write = redis.call
-- How to take back what was written, in the order of writing. Redis does not roll a script back.
local undo = {}

-- restore has what fields of a hash hold put back if the script fails.
local function restore(key, fields, old)
  undo[#undo + 1] = function()
    for i, field in ipairs(fields) do
      if old[i] then redis.call('HSET', key, field, old[i]) else redis.call('HDEL', key, field) end
    end
  end
end

-- keep returns what fields of a hash hold, and has it put back if the script fails.
local function keep(key, fields)
  local old = redis.call('HMGET', key, unpack(fields))
  restore(key, fields, old)
  return old
end

-- A sum that never ends is two fields, so that it does not overflow: the sum is the one plus 2^62
-- times the other, whose name ends in +.
local HALF = '4611686018427387904'

-- add adds a weight of at most 2^62 to such a sum, given the old value of its lower field.
local function add(key, field, old, weight)
  if old and #old == #HALF and old >= HALF then
    write('HINCRBY', key, field, '-' .. HALF)
    write('HINCRBY', key, field .. '+', 1)
  end
  write('HINCRBY', key, field, weight)
end

-- fits adds a weight to a field, or returns false if the sum does not fit 63 bits.
local function fits(key, field, weight)
  local done, sum = pcall(write, 'HINCRBY', key, field, weight)
  if done and sum >= 0 then return true end
  local text = type(sum) == 'table' and sum.err or tostring(sum)
  -- The embedded Redis wraps where the real one refuses.
  if done or string.find(text, 'overflow') then return false end
  error(sum)
end

-- refuse ends the script with an error that the caller tells by its first word. Nothing stays written.
local function refuse(word, text) error({err = word .. ' ' .. text}) end

-- owned refuses to work on another ledger than the caller's.
local function owned()
  local id = redis.call('HGET', state, 'ledger')
  if id ~= ledger then refuse('FOREIGN', 'the partition belongs to ' .. (id or 'no ledger')) end
end

-- fenced refuses who has lost the lease for a job: one with a newer token was here.
local function fenced(job, token)
  local field = 'fence:' .. job
  local newest = tonumber(keep(state, {field})[1] or '0')
  if tonumber(token) < newest then refuse('FENCED', job .. ' is done by the holder of token ' .. newest) end
  if tonumber(token) > newest then write('HSET', state, field, token) end
end

-- atomically runs a script's body, and takes all that it wrote back if it fails.
local function atomically(body)
  local done, result = pcall(body)
  if done then return result end
  for i = #undo, 1, -1 do pcall(undo[i]) end -- one that fails keeps no other from working
  local text = type(result) == 'table' and result.err or tostring(result)
  return redis.error_reply('LEDGER ' .. text)
end

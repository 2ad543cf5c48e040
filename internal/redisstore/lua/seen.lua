-- Notes who was there, and forgets who was not for long. KEYS: genesis, accounts by time, workers by time, workers
-- by name, their agents, programs by how many workers run them, below 0. ARGV: ledger, for how long somebody is known
-- (ms), most workers of an account, most accounts, most workers, then account, worker, agent and time (ms) of each.
-- Returns 1. What fails is left half done, but for agents and programs, which always agree: who is seen again is noted
-- again.
local accounts, workers, names, agents, programs = KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
-- As many are forgotten at a time, which is more than are noted.
local BATCH = 1000

-- text returns a time as it is sent.
local function text(ms) return string.format('%.0f', ms) end

-- count adds workers to the program that an agent names, as shares.AgentProgram has it, or takes them away.
local function count(agent, many)
  local program = string.match(agent, '^[^/ ]*')
  local old = redis.call('ZSCORE', programs, program)
  undo[#undo + 1] = function()
    if old then redis.call('ZADD', programs, old, program) else redis.call('ZREM', programs, program) end
  end
  -- Below 0, so that programs with the most workers come first, and those with as many in the order of their names.
  if tonumber(write('ZINCRBY', programs, -many, program)) >= 0 then write('ZREM', programs, program) end
end

-- forget drops workers. Their times go last: by them they are found again if it fails.
local function forget(list)
  if #list == 0 then return end
  write('ZREM', names, unpack(list))
  local gone = {}
  for _, agent in ipairs(keep(agents, list)) do
    if agent then gone[agent] = (gone[agent] or 0) + 1 end
  end
  for agent, many in pairs(gone) do count(agent, -many) end
  write('HDEL', agents, unpack(list))
  write('ZREM', workers, unpack(list))
end

-- name notes a worker's agent.
local function name(worker, agent)
  local old = keep(agents, {worker})[1]
  if old == agent then return end
  if old then count(old, -1) end
  count(agent, 1)
  write('HSET', agents, worker, agent)
end

return atomically(function()
  owned()
  local clock = redis.call('TIME')
  local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
  local oldest = now - tonumber(ARGV[2])
  for i = 6, #ARGV, 4 do
    local account, agent, time = ARGV[i], ARGV[i + 2], math.min(tonumber(ARGV[i + 3]), now)
    local worker = account .. '.' .. ARGV[i + 1]
    if time >= oldest then
      write('ZADD', accounts, 'GT', text(time), account)
      local known = redis.call('ZSCORE', workers, worker)
      if known or redis.call('ZLEXCOUNT', names, '[' .. account .. '.', '(' .. account .. '/') < tonumber(ARGV[3]) then
        write('ZADD', workers, 'GT', text(time), worker)
        if not known then write('ZADD', names, 0, worker) end
        if agent ~= '' then name(worker, agent) end
      end
    end
  end
  local before = '(' .. text(oldest)
  if redis.call('ZCOUNT', accounts, '-inf', before) > 0 then write('ZREMRANGEBYSCORE', accounts, '-inf', before) end
  local over = redis.call('ZCARD', accounts) - tonumber(ARGV[4])
  if over > 0 then write('ZREMRANGEBYRANK', accounts, 0, over - 1) end
  forget(redis.call('ZRANGEBYSCORE', workers, '-inf', before, 'LIMIT', 0, BATCH))
  over = redis.call('ZCARD', workers) - tonumber(ARGV[5])
  if over > 0 then forget(redis.call('ZRANGE', workers, 0, math.min(over, BATCH) - 1)) end
  return 1
end)

-- Bans are a hash by subject, each as its end (ms; 0 if there is none), its beginning (ms) and its text, and a sorted
-- set of the subjects whose ban ends, by when.
local bans, ends = KEYS[2], KEYS[3]

-- ending returns when a subject's ban ends, and has it put back if the script fails.
local function ending(subject)
  local old = redis.call('ZSCORE', ends, subject)
  undo[#undo + 1] = function()
    if old then redis.call('ZADD', ends, old, subject) else redis.call('ZREM', ends, subject) end
  end
end

-- millis returns the time.
local function millis()
  local clock = redis.call('TIME')
  return clock[1] * 1000 + math.floor(clock[2] / 1000)
end

-- times reads the end of a ban, which may be never, and its beginning.
local function times(text)
  local last, since = string.match(text, '^(%d+) (%d+) ')
  return last == '0' and math.huge or tonumber(last), since
end

-- Appends a record to the journal. KEYS: genesis, head, records by number, numbers by key, balances, then
-- tables. ARGV: ledger, token (0 for none), number, hash of the record before, hash, key, record, how many
-- legs, how many of them, which come first, are on accounts that may owe, then the legs' accounts, then
-- their amounts, then for each field that is set the number of its table in KEYS, its name and its value.
-- Returns 1.
local seq, legs, debtors = ARGV[3], tonumber(ARGV[8]), tonumber(ARGV[9])
-- Sums up to here are exact. All bitcoin there will ever be are less than a quarter of it.
local EXACT = 9007199254740991
-- How many accounts one command takes: unpack has no room for all.
local CHUNK = 1000

-- sums adds amounts to balances and returns what to write, or refuses.
local function sums(from, to)
  local accounts = {unpack(ARGV, 9 + from, 9 + to)}
  local old, new = keep(KEYS[5], accounts), {}
  for i, account in ipairs(accounts) do
    local sum = tonumber(old[i] or '0') + tonumber(ARGV[9 + legs + from + i - 1])
    if sum < 0 and from + i - 1 > debtors then
      refuse('OVERDRAWN', string.gsub(account, '%c', '?') .. ' has ' .. (old[i] or '0') .. ' sat')
    end
    if sum > EXACT or sum < -EXACT then
      refuse('AMOUNT', string.gsub(account, '%c', '?') .. ' has ' .. (old[i] or '0') .. ' sat already')
    end
    new[2 * i - 1], new[2 * i] = account, string.format('%.0f', sum)
  end
  return new
end

return atomically(function()
  owned()
  if ARGV[2] ~= '0' then fenced('payouts', ARGV[2]) end
  local posted = keep(KEYS[4], {ARGV[6]})[1]
  if posted then refuse('POSTED', 'it is record ' .. posted) end
  local head = keep(KEYS[2], {'seq', 'hash'})
  local last = head[1] or '0'
  if tonumber(seq) ~= tonumber(last) + 1 or ARGV[4] ~= (head[2] or string.rep('0', 64)) then
    refuse('OUTDATED', 'it is at record ' .. last .. ' by now')
  end
  -- All is looked at before anything is written.
  local chunks = {}
  for from = 1, legs, CHUNK do chunks[#chunks + 1] = sums(from, math.min(from + CHUNK - 1, legs)) end
  for _, new in ipairs(chunks) do write('HSET', KEYS[5], unpack(new)) end
  put(10 + 2 * legs)
  keep(KEYS[3], {seq})
  write('HSET', KEYS[3], seq, ARGV[7])
  write('HSET', KEYS[4], ARGV[6], seq)
  write('HSET', KEYS[2], 'seq', seq, 'hash', ARGV[5])
  return 1
end)

-- Forgets the hashes that were seen up to a height. KEYS: state, then the seen hashes of the heights
-- from the lowest. ARGV: ledger, job, token, height, the lowest height that is left. Returns 1.
local retired = atomically(function()
  owned()
  fenced(ARGV[2], ARGV[3])
  local old = keep(state, {'floor', 'low'})
  if tonumber(ARGV[4]) > tonumber(old[1] or '-1') then write('HSET', state, 'floor', ARGV[4]) end
  return 1
end)
if retired ~= 1 then return retired end
-- Below the floor nothing is told by them any more. They cannot be put back, so they go last, and only
-- then are they passed over the next time.
for i = 2, #KEYS do write('UNLINK', KEYS[i]) end
write('HSET', state, 'low', ARGV[5])
return retired

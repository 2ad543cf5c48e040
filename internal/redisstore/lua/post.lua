-- Puts a template in force on a block, unless another gateway has one and is not silent. KEYS: genesis,
-- the numbers, the block's template, the template by its mark. ARGV: ledger, gateway, mark, least number,
-- for how long others are kept from the block (ms), for how long the template is kept (ms), the mark again
-- if the template is early and gives way to any that is not, then its fields; without them the one that is
-- there is only kept longer. Returns {number, mark} of what is in force; {} if that is nothing.
return atomically(function()
  owned()
  local head, template = KEYS[3], KEYS[4]
  local clock = redis.call('TIME')
  local now = math.floor(clock[1] * 1000 + clock[2] / 1000)
  local up = keep(head, {'seq', 'mark', 'gateway', 'at', 'early'})
  local mine = up[1] and (up[3] == ARGV[2] or now - tonumber(up[4]) >= tonumber(ARGV[5])
    or up[5] == up[2] and ARGV[7] == '')
  if up[1] and up[2] == ARGV[3] then
    if mine then
      write('HSET', head, 'gateway', ARGV[2], 'at', string.format('%.0f', now))
      if #ARGV > 7 then write('HSET', head, 'early', ARGV[7]) end
      -- That they are kept longer needs no way back.
      write('PEXPIRE', head, ARGV[6])
      write('PEXPIRE', template, ARGV[6])
    end
    return {up[1], up[2]}
  end
  if up[1] and not mine then return {up[1], up[2]} end
  if #ARGV == 7 then return {} end
  local last = tonumber(keep(KEYS[2], {'seq'})[1] or '0')
  local seq = string.format('%.0f', math.max(last + 1, tonumber(ARGV[4])))
  write('HSET', KEYS[2], 'seq', seq)
  if redis.call('EXISTS', template) == 0 then undo[#undo + 1] = function() redis.call('DEL', template) end end
  write('HSET', template, 'seq', seq, unpack(ARGV, 8))
  write('PEXPIRE', template, ARGV[6])
  write('HSET', head, 'seq', seq, 'mark', ARGV[3], 'gateway', ARGV[2], 'at', string.format('%.0f', now), 'early', ARGV[7])
  write('PEXPIRE', head, ARGV[6])
  return {seq, ARGV[3]}
end)

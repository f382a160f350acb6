-- Shared by the scripts whose first line says so. They have in common:
--   KEYS[1] event stream, KEYS[2] the VM's record, KEYS[3] the VM's history
--   ARGV[1] now (epoch), ARGV[2] events kept, ARGV[3] by whom, ARGV[4] pool, ARGV[5] VM
local now, kept, by, pool, vm = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- Writes one event to the stream and to the history of its VM, which lives as long as the VM's record; a week without.
local function emit(what, why, more, of, record, history)
  local fields = {'what', what, 'pool', of and of.pool or pool, 'vm', of and of.vm or vm, 'when', now, 'by', by}
  if why and why ~= '' then fields[#fields + 1] = 'why'; fields[#fields + 1] = why end
  for i, part in ipairs(more or {}) do fields[#fields + 1] = part end
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', kept, '*', unpack(fields))
  if history == false then return end
  history, record = history or KEYS[3], record or KEYS[2]
  local entry = {}
  for i = 1, #fields, 2 do entry[fields[i]] = fields[i + 1] end
  redis.call('RPUSH', history, cjson.encode(entry))
  redis.call('LTRIM', history, -200, -1)
  local left = redis.call('PTTL', record)
  if left == -1 then redis.call('PERSIST', history)
  else redis.call('PEXPIRE', history, left >= 0 and left or 604800000) end
end

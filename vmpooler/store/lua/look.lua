-- uses: held
-- Everything that Redis has of a pool, at one moment. It also enters which token its VMs were checked out with, where
-- another program did that.
--   KEYS[1..5] pending, ready, running, completed, discovered; [6] checkout times, [7] since when unexplained,
--   [8] troubles, [9] confirmed, [10] clones under way, [11] flagged pools, [12] the empty mark, [13] the line,
--   [14] what clients asked for
--   ARGV[1] pool, [2] the prefix of records
-- Returns for each queue its VMs, each a list of name, clone, ready, check, checkout, lifetime, user, doubt, power_on,
-- clone_time, active, since ('' where unknown); then the troubles (name, JSON, ...), the confirmed VMs, the clones under way (VM, pool, ...),
-- whether it is flagged, marked empty, in line (1 or 0); what clients asked for (JSON, ...).
local reply = {}
for queue = 1, 5 do
  local vms = {}
  for i, name in ipairs(redis.call('SMEMBERS', KEYS[queue])) do
    local vm = redis.call('HMGET', ARGV[2] .. name, 'clone', 'ready', 'check', 'checkout', 'lifetime', 'token:user', 'doubt',
      'power_on', 'clone_time')
    vm[10] = redis.call('HGET', KEYS[6], name)
    vm[11] = redis.call('HGET', KEYS[7], name)
    for field = 1, 11 do vm[field] = vm[field] or '' end
    table.insert(vm, 1, name)
    vms[i] = vm
  end
  reply[queue] = vms
end
reply[6] = redis.call('HGETALL', KEYS[8])
reply[7] = redis.call('SMEMBERS', KEYS[9])
reply[8] = redis.call('HGETALL', KEYS[10])
reply[9] = redis.call('HEXISTS', KEYS[11], ARGV[1])
reply[10] = redis.call('EXISTS', KEYS[12])
reply[11] = redis.call('ZSCORE', KEYS[13], ARGV[1]) and 1 or 0
reply[12] = redis.call('HVALS', KEYS[14])
rebook(ARGV[1])
return reply

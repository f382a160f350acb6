-- uses: prelude
-- A client requests an operation on a VM: the request is added to the set that Ruby vmpooler uses for this kind.
--   KEYS[4] the client's token, [5] the set of requests, [6] the number of the last request, [7] pools that are
--   drained, [8] pools that Redis remembers
--   ARGV[6] now as text, [7] and [8] ``need`` and ``own`` of refusal, [9] the kind, [10] its argument,
--   [11] a suffix that makes the request's id unique, [12] the pools that are configured here (JSON array), empty where
--   that is unknown, [13] a field that the record must have, or ''
-- Returns 1; 0 when the VM or that field does not exist; -4 when its pool is not configured; or the result of refusal.
pool = redis.call('HGET', KEYS[2], 'pool') or redis.call('HGET', KEYS[2], 'template') or ''
local no = refusal(KEYS[4], ARGV[6], ARGV[7], ARGV[8])
if no then return no end
if pool == '' then return 0 end
if redis.call('HEXISTS', KEYS[7], pool) == 1 then return -4 end
if redis.call('HEXISTS', KEYS[8], pool) == 0 then
  local configured = cjson.decode(ARGV[12])
  local here = #configured == 0
  for _, name in ipairs(configured) do here = here or name == pool end
  if not here then return -4 end
end
if ARGV[13] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[13]) == 0 then return 0 end
local id = string.format('%012d-%s', redis.call('INCR', KEYS[6]), ARGV[11])
redis.call('SADD', KEYS[5], vm .. ':' .. ARGV[10] .. ':' .. id)
emit('requested', '', {'task', id, 'kind', ARGV[9], 'argument', ARGV[10]})
return 1

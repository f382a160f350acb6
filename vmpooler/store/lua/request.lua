-- uses: prelude
-- A client asks for something to be done to a VM: it is put where the original puts such requests.
--   KEYS[4] the client's token, [5] the intake, [6] the number of the last request, [7] pools that are drained, [8] pools
--   that Redis remembers
--   ARGV[6] now as text, [7] and [8] what the client must show (see refusal), [9] the kind, [10] its argument,
--   [11] what makes the request's id unlike any other, [12] the pools that are configured here (JSON array), none where
--   that is not known, [13] a field that the record must have, or ''
-- Returns 1; 0 when there is no such VM, or no such field; -4 when its pool is not configured; or the refusal.
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

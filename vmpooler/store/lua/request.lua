-- uses: prelude
-- A client asks for something to be done to a VM: it is put where the original puts such requests.
--   KEYS[4] the client's token, [5] the intake, [6] the number of the last request
--   ARGV[6] now as text, [7] and [8] what the client must show (see refusal), [9] the kind, [10] its argument,
--   [11] what makes the request's id unlike any other, [12] a field that the record must have, or ''
-- Returns 1; 0 when there is no such VM, or no such field; or the refusal.
pool = redis.call('HGET', KEYS[2], 'pool') or redis.call('HGET', KEYS[2], 'template') or ''
local no = refusal(KEYS[4], ARGV[6], ARGV[7], ARGV[8])
if no then return no end
if pool == '' then return 0 end
if ARGV[12] ~= '' and redis.call('HEXISTS', KEYS[2], ARGV[12]) == 0 then return 0 end
local id = string.format('%012d-%s', redis.call('INCR', KEYS[6]), ARGV[11])
redis.call('SADD', KEYS[5], vm .. ':' .. ARGV[10] .. ':' .. id)
emit('requested', '', {'task', id, 'kind', ARGV[9], 'argument', ARGV[10]})
return 1

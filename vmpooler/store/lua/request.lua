-- uses: prelude
-- A client requests an operation on a VM: the request is added to the set that Ruby vmpooler uses for this kind.
-- keys: token intake task_number draining pools
-- args: now_text need own kind argument suffix configured field
--   token: that of the client; need, own: see refusal; suffix: makes the request's id unique; configured: the pools
--   that are configured here (JSON array), empty where that is unknown; field: one that the record must have, or ''
-- Returns 1; 0 when the VM or that field does not exist; -4 when its pool is not configured; or the result of refusal.
pool = redis.call('HGET', record, 'pool') or redis.call('HGET', record, 'template') or ''
local no = refusal(token, now_text, need, own)
if no then return no end
if pool == '' then return 0 end
if redis.call('HEXISTS', draining, pool) == 1 then return -4 end
if redis.call('HEXISTS', pools, pool) == 0 then
  local names = cjson.decode(configured)
  local here = #names == 0
  for _, name in ipairs(names) do here = here or name == pool end
  if not here then return -4 end
end
if field ~= '' and redis.call('HEXISTS', record, field) == 0 then return 0 end
local id = string.format('%012d-%s', redis.call('INCR', task_number), suffix)
redis.call('SADD', intake, vm .. ':' .. argument .. ':' .. id)
emit('requested', '', {'task', id, 'kind', kind, 'argument', argument})
return 1

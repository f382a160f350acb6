-- Quarantines a VM that may be in use: it stays running, unassigned, for ``hours`` from now. The lifetime, token and
-- user of an earlier client are removed from its record.
local function quarantine(pool, vm, why, now_text, hours)
  redis.call('SADD', RUNNING .. pool, vm)
  redis.call('HSET', ACTIVE .. pool, vm, now_text)
  redis.call('PERSIST', RECORD .. vm)
  redis.call('HDEL', RECORD .. vm, 'lifetime', 'token:token', 'token:user')
  redis.call('HSET', RECORD .. vm, 'checkout', now_text, 'quarantined', why, 'template', pool, 'pool', pool,
    'lifetime_default', hours)
  book(pool, vm)
  emit('quarantined', why, nil, {pool = pool, vm = vm}, RECORD .. vm, HISTORY .. vm)
end

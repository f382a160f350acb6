-- Quarantines a VM that may be in use: it stays running, unassigned, for ``hours`` from now. The lifetime, token and
-- user of an earlier client are removed from its record.
-- args: now_text
local function quarantine(why, hours)
  redis.call('SADD', RUNNING .. pool, vm)
  redis.call('HSET', ACTIVE .. pool, vm, now_text)
  redis.call('PERSIST', record)
  redis.call('HDEL', record, 'lifetime', 'token:token', 'token:user')
  redis.call('HSET', record, 'checkout', now_text, 'quarantined', why, 'template', pool, 'pool', pool,
    'lifetime_default', hours)
  book(pool, vm)
  emit('quarantined', why)
end

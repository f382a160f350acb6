-- Puts a VM that a client may have out of everybody's reach: it runs, for nobody, until its lifetime ends.
local function quarantine(pool, vm, why, now_text)
  redis.call('SADD', RUNNING .. pool, vm)
  redis.call('HSET', ACTIVE .. pool, vm, now_text)
  redis.call('PERSIST', RECORD .. vm)
  redis.call('HSET', RECORD .. vm, 'checkout', now_text, 'quarantined', why, 'template', pool, 'pool', pool)
  book(pool, vm)
  emit('quarantined', why, nil, {pool = pool, vm = vm}, RECORD .. vm, HISTORY .. vm)
end

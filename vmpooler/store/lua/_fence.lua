-- The fence: in front of every script, and every command, that a manager sends. Its last key and argument are the fence's
-- own, and gone when the script begins.
--   last of KEYS: who led last; last of ARGV: the epoch and name of who asks
if redis.call('GET', table.remove(KEYS)) ~= table.remove(ARGV) then
  return redis.error_reply('NOTLEADING another manager leads')
end

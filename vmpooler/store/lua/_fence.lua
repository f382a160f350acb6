-- The fence: put in front of every script and command that a manager sends.
-- keys: fence
-- args: term
--   fence: the epoch and name of the last leader; term: the epoch and name of the caller
if redis.call('GET', fence) ~= term then
  return redis.error_reply('NOTLEADING another manager leads')
end

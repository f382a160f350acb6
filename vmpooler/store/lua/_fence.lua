-- The fence: put in front of every script and command that a manager sends. Its own key and argument are the last ones;
-- they are removed before the script itself runs.
--   last of KEYS: the epoch and name of the last leader; last of ARGV: the epoch and name of the caller
if redis.call('GET', table.remove(KEYS)) ~= table.remove(ARGV) then
  return redis.error_reply('NOTLEADING another manager leads')
end

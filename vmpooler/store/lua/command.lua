-- Run one command of a manager, so that it passes the fence like a script.
--   ARGV the command
-- Returns the reply of the command.
return redis.call(unpack(ARGV))

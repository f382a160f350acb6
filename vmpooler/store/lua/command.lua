-- One command, for managers, whose commands go through the fence like their scripts.
--   ARGV the command
-- Returns the reply of the command.
return redis.call(unpack(ARGV))

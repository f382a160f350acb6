-- One command, for managers, whose commands go through the fence like their scripts.
--   ARGV the command
-- Returns its reply.
return redis.call(unpack(ARGV))

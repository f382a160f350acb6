-- Run one command of a manager, so that it passes the fence like a script.
-- args: command...
-- Returns the reply of the command.
return redis.call(unpack(command))

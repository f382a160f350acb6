-- Delete a token. The records of VMs that were checked out with it keep it.
--   KEYS[1] the token
--   ARGV[1] its name, [2] the user who asks, [3] '1' when only the token's user may delete it
-- Returns 1; 0 when the token does not exist; -2 when it belongs to another user.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local user = redis.call('HGET', KEYS[1], 'user') or ''
if ARGV[3] == '1' and user ~= ARGV[2] then return -2 end
redis.call('DEL', KEYS[1])
redis.call('SREM', TOKENS .. user, ARGV[1])
return 1

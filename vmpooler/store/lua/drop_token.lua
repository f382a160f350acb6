-- Forget a token. VMs that were checked out with it keep saying so.
--   KEYS[1] the token
--   ARGV[1] its name, [2] who asks, [3] '1' when only its own user may do that
-- Returns 1; 0 when there is no such token; -2 when it is another user's.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local user = redis.call('HGET', KEYS[1], 'user') or ''
if ARGV[3] == '1' and user ~= ARGV[2] then return -2 end
redis.call('DEL', KEYS[1])
redis.call('SREM', TOKENS .. user, ARGV[1])
return 1

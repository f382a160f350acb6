-- Delete a token. The records of VMs that were checked out with it keep it.
-- keys: token
-- args: name asking own
--   asking: the user who asks; own: '1' when only the token's user may delete it
-- Returns 1; 0 when the token does not exist; -2 when it belongs to another user.
if redis.call('EXISTS', token) == 0 then return 0 end
local user = redis.call('HGET', token, 'user') or ''
if own == '1' and user ~= asking then return -2 end
redis.call('DEL', token)
redis.call('SREM', TOKENS .. user, name)
return 1

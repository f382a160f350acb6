-- Store a new token.
--   KEYS[1] the token, [2] its user's tokens
--   ARGV[1] its name, [2] user, [3] now as text
redis.call('HSET', KEYS[1], 'user', ARGV[2], 'created', ARGV[3])
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('SADD', KEYS[2], ARGV[1]) end
return 1

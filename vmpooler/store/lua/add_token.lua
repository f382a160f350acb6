-- Store a new token.
-- keys: token tokens
-- args: name user now_text
--   name: that of the token
redis.call('HSET', token, 'user', user, 'created', now_text)
if redis.call('EXISTS', tokens) == 1 then redis.call('SADD', tokens, name) end
return 1

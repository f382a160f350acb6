-- uses: prelude
-- What kept failing works again.
--   KEYS[4] the pool's troubles
--   ARGV[6] what failed
-- Returns 1, or 0 when it had not failed.
if redis.call('HDEL', KEYS[4], ARGV[6]) == 0 then return 0 end
emit('recovered', '', {'subject', ARGV[6]}, nil, nil, false)
return 1

-- uses: prelude
-- Something that failed works again. Also clears the record of failed checks of the VM.
--   KEYS[4] the pool's troubles
--   ARGV[6] what failed
-- Returns 1, or 0 when no failure was recorded.
if vm ~= '' then redis.call('HDEL', KEYS[2], 'doubt') end
if redis.call('HDEL', KEYS[4], ARGV[6]) == 0 then return 0 end
if vm == '' then emit('recovered', '', {'subject', ARGV[6]}, nil, nil, false)
else emit('recovered', '', {'subject', ARGV[6]}) end
return 1

-- uses: prelude
-- Something that failed works again. Also clears the record of failed checks of the VM.
-- keys: trouble
-- args: subject
--   subject: what failed
-- Returns 1, or 0 when no failure was recorded.
if vm ~= '' then redis.call('HDEL', record, 'doubt') end
if redis.call('HDEL', trouble, subject) == 0 then return 0 end
emit('recovered', '', {'subject', subject})
return 1

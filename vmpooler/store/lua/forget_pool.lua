-- Delete everything about a pool that is not configured and has no VM.
-- keys: pending ready running completed discovered
-- keys: pools draining moved flagged lastboot line line_asked wanted verified own...
-- args: pool
--   own: keys of this pool alone, which are deleted
-- Returns 1, or 0 when it has a VM.
for _, queue in ipairs({pending, ready, running, completed, discovered}) do
  if redis.call('EXISTS', queue) == 1 then return 0 end
end
for _, hash in ipairs({pools, draining, moved, flagged, lastboot}) do redis.call('HDEL', hash, pool) end
for _, sorted_set in ipairs({line, line_asked, wanted}) do redis.call('ZREM', sorted_set, pool) end
redis.call('SREM', verified, pool)
for _, key in ipairs(own) do redis.call('DEL', key) end
return 1

-- uses: prelude, held
-- Move a VM from one queue to another, if it still stands in the first and, where a field is named, still has that value.
--   KEYS[4] from, [5] to, [6] checkout times, [7] since when unexplained
--   ARGV[6] what to call it, [7] why, [8] a field of the record or '', [9] its value, [10] fields to drop (JSON array)
-- Returns 1, or 0 when nothing was moved.
if ARGV[8] ~= '' and redis.call('HGET', KEYS[2], ARGV[8]) ~= ARGV[9] then return 0 end
if redis.call('SMOVE', KEYS[4], KEYS[5], vm) == 0 then return 0 end
redis.call('HDEL', KEYS[6], vm)
redis.call('HDEL', KEYS[7], vm)
unbook(pool, vm)
for _, field in ipairs(cjson.decode(ARGV[10])) do redis.call('HDEL', KEYS[2], field) end
emit(ARGV[6], ARGV[7])
return 1

-- uses: prelude
-- Set the lifetime and tags of a VM.
--   KEYS[4] a client's token, [5] the day's tags
--   ARGV[6] now as text, [7] and [8] ``need`` and ``own`` of refusal, [9] hours or '', [10] a text for people of what
--   is set, or '' when nothing is, [11] seconds to keep the day's tags, 0 forever, [12] the most tags that a VM may
--   have, [13..] name and value of each tag
-- Returns 1; 0 when the VM does not exist; -3 when it would have too many tags; or the result of refusal.
if redis.call('EXISTS', KEYS[2]) == 0 then return 0 end
local no = refusal(KEYS[4], ARGV[6], ARGV[7], ARGV[8])
if no then return no end
local new, most = 0, tonumber(ARGV[12])
for i = 13, #ARGV, 2 do new = new + 1 - redis.call('HEXISTS', KEYS[2], 'tag:' .. ARGV[i]) end
if new > 0 and redis.call('HLEN', KEYS[2]) + new > most then
  local tags = new
  for _, field in ipairs(redis.call('HKEYS', KEYS[2])) do
    if field:sub(1, 4) == 'tag:' then tags = tags + 1 end
  end
  if tags > most then return -3 end
end
if ARGV[9] ~= '' then redis.call('HSET', KEYS[2], 'lifetime', ARGV[9]) end
for i = 13, #ARGV, 2 do
  redis.call('HSET', KEYS[2], 'tag:' .. ARGV[i], ARGV[i + 1])
  note_daily(KEYS[5], vm .. ':' .. ARGV[i], ARGV[i + 1], ARGV[11])
end
pool = redis.call('HGET', KEYS[2], 'pool') or redis.call('HGET', KEYS[2], 'template') or ''
if ARGV[10] ~= '' then emit('changed', ARGV[10]) end
return 1

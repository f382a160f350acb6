-- uses: prelude
-- Set the lifetime and tags of a VM.
-- keys: token tag_values
-- args: now_text need own hours text keep most tags...
--   token: that of the client; need, own: see refusal; hours: '' leaves the lifetime; text: for people, what is set, or
--   '' when nothing is; keep: seconds to keep the day's tags, 0 forever; most: the most tags that a VM may have; tags:
--   name and value of each
-- Returns 1; 0 when the VM does not exist; -3 when it would have too many tags; or the result of refusal.
if redis.call('EXISTS', record) == 0 then return 0 end
local no = refusal(token, now_text, need, own)
if no then return no end
local new = 0
for i = 1, #tags, 2 do new = new + 1 - redis.call('HEXISTS', record, 'tag:' .. tags[i]) end
if new > 0 and redis.call('HLEN', record) + new > tonumber(most) then
  local count = new
  for _, field in ipairs(redis.call('HKEYS', record)) do
    if field:sub(1, 4) == 'tag:' then count = count + 1 end
  end
  if count > tonumber(most) then return -3 end
end
if hours ~= '' then redis.call('HSET', record, 'lifetime', hours) end
for i = 1, #tags, 2 do
  redis.call('HSET', record, 'tag:' .. tags[i], tags[i + 1])
  note_daily(tag_values, vm .. ':' .. tags[i], tags[i + 1], keep)
end
pool = redis.call('HGET', record, 'pool') or redis.call('HGET', record, 'template') or ''
if text ~= '' then emit('changed', text) end
return 1

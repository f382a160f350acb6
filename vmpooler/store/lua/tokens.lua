-- Read the tokens of a user: those in the stored list, or else those that a scan of all keys finds, which are then
-- stored in that list.
-- keys: tokens
-- args: user cursor batch keep found...
--   cursor: to continue from, '0' at first; batch: how many keys to scan at once; keep:
--   seconds that the list is valid; found: the tokens found so far
-- Returns the next cursor, '0' at the end; then for each token so far its name, created, last ('' where unknown).
local most, mine, order = tonumber(batch), {}, {}
local function note(token)
  if redis.call('HGET', TOKEN .. token, 'user') ~= user then return false end
  if not mine[token] then order[#order + 1] = token end
  mine[token] = true
  return true
end
for _, token in ipairs(found) do note(token) end

-- With few keys a scan is quick, so the list is not used.
local entered = false
if cursor == '0' and redis.call('DBSIZE') > most then
  for _, token in ipairs(redis.call('SMEMBERS', tokens)) do
    if not note(token) then redis.call('SREM', tokens, token) end
  end
  entered = #order > 0
end
if not entered then
  repeat
    local page = redis.call('SCAN', cursor, 'MATCH', TOKEN .. '*', 'COUNT', 1000, 'TYPE', 'hash')
    cursor, most = page[1], most - 1000
    for _, key in ipairs(page[2]) do note(key:sub(#TOKEN + 1)) end
  until cursor == '0' or most <= 0
  if cursor == '0' then
    redis.call('DEL', tokens)
    for _, token in ipairs(order) do redis.call('SADD', tokens, token) end
    redis.call('EXPIRE', tokens, keep)
  end
end

local reply = {cursor}
for _, token in ipairs(order) do
  local known = redis.call('HMGET', TOKEN .. token, 'created', 'last')
  for _, part in ipairs({token, known[1] or '', known[2] or ''}) do reply[#reply + 1] = part end
end
return reply

-- Included by the scripts whose first line names it. These scripts share the following keys and arguments, which come
-- before their own ones.
-- keys: events
-- args: now kept by pool vm
--   now: epoch; kept: how many events the stream keeps; by: who causes the events; pool, vm: '' where there is none
local record, history = RECORD .. vm, HISTORY .. vm

-- Makes another VM the one that the variables above name, for a script that changes several.
local function turn_to(its_pool, its_vm)
  pool, vm, record, history = its_pool, its_vm, RECORD .. its_vm, HISTORY .. its_vm
end

-- Writes one event to the stream and to the history of its VM, if it has one. The history expires with the VM's record;
-- after one week where the VM has no record.
local function emit(what, why, more)
  local fields = {'what', what, 'pool', pool, 'vm', vm, 'when', now, 'by', by}
  if why and why ~= '' then fields[#fields + 1] = 'why'; fields[#fields + 1] = why end
  for i, part in ipairs(more or {}) do fields[#fields + 1] = part end
  redis.call('XADD', events, 'MAXLEN', '~', kept, '*', unpack(fields))
  if vm == '' then return end
  local entry = {}
  for i = 1, #fields, 2 do entry[fields[i]] = fields[i + 1] end
  if redis.call('RPUSH', history, cjson.encode(entry)) > 200 then redis.call('LTRIM', history, -200, -1) end
  local left = redis.call('PTTL', record)
  if left == -1 then redis.call('PERSIST', history)
  else redis.call('PEXPIRE', history, left >= 0 and left or 604800000) end
end

-- Returns the members of a JSON object, {} for any other text: another version may have written it.
local function decoded(text)
  local known, found = pcall(cjson.decode, text or '')
  return known and type(found) == 'table' and found or {}
end

-- Writes a field of a day's hash. The hash expires ``seconds`` after the last write; with '0' it never expires.
local function note_daily(hash, field, value, seconds)
  redis.call('HSET', hash, field, value)
  if seconds ~= '0' then redis.call('EXPIRE', hash, seconds) end
end

-- Records that a token was used; ``user`` is the token's user, or ''. Also adds the token to the list of the user's
-- tokens, since another program may have created it. Does not start a missing list: that list would be incomplete.
local function used(token, user, now_text)
  redis.call('HSET', token, 'last', now_text)
  if redis.call('EXISTS', TOKENS .. user) == 1 then redis.call('SADD', TOKENS .. user, token:sub(#TOKEN + 1)) end
end

-- Returns whether the VM, which was checked out with a token, belongs to another user than this token's. A VM whose
-- user is unknown does. Old records contain no user; the record of a VM that was restored from its stamp contains no
-- token.
local function foreign(token, user)
  local held = redis.call('HGET', record, 'token:token')
  if held and token == TOKEN .. held then return false end
  local owner = redis.call('HGET', record, 'token:user') or held and redis.call('HGET', TOKEN .. held, 'user') or ''
  return owner == '' or owner ~= user
end

-- Returns why a client may not change the VM: -1 when a known token is required, -2 when the VM belongs to another
-- user; nil when the client may. ``need``: 'always' a token is required, 'taken' only where the VM was checked out with
-- one, '' no check. ``own``: '1' when only the user who checked the VM out may change it. An accepted token is recorded
-- as used, and its user as the one who causes the events.
local function refusal(token, now_text, need, own)
  if need == '' then return nil end
  local owned = redis.call('HEXISTS', record, 'token:token') == 1
    or (redis.call('HGET', record, 'token:user') or '') ~= ''
  if redis.call('EXISTS', token) == 0 then
    if need == 'always' or owned then return -1 end
    return nil
  end
  local user = redis.call('HGET', token, 'user') or ''
  if own == '1' and owned and foreign(token, user) then return -2 end
  used(token, user, now_text)
  if user ~= '' then by = user end
  return nil
end

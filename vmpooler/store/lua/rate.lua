-- uses: ahead
-- Count a request of a client, unless it comes too early.
--   KEYS[1] the token that it sent, [2] the pace of that token, [3] the pace of the address that it comes from
--   ARGV[1] now (epoch), [2] requests that may be made at once, [3] seconds after which so many more may
-- A pace is the moment (epoch) at which all requests so far would have been made one after the other, evenly. A token that
-- is not known is nobody's: who makes some up is counted by address.
-- Returns the seconds to wait as text, '0' when the request was counted.
local now, window = tonumber(ARGV[1]), tonumber(ARGV[3])
local pace = redis.call('EXISTS', KEYS[1]) == 1 and KEYS[2] or KEYS[3]
local known = tonumber(redis.call('GET', pace) or 0)
-- A pace is never further ahead than a window when it is written: one that is was written before a clock was set back.
if known > now + window + AGREE then known = now end
local after = math.max(known, now) + window / tonumber(ARGV[2])
local wait = math.min(after - window - now, window)
if wait > 0.000001 then return string.format('%.6f', wait) end
redis.call('SET', pace, string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000))
return '0'

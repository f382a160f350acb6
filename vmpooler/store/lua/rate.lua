-- uses: ahead
-- Count a request of a client, unless it comes too early.
--   KEYS[1] the token that was sent, [2] the pace of that token, [3] the pace of the client's address
--   ARGV[1] now (epoch), [2] requests that may be made at once, [3] seconds after which as many more may be made
-- A pace is the moment (epoch) at which all requests so far would have been made if they came one after the other,
-- evenly. An unknown token is ignored, so that a client that invents tokens is counted by its address.
-- Returns the seconds to wait as text, '0' when the request was counted.
local now, window = tonumber(ARGV[1]), tonumber(ARGV[3])
local pace = redis.call('EXISTS', KEYS[1]) == 1 and KEYS[2] or KEYS[3]
local known = tonumber(redis.call('GET', pace) or 0)
-- A pace is at most one window ahead when it is written. A pace further ahead was written before a clock was set back.
if known > now + window + AGREE then known = now end
local after = math.max(known, now) + window / tonumber(ARGV[2])
local wait = math.min(after - window - now, window)
if wait > 0.000001 then return string.format('%.6f', wait) end
redis.call('SET', pace, string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000))
return '0'

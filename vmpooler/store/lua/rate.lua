-- uses: ahead
-- Count a request of a client, unless it comes too early.
-- keys: token token_pace address_pace
-- args: now rate rate_time
--   rate: requests that may be made at once; rate_time: seconds after which as many more may be made
-- A pace is the moment (epoch) at which all requests so far would have been made if they came one after the other,
-- evenly. An unknown token is ignored, so that a client that invents tokens is counted by its address.
-- Returns the seconds to wait as text, '0' when the request was counted.
now = tonumber(now)
local window = tonumber(rate_time)
local pace = redis.call('EXISTS', token) == 1 and token_pace or address_pace
local known = tonumber(redis.call('GET', pace) or 0)
-- A pace is at most one window ahead when it is written. A pace further ahead was written before a clock was set back.
if known > now + window + AGREE then known = now end
local after = math.max(known, now) + window / tonumber(rate)
local wait = math.min(after - window - now, window)
if wait > 0.000001 then return string.format('%.6f', wait) end
redis.call('SET', pace, string.format('%.6f', after), 'PX', math.ceil((after - now) * 1000))
return '0'

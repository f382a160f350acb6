-- What wrk asks for, over and over. Arguments: the method, the path (%012d stands for a number), how many numbers there are,
-- and the mean pause of a connection between two requests, in milliseconds. Says at the end how it went, as JSON.
local requests, last = {}, 0

function init(args)
  for number = 0, tonumber(args[3]) - 1 do
    requests[#requests + 1] = wrk.format(args[1], args[2]:format(number))
  end
  local pause = tonumber(args[4])
  if pause > 0 then
    delay = function() return math.random(0, 2 * pause) end
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  local report = '{"requests": %d, "micros": %d, "refused": %d, "lost": %d, "p50": %d, "p99": %d}'
  print("\n" .. report:format(summary.requests, summary.duration, errors.status, lost, latency:percentile(50), latency:percentile(99)))
end

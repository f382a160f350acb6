-- Checks of stored moments. Included by the scripts whose first line names it; their ARGV[1] is now (epoch).

-- Seconds by which the moments that several processes write may differ; domain/backoff.py has the same value.
local AGREE = 5

-- Returns whether a stored moment is in the future. A moment further ahead than its longest wait is ignored: it was
-- stored before a clock was set back.
local function waits(moment, longest)
  return moment > tonumber(ARGV[1]) and moment <= ARGV[1] + longest + AGREE
end

-- Checks of stored moments. Included by the scripts whose first line names it; they have the argument ``now``.

-- Seconds by which the moments that several processes write may differ; domain/backoff.py has the same value.
local AGREE = 5

-- Returns whether a stored moment is in the future. A moment further ahead than its longest wait is ignored: it was
-- stored before a clock was set back.
local function waits(moment, longest)
  return moment > tonumber(now) and moment <= now + longest + AGREE
end

-- Stored moments, for the scripts whose first line says so; their first argument is now (epoch). Processes may differ by
-- this many seconds in the moments that they write; domain/pace.py has the same value.
local AGREE = 5

-- Returns whether a stored moment is in the future. A moment further ahead than its longest wait is ignored: it was
-- stored before a clock was set back.
local function waits(moment, longest)
  return moment > tonumber(ARGV[1]) and moment <= ARGV[1] + longest + AGREE
end

-- Stored moments, for the scripts whose first line says so; their first argument is now (epoch). Processes may differ by
-- so many seconds in what they write; the same stands in domain/pace.py.
local AGREE = 5

-- Whether a stored moment lies ahead. One further off than its longest wait counts as none: a clock was set back.
local function waits(moment, longest)
  return moment > tonumber(ARGV[1]) and moment <= ARGV[1] + longest + AGREE
end

-- uses: prelude, ahead, trouble
-- Note that something did not work, and when to try it again.
--   KEYS[4] the pool's troubles
--   ARGV[6] what failed: a VM, or one of the subjects that begin with a colon; [7] why, [8] the first wait in seconds,
--   [9] the longest
-- Returns the seconds to wait, as text.
return tostring(note_failure(KEYS[4], ARGV[6], ARGV[7], ARGV[8], ARGV[9]))

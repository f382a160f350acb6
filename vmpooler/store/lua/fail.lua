-- uses: prelude, ahead, trouble
-- Record that something failed, and when to retry it.
--   KEYS[4] the pool's troubles
--   ARGV[6] what failed: a VM, or one of the subjects that begin with a colon; [7] why, [8] the first wait in seconds,
--   [9] the longest
-- Returns the seconds to wait, as text.
return tostring(note_failure(KEYS[4], ARGV[6], ARGV[7], ARGV[8], ARGV[9]))

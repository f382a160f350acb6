-- uses: prelude, ahead, trouble
-- Record that something failed, and when to retry it.
-- keys: trouble
-- args: subject why first_wait longest
--   subject: what failed: a VM, or one of the subjects that begin with a colon; first_wait, longest: in seconds
-- Returns the seconds to wait, as text.
return tostring(note_failure(trouble, subject, why, first_wait, longest))

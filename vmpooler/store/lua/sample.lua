-- Write a sample of some pools, each at the same place.
--   KEYS[1] when the last was taken, KEYS[2..] where those of each pool are kept
--   ARGV[1] what to note of when, '' nothing; [2] the place in bytes, [3] seconds that it is kept, [4..] the samples
if ARGV[1] ~= '' then redis.call('SET', KEYS[1], ARGV[1]) end
for i = 2, #KEYS do
  redis.call('SETRANGE', KEYS[i], ARGV[2], ARGV[i + 2])
  redis.call('EXPIRE', KEYS[i], ARGV[3])
end
return 1

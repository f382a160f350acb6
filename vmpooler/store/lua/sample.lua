-- Write a sample of each of some pools, at the same place.
-- keys: sampled strings...
-- args: taken place keep samples...
--   strings: the samples of each pool; taken: when this sample was taken, '' to leave the stored time; place: in bytes;
--   keep: seconds to keep the samples
if taken ~= '' then redis.call('SET', sampled, taken) end
for i, key in ipairs(strings) do
  redis.call('SETRANGE', key, place, samples[i])
  redis.call('EXPIRE', key, keep)
end
return 1

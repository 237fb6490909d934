-- Give back what was reserved for a call that never left.
--
-- KEYS  state, then for each dimension: held, minute
-- ARGV  id, then for each dimension: amount

local state, id = KEYS[1], ARGV[1]
for position = 2, #KEYS do
  local amount = string.format('%.6f', tonumber(ARGV[math.floor(position / 2) + 1]))
  if redis.call('ZREM', KEYS[position], id .. ':' .. amount) == 1 then
    redis.call('HINCRBYFLOAT', state, KEYS[position], '-' .. amount)
  end
end

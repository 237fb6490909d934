-- Give back what was reserved for a call that never left.
--
-- KEYS  state, then for each dimension: held, minute
-- ARGV  id, then for each dimension: amount

local state, id = KEYS[1], ARGV[1]
for position = 2, #KEYS do
  local key = KEYS[position]
  local amount = string.format('%.6f', tonumber(ARGV[math.floor(position / 2) + 1]))
  if redis.call('ZREM', key, id .. ':' .. amount) == 1 then
    redis.call('HINCRBYFLOAT', state, key, '-' .. amount)
    local rate = tonumber(redis.call('HGET', state, key .. ':rate') or '0')
    if rate > 0 then
      redis.call('HINCRBYFLOAT', state, key .. ':next', string.format('%.6f', -amount / rate))
    end
  end
end

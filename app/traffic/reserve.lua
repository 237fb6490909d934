-- Reserve in a quota that many processes share: all dimensions fit, or nothing is taken.
-- The rules are those of app/traffic/window.py; times are seconds of this server's clock.
--
-- KEYS  state, processes, then for each dimension: held, minute
-- ARGV  id, process, burst_s, pause_s, then for each dimension: amount, cap, span_s, what was taken
--       without this server and still counts, and whether the service told what is left (0 or 1)
-- Gives granted (0 or 1), microseconds to wait, processes alive,
--       then for each dimension what was taken in the minute, and what is left.

local MINUTE_S, START_STEPS, ALIVE_S, KEPT_MS, TINY = 60, 20, 10, 300000, 1e-6

local state, processes = KEYS[1], KEYS[2]
local id, process, burst_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
local pause_s = tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function number(field)
  return tonumber(redis.call('HGET', state, field) or '0')
end

local function amount_of(member)
  return tonumber(string.match(member, ':([^:]*)$'))
end

-- The sum of what has not left. Scores are the times at which entries leave.
local function age(key)
  local total = number(key)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', key, '-inf', now)) do
    total = total - amount_of(member)
  end
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now)
  if redis.call('ZCARD', key) == 0 then total = 0 end
  return total
end

local function assume(key, cap, span_s)
  for step = 1, START_STEPS do
    local member = 'assumed-' .. step .. ':' .. string.format('%.6f', cap / START_STEPS)
    redis.call('ZADD', key, now + span_s * step / START_STEPS, member)
  end
  return cap
end

local function forget_assumed(key, total)
  for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    if string.sub(member, 1, 8) == 'assumed-' then
      total = total - amount_of(member)
      redis.call('ZREM', key, member)
    end
  end
  return total
end

local function room_at(key, missing)
  local start = 0
  while missing > TINY do
    local entries = redis.call('ZRANGE', key, start, start + 49, 'WITHSCORES')
    if #entries == 0 then return now end
    for at = 1, #entries, 2 do
      missing = missing - amount_of(entries[at])
      if missing <= TINY then return tonumber(entries[at + 1]) end
    end
    start = start + 50
  end
  return now
end

redis.call('ZADD', processes, now + ALIVE_S, process)
redis.call('ZREMRANGEBYSCORE', processes, '-inf', now)

local fresh = redis.call('EXISTS', state) == 0
local untouched = fresh or number('untouched') == 1
local paused = math.max(number('paused'), now + pause_s)

local dimensions, free_at = {}, paused
for position = 3, #KEYS, 2 do
  local argument = 5 + (position - 3) / 2 * 5
  local each = {
    held = KEYS[position], minute = KEYS[position + 1],
    amount = tonumber(ARGV[argument]), cap = tonumber(ARGV[argument + 1]),
    span_s = tonumber(ARGV[argument + 2]), carried = tonumber(ARGV[argument + 3]),
    told = tonumber(ARGV[argument + 4]) == 1,
  }
  each.total = fresh and assume(each.held, each.cap, each.span_s) or age(each.held)
  each.own = age(each.minute)
  each.next, each.rate = number(each.held .. ':next'), each.cap / each.span_s
  each.assumed = fresh or number(each.held .. ':assumed') == 1
  if each.assumed and each.told then
    each.total, each.assumed = forget_assumed(each.held, each.total), false
  end
  if each.carried > 0 then
    local member = id .. '-carried:' .. string.format('%.6f', each.carried)
    redis.call('ZADD', each.held, now + each.span_s, member)
    each.total = each.total + each.carried
  end
  local missing = math.min(each.total + each.amount - each.cap, each.total)
  if not untouched then free_at = math.max(free_at, room_at(each.held, missing)) end
  free_at = math.max(free_at, each.next - burst_s)
  dimensions[#dimensions + 1] = each
end

-- The wait is told in whole microseconds: less than one is none.
local granted = free_at <= now + TINY
local reply = {
  granted and 1 or 0, math.ceil(math.max(0, free_at - now) * 1e6), redis.call('ZCARD', processes),
}
redis.call('HSET', state, 'paused', string.format('%.6f', paused),
  'untouched', (untouched and not granted) and 1 or 0)
for _, each in ipairs(dimensions) do
  if granted then
    local member = id .. ':' .. string.format('%.6f', each.amount)
    redis.call('ZADD', each.held, now + each.span_s, member)
    redis.call('ZADD', each.minute, now + MINUTE_S, member)
    each.total, each.own = each.total + each.amount, each.own + each.amount
    local paced = math.max(each.next, now) + each.amount / each.rate
    each.next = math.min(paced, now + each.span_s)
  end
  redis.call('HSET', state, each.held, string.format('%.6f', each.total),
    each.minute, string.format('%.6f', each.own),
    each.held .. ':next', string.format('%.6f', each.next),
    each.held .. ':rate', string.format('%.6f', each.rate),
    each.held .. ':assumed', each.assumed and 1 or 0)
  redis.call('PEXPIRE', each.held, KEPT_MS)
  redis.call('PEXPIRE', each.minute, KEPT_MS)
  reply[#reply + 1] = math.floor(each.own)
  reply[#reply + 1] = math.floor(math.max(0, each.cap - each.total))
end
redis.call('PEXPIRE', state, KEPT_MS)
redis.call('PEXPIRE', processes, KEPT_MS)
return reply

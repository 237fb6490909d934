-- Reserve in a quota that many processes share: all dimensions fit, or nothing is taken.
-- The rules are those of app/traffic/window.py; times are seconds of this server's clock.
--
-- KEYS  state, then for each dimension: held, minute
-- ARGV  JSON: id, burst_s, pause_s, and `dimensions`, each with amount, cap, limit, span_s, told (whether
--       the service told what is left) and alone (what was taken without this server: age_s, amount)
-- Gives JSON: granted, wait_s, and for each dimension `own`, taken in the last minute, and `left`.

local MINUTE_S, START_STEPS, KEPT_MS, TINY = 60, 20, 300000, 1e-6
local LEAST_DEBT_S, DEBT_SHARE = 2, 0.1

local state, asked = KEYS[1], cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1e6

local function number(field)
  return tonumber(redis.call('HGET', state, field) or '0')
end

local function text(value)
  return string.format('%.6f', value)
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
    local member = 'assumed-' .. step .. ':' .. text(cap / START_STEPS)
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

local function carry(key, total, span_s, alone)
  for number, taken in ipairs(alone) do
    if taken.age_s < span_s then
      local member = asked.id .. '-alone-' .. number .. ':' .. text(taken.amount)
      redis.call('ZADD', key, now + span_s - taken.age_s, member)
      total = total + taken.amount
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

local fresh = redis.call('EXISTS', state) == 0
if fresh then redis.call('DEL', unpack(KEYS)) end
local untouched = fresh or number('untouched') == 1
local paused = math.max(number('paused'), now + asked.pause_s)
local free_at = paused

for position, each in ipairs(asked.dimensions) do
  each.held, each.minute = KEYS[2 * position], KEYS[2 * position + 1]
  each.total = fresh and assume(each.held, each.cap, each.span_s) or age(each.held)
  each.own = age(each.minute)
  each.next, each.rate = number(each.held .. ':next'), each.cap / each.span_s
  each.assumed = fresh or number(each.held .. ':assumed') == 1
  if each.assumed and each.told then
    each.total, each.assumed = forget_assumed(each.held, each.total), false
  end
  each.total = carry(each.held, each.total, each.span_s, each.alone)
  each.own = carry(each.minute, each.own, MINUTE_S, each.alone)
  local missing = math.min(each.total + each.amount - each.cap, each.total)
  if not untouched then free_at = math.max(free_at, room_at(each.held, missing)) end
  local burst_s = each.amount > each.limit and 0 or asked.burst_s
  free_at = math.max(free_at, each.next - burst_s)
end

-- A wait of less than a microsecond is none.
local granted = free_at <= now + TINY
local reply = { granted = granted, wait_s = math.max(0, free_at - now), dimensions = {} }
redis.call('HSET', state, 'paused', text(paused),
  'untouched', (untouched and not granted) and 1 or 0)
for position, each in ipairs(asked.dimensions) do
  if granted then
    local member = asked.id .. ':' .. text(each.amount)
    redis.call('ZADD', each.held, now + each.span_s, member)
    redis.call('ZADD', each.minute, now + MINUTE_S, member)
    each.total, each.own = each.total + each.amount, each.own + each.amount
    local paced = math.max(each.next, now) + each.amount / each.rate
    local fills_s = each.amount / each.limit * each.span_s
    local most_s = math.max(LEAST_DEBT_S, DEBT_SHARE * each.span_s)
    each.next = math.min(paced, now + (fills_s <= each.span_s and most_s or fills_s))
  end
  redis.call('HSET', state, each.held, text(each.total), each.minute, text(each.own),
    each.held .. ':next', text(each.next), each.held .. ':rate', text(each.rate),
    each.held .. ':assumed', each.assumed and 1 or 0)
  redis.call('PEXPIRE', each.held, KEPT_MS)
  redis.call('PEXPIRE', each.minute, KEPT_MS)
  reply.dimensions[position] = { own = each.own, left = math.max(0, each.cap - each.total) }
end
redis.call('PEXPIRE', state, KEPT_MS)
return cjson.encode(reply)
